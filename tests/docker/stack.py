"""The platform of docker-compose.yml for a test: built, started under a name of its own, asked, and removed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from ops_platform.embedded.airflow_api import FINAL_STATES, AirflowApi
from ops_platform.s3_server import free_port

from ops_common.errors import ServiceError
from ops_common.processes import wait_until
from tests.docker.image_files import ROOT

PORTS = ("AIRFLOW_PORT", "S3_PORT", "TENSORBOARD_PORT", "GRAPH_DATA_PORT")
BUILD_SECONDS, START_SECONDS, RUN_SECONDS = 3600.0, 1500.0, 1800.0
_DOCKER = os.environ.get("DOCKER", "docker")


class Stack:
    """One project of docker-compose.

    Args:
        folder: Where its `.env` and the log of the commands are written.
    """

    def __init__(self, folder: Path) -> None:
        self.project = f"ops-test-{os.getpid()}"
        self.settings: dict[str, str] = {}
        self._folder = folder
        self._log = folder / "commands.log"

    def build(self) -> None:
        """Build all images; those of the database and the broker too, when no registry has them."""
        local = not all(_is_to_be_had(image) for image in ("postgres:15-bookworm", "redis:7.2-bookworm"))
        self._run([ROOT / "docker" / "build.sh"], BUILD_SECONDS)
        if local:
            self._run([ROOT / "docker" / "build.sh", "postgres", "redis"], BUILD_SECONDS)
        self._prepare_settings(local)

    def up(self) -> float:
        """Start everything and wait until all that is checked is healthy; returns the seconds it took."""
        started = time.monotonic()
        # the program waits for health checks itself, in the order of the file
        self._compose("up", "-d", seconds=START_SECONDS)
        wait_until(self._is_healthy, START_SECONDS, "the health checks", interval_seconds=2.0)
        return time.monotonic() - started

    def down(self) -> None:
        """Remove containers, networks and volumes; what the services said is in the folder's `services.log`."""
        with (self._folder / "services.log").open("w") as log:
            subprocess.run(self._command("logs", "--no-color"), stdout=log, stderr=log, cwd=ROOT, check=False)
        self._compose("down", "--volumes", "--remove-orphans", "--timeout", "30", seconds=300.0)

    def api(self) -> AirflowApi:
        """Airflow's API, logged in."""
        return AirflowApi(self.address("AIRFLOW_PORT"), "admin", self.settings["ADMIN_PASSWORD"])

    def address(self, port: str) -> str:
        """Where a published port answers."""
        return f"http://127.0.0.1:{self.settings[port]}"

    def inside(self, service: str, *command: str) -> str:
        """What a command in a service's container prints."""
        return self._compose("exec", "-T", service, *command, seconds=300.0)

    def containers(self) -> dict[str, dict[str, Any]]:
        """What Docker knows of each container, by service."""
        ids = self._compose("ps", "-aq", seconds=60.0).split()
        described = json.loads(self._run([_DOCKER, "inspect", *ids], 60.0)) if ids else []
        return {item["Config"]["Labels"]["com.docker.compose.service"]: item for item in described}

    def _prepare_settings(self, local: bool) -> None:
        (self._folder / "docker").mkdir()
        for name in (".env.example", "docker/init-env.sh"):
            shutil.copy(ROOT / name, self._folder / name)
        self._run([self._folder / "docker" / "init-env.sh", *(["--local-images"] if local else [])], 60.0)
        with (self._folder / ".env").open("a") as env:
            env.write("OPS_NIGHTLY_CRON=off\n")  # whenever the test runs, the night does not begin in it
            env.writelines(f"{name}={free_port()}\n" for name in PORTS)
        lines = (self._folder / ".env").read_text().splitlines()
        self.settings = dict(line.split("=", 1) for line in lines if line and line[0] != "#")

    def _is_healthy(self) -> bool:
        return all(
            state["ExitCode"] == 0 if (health := state.get("Health")) is None else health["Status"] == "healthy"
            for state in (item["State"] for item in self.containers().values())
        )

    def _command(self, *arguments: str) -> list[str]:
        program = ["docker-compose"] if shutil.which("docker-compose") else [_DOCKER, "compose"]
        return [*program, "-p", self.project, "--env-file", str(self._folder / ".env"), *arguments]

    def _compose(self, *arguments: str, seconds: float) -> str:
        return self._run(self._command(*arguments), seconds)

    def _run(self, command: list[Any], seconds: float) -> str:
        kept = {name: value for name, value in os.environ.items() if name not in self.settings}
        with self._log.open("a") as log:
            log.write(f"$ {' '.join(map(str, command[:12]))}\n")
            log.flush()
            done = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT, env=kept, timeout=seconds, check=False
            )
        assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{self._log.read_text()[-3000:]}"
        return done.stdout


def engine_fault() -> str:
    """Why no image can be built and started here; empty when it can."""
    if shutil.which(_DOCKER) is None:
        return "there is no Docker client; apt-get install docker.io docker-compose"
    asked = subprocess.run([_DOCKER, "version"], capture_output=True, text=True, check=False)
    if asked.returncode:
        return f"the Docker engine does not answer; start dockerd. {asked.stderr.strip()}"
    if not _is_to_be_had(os.environ.get("BASE_IMAGE", "debian:bookworm-slim")):
        return "the base image is neither here nor in a registry; docker/base-image.sh makes it"
    return ""


def finish(api: AirflowApi, dag_id: str, run_id: str) -> str:
    """The state in which a run ends."""
    state = ""

    def has_ended() -> bool:
        nonlocal state
        with suppress(ServiceError):  # a busy server, asked again
            state = api.run_state(dag_id, run_id)
        return state in FINAL_STATES

    wait_until(has_ended, RUN_SECONDS, f"{dag_id} {run_id}", interval_seconds=3.0)
    return state


def _is_to_be_had(image: str) -> bool:
    for command in ("image inspect", "pull -q"):
        done = subprocess.run([_DOCKER, *command.split(), image], capture_output=True, check=False)
        if done.returncode == 0:
            return True
    return False
