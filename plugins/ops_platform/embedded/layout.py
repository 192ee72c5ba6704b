"""Where the embedded platform stands: folders, ports, secrets, and the environment of its services.

Everything lies in one folder of the checkout (`.ops`, or `OPS_HOME`), so `rm -r .ops` forgets it all.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ops_common.artifacts import write_json, write_text
from ops_platform import s3_server, settings
from ops_platform.embedded.ports import choose_port

USER, PASSWORD = "admin", "admin"
PARALLELISM = "3"
"""Worker processes of LocalExecutor; the default forks 32 idle ones."""
HOST = "127.0.0.1"  # the fixed login is safe only as long as nobody else can reach the page


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders of one embedded platform."""

    config: settings.Settings
    home: Path

    @property
    def airflow_home(self) -> Path:
        """Airflow's own folder: configuration, database, task logs."""
        return self.home / "airflow"

    @property
    def logs_dir(self) -> Path:
        """What the services print."""
        return self.home / "logs"

    @property
    def s3_dir(self) -> Path:
        """The objects of the local object store."""
        return self.home / "s3"

    @property
    def state_path(self) -> Path:
        """What is running."""
        return self.home / "platform.json"

    @property
    def airflow_command(self) -> Path:
        """Airflow's own command line for this platform, as a small program."""
        return self.home / "bin" / "airflow"

    @property
    def secrets_path(self) -> Path:
        """The keys of the local object store, readable by its owner only."""
        return self.home / "secrets.json"


def load_layout() -> Layout:
    """The embedded platform of this checkout, or of `OPS_HOME`."""
    config = settings.load()
    return Layout(config=config, home=config.home)


def choose_ports(asked: Mapping[str, int]) -> dict[str, int]:
    """A free port for each service: the one that was asked for, or the first free one from the usual one on.

    Args:
        asked: Port by service; services that are left out may have any port.

    Returns:
        Port by service, for every service.

    Raises:
        ConfigError: A port that was asked for is taken; names the port, its variable and who holds it.
    """
    ports: dict[str, int] = {}
    for service, (variable, usual) in settings.PORT_VARIABLES.items():
        wanted = asked.get(service, usual)
        others = {*ports.values(), *asked.values()} - {asked.get(service)}
        ports[service] = choose_port(wanted, variable, may_move=service not in asked, taken=others, host=HOST)
    return ports


def object_store_keys(layout: Layout) -> tuple[str, str]:
    """Access key and secret key of the local object store; made up once for each checkout."""
    path = layout.secrets_path
    if not path.exists():
        layout.home.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        write_json(path, {"access_key": f"ops-{secrets.token_hex(6)}", "secret_key": secrets.token_urlsafe(30)})
        path.chmod(0o600)
    keys = json.loads(path.read_text())
    return keys["access_key"], keys["secret_key"]


def object_store_variables(layout: Layout, ports: Mapping[str, int]) -> dict[str, str]:
    """The variables that point an S3 client at the local object store."""
    return s3_server.client_environment(f"http://{HOST}:{ports['s3']}", *object_store_keys(layout))


def airflow_url(ports: Mapping[str, int]) -> str:
    """The address of the Airflow page."""
    return f"http://{HOST}:{ports['airflow']}"


def service_environment(layout: Layout, ports: Mapping[str, int]) -> dict[str, str]:
    """The environment of Airflow's processes.

    Args:
        layout: The platform's folders.
        ports: Port by service.

    Returns:
        A complete environment: Airflow's own settings from outside are left out, ours decide.
    """
    config, url = layout.config, airflow_url(ports)
    access_key, secret_key = object_store_keys(layout)
    connection = {
        "conn_type": "aws",
        "login": access_key,
        "password": secret_key,
        "extra": {"endpoint_url": f"http://{HOST}:{ports['s3']}", "region_name": s3_server.REGION},
    }
    airflow = {
        "CORE__DAGS_FOLDER": str(config.project_root / "dags"),
        "CORE__PLUGINS_FOLDER": str(config.project_root / "plugins"),
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": PARALLELISM,
        "CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(layout.airflow_home / "passwords.json"),
        # trainings beside it may leave the API server little of the processors; seconds, the default is 5
        "WORKERS__EXECUTION_API_TIMEOUT": "60",
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{layout.airflow_home / 'airflow.db'}",
        "DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
        "API__HOST": HOST,
        "API__PORT": str(ports["airflow"]),
        "API__BASE_URL": url,
        "API__WORKERS": "1",
        "API__INSTANCE_NAME": "Model training",
        "LOGGING__WORKER_LOG_SERVER_PORT": str(ports["worker_logs"]),
        "LOGGING__TRIGGER_LOG_SERVER_PORT": str(ports["trigger_logs"]),
        "LOGGING__BASE_LOG_FOLDER": str(layout.airflow_home / "logs"),
        "DAG_PROCESSOR__REFRESH_INTERVAL": "15",
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "30",
        "DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    inherited = settings.inherited_environment()
    return {
        **inherited,
        **_telemetry(config),
        **{f"AIRFLOW__{name}": value for name, value in airflow.items()},
        "AIRFLOW_HOME": str(layout.airflow_home),
        f"AIRFLOW_CONN_{config.s3_connection_id.upper()}": json.dumps(connection),
        "PYTHONPATH": os.pathsep.join([str(config.project_root), str(config.project_root / "plugins")]),
        "PYTHONUNBUFFERED": "1",
        "SPT_NOENV": "1",  # Airflow's process titles shall not overwrite the environment, by which we find processes
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), inherited.get("PATH", os.defpath)]),
    }


def _telemetry(config: settings.Settings) -> dict[str, str]:
    """What opens the page of metrics to a scraper, and sends Airflow's own metrics to a collector, where asked for."""
    token = {"OPS_METRICS_TOKEN": config.metrics_token} if config.metrics_token else {}
    if not config.otlp_endpoint:
        return token
    return {
        **token,
        "AIRFLOW__METRICS__OTEL_ON": "True",
        "OTEL_EXPORTER_OTLP_ENDPOINT": config.otlp_endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }


def prepare_folders(layout: Layout) -> None:
    """Make the folders, the file with the fixed login, and the `airflow` command of this platform."""
    for folder in (layout.airflow_home, layout.logs_dir, layout.s3_dir, layout.config.data_root):
        folder.mkdir(parents=True, exist_ok=True)
    write_json(layout.airflow_home / "passwords.json", {USER: PASSWORD})
    write_text(layout.airflow_command, _AIRFLOW_COMMAND.format(**_command_places(layout)))
    layout.airflow_command.chmod(0o755)


# Ports and keys are looked up when the command runs, so the file holds nothing secret and nothing that goes stale.
_AIRFLOW_COMMAND = """#!/bin/sh
# Airflow's own command, for the platform of this checkout while it runs: bin/airflow dags list
OPS_HOME={home} PYTHONPATH={path} exec {python} -m ops_platform.embedded airflow "$@"
"""


def _command_places(layout: Layout) -> dict[str, str]:
    root = layout.config.project_root
    places = {"home": str(layout.home), "path": f"{root}:{root / 'plugins'}", "python": sys.executable}
    return {name: shlex.quote(place) for name, place in places.items()}
