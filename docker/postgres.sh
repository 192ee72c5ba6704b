#!/bin/bash
# PostgreSQL with the variables of the official image: POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB, PGDATA.
set -euo pipefail
: "${POSTGRES_USER:?}" "${POSTGRES_PASSWORD:?}" "${POSTGRES_DB:?}"

if [ ! -s "$PGDATA/PG_VERSION" ]; then
  unfinished=$PGDATA.unfinished
  rm -rf "$unfinished"
  initdb --pgdata "$unfinished" --username "$POSTGRES_USER" --pwfile <(printf '%s\n' "$POSTGRES_PASSWORD") \
    --encoding UTF8 --locale C.UTF-8 --auth-local trust --auth-host scram-sha-256 --data-checksums
  echo 'host all all all scram-sha-256' >>"$unfinished/pg_hba.conf"
  postgres --single -D "$unfinished" postgres >/dev/null <<<"CREATE DATABASE \"$POSTGRES_DB\""
  mv "$unfinished" "$PGDATA"  # so that what stands there is whole
fi
exec postgres -D "$PGDATA" -c listen_addresses='*'
