"""A running platform as end-to-end tests see it, and the environment that gives it a place of its own."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import psutil
from ops_platform import s3_server, settings
from ops_platform.embedded import layout as places
from ops_platform.embedded import lifecycle, services
from ops_platform.embedded.airflow_api import FINAL_STATES, AirflowApi
from ops_platform.embedded.layout import Layout

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "tests/data/bhive"
SOURCES = ("ivb", "hsw", "skl")
NUM_BLOCKS = 200
TINY = [
    "model.token_embedding_size=8",
    "model.instruction_embedding_size=8",
    "model.block_embedding_size=8",
    "model.task_output_layers=[8]",
    "batch.max_blocks=20",
]

Check = Callable[[], bool]


@dataclass
class Platform:
    """A running platform and what tests do with it."""

    layout: Layout
    instance: lifecycle.Instance
    environment: dict[str, str]

    @property
    def api(self) -> AirflowApi:
        """Its Airflow."""
        return lifecycle.api_of(self.instance)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run what `make run` and its like run."""
        return subprocess.run(
            [sys.executable, "-m", "ops_platform.embedded", *arguments],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

    def trigger(self, dag_id: str, **conf: Any) -> str:
        """Start a run."""
        return self.api.trigger(dag_id, conf)

    def wait(self, dag_id: str, run_id: str, seconds: float = 240) -> str:
        """Wait until a run has ended."""
        wait_until(lambda: self.api.run_state(dag_id, run_id) in FINAL_STATES, seconds, f"{dag_id} {run_id} has ended")
        return self.api.run_state(dag_id, run_id)

    def wait_for_task(self, dag_id: str, run_id: str, task: str, state: str, seconds: float = 120) -> None:
        """Wait until a task has come to a state."""
        wait_until(
            lambda: self.api.task_states(dag_id, run_id).get(task) == state, seconds, f"{task} of {run_id} is {state}"
        )

    def log(self, dag_id: str, run_id: str, task: str, attempt: int = 1) -> str:
        """A task's log as one text."""
        return "\n".join(self.api.task_log(dag_id, run_id, task, attempt))

    def commands(self, command: str) -> list[psutil.Process]:
        """The processes that run a task function's command now."""
        found = []
        for process in services.find_marked(self.instance.id):
            try:
                arguments = process.cmdline()
            except psutil.Error:
                continue
            if command in arguments and "child_guard.py" not in " ".join(arguments):
                found.append(process)
        return found

    def kill_object_store(self) -> None:
        """End its S3 server without any warning."""
        store = next(service for service in self.instance.services if service.name == "s3")
        psutil.Process(store.pid).kill()

    def start_object_store(self) -> None:
        """Start it again where it was; the platform's own stop ends it."""
        access_key, secret_key = places.object_store_keys(self.layout)
        environment = {services.MARK: self.instance.id}
        with mock.patch.dict(os.environ, environment):
            s3_server.start(
                self.layout.s3_dir,
                places.HOST,
                self.instance.ports["s3"],
                self.layout.logs_dir / "s3.log",
                access_key=access_key,
                secret_key=secret_key,
            )

    def attempts(self, dag_id: str, run_id: str, task: str) -> int:
        """How often a task was tried."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id.replace('+', '%2B')}/taskInstances/{task}"
        return int(self.api.get(path).json()["try_number"])


@contextmanager
def running_platform(home: Path, **settings_: str) -> Iterator[Platform]:
    """A platform of its own, started by the command that people use; nothing of it is left behind."""
    environment = environment_of(home, **settings_)
    layout = layout_of(environment)
    command = [sys.executable, "-m", "ops_platform.embedded"]
    started = subprocess.run([*command, "up"], env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    try:
        assert started.returncode == 0, started.stdout + started.stderr
        instance = lifecycle.read_instance(layout)
        assert instance is not None
        yield Platform(layout, instance, environment)
    finally:
        left = lifecycle.read_instance(layout)
        stopped = subprocess.run([*command, "stop"], env=environment, cwd=ROOT, capture_output=True, check=False)
        assert stopped.returncode == 0
        assert num_marked(left) == 0


def wait_until(check: Check, seconds: float, what: str) -> None:
    """Wait until something is true; fail with words when it does not come true."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, f"after {seconds:g} s still not true: {what}"
        time.sleep(0.3)


def half_a_day_from_now() -> str:
    """A nightly time that no test lives to see: the night's training would take the one slot of the pool."""
    then = datetime.now(UTC) + timedelta(hours=12)
    return f"{then.minute} {then.hour} * * *"


def environment_of(home: Path, **more: str) -> dict[str, str]:
    """An environment in which a platform stands in `home`, on ports that other platforms do not look at first."""
    base = random.randrange(12_000, 32_000, 50)  # below those that the system gives to clients
    ports = {variable: base + 10 * index for index, (variable, _) in enumerate(settings.PORT_VARIABLES.values())}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "OPS_", "AWS_"))}
    return {
        **inherited,
        "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}",
        "OPS_HOME": str(home),
        "OPS_NIGHTLY_CRON": half_a_day_from_now(),
        "OPS_RETRY_DELAY_SECONDS": "2",
        "OPS_STOP_GRACE_SECONDS": "20",
        **{name: str(port) for name, port in ports.items()},
        **more,
    }


def layout_of(environment: Mapping[str, str]) -> Layout:
    """Where the platform of an environment stands."""
    config = settings.load(environment)
    return Layout(config=config, home=config.home)


def num_marked(instance: lifecycle.Instance | None) -> int:
    """How many processes of an instance are running."""
    return 0 if instance is None else len(services.find_marked(instance.id))


def read_json(path: Path) -> Any:
    """A file's JSON."""
    return json.loads(path.read_bytes())
