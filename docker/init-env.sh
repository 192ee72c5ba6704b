#!/usr/bin/env bash
# Makes .env for docker-compose.yml out of .env.example, with secrets of its own; an existing .env gets what it lacks.
#   docker/init-env.sh [--local-images]      with it, PostgreSQL and Redis are images of ours, not the official ones
set -euo pipefail
cd "$(dirname "$0")/.."
umask 077

has() { grep -q "^$1=" .env; }
random_text() { head -c 24 /dev/urandom | od -An -vtx1 | tr -d ' \n'; }
fernet_key() { head -c 32 /dev/urandom | base64 | tr '+/' '-_'; }

[ -e .env ] || cp .env.example .env
chmod 600 .env
for name in POSTGRES_PASSWORD REDIS_PASSWORD AIRFLOW_JWT_SECRET AIRFLOW_SECRET_KEY ADMIN_PASSWORD S3_SECRET_KEY; do
  has "$name" || printf '%s=%s\n' "$name" "$(random_text)" >>.env
done
has AIRFLOW_FERNET_KEY || printf 'AIRFLOW_FERNET_KEY=%s\n' "$(fernet_key)" >>.env
if [ "${1:-}" = --local-images ]; then
  has POSTGRES_IMAGE || printf 'POSTGRES_IMAGE=%s\n' "${IMAGE_PREFIX:-model-training-}postgres:${IMAGE_TAG:-latest}" >>.env
  has REDIS_IMAGE || printf 'REDIS_IMAGE=%s\n' "${IMAGE_PREFIX:-model-training-}redis:${IMAGE_TAG:-latest}" >>.env
fi
echo "wrote .env; the login of Airflow is ADMIN_USER (admin) and ADMIN_PASSWORD there"
