"""One embedded platform for the end-to-end tests, on ports of its own, stopped behind the last of them in any case."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.embedded_platform import (
    NUM_BLOCKS,
    SAMPLES,
    SOURCES,
    TINY,
    Platform,
    running_platform,
)


@pytest.fixture(scope="package")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The platform of all tests that share one."""
    with running_platform(tmp_path_factory.mktemp("platform")) as running:
        yield running


@pytest.fixture(scope="package")
def csv_files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The first blocks of the samples, one file per microarchitecture."""
    folder = tmp_path_factory.mktemp("csv")
    for name in SOURCES:
        lines = (SAMPLES / f"sample_{name}.csv").read_text().splitlines()[:NUM_BLOCKS]
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return [str(folder / f"{name}.csv") for name in SOURCES]


@pytest.fixture(scope="package")
def tiny_training() -> dict[str, Any]:
    """A training of a few seconds whose result passes a generous gate."""
    return {
        "config_file": "config/gematria/smoke.toml",
        "training_steps": 30,
        "overrides": TINY,
        "max_mape_percent": 1000,
        "max_mape_increase_points": 1000,
        "require_better_than_baselines": False,
    }


@dataclass(frozen=True)
class MainJob:
    """What the command behind `make run` did: a data set, and a training that it started."""

    dataset: str
    status: int
    output: str

    def run_of(self, dag_id: str) -> str:
        """The id of its run of a DAG."""
        found = re.search(rf"{dag_id}, run (\S+)", self.output)
        assert found, self.output
        return found[1]


@pytest.fixture(scope="package")
def main_job(
    platform: Platform, csv_files: list[str], tiny_training: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> MainJob:
    """The main job on few blocks; its data set is that of all tests."""
    names = [f"bhive: {name}" for name in SOURCES]
    conf = {"csv_files": csv_files, "source_names": names, "dataset": "tiny", "train_conf": tiny_training}
    request = tmp_path_factory.mktemp("request") / "request.json"
    request.write_text(json.dumps(conf))
    done = platform.command("run", str(request))
    return MainJob("tiny", done.returncode, done.stdout + done.stderr)


@pytest.fixture(scope="package")
def dataset(main_job: MainJob) -> str:
    """The name of the data set of all tests."""
    return main_job.dataset
