"""One embedded platform for all end-to-end tests, on ports of its own, stopped at the end whatever happened."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from embedded_platform import (
    NUM_BLOCKS,
    ROOT,
    SAMPLES,
    SOURCES,
    TINY,
    Platform,
    environment_of,
    layout_of,
    num_marked,
    wait_until,
)
from ops_platform.embedded import lifecycle


def pytest_addoption(parser: pytest.Parser) -> None:
    """`make screenshots` saves what the browser saw."""
    parser.addoption("--save-screenshots", action="store_true", help="redo docs/screenshots")


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The platform, started by the command that people use."""
    environment = environment_of(tmp_path_factory.mktemp("platform"))
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


@pytest.fixture(scope="session")
def csv_files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The first blocks of the samples, one file per microarchitecture."""
    folder = tmp_path_factory.mktemp("csv")
    for name in SOURCES:
        lines = (SAMPLES / f"sample_{name}.csv").read_text().splitlines()[:NUM_BLOCKS]
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return [str(folder / f"{name}.csv") for name in SOURCES]


@pytest.fixture(scope="session")
def tiny_training() -> dict[str, Any]:
    """A training of a few seconds whose result passes a generous gate."""
    return {
        "config_file": "config/gematria/smoke.toml",
        "training_steps": 30,
        "overrides": TINY,
        "max_mape_percent": 1000,
        "require_better_than_baselines": False,
    }


@dataclass(frozen=True)
class Imported:
    """A data set that was imported through the platform, and the training that it started."""

    name: str
    import_run: str
    train_run: str


@pytest.fixture(scope="session")
def imported(platform: Platform, csv_files: list[str], tiny_training: dict[str, Any]) -> Imported:
    """The data set of all tests: imported once, by the workflow, which goes on to train on it."""
    names = [f"bhive: {name}" for name in SOURCES]
    conf = {"csv_files": csv_files, "source_names": names, "dataset": "tiny", "train_conf": tiny_training}
    run = platform.trigger("gematria_import", **conf)
    assert platform.wait("gematria_import", run) == "success"

    def started() -> list[str]:
        return platform.api.runs_started_by("gematria_train", "gematria_import", run)

    wait_until(lambda: bool(started()), 60, "the new data set has started a training")
    platform.wait("gematria_train", started()[0])
    return Imported("tiny", run, started()[0])


@pytest.fixture(scope="session")
def dataset(imported: Imported) -> str:
    """The name of the data set of all tests."""
    return imported.name
