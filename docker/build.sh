#!/usr/bin/env bash
# Builds our images: docker/build.sh [IMAGE...]; without a name all that docker-compose.yml builds. Names: airflow worker
# trainer tensorboard graph-data-server datagen-host s3, and postgres redis for machines without a registry.
#
# `docker compose build` does the same where packages are reached without further ado. What else this one can do, by
# variables (all optional):
#   IMAGE_PREFIX, IMAGE_TAG, BASE_IMAGE, ACCELERATOR     as in .env.example
#   DOCKER                the client; it needs BuildKit
#   BUILD_NETWORK=host    build with the network of this machine
#   APT_SOURCES_FILE, APT_CONFIG_FILE, PIP_CONFIG_FILE, CA_CERTIFICATES_FILE
#                         files of a closed network; secrets of the build, which reach no layer
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }

dockerfile_of() {
  case "$1" in
    airflow | worker) echo airflow ;;
    trainer | tensorboard) echo trainer ;;
    graph-data-server | datagen-host) echo datagen ;;
    s3 | postgres | redis) echo services ;;
    *) say "error: no image is called $1"; say "  hint: see the first lines of docker/build.sh"; exit 2 ;;
  esac
}

options=(--build-arg "BASE_IMAGE=${BASE_IMAGE:-debian:bookworm-slim}")
[ -z "${BUILD_NETWORK:-}" ] || options+=(--network "$BUILD_NETWORK")
add_secret() {  # add_secret ID FILE
  [ -z "$2" ] || options+=(--secret "id=$1,src=$2")
}
add_secret apt_sources "${APT_SOURCES_FILE:-}"
add_secret apt_config "${APT_CONFIG_FILE:-}"
add_secret pip_config "${PIP_CONFIG_FILE:-}"
add_secret ca_certificates "${CA_CERTIFICATES_FILE:-}"

[ $# -gt 0 ] || set -- airflow worker trainer tensorboard graph-data-server datagen-host s3
for image in "$@"; do
  name=${IMAGE_PREFIX:-model-training-}$image:${IMAGE_TAG:-latest}
  arguments=()
  dockerfile=$(dockerfile_of "$image")
  [ "$dockerfile" != trainer ] || arguments+=(--build-arg "ACCELERATOR=${ACCELERATOR:-cpu}")
  say "building $name"
  DOCKER_BUILDKIT=1 "${DOCKER:-docker}" build --quiet --file "docker/$dockerfile.Dockerfile" --target "$image" \
    --tag "$name" "${options[@]}" "${arguments[@]}" . >/dev/null
done
