#!/bin/sh
# What the builds of our images run to install something. It is mounted into a build step, so no image holds it:
#   install.sh apt PACKAGE...           Debian packages, without what they only recommend
#   install.sh venv FOLDER LOCK         a virtual environment with exactly what a locked list says
# On a closed network docker/build.sh hands over, as secrets of the build that reach no layer: a list of apt sources, a
# configuration of apt, a configuration of pip, certificates.
set -eu

secrets=/run/secrets
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

install_apt() {
  chmod 755 "$scratch"  # apt reads as a user of its own
  sources=
  if [ -f "$secrets/apt_sources" ]; then
    kind=list
    if grep -q '^Types:' "$secrets/apt_sources"; then kind=sources; fi
    install -m 644 "$secrets/apt_sources" "$scratch/here.$kind"
    sources="-o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts=$scratch"
  fi
  if [ -f "$secrets/apt_config" ]; then
    install -m 644 "$secrets/apt_config" "$scratch/apt.conf"
    export APT_CONFIG="$scratch/apt.conf"
  fi
  if [ -f "$secrets/ca_certificates" ]; then
    install -m 644 "$secrets/ca_certificates" "$scratch/ca.crt"
    sources="$sources -o Acquire::https::CAInfo=$scratch/ca.crt"
  fi
  # shellcheck disable=SC2086 - a list of options
  apt-get $sources -qq update
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive apt-get $sources -qq -y --no-install-recommends install "$@" >"$scratch/log" \
    || { cat "$scratch/log" >&2; exit 1; }
  apt-get -qq clean
  rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/debconf/*-old /var/log/apt /var/log/dpkg.log
}

install_venv() {
  folder=$1 lock=$2
  if [ -f "$secrets/pip_config" ]; then export PIP_CONFIG_FILE="$secrets/pip_config"; fi
  if [ -f "$secrets/ca_certificates" ]; then export PIP_CERT="$secrets/ca_certificates"; fi
  python3 -m venv "$scratch/installer"
  python3 -m venv --without-pip "$folder"
  # Compiled while it is installed: whoever runs it cannot write here, and would compile everything at every start.
  "$scratch/installer/bin/pip" --python "$folder/bin/python" --disable-pip-version-check install --quiet \
    --require-hashes --no-deps --only-binary :all: --requirement "$lock"
  # headers for those who build extensions of TensorFlow
  rm -rf "$folder"/lib/python3*/site-packages/tensorflow/include
}

case "${1:-}" in
  apt) shift; install_apt "$@" ;;
  venv) install_venv "$2" "$3" ;;
  *) echo "usage: install.sh apt PACKAGE... | venv FOLDER LOCK" >&2; exit 2 ;;
esac
