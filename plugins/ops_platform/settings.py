"""Settings of a deployment: the only file on the DAG side that reads environment variables.

Nothing is read while this module is imported; `load()` reads when it is called, so a changed environment (or a test's
own mapping) is seen at once. Every variable is listed, with its default, in `.env.example`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ops_common.errors import ConfigError
from ops_platform import pod_settings
from ops_platform.pod_settings import PodSettings

MODES = ("local", "pod")

TRAINING_POOL = "training"
"""Airflow pool of the training tasks: one slot, so one training at a time. The embedded platform makes it."""

PORT_VARIABLES = {
    "airflow": ("OPS_AIRFLOW_PORT", 8080),
    "s3": ("OPS_S3_PORT", 9000),
    "worker_logs": ("OPS_WORKER_LOG_PORT", 8793),
    "trigger_logs": ("OPS_TRIGGER_LOG_PORT", 8794),
}
"""Ports of the embedded platform: the variable that asks for one, and the usual one."""

# Secrets of a platform or of a person do not belong into a process that was not given them; and without bytecode every
# process compiles its libraries anew, which more than doubles its start.
_NOT_PASSED_ON = ("AIRFLOW", "_AIRFLOW", "AWS_", "OPS_METRICS_TOKEN", "PYTHONDONTWRITEBYTECODE")


@dataclass(frozen=True, slots=True)
class Settings:
    """What one deployment decides; experiments live in config/*.toml, secrets in Airflow connections."""

    project_root: Path
    """The checkout: where the libraries and config/ stand, and the working folder of every task."""
    home: Path
    """Everything that the embedded platform writes, unless it is told otherwise below."""
    data_root: Path
    """Data sets are written to `<data_root>/<name>`."""
    runs_root: Path
    """Run folders are written to `<runs_root>/<dag id>/<run>`."""
    destination: str
    """Where models are published, unless a run says otherwise."""
    nightly_cron: str
    """When the training DAGs start by themselves, UTC; empty: never by time."""
    continue_cron: str
    """When the newest completion model is trained further by itself, UTC; empty: never by time."""
    nightly_steps: int
    """Updates of a training of the completion model that was started by time."""
    expression_destination: str
    """Where completion models are published, unless a run says otherwise."""
    rundb: str
    """Where the run records of validations go, unless a run says otherwise."""
    checkout: Path
    """The checkout of the product that completion models are pinned in, unless a run says otherwise."""
    mode: str
    """How tasks run: `local`, as child processes of the worker; `pod`, some of them in pods of Kubernetes."""
    pods: PodSettings
    """Which tasks run in pods, and how; of no matter in mode `local`."""
    python: str
    """The interpreter that runs the task commands; it needs the libraries, not Airflow."""
    s3_connection_id: str
    """The Airflow connection that holds endpoint and keys of the object store."""
    stop_grace_seconds: float
    """How long a stopped task may take to save its state before it is killed."""
    retries: int
    """How often a task is tried again after a fault that may pass (a killed process)."""
    service_retries: int
    """The same when a service did not answer: as many pauses as last for half an hour, or for an outage of yours."""
    retry_delay_seconds: float
    """Pause before the first such retry; doubles each time."""
    notify_connections: tuple[str, ...]
    """Airflow connections that are told of runs that failed, were refused or are late; see `receivers.py`."""
    notify_emails: tuple[str, ...]
    """Who gets e-mail of them, when one of the connections is a mail server."""
    deadline_hours: float
    """How long after it was queued a run may end before somebody is told; 0: as late as it likes."""
    clean_up_cron: str
    """When old runs and data are cleaned up by themselves, UTC; empty: never by time."""
    keep_file: Path
    """Runs and data sets that no clean-up touches: a name or a pattern a line; need not exist."""
    sync_poll_seconds: float
    """Pause between two looks of the sensor that waits for sample files."""
    sync_lost_seconds: float
    """How long that sensor lets all hosts, or the syncer, be out of reach."""
    tensorboard_url: str
    """Where TensorBoard answers, for links; empty: nowhere, the pages show its command."""
    json_logs: bool
    """Whether the lines of tasks' commands are JSON with run and task, instead of plain text."""
    metrics_token: str
    """Opens /ops/metrics to a scraper, which cannot log in; empty: only people who are logged in see it."""
    otlp_endpoint: str
    """A collector of OpenTelemetry that Airflow's metrics and ours are sent to; empty: none."""
    asked_ports: Mapping[str, int]
    """Ports of the embedded platform that were asked for, by service; the others are chosen."""


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings of this deployment.

    Args:
        environment: Variables to read instead of those of this process.

    Returns:
        The settings, all paths absolute.

    Raises:
        ConfigError: A variable has a value that cannot be used; names the variable.
    """
    env = os.environ if environment is None else environment
    root = Path(env.get("OPS_PROJECT_ROOT") or Path(__file__).parents[2]).absolute()
    state = root / (env.get("OPS_HOME") or ".ops")
    runs_root = root / (env.get("OPS_RUNS_ROOT") or state / "runs")
    return Settings(
        project_root=root,
        home=state,
        data_root=root / (env.get("OPS_DATA_ROOT") or state / "data"),
        runs_root=runs_root,
        destination=env.get("OPS_DESTINATION") or "s3://models/gematria",
        nightly_cron=_cron(env.get("OPS_NIGHTLY_CRON", "0 2 * * *"), "OPS_NIGHTLY_CRON"),
        continue_cron=_cron(env.get("OPS_CONTINUE_CRON", ""), "OPS_CONTINUE_CRON"),
        nightly_steps=max(1, int(_number(env, "OPS_NIGHTLY_STEPS", 20_000))),
        expression_destination=_place(root, env.get("OPS_EXPRESSION_DESTINATION") or "s3://models"),
        rundb=_place(root, env.get("OPS_RUNDB") or str(runs_root / "run-db")),
        checkout=root / (env.get("OPS_CHECKOUT") or state / "product"),
        mode=_mode(env.get("OPS_MODE") or "local"),
        pods=pod_settings.load(env, root),
        python=env.get("OPS_PYTHON") or sys.executable,
        s3_connection_id=env.get("OPS_S3_CONNECTION") or "ops_s3",
        stop_grace_seconds=_number(env, "OPS_STOP_GRACE_SECONDS", 60.0),
        retries=int(_number(env, "OPS_RETRIES", 3)),
        service_retries=int(_number(env, "OPS_SERVICE_RETRIES", 6)),
        retry_delay_seconds=_number(env, "OPS_RETRY_DELAY_SECONDS", 30.0),
        notify_connections=tuple(env.get("OPS_NOTIFY_CONNECTIONS", "").split()),
        notify_emails=tuple(env.get("OPS_NOTIFY_EMAILS", "").split()),
        deadline_hours=_number(env, "OPS_DEADLINE_HOURS", 12.0),
        clean_up_cron=_cron(env.get("OPS_CLEAN_UP_CRON", ""), "OPS_CLEAN_UP_CRON"),
        keep_file=root / (env.get("OPS_KEEP_FILE") or state / "keep.txt"),
        sync_poll_seconds=max(1.0, _number(env, "OPS_SYNC_POLL_SECONDS", 15.0)),
        sync_lost_seconds=_number(env, "OPS_SYNC_LOST_SECONDS", 900.0),
        tensorboard_url=_web_address(env, "OPS_TENSORBOARD_URL"),
        json_logs=_log_format(env.get("OPS_LOG_FORMAT") or "text") == "json",
        metrics_token=env.get("OPS_METRICS_TOKEN", ""),
        otlp_endpoint=_endpoint(env.get("OPS_OTLP_ENDPOINT", "")),
        asked_ports={
            service: _port(env, variable) for service, (variable, _) in PORT_VARIABLES.items() if env.get(variable)
        },
    )


def inherited_environment() -> dict[str, str]:
    """The variables of this process that a process of ours may have: all but secrets and bytecode switches."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_NOT_PASSED_ON)}


def child_environment(settings: Settings, extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of a task's process: ours without the platform's secrets, plus what the task was given.

    Args:
        settings: The deployment's settings.
        extra: Variables of this task, such as object store credentials.

    Returns:
        A complete environment for `subprocess`.
    """
    kept = inherited_environment()
    path = os.pathsep.join(part for part in (str(settings.project_root), kept.get("PYTHONPATH", "")) if part)
    return {**kept, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **extra}


def _place(root: Path, value: str) -> str:
    """A place in S3 as it is, a folder from the checkout."""
    return value if "://" in value else str(root / value)


def _web_address(env: Mapping[str, str], name: str) -> str:
    value = env.get(name, "").strip()
    if value and not value.startswith(("http://", "https://")):
        raise ConfigError(f"{name}={value}: not a web address", "such as http://localhost:6006, or nothing")
    return value


def _mode(value: str) -> str:
    if value in MODES:
        return value
    raise ConfigError(f"OPS_MODE={value}: not a mode", f"allowed: {', '.join(MODES)}")


def _cron(value: str, name: str) -> str:
    value = value.strip()
    if value.lower() in {"", "off", "none"}:
        return ""
    if len(value.split()) != 5 and not value.startswith("@"):
        raise ConfigError(
            f"{name}={value}: not a cron expression",
            'five fields, such as "0 2 * * *" for two in the morning UTC, or "off"',
        )
    return value


def _log_format(value: str) -> str:
    if value not in ("text", "json"):
        raise ConfigError(f"OPS_LOG_FORMAT={value}: not a form of logs", "text or json")
    return value


def _endpoint(value: str) -> str:
    if value and not value.startswith(("http://", "https://")):
        raise ConfigError(f"OPS_OTLP_ENDPOINT={value}: not an address", "for example http://localhost:4318")
    return value.rstrip("/")


def _port(env: Mapping[str, str], name: str) -> int:
    text = env[name]
    if not (text.isdigit() and 1 <= int(text) <= 65535):
        raise ConfigError(f"{name}={text}: not a port", "a number from 1 to 65535")
    return int(text)


def _number(env: Mapping[str, str], name: str, default: float) -> float:
    text = env.get(name, "")
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise ConfigError(f"{name}={text}: not a number", "a number that is not negative")
    return value
