"""Continuous evaluation of checkpoints, with a trainer that trains whenever the evaluation waits. The clock is ours."""

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from gematria_ops.config import RunnerConfig
from gematria_ops.encode.loading import evaluation_settings, load_encoded_blocks, load_vocabulary
from gematria_ops.inference.predictor import Predictor
from gematria_ops.training.best_models import BestModels
from gematria_ops.training.evaluation_loop import EvaluationSummary, evaluate_continuously
from gematria_ops.training.train import train
from ops_common.errors import ArtifactError, ConfigError, DataError, Interrupted
from ops_common.learning import watching
from ops_common.learning.checkpoints import latest_checkpoint
from ops_common.tfrecord import write_records
from tests.gematria.event_files import read_scalars
from tests.gematria.small_blocks import make_protos, write_data

pytestmark = pytest.mark.tf

SMALL = (
    "model.token_embedding_size=4",
    "model.instruction_embedding_size=4",
    "model.block_embedding_size=4",
    "batch.max_blocks=20",
    "optimizer.learning_rate=0.02",
    "loss.loss_type=MEAN_ABSOLUTE_ERROR",
    "loss.loss_normalization=PERCENTAGE_ERROR",
    'input.source_filters=["test: one", "test: two"]',
    'input.task_names=["first", "second"]',
    "summary.save_steps=0",
    "checkpoint.save_steps=0",
    "checkpoint.save_seconds=0",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_data(tmp_path_factory.mktemp("data"), 60)


def settings(data: tuple[Path, Path], folder: Path, *overrides: str) -> RunnerConfig:
    files = (f"input.files={data[0]}", f"tokens.file={data[1]}", f"checkpoint.directory={folder / 'model'}")
    summaries = f"summary.directory={folder / 'summaries'}"
    return RunnerConfig.from_toml(None, [*SMALL, *files, summaries, "summary.eval_interval_seconds=0", *overrides])


def train_until(config: RunnerConfig, num_steps: int) -> None:
    summary = config.summary.model_copy(update={"directory": ""})
    train(config.model_copy(update={"num_steps": num_steps, "summary": summary}))


def evaluate(config: RunnerConfig, *happenings: Callable[[], object]) -> EvaluationSummary:
    """Evaluate; each time it waits, the next thing happens."""
    left = iter(happenings)
    return evaluate_continuously(config, now=lambda: 0.0, wait=lambda _seconds: next(left)())


def best_steps(folder: Path) -> list[int]:
    state = tf.train.get_checkpoint_state(str(folder / "summaries/best_models"))
    return [int(path.rpartition("-")[2]) for path in state.all_model_checkpoint_paths]


def test_each_checkpoint_is_evaluated_on_one_batch_and_the_best_are_kept(
    data: tuple[Path, Path], tmp_path: Path
) -> None:
    config = settings(data, tmp_path, "summary.eval_max_evaluations=3")
    summary = evaluate(config, *(lambda n=n: train_until(config, n) for n in (1, 10, 30)))
    assert summary.steps == (1, 10, 30)
    told = read_scalars(tmp_path / "summaries")
    assert [step for step, _ in told["overall_loss"]] == [1, 10, 30]
    assert {"learning_rate", "loss_first", "absolute_mse_second", "relative_mae_first", "spearman_second"} <= {*told}
    assert {"absolute_error_50p_first", "absolute_percentage_error_99p_second", "global_step/sec"} <= {*told}
    assert told["learning_rate"][-1][1] == pytest.approx(0.02)

    # The batch is the first 20 blocks; the error is the mean over those with a label.
    newest = config.checkpoint.model_copy(update={"file": str(tmp_path / "model/model.ckpt-30")})
    predictor = Predictor.from_checkpoint(config.model_copy(update={"checkpoint": newest}))
    encoded = load_encoded_blocks(config, config.input.files, predictor.vocabulary)
    output = predictor.predict_encoded(encoded).output[:20]
    for task, name in enumerate(("first", "second")):
        rows = encoded.mask[:20, task]
        errors = np.abs(output[rows, task] - encoded.labels[:20][rows, task]) / encoded.labels[:20][rows, task]
        assert told[f"relative_mae_{name}"][-1][1] == pytest.approx(errors.mean(), rel=1e-4)
        assert told[f"loss_{name}"][-1][1] == pytest.approx(errors.mean(), rel=1e-4)

    # A checkpoint is kept if any task has become better; what is kept are the weights of that step.
    errors_of = {name: dict(told[f"relative_mae_{name}"]) for name in ("first", "second")}
    improving = [
        step
        for step in summary.steps
        if any(all(errors[step] < errors[other] for other in errors if other < step) for errors in errors_of.values())
    ]
    assert list(summary.best_steps) == improving == best_steps(tmp_path)
    assert summary.best_steps[-1] == 30
    kept, trained = (
        tf.train.load_checkpoint(str(tmp_path / name)) for name in ("summaries/best_models", "model/model.ckpt-30")
    )
    assert kept.get_tensor("global_step") == 30
    assert np.array_equal(kept.get_tensor("token_embedding/table"), trained.get_tensor("token_embedding/table"))
    best = json.loads((tmp_path / "summaries/best_models/best.json").read_text())
    for name, errors in errors_of.items():
        step = min(errors, key=errors.__getitem__)
        assert best["tasks"][name] == {"global_step": step, "relative_mae": pytest.approx(errors[step], rel=1e-4)}


@pytest.fixture(scope="module")
def trained(data: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a model of 2 steps, evaluated once."""
    folder = tmp_path_factory.mktemp("trained")
    config = settings(data, folder, "summary.eval_max_evaluations=1")
    train_until(config, 2)
    evaluate(config)
    return folder


def copy_of(folder: Path, target: Path) -> Path:
    shutil.copytree(folder, target)
    return target


def test_the_best_so_far_survives_a_restart(data: tuple[Path, Path], trained: Path, tmp_path: Path) -> None:
    folder = copy_of(trained, tmp_path / "run")
    config = settings(data, folder, "summary.eval_max_evaluations=1")
    record = folder / "summaries/best_models/best.json"
    assert evaluate(config) == EvaluationSummary((2,), ())  # no better than itself
    # One task has got better, the other has not: that is enough.
    best = json.loads(record.read_text())
    best["tasks"]["first"]["relative_mae"] = 1e9
    best["tasks"]["second"] = {"relative_mae": 0.0, "global_step": 1}
    record.write_text(json.dumps(best))
    assert evaluate(config) == EvaluationSummary((2,), (2,))
    after = json.loads(record.read_text())["tasks"]
    assert after["first"]["relative_mae"] < 1e9
    assert after["second"] == {"relative_mae": 0.0, "global_step": 1}


def test_other_blocks_begin_a_new_best(data: tuple[Path, Path], trained: Path, tmp_path: Path) -> None:
    folder = copy_of(trained, tmp_path / "run")
    config = settings(data, folder, "summary.eval_max_evaluations=1", "batch.max_blocks=10")
    assert evaluate(config).best_steps == (2,)


def test_a_damaged_record_of_the_best_is_named(data: tuple[Path, Path], trained: Path, tmp_path: Path) -> None:
    folder = copy_of(trained, tmp_path / "run")
    (folder / "summaries/best_models/best.json").write_text('{"measured_with": "x", "tasks": {"first": 1}}')
    with pytest.raises(ArtifactError, match=r"best\.json is not a record of the best errors"):
        evaluate(settings(data, folder))


def test_fifteen_best_models_are_kept(tmp_path: Path) -> None:
    best = BestModels(tmp_path, ["a"], {}, "x")
    for step in range(1, 18):
        assert best.offer(step, [1 / step], {"weight": tf.Variable(float(step))}) == ("a",)
    assert best.offer(18, [float("nan")], {}) == best.offer(19, [1.0], {}) == ()
    folder = tmp_path / "best_models"
    assert sorted(int(path.stem.partition("-")[2]) for path in folder.glob("*.index")) == list(range(3, 18))
    assert latest_checkpoint(folder) == folder / "best_models-17"


def test_both_limits_hold_and_later_blocks_may_enter(
    data: tuple[Path, Path], trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = settings(data, copy_of(trained, tmp_path / "run"), "summary.eval_max_evaluations=1")
    sizes = load_encoded_blocks(config, config.input.files, load_vocabulary(config)).block_sizes.tolist()
    taken, room = [], 30
    for size in sizes:
        if size <= room and len(taken) < 20:
            taken.append(size)
            room -= size
    assert taken != sizes[: len(taken)]  # otherwise nothing was skipped
    with caplog.at_level("INFO"):
        evaluate(config.model_copy(update={"batch": config.batch.model_copy(update={"max_instructions": 30})}))
    assert f"{len(taken)} blocks, {sum(taken)} instructions" in caplog.messages


def test_random_labels_are_evaluated_against_their_mean(data: tuple[Path, Path], tmp_path: Path) -> None:
    # The samples of the first source are 1.0, 1.1 and 0.9 times the cost, so the first sample is their mean, too.
    config = settings(data, tmp_path, "input.throughput_selection=RANDOM")
    encoded = load_encoded_blocks(evaluation_settings(config), config.input.files, load_vocabulary(config))
    assert (np.diff(encoded.sample_splits) <= 1).all()
    raw = load_encoded_blocks(config, config.input.files, load_vocabulary(config))
    assert np.diff(raw.sample_splits).max() == 3
    means = [raw.samples[a:b].mean() for a, b in zip(raw.sample_splits[:-1], raw.sample_splits[1:]) if b > a]
    np.testing.assert_allclose(encoded.samples, means, rtol=1e-6)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_waiting(
    number: signal.Signals, code: int, data: tuple[Path, Path], trained: Path, tmp_path: Path
) -> None:
    config = settings(data, copy_of(trained, tmp_path / "run"))
    with pytest.raises(Interrupted, match=f"evaluation stopped by {number.name} after 1 evaluations") as caught:
        evaluate(config, lambda: signal.raise_signal(number))
    assert caught.value.exit_code == code


def test_a_checkpoint_of_another_model_is_refused(data: tuple[Path, Path], trained: Path, tmp_path: Path) -> None:
    config = settings(data, copy_of(trained, tmp_path / "run"), "model.token_embedding_size=6")
    with pytest.raises(ConfigError, match=r"belongs to another model: model\.token_embedding_size was 4, now 6"):
        evaluate(config)


def test_a_checkpoint_that_goes_before_it_is_read_is_passed_over(
    data: tuple[Path, Path], trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy_of(trained, tmp_path / "run")
    config = settings(data, folder, "summary.eval_max_evaluations=1")
    whole = watching.find_damage

    def find_then_lose(prefix: Path) -> str:
        """The trainer removes the checkpoint right after it was found whole."""
        found = whole(prefix)
        prefix.with_name(prefix.name + ".index").unlink()
        monkeypatch.setattr(watching, "find_damage", whole)
        return found

    monkeypatch.setattr(watching, "find_damage", find_then_lose)
    assert evaluate(config, lambda: train_anew(config, folder)).steps == (3,)


def train_anew(config: RunnerConfig, folder: Path) -> None:
    shutil.rmtree(folder / "model")
    train_until(config, 3)


def test_a_limit_that_no_block_keeps_is_an_error(data: tuple[Path, Path], tmp_path: Path) -> None:
    long = tmp_path / "long.tfrecord"
    protos = [proto for proto in make_protos(20) if len(proto.basic_block.canonicalized_instructions) > 3]
    write_records(long, (proto.SerializeToString() for proto in protos))
    with pytest.raises(DataError, match="no block fits into the batch: all have more than 2 instructions"):
        evaluate(settings((long, data[1]), tmp_path, "batch.max_instructions=2"))
