"""A running platform as end-to-end tests see it, and the environment that gives it a place of its own."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops_platform import settings
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

    def attempts(self, dag_id: str, run_id: str, task: str) -> int:
        """How often a task was tried."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id.replace('+', '%2B')}/taskInstances/{task}"
        return int(self.api.get(path).json()["try_number"])


def wait_until(check: Check, seconds: float, what: str) -> None:
    """Wait until something is true; fail with words when it does not come true."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, f"after {seconds:g} s still not true: {what}"
        time.sleep(0.3)


def environment_of(home: Path, **more: str) -> dict[str, str]:
    """An environment in which a platform stands in `home`, on ports that other platforms do not look at first."""
    base = random.randrange(20000, 50000, 50)
    ports = {variable: base + 10 * index for index, (variable, _) in enumerate(settings.PORT_VARIABLES.values())}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "OPS_", "AWS_"))}
    return {
        **inherited,
        "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}",
        "OPS_HOME": str(home),
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
