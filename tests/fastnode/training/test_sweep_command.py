"""`python -m fastnode_ops sweep` on the small corpus: real trainings of a few steps, served by a real server."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.tf, pytest.mark.slow]

from fastnode_ops import sweep_tasks  # noqa: E402
from fastnode_ops.pipeline_dir import PipelineDir  # noqa: E402
from fastnode_ops.samples.metainfo import MetaInfo  # noqa: E402
from ops_common.errors import ArtifactError, ConfigError, DataError, Interrupted, NothingHeldOutError  # noqa: E402
from ops_common.metrics import read_metrics  # noqa: E402
from ops_common.sweep import SweepDir, SweepPlan  # noqa: E402

ROOT = Path(__file__).parents[3]
TINY = ["model.type_depth=6", "model.subtoken_depth=6"]
OTHER_TASKS = ("call", "attr_base", "arg_type", "kwarg_name", "arg_placeholder")
ATTRIBUTES_ONLY = [f"samples.{task}_proportion=0" for task in OTHER_TASKS]


@pytest.fixture
def asked(corpus_dir: Path, metainfo: MetaInfo, tmp_path: Path) -> dict[str, Any]:
    """A grid of two rates, in rungs of 2 and 4 steps."""
    place = PipelineDir(tmp_path / "work")
    metainfo.write(place.metainfo)
    (tmp_path / "space.json").write_text(json.dumps({"train.learning_rate": [0.0000001, 0.01]}))
    return {
        "run_dir": str(tmp_path / "run"),
        "work_dir": str(place.path),
        "corpus_dir": str(corpus_dir),
        "config_file": str(ROOT / "config/fastnode/smoke.toml"),
        "space_file": str(tmp_path / "space.json"),
        "overrides": [*TINY, *ATTRIBUTES_ONLY],
        "search": "grid",
        "training_steps": 4,
        "min_steps": 2,
        "eta": 2,
    }


def test_the_best_train_on_after_an_interruption_too(
    asked: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, interrupted = sweep_tasks._train, []

    def once_interrupted(plan: SweepPlan, folder: Path, number: int, *more: Any) -> float:
        if number == 2 and not interrupted:
            interrupted.append(number)
            raise Interrupted("a signal came")
        return train(plan, folder, number, *more)

    monkeypatch.setattr(sweep_tasks, "_train", once_interrupted)
    with pytest.raises(Interrupted):
        sweep_tasks.sweep(**asked)
    result = sweep_tasks.sweep(**asked)  # goes on with the second configuration
    assert (result["num_configurations"], result["num_failed"]) == (2, 0)
    assert result["steps_spent"] == 2 + 2 + 2  # the better one trains on
    assert result["best_overrides"] == ["train.learning_rate=0.01"]
    steps = [record["step"] for record in read_metrics(PipelineDir(SweepDir(tmp_path / "run").folder(2)).metrics)]
    assert steps == sorted(steps) and max(steps) == 4  # the second rung went on from the checkpoint of the first
    assert (tmp_path / "run/reports/sweep.html").exists()
    with pytest.raises(ConfigError, match="was made for something else"):
        sweep_tasks.sweep(**{**asked, "training_steps": 9})


def test_nothing_trains_where_nothing_can_be_judged(asked: dict[str, Any], tmp_path: Path) -> None:
    # the few files that this corpus holds out have no site of some task
    with pytest.raises(NothingHeldOutError, match="no held-out batches to judge a training by"):
        sweep_tasks.sweep(**{**asked, "overrides": TINY})
    folder = SweepDir(tmp_path / "run").folder(1)
    assert not list(folder.rglob("ckpt-*")) and SweepDir(tmp_path / "run").outcome(1, 0) is None


def test_a_corpus_that_is_not_the_metainfos_is_refused(
    asked: dict[str, Any], metainfo: MetaInfo, tmp_path: Path
) -> None:
    with pytest.raises(ArtifactError, match="holds no finished corpus"):
        sweep_tasks.sweep(**{**asked, "corpus_dir": str(tmp_path / "typo")})
    header = metainfo.header.model_copy(update={"corpus_digest": "0" * 64})
    metainfo.model_copy(update={"header": header}).write(PipelineDir(tmp_path / "work").metainfo)
    with pytest.raises(DataError, match="describes another corpus than"):
        sweep_tasks.sweep(**asked)
    assert not (tmp_path / "run").exists()


def test_a_pipeline_without_metainfo_is_refused(asked: dict[str, Any], tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "work/out")
    with pytest.raises(ArtifactError, match=r"cannot read .*metainfo\.json"):
        sweep_tasks.sweep(**asked)
    assert not (tmp_path / "run").exists()
