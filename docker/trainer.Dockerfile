# The trainers of both model families, without Airflow: what pods of Kubernetes and training by hand run. Also TensorBoard.
#   docker run --rm IMAGE gematria_ops train-model --help
# ACCELERATOR=gpu takes TensorFlow's build for GPUs and NVIDIA's libraries; the node needs NVIDIA's driver only.
ARG BASE_IMAGE=debian:bookworm-slim
ARG ACCELERATOR=cpu

FROM ${BASE_IMAGE} AS python
RUN --mount=type=bind,source=docker/install.sh,target=/install.sh \
    --mount=type=secret,id=apt_sources --mount=type=secret,id=apt_config --mount=type=secret,id=ca_certificates \
    /install.sh apt ca-certificates python3
RUN useradd --uid 10001 --user-group --create-home --shell /bin/bash ops

FROM python AS installer
RUN --mount=type=bind,source=docker/install.sh,target=/install.sh \
    --mount=type=secret,id=apt_sources --mount=type=secret,id=apt_config --mount=type=secret,id=ca_certificates \
    /install.sh apt python3-venv

FROM installer AS cpu-packages
RUN --mount=type=bind,source=docker/install.sh,target=/install.sh --mount=type=cache,target=/root/.cache/pip \
    --mount=type=bind,source=docker/requirements/trainer-cpu.txt,target=/lock.txt \
    --mount=type=secret,id=pip_config --mount=type=secret,id=ca_certificates \
    /install.sh venv /opt/trainer /lock.txt

FROM installer AS gpu-packages
RUN --mount=type=bind,source=docker/install.sh,target=/install.sh --mount=type=cache,target=/root/.cache/pip \
    --mount=type=bind,source=docker/requirements/trainer-gpu.txt,target=/lock.txt \
    --mount=type=secret,id=pip_config --mount=type=secret,id=ca_certificates \
    /install.sh venv /opt/trainer /lock.txt

FROM ${ACCELERATOR}-packages AS packages

FROM python AS trainer
COPY --from=packages /opt/trainer /opt/trainer
RUN install -d -o ops -g ops /var/lib/ops
WORKDIR /opt/ops
COPY config config
COPY tests/data/bhive tests/data/bhive
COPY ops_common ops_common
COPY gematria_ops gematria_ops
COPY fastnode_ops fastnode_ops
COPY docker/health.py docker/
RUN python3 -m compileall -q /opt/ops
ENV PATH=/opt/trainer/bin:$PATH \
    PYTHONPATH=/opt/ops \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    OPS_HOME=/var/lib/ops
USER ops
# A training is a job: its exit status says how it went, and there is nothing that could be asked meanwhile.
HEALTHCHECK NONE
ENTRYPOINT ["python3", "-m"]
CMD ["gematria_ops", "--help"]

FROM trainer AS tensorboard
HEALTHCHECK --interval=30s --timeout=30s --start-period=60s --retries=3 \
    CMD ["python3", "/opt/ops/docker/health.py", "http", "http://127.0.0.1:6006/"]
CMD ["tensorboard.main", "--logdir=/var/lib/ops/runs", "--host=0.0.0.0", "--port=6006", "--reload_multifile=true"]

# what is built when no target is named
FROM trainer
