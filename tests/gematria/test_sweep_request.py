"""What may be asked of a sweep, and the plan that is made of it; nothing trains here."""

from pathlib import Path
from typing import Any

import pytest

from gematria_ops.requests import NoDatasetYet
from gematria_ops.sweep_request import plan_sweep
from ops_common.artifacts import write_manifest
from ops_common.errors import ConfigError
from ops_common.run_record import read_record
from ops_common.sweep import SweepDir

GRID = {"optimizer.learning_rate": [0.001, 0.01], "model.block_embedding_size": [8, 16]}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    dataset = tmp_path / "data/blocks"
    dataset.mkdir(parents=True)
    (dataset / "tokens.txt").write_text("ADD\n")
    write_manifest(dataset, ["tokens.txt"])
    (tmp_path / "smoke.toml").write_text("[batch]\nmax_blocks = 20\n")
    return tmp_path


def plan(root: Path, **values: Any) -> dict[str, Any]:
    request = {"config_file": "smoke.toml", "training_steps": 90, "min_steps": 10, **values}
    return plan_sweep(request, project_root=root, data_root=root / "data", run_dir=root / "run")


def test_a_grid_becomes_a_plan_with_everything_that_trainings_need(root: Path) -> None:
    planned = plan(
        root, space=GRID, search="grid", overrides=["batch.max_blocks=7"], train_conf={"max_mape_percent": 5}
    )
    assert planned["configurations"][1] == "2: learning_rate=0.001, block_embedding_size=16"
    assert planned["train_conf"] == {
        "dataset": str(root / "data/blocks"),
        "config_file": str(root / "smoke.toml"),
        "training_steps": 90,
        "max_mape_percent": 5,
        "overrides": ["batch.max_blocks=7"],
    }
    written = SweepDir(root / "run").plan()
    assert (len(written.configurations), written.rung_steps, written.eta) == (4, [10, 30, 90], 3)
    assert written.details["overrides"] == ["batch.max_blocks=7"]
    record = read_record(root / "run")
    assert record["config"]["batch"]["max_blocks"] == 7
    assert list(record["data"]) == ["tokens.txt"]
    assert record["seeds"] == {"random_seed": 123_456_789, "sweep_seed": 0}


def test_a_random_search_draws_what_was_asked_for(root: Path) -> None:
    space = {"optimizer.learning_rate": {"low": 1e-4, "high": 0.1, "scale": "log"}}
    assert len(plan(root, space=space, num_configurations=5)["configurations"]) == 5
    assert len(plan(root, space={"batch.max_blocks": [1, 2]})["configurations"]) == 2  # the space has no more


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"space": {"optimizer.learning_rat": [1]}}, "configuration 1: learning_rat=1: .*unknown setting"),
        ({"space": {"optimizer.learning_rate": ["fast"]}}, "configuration 1: learning_rate=fast: .*learning_rate"),
        ({"space": {"optimizer.learning_rate": [0.1, -1]}, "search": "grid"}, "configuration 2: learning_rate=-1"),
        ({"space": {"num_steps": [1, 2]}}, "space: num_steps cannot be searched"),
        ({"space": {"checkpoint.directory": ["/tmp"]}}, "space: checkpoint.directory cannot be searched"),
        ({"space": {"optimizer.learning_rate": []}}, "conf: space: space: optimizer.learning_rate: neither"),
        ({"space": {}}, "conf: space: space: there is nothing to search"),
        ({"eta": 1}, "conf: eta"),
        ({"overrides": ["x"]}, "conf: overrides: 'x' is not section.key=value"),
        ({"overrides": ["x.y=1"]}, "unknown setting 'x.y'"),
        ({"train_conf": {"training_step": 3}}, "train_conf: unknown setting 'training_step'"),
        ({"config_file": "missing.toml"}, "missing.toml"),
        ({"spaces": {}}, "conf: unknown setting 'spaces'"),
    ],
)
def test_a_wrong_request_is_refused_by_name_and_leaves_no_plan(
    root: Path, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        plan(root, **values)
    assert not (root / "run").exists()


def test_without_a_data_set_there_is_nothing_to_search_on(tmp_path: Path) -> None:
    (tmp_path / "smoke.toml").write_text("")
    with pytest.raises(NoDatasetYet):
        plan(tmp_path)
