"""What may be asked of a sweep of the completion model, and the plan that is made of it; nothing trains here."""

from pathlib import Path
from typing import Any

import pytest

from fastnode_ops.sweep_request import plan_sweep
from ops_common.errors import ConfigError
from ops_common.sweep import SweepDir


def plan(root: Path, **values: Any) -> dict[str, Any]:
    (root / "smoke.toml").write_text("[samples]\nmax_samples = 12\n")
    request = {"config_file": "smoke.toml", "training_steps": 90, "min_steps": 10, **values}
    places = {"destination": "s3://models", "rundb": str(root / "db"), "checkout": root / "product"}
    return plan_sweep(request, run_dir=root / "run", project_root=root, data_root=root / "data", **places)


def test_a_sweep_is_planned_like_a_training_with_many_configurations(tmp_path: Path) -> None:
    space = {"train.learning_rate": [0.001, 0.01], "model.num_hops": [1, 2]}
    planned = plan(
        tmp_path, space=space, search="grid", overrides=["model.type_depth=8"], train_conf={"corpus": "c", "batch": 3}
    )
    assert planned["configurations"][2] == "3: learning_rate=0.01, num_hops=1"
    assert planned["corpus_dir"] == str(tmp_path / "data/c")
    written = SweepDir(tmp_path / "run").plan()
    assert written.rung_steps == [10, 30, 90]
    assert written.details["overrides"] == ["train.batches_per_response=3", "model.type_depth=8"]
    assert planned["train_conf"] == {
        "corpus": "c",
        "batch": 3,
        "config_file": "smoke.toml",
        "steps": 90,
        "overrides": ["model.type_depth=8"],
    }


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"space": {"train.learning_rat": [1]}}, "configuration 1: learning_rat=1: .*unknown setting"),
        ({"space": {"train.learning_rate": [0.1, -1]}, "search": "grid"}, "configuration 2: learning_rate=-1"),
        ({"space": {"model.loss": ["max_margin"]}}, "space: model.loss cannot be searched"),
        ({"train_conf": {"steps": 3}}, "train_conf: steps is a field of the sweep itself"),
        ({"train_conf": {"corpse": "x"}}, "train_conf: unknown setting 'corpse'"),
    ],
)
def test_a_wrong_request_is_refused_by_name_and_leaves_no_plan(
    tmp_path: Path, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        plan(tmp_path, **values)
    assert not (tmp_path / "run").exists()
