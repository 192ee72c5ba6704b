"""Training from a feed to exports: killed and resumed, continued, refused."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from fastnode_ops.models.export import read_saved_weights
from fastnode_ops.models.serving import ServingModel
from fastnode_ops.training.feeds import ListFeed
from fastnode_ops.training.train import TrainSummary, continue_training, train
from ops_common.errors import ConfigError, DataError, UsageError
from ops_common.learning.checkpoints import latest_checkpoint
from ops_common.metrics import read_metrics
from tests.fastnode.batches import make_batch
from tests.fastnode.training.programs import BATCHES, METAINFO, small_config
from tests.gematria.event_files import read_scalars

pytestmark = pytest.mark.tf

ROOT = Path(__file__).parents[3]


def feed() -> ListFeed:
    return ListFeed(BATCHES, METAINFO.digest)


def run(folder: Path, num_steps: int, **options: object) -> TrainSummary:
    return train(small_config(), METAINFO, feed(), BATCHES[:2], folder, num_steps, model_name="small", **options)


def go_on(folder: Path, num_steps: int) -> TrainSummary:
    return continue_training(small_config(), METAINFO, feed(), BATCHES[:2], folder, num_steps, model_name="small")


def program(what: str, folder: Path, num_steps: int, deadly_step: int = -1) -> int:
    arguments = [what, str(folder), str(num_steps), str(deadly_step)]
    command = [sys.executable, "-m", "tests.fastnode.training.programs", *arguments]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


def state(folder: Path) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(str(latest_checkpoint(folder / "tmp", "ckpt")))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def assert_same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> None:
    assert first.keys() == second.keys()
    assert [name for name in first if not np.array_equal(first[name], second[name])] == []


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training of 20 steps that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole")
    assert program("train", folder, 20) == 0
    return folder


def test_a_dry_run_ends_with_a_checkpoint_of_its_last_step(tmp_path: Path) -> None:
    summary = run(tmp_path, 10)
    assert (summary.first_step, summary.global_step, summary.num_steps) == (0, 10, 10)
    assert sorted(path.name for path in (tmp_path / "tmp").glob("ckpt-*.index")) == ["ckpt-9.index"]
    text = (tmp_path / "tmp" / "checkpoint").read_text()
    assert f'model_checkpoint_path: "{tmp_path}/tmp/ckpt-9"' in text
    stored = state(tmp_path)
    assert stored["global_step"] == 10
    assert {"embedding/types", "embedding/types/Adam", "embedding/types/Adam_1", "beta1_power"} <= stored.keys()


def test_the_exports_hold_the_trained_weights(whole: Path) -> None:
    trained = {
        name: value for name, value in state(whole).items() if name in read_saved_weights(whole / "out/saved_model")
    }
    assert_same(trained, read_saved_weights(whole / "out" / "saved_model"))
    with np.load(whole / "out" / "expr_model.weights.npz") as arrays:
        assert_same(trained, dict(arrays))
    served = ServingModel(whole / "out" / "expr_model.uncompressed.frozen.pb", METAINFO)
    assert served.context_states(BATCHES[0].context_graph).shape == (BATCHES[0].context_graph.num_nodes, 12)
    report = json.loads((whole / "out" / "reports" / "training.json").read_text())
    assert report["global_step"] == 20
    assert report["metainfo_digest"] == METAINFO.digest
    assert list((whole / "out" / "tensorboard" / "small" / "train_summary").glob("events*"))


@pytest.mark.slow
def test_killed_and_started_again_it_ends_with_the_same_bits(whole: Path, tmp_path: Path) -> None:
    assert program("train", tmp_path, 20, deadly_step=11) == -signal.SIGKILL
    stopped_at = int(state(tmp_path)["global_step"])
    assert 0 < stopped_at < 11
    assert program("train", tmp_path, 20) == 0
    assert_same(state(whole), state(tmp_path))


@pytest.mark.slow
def test_ten_steps_and_ten_more_are_twenty(whole: Path, tmp_path: Path) -> None:
    assert program("train", tmp_path, 10) == 0
    assert program("continue_training", tmp_path, 10, deadly_step=17) == -signal.SIGKILL
    record = json.loads((tmp_path / "tmp" / "continuation.json").read_text())
    assert record == {"number": 1, "first_step": 10, "is_finished": False}
    assert program("continue_training", tmp_path, 10) == 0
    assert_same(state(whole), state(tmp_path))
    assert_same(read_saved_weights(whole / "out" / "saved_model"), read_saved_weights(tmp_path / "out" / "saved_model"))


def test_each_continuation_has_its_own_summaries(tmp_path: Path) -> None:
    run(tmp_path, 4)
    assert go_on(tmp_path, 3).global_step == 7
    assert go_on(tmp_path, 2).global_step == 9
    folders = sorted(path.name for path in (tmp_path / "tensorboard").iterdir())
    assert folders == ["small", "small_continue", "small_continue_2"]
    losses = {name: read_scalars(tmp_path / "tensorboard" / name / "train_summary")["loss"] for name in folders}
    assert {name: [step for step, _ in points] for name, points in losses.items()} == {
        "small": [0, 3],
        "small_continue": [4, 6],
        "small_continue_2": [7, 8],
    }
    assert sorted(path.name for path in (tmp_path / "out" / "tensorboard").iterdir()) == folders


def test_without_a_checkpoint_there_is_nothing_to_continue(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no checkpoint to continue from") as caught:
        go_on(tmp_path, 3)
    assert caught.value.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_the_summaries_have_the_names_of_the_specification(whole: Path) -> None:
    names = {
        "num_production_samples",
        "num_name_samples",
        "num_samples_all",
        "num_production_samples_batch_avg",
        "num_name_samples_batch_avg",
        "num_samples_all_batch_avg",
        "num_nodes_context_graph",
        "num_nodes_expansion_graph",
        "name_loss",
        "production_loss",
        "loss",
        "name_accuracy",
        "name_accuracy_atk",
        "name_type_accuracy",
        "name_type_accuracy_atk",
        "production_accuracy",
        "production_accuracy_atk",
        "elapsed_time",
        *(f"accuracy/{task}" for task in ("call", "attr", "attr_base", "arg_type", "kwarg_name", "arg_placeholder")),
    }
    trained = read_scalars(whole / "tensorboard" / "small" / "train_summary")
    held_out = read_scalars(whole / "tensorboard" / "small" / "validate_summary")
    assert trained.keys() == names
    assert held_out.keys() == names
    assert [step for step, _ in trained["loss"]] == [0, 3, 7, 11, 15, 19]
    assert [step for step, _ in held_out["loss"]] == [4, 9, 14, 19]
    assert trained["num_samples_all"][-1] == (19, 20.0 * 6)
    curve = read_metrics(whole / "tmp" / "metrics.jsonl")
    assert [record["step"] for record in curve if "loss" in record] == [1, 4, 8, 12, 16, 20]
    assert [record["step"] for record in curve if "validation_loss" in record] == [5, 10, 15, 20]


def test_the_means_are_over_the_interval(tmp_path: Path) -> None:
    run(tmp_path, 4)
    losses = []
    for num_steps in (1, 2, 3, 4):
        folder = tmp_path / str(num_steps)
        run(folder, num_steps)
        losses.append(
            [record for record in read_metrics(folder / "tmp" / "metrics.jsonl") if "loss" in record][-1]["loss"]
        )
    told = read_scalars(tmp_path / "tensorboard" / "small" / "train_summary")["loss"]
    assert told[0] == (0, pytest.approx(losses[0], rel=1e-6))
    assert told[1] == (3, pytest.approx(sum(losses[1:]) / 3, rel=1e-5))


def test_samples_of_another_metainfo_are_refused(tmp_path: Path) -> None:
    other = ListFeed(BATCHES, "0" * 64)
    with pytest.raises(DataError, match="the samples are of another metainfo \\(000000000000, not"):
        train(small_config(), METAINFO, other, [], tmp_path, 3)


def test_a_checkpoint_of_another_metainfo_is_refused(tmp_path: Path) -> None:
    run(tmp_path, 2)
    changed = METAINFO.model_copy(update={"header": METAINFO.header.model_copy(update={"corpus_digest": "other"})})
    changed = type(METAINFO).model_validate(changed.model_dump())
    with pytest.raises(ConfigError, match="belongs to another model: metainfo"):
        train(small_config(), changed, ListFeed(BATCHES, changed.digest), [], tmp_path, 4)


def test_a_batch_that_is_not_sound_stops_the_training(tmp_path: Path) -> None:
    bad = make_batch(1)
    bad.infer_production.decoder_targets.indices[0] = 10_000
    with pytest.raises(DataError, match=r"infer_production\.decoder_targets: 10000 is not in 0 to 24"):
        train(small_config(), METAINFO, ListFeed([bad], METAINFO.digest), [], tmp_path, 3)


def test_no_steps_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the number of steps must be at least 1"):
        run(tmp_path, 0)


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    run(tmp_path, 3)
    summary = run(tmp_path, 3)
    assert summary.num_steps == 0
    assert summary.final_loss == summary.final_loss
    assert "3 steps are done already" in summary.as_text()
