# Airflow and the DAGs, in two targets that share their layers:
#   airflow   API server, scheduler, DAG processor, triggerer: no TensorFlow
#   worker    the Celery worker: the same, and the environment in which the tasks run as child processes
# docker build -f docker/airflow.Dockerfile --target worker .      or docker/build.sh, which knows closed networks
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

FROM installer AS airflow-packages
RUN --mount=type=bind,source=docker/install.sh,target=/install.sh --mount=type=cache,target=/root/.cache/pip \
    --mount=type=bind,source=requirements-cluster.txt,target=/lock.txt \
    --mount=type=secret,id=pip_config --mount=type=secret,id=ca_certificates \
    /install.sh venv /opt/airflow /lock.txt

FROM installer AS trainer-packages
RUN --mount=type=bind,source=docker/install.sh,target=/install.sh --mount=type=cache,target=/root/.cache/pip \
    --mount=type=bind,source=docker/requirements/trainer-cpu.txt,target=/lock.txt \
    --mount=type=secret,id=pip_config --mount=type=secret,id=ca_certificates \
    /install.sh venv /opt/trainer /lock.txt

FROM ${BASE_IMAGE} AS code
WORKDIR /opt/ops
COPY config config
COPY tests/data/bhive tests/data/bhive
COPY requirements-datagen.txt ./
COPY docker/health.py docker/init_platform.py docker/
COPY ops_common ops_common
COPY gematria_ops gematria_ops
COPY fastnode_ops fastnode_ops
COPY plugins plugins
COPY dags dags

FROM python AS airflow-base
COPY --from=airflow-packages /opt/airflow /opt/airflow
# Named volumes take owner and mode of what they are mounted over.
RUN install -d -o ops -g ops /var/lib/ops /var/lib/airflow /var/lib/airflow/logs /etc/ops-ssh
ENV PATH=/opt/airflow/bin:$PATH \
    PYTHONPATH=/opt/ops:/opt/ops/plugins \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    OPS_HOME=/var/lib/ops \
    AIRFLOW_HOME=/var/lib/airflow \
    AIRFLOW__LOGGING__BASE_LOG_FOLDER=/var/lib/airflow/logs \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/ops/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/ops/plugins \
    AIRFLOW__CORE__LOAD_EXAMPLES=False \
    AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION=False \
    AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS=False \
    AIRFLOW__USAGE_DATA_COLLECTION__ENABLED=False
WORKDIR /opt/ops
HEALTHCHECK --interval=15s --timeout=30s --start-period=180s --retries=4 \
    CMD ["python3", "/opt/ops/docker/health.py", "airflow", "metadatabase"]
CMD ["airflow", "api-server"]

FROM airflow-base AS worker
RUN --mount=type=bind,source=docker/install.sh,target=/install.sh \
    --mount=type=secret,id=apt_sources --mount=type=secret,id=apt_config --mount=type=secret,id=ca_certificates \
    /install.sh apt openssh-client rsync
COPY --from=trainer-packages /opt/trainer /opt/trainer
COPY --from=code /opt/ops /opt/ops
RUN python3 -m compileall -q /opt/ops
ENV OPS_PYTHON=/opt/trainer/bin/python
USER ops
# Docker leaves a check that takes too long running, so each ends itself.
HEALTHCHECK --interval=60s --timeout=60s --start-period=180s --retries=4 \
    CMD BROKER_URL="$AIRFLOW__CELERY__BROKER_URL" timeout 55 celery inspect ping --timeout 15 --destination "celery@$HOSTNAME"
CMD ["airflow", "celery", "worker"]

FROM airflow-base AS airflow
COPY --from=code /opt/ops /opt/ops
RUN python3 -m compileall -q /opt/ops
USER ops
