"""Airflow's web server alone, with our plugin, a database of its own and runs in it: for tests of the pages.

No scheduler, no worker: what is shown stands in the database and in run folders. Starting it takes about 20 seconds.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
USER = PASSWORD = "admin"
_START_SECONDS = 240

# What fills the database: no task runs here, so it is Airflow's own code in a process of its own.
_FILL = """
import json, sys
from datetime import datetime
from airflow.utils import db
from airflow.utils.session import create_session
from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.utils.types import DagRunType
told = json.load(sys.stdin)
db.initdb()
with create_session() as session:
    session.add(DagBundleModel(name="runs"))
    session.flush()
    for dag_id in {run["dag_id"] for run in told}:
        session.add(DagModel(dag_id=dag_id, bundle_name="runs", fileloc="x.py"))
    session.flush()
    for run in told:
        started, ended = datetime.fromisoformat(run["started"]), run["ended"] and datetime.fromisoformat(run["ended"])
        names = {"dag_id": run["dag_id"], "run_id": run["run_id"], "run_type": DagRunType(run["run_type"])}
        made = DagRun(**names, state=run["state"], run_after=started, start_date=started)
        made.end_date = ended
        session.add(made)
"""


@dataclass(frozen=True, slots=True)
class AirflowWeb:
    """A running web server."""

    url: str
    log: Path


def dag_run(dag_id: str, run_id: str, state: str, started: str, ended: str | None) -> dict[str, Any]:
    """A row of Airflow's table of runs; times are ISO 8601."""
    return {
        "dag_id": dag_id,
        "run_id": run_id,
        "state": state,
        "run_type": run_id.partition("__")[0] if "__" in run_id else "manual",
        "started": started,
        "ended": ended,
    }


@contextmanager
def airflow_web(home: Path, runs_root: Path, dag_runs: Sequence[dict[str, Any]], **more: str) -> Iterator[AirflowWeb]:
    """Starts the server, and ends it and what it started.

    Args:
        home: An empty folder for its database and configuration.
        runs_root: The run folders that the pages show.
        dag_runs: What `dag_run` gives.
        **more: Further environment variables.
    """
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    environment = _environment(home, runs_root, url, port) | more
    home.mkdir(parents=True, exist_ok=True)
    (home / "passwords.json").write_text(json.dumps({USER: PASSWORD}))
    filled = subprocess.run(
        [sys.executable, "-c", _FILL],
        input=json.dumps(list(dag_runs)),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert filled.returncode == 0, filled.stderr
    log = home / "web.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "airflow",
                "api-server",
                "--host",
                "127.0.0.1",
                "--port",
                str(port),
                "--workers",
                "1",
            ],
            env=environment,
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _await_answer(f"{url}/api/v2/version", process, log)
            yield AirflowWeb(url, log)
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _environment(home: Path, runs_root: Path, url: str, port: int) -> dict[str, str]:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "OPS_", "AWS_")) and name != "PYTHONDONTWRITEBYTECODE"
    }
    airflow = {
        "CORE__DAGS_FOLDER": str(home / "dags"),
        "CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
        "API__BASE_URL": url,
        "API__PORT": str(port),
        "LOGGING__LOGGING_LEVEL": "WARNING",
    }
    return {
        **inherited,
        "AIRFLOW_HOME": str(home),
        **{f"AIRFLOW__{name}": value for name, value in airflow.items()},
        "OPS_HOME": str(home / "ops"),
        "OPS_RUNS_ROOT": str(runs_root),
        "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}",
    }


def _await_answer(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (OSError, urllib.error.URLError):
            ended = process.poll() is not None
            assert not ended and time.monotonic() < deadline, f"Airflow's web server: {log.read_text()[-4000:]}"
            time.sleep(0.3)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
