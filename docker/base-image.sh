#!/usr/bin/env bash
# Makes the base image of our Dockerfiles on a machine that reaches a Debian mirror, but no registry of images:
#   docker/base-image.sh [IMAGE]            as root; needs debootstrap and a running Docker engine
# The image is what a registry would have given under the same name: Debian 12, without manuals and translations.
# Variables: DOCKER (the client), DEBIAN_MIRROR, DEBIAN_SECURITY_MIRROR, TMPDIR (needs 400 MB).
set -euo pipefail

image=${1:-debian:bookworm-slim}
docker=${DOCKER:-docker}
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
security=${DEBIAN_SECURITY_MIRROR:-http://deb.debian.org/debian-security}

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $1"; say "  hint: $2"; exit 1; }

[ "$(id -u)" = 0 ] || fail "debootstrap needs root" "sudo $0 $image"
command -v debootstrap >/dev/null || fail "debootstrap was not found" "apt-get install debootstrap"
"$docker" version --format '{{.Server.Version}}' >/dev/null || fail "the Docker engine does not answer" "start dockerd"

rootfs=$(mktemp -d)
trap 'rm -rf --one-file-system "$rootfs"' EXIT
chmod 755 "$rootfs"  # it becomes the image's /, which other users must be able to enter
say "making $image from $mirror (about a minute)"
debootstrap --variant=minbase bookworm "$rootfs" "$mirror" >"$rootfs.log" 2>&1 \
  || { tail -n 20 "$rootfs.log" >&2; fail "debootstrap failed" "see $rootfs.log"; }
rm -f "$rootfs.log"

rm "$rootfs/etc/apt/sources.list"
cat >"$rootfs/etc/apt/sources.list.d/debian.sources" <<END
Types: deb
URIs: http://deb.debian.org/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://deb.debian.org/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
END
if [ "$mirror" = http://deb.debian.org/debian ] && [ "$security" = http://deb.debian.org/debian-security ]; then
  chroot "$rootfs" sh -c 'apt-get update -qq && apt-get -y -qq dist-upgrade' >/dev/null
else  # the mirror is this network's own: used here, not written into the image
  printf 'deb %s bookworm main\ndeb %s bookworm-security main\n' "$mirror" "$security" >"$rootfs/tmp/sources.list"
  chroot "$rootfs" sh -c 'o="-o Dir::Etc::SourceParts=/dev/null -o Dir::Etc::SourceList=/tmp/sources.list"
    apt-get $o update -qq && apt-get $o -y -qq dist-upgrade' >/dev/null
fi

# packages that are added later leave their manuals away, too
cat >"$rootfs/etc/dpkg/dpkg.cfg.d/slim" <<'END'
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/man/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/info/*
END
find "$rootfs/usr/share/doc" -depth -type f ! -name copyright -delete
find "$rootfs/usr/share/doc" -depth -type d -empty -delete
rm -rf "$rootfs"/usr/share/{man,locale,info}/* "$rootfs"/var/{cache,log,lib/apt/lists}/* "$rootfs"/tmp/*
mkdir -p "$rootfs"/var/cache/apt/archives/partial "$rootfs"/var/lib/apt/lists/partial

tar -C "$rootfs" --numeric-owner -c . | "$docker" import -c 'CMD ["bash"]' -c 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' - "$image" >/dev/null
say "made $image: $("$docker" image inspect --format '{{.Size}}' "$image" | awk '{printf "%d MB", $1 / 1e6}')"
