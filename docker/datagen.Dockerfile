# The machines that make training samples of completions, in two targets:
#   graph-data-server   draws samples of a corpus and serves them over HTTP
#   datagen-host        a machine to generate on: sshd and rsync, and the environment that the bundle of
#                       `make datagen_parallel` runs in
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

FROM installer AS host-packages
RUN --mount=type=bind,source=docker/install.sh,target=/install.sh --mount=type=cache,target=/root/.cache/pip \
    --mount=type=bind,source=requirements-datagen.txt,target=/lock.txt \
    --mount=type=secret,id=pip_config --mount=type=secret,id=ca_certificates \
    /install.sh venv /opt/datagen /lock.txt

FROM installer AS server-packages
RUN --mount=type=bind,source=docker/install.sh,target=/install.sh --mount=type=cache,target=/root/.cache/pip \
    --mount=type=bind,source=docker/requirements/graph-data-server.txt,target=/lock.txt \
    --mount=type=secret,id=pip_config --mount=type=secret,id=ca_certificates \
    /install.sh venv /opt/datagen /lock.txt

FROM python AS datagen-host
RUN --mount=type=bind,source=docker/install.sh,target=/install.sh \
    --mount=type=secret,id=apt_sources --mount=type=secret,id=apt_config --mount=type=secret,id=ca_certificates \
    /install.sh apt openssh-server rsync && rm -f /etc/ssh/ssh_host_*
COPY --from=host-packages /opt/datagen /opt/datagen
# Keys come from a volume. The server runs as the only user that it lets in, so it needs no root and no capabilities.
RUN usermod --password '*' ops && install -d -o ops -g ops -m 700 /etc/ops-ssh /ssh /ssh/client /ssh/datagen-1 /ssh/datagen-2 /var/lib/ops
WORKDIR /opt/ops
COPY docker/sshd_config /etc/ssh/ops_sshd_config
COPY docker/health.py docker/make-ssh-keys.sh docker/
USER ops
EXPOSE 2222
HEALTHCHECK --interval=15s --timeout=30s --start-period=20s --retries=3 \
    CMD ["python3", "/opt/ops/docker/health.py", "greeting", "127.0.0.1:2222", "SSH-2.0"]
CMD ["/usr/sbin/sshd", "-D", "-e", "-f", "/etc/ssh/ops_sshd_config"]

FROM python AS graph-data-server
COPY --from=server-packages /opt/datagen /opt/datagen
RUN install -d -o ops -g ops /var/lib/ops
WORKDIR /opt/ops
COPY config config
COPY ops_common ops_common
COPY fastnode_ops fastnode_ops
COPY docker/health.py docker/graph-data-server.sh docker/
ENV PATH=/opt/datagen/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONPATH=/opt/ops \
    PYTHONDONTWRITEBYTECODE=1
RUN python3 -m compileall -q /opt/ops
USER ops
EXPOSE 3039
HEALTHCHECK --interval=15s --timeout=30s --start-period=300s --retries=4 \
    CMD ["python3", "/opt/ops/docker/health.py", "http", "http://127.0.0.1:3039/healthz"]
CMD ["docker/graph-data-server.sh"]
