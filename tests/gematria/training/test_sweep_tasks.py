"""A sweep on the small blocks: real trainings of a few steps, one of which cannot end well."""

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.tf, pytest.mark.slow]

from gematria_ops import sweep_tasks, tasks  # noqa: E402
from ops_common.errors import ConfigError, Interrupted, NothingHeldOutError  # noqa: E402
from ops_common.metrics import read_metrics  # noqa: E402
from ops_common.sweep import SweepDir  # noqa: E402

ROOT = Path(__file__).parents[3]
TINY = [
    "model.token_embedding_size=8",
    "model.instruction_embedding_size=8",
    "model.block_embedding_size=8",
    "model.task_output_layers=[8]",
    "validation.max_blocks=20",
]


def import_blocks(folder: Path, **settings: int) -> Path:
    lines = (ROOT / "tests/data/bhive/sample_hsw.csv").read_text().splitlines()[:150]
    (folder / "hsw.csv").write_text("\n".join(lines) + "\n")
    blocks = folder / "blocks"
    csv = {"csv_files": [str(folder / "hsw.csv")], "source_names": ["bhive: hsw"]}
    tasks.import_bhive(**csv, dataset_dir=str(blocks), **settings)
    tasks.build_vocabulary(dataset_dir=str(blocks))
    return blocks


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return import_blocks(tmp_path_factory.mktemp("data"))


def arguments(dataset: Path, folder: Path, space: dict[str, Any]) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    (folder / "space.json").write_text(json.dumps(space))
    return {
        "run_dir": str(folder / "run"),
        "dataset_dir": str(dataset),
        "config_file": str(ROOT / "config/gematria/smoke.toml"),
        "space_file": str(folder / "space.json"),
        "overrides": TINY,
        "search": "grid",
        "training_steps": 8,
        "min_steps": 4,
        "eta": 2,
    }


def test_a_sweep_counts_what_failed_and_goes_on_after_an_interruption(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a rate of 1e30 makes the loss infinite at the second step
    asked = arguments(dataset, tmp_path, {"optimizer.learning_rate": [0.02, 1e30, 0.0000001]})
    interrupted = []
    train = sweep_tasks._train

    def once_interrupted(plan: Any, folder: Path, number: int, steps: int) -> float:
        if number == 3 and not interrupted:
            interrupted.append(number)
            raise Interrupted("a signal came")
        return train(plan, folder, number, steps)

    monkeypatch.setattr(sweep_tasks, "_train", once_interrupted)
    with pytest.raises(Interrupted):
        sweep_tasks.sweep(**asked)
    result = sweep_tasks.sweep(**asked)  # goes on with the third configuration
    assert (result["num_configurations"], result["num_failed"]) == (3, 1)
    assert result["best_overrides"] == ["optimizer.learning_rate=0.02"]
    assert result["steps_spent"] == 8 + 0 + 8  # of three the better two train on, and one has failed
    report = json.loads((tmp_path / "run/reports/sweep.json").read_text())
    failed = next(row for row in report["configurations"] if row["status"] == "failed")
    assert failed["number"] == 2 and "DataError" in failed["reason"]
    steps = [record["step"] for record in read_metrics(SweepDir(tmp_path / "run").folder(1) / "metrics.jsonl")]
    assert steps == sorted(steps) and max(steps) == 8  # the second rung went on from the checkpoint of the first
    with pytest.raises(ConfigError, match="was made for something else"):
        sweep_tasks.sweep(**{**asked, "training_steps": 9})


def test_nothing_trains_where_nothing_can_be_judged(tmp_path: Path) -> None:
    blocks = import_blocks(tmp_path, validation_percent=0)
    with pytest.raises(NothingHeldOutError, match="has no validation blocks to judge a training by"):
        sweep_tasks.sweep(**arguments(blocks, tmp_path, {"optimizer.learning_rate": [0.02]}))
    first = SweepDir(tmp_path / "run")
    assert first.outcome(1, 0) is None and not first.folder(1).exists()


def test_after_a_wrong_setting_the_right_one_finds_the_folder_free(dataset: Path, tmp_path: Path) -> None:
    asked = arguments(dataset, tmp_path, {"optimizer.learning_rat": [0.02]})
    with pytest.raises(ConfigError, match="learning_rat"):
        sweep_tasks.sweep(**asked)
    asked = arguments(dataset, tmp_path, {"optimizer.learning_rate": [0.02]})
    assert sweep_tasks.sweep(**{**asked, "training_steps": 2, "min_steps": 2})["steps_spent"] == 2


def test_going_on_from_a_rung_equals_an_uninterrupted_training(dataset: Path, tmp_path: Path) -> None:
    space = {"optimizer.learning_rate": [0.02]}
    in_rungs = sweep_tasks.sweep(**arguments(dataset, tmp_path / "rungs", space))
    at_once = sweep_tasks.sweep(**{**arguments(dataset, tmp_path / "once", space), "min_steps": 8})
    assert in_rungs["validation_mape_percent"] == at_once["validation_mape_percent"]
    places = [SweepDir(tmp_path / name / "run").folder(1) for name in ("rungs", "once")]
    weights = [(place / "checkpoints/model.ckpt-8.data-00000-of-00001").read_bytes() for place in places]
    assert weights[0] == weights[1]
