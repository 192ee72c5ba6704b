"""The statistics of a step: their text, their checks, and their names in TensorBoard."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from gematria_ops.blocks.vocabulary import Vocabulary
from gematria_ops.encode.batch import BatchOptions
from gematria_ops.encode.encoded_blocks import encode_blocks
from gematria_ops.encode.sequence_batch import SequenceBatch, make_batch
from gematria_ops.training.step import StepResult
from gematria_ops.training.summaries import SummaryWriter, TrainingEpochStats, step_statistics
from tests.gematria.small_blocks import make_protos, write_data

pytestmark = pytest.mark.tf

FIELDS = {
    "epoch": 123,
    "loss": 345.0,
    "percentile_ranks": (50, 90),
    "absolute_mse": np.array([234.0]),
    "relative_mae": np.array([0.2]),
    "relative_mse": np.array([0.1]),
    "absolute_error_percentiles": np.array([[5.0], [9.0]]),
    "relative_error_percentiles": np.array([[0.5], [0.9]]),
}
DELTAS = {
    "absolute_delta_mse": np.array([321.0]),
    "absolute_delta_mae": np.array([23.0]),
    "absolute_delta_error_percentiles": np.array([[0.3], [0.4]]),
}
NO_RANKS = {
    "percentile_ranks": (),
    "absolute_error_percentiles": np.zeros(0),
    "relative_error_percentiles": np.zeros(0),
}
TWO_TASKS = {
    "absolute_mse": np.array([1.0, 2.0]),
    "relative_mae": np.array([0.1, 0.2]),
    "relative_mse": np.array([0.3, 0.4]),
    "absolute_error_percentiles": np.array([[1.0, 2.0], [3.0, 4.0]]),
    "relative_error_percentiles": np.array([[0.1, 0.2], [0.3, 0.4]]),
}


def stats(**changes: object) -> TrainingEpochStats:
    return TrainingEpochStats(**{**FIELDS, **changes})


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {},
            "epoch: 123, loss: 345.0\n"
            "absolute mse: [234.0], 50%: [5.0], 90%: [9.0]\n"
            "relative mse: [0.1], mae: [0.2], 50%: [0.5], 90%: [0.9]",
        ),
        (
            DELTAS,
            "epoch: 123, loss: 345.0\n"
            "absolute mse: [234.0], 50%: [5.0], 90%: [9.0]\n"
            "relative mse: [0.1], mae: [0.2], 50%: [0.5], 90%: [0.9]\n"
            "absolute delta mse: [321.0], mae: [23.0], 50%: [0.3], 90%: [0.4]",
        ),
        (NO_RANKS, "epoch: 123, loss: 345.0\nabsolute mse: [234.0]\nrelative mse: [0.1], mae: [0.2]"),
        (
            TWO_TASKS,
            "epoch: 123, loss: 345.0\n"
            "absolute mse: [1.0, 2.0], 50%: [1.0, 2.0], 90%: [3.0, 4.0]\n"
            "relative mse: [0.3, 0.4], mae: [0.1, 0.2], 50%: [0.1, 0.2], 90%: [0.3, 0.4]",
        ),
    ],
)
def test_the_text(changes: dict[str, object], text: str) -> None:
    assert str(stats(**changes)) == text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({**DELTAS, "absolute_delta_mae": None}, "absolute_delta_mae is missing"),
        ({"absolute_delta_mse": DELTAS["absolute_delta_mse"]}, "absolute_delta_mae is missing"),
        ({"relative_mae": np.array([0.1, 0.2])}, "relative_mae must be a vector with one value for each task"),
        ({"absolute_mse": np.array(3.0)}, "absolute_mse must be a vector"),
        ({"relative_mse": np.array([[0.1]])}, "relative_mse must be a vector"),
        ({"absolute_error_percentiles": np.array([[5.0]])}, r"absolute_error_percentiles must have shape \(2, 1\)"),
        ({**NO_RANKS, "relative_error_percentiles": np.zeros((0, 1))}, r"relative_error_percentiles must have shape"),
        (
            {**DELTAS, "absolute_delta_error_percentiles": np.array([0.3, 0.4])},
            r"absolute_delta_error_percentiles must have shape \(2, 1\)",
        ),
    ],
)
def test_fields_that_do_not_fit_are_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        stats(**changes)


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> SequenceBatch:
    tokens = write_data(tmp_path_factory.mktemp("data"), 1)[1]
    encoded = encode_blocks(make_protos_of_two_sources(), Vocabulary.from_file(tokens), 2, needs_prefixes=True)
    return make_batch(encoded, np.arange(4), BatchOptions(seq2seq=True))


def make_protos_of_two_sources() -> list[object]:
    """Four blocks; the second task has labels for the first and the last."""
    protos = list(make_protos(4))
    for proto in protos:
        if len(proto.inverse_throughputs) < 2:
            proto.inverse_throughputs.add(source="none")
    return protos


def result(batch: SequenceBatch) -> StepResult:
    """A model that answers 1 cycle too much for each block, and half a cycle too much for each instruction."""
    deltas = batch.expected_deltas
    return StepResult(0.75, np.array([0.5, 1.0], np.float32), batch.expected + 1, deltas + 0.5)


def test_statistics_are_those_of_whole_blocks_with_the_deltas_beside_them(batch: SequenceBatch) -> None:
    found = step_statistics(9, batch, result(batch), (50, 100))
    assert (found.epoch, found.loss, found.percentile_ranks) == (9, 0.75, (50, 100))
    np.testing.assert_allclose(found.absolute_mse, [1, 1], rtol=1e-5)
    np.testing.assert_allclose(found.absolute_error_percentiles, [[1, 1], [1, 1]], rtol=1e-5)
    expected = [(1 / batch.expected[batch.mask[:, task], task]).mean() for task in range(2)]
    np.testing.assert_allclose(found.relative_mae, expected, rtol=1e-5)
    np.testing.assert_allclose(found.absolute_delta_mse, [0.25, 0.25], rtol=1e-5)
    np.testing.assert_allclose(found.absolute_delta_mae, [0.5, 0.5], rtol=1e-5)


def read_scalars(folder: Path) -> dict[int, dict[str, float]]:
    found: dict[int, dict[str, float]] = {}
    for path in folder.glob("events.out.tfevents.*"):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                found.setdefault(event.step, {})[value.tag] = float(tf.make_ndarray(value.tensor))
    return found


def test_the_scalars_have_their_names(batch: SequenceBatch, tmp_path: Path) -> None:
    writer = SummaryWriter(tmp_path, ["a", "b"])
    for step in (9, 19):
        writer.write(step_statistics(step, batch, result(batch), (50,)), batch, result(batch), 0.125)
    scalars = read_scalars(tmp_path)
    per_task = [
        "absolute_mse_{}",
        "relative_mae_{}",
        "relative_mse_{}",
        "absolute_error_50p_{}",
        "absolute_percentage_error_50p_{}",
        "loss_{}",
        "spearman_{}",
        "absolute_mse_deltas_{}",
        "absolute_mae_deltas_{}",
        "absolute_error_deltas_50p_{}",
    ]
    named = {name.format(task) for name in per_task for task in ("a", "b")} | {"learning_rate", "overall_loss"}
    assert scalars[9].keys() == named
    assert scalars[19].keys() == named | {"global_step/sec"}
    assert scalars[9]["learning_rate"] == 0.125
    assert scalars[9]["overall_loss"] == 0.75
    assert scalars[9]["loss_b"] == 1.0
    assert scalars[9]["spearman_a"] == pytest.approx(1.0)


def test_a_task_without_a_label_leaves_a_gap(batch: SequenceBatch, tmp_path: Path) -> None:
    mask = batch.mask.copy()
    mask[:, 1] = False
    unlabelled = batch._replace(targets=batch.targets._replace(mask=mask))
    answered = result(batch)._replace(task_losses=np.array([0.5, np.nan], np.float32))
    SummaryWriter(tmp_path, ["a", "b"]).write(step_statistics(1, unlabelled, answered, ()), unlabelled, answered, 0.1)
    scalars = read_scalars(tmp_path)[1]
    assert "relative_mae_a" in scalars
    assert [name for name in scalars if name.endswith("_b")] == []


def test_without_a_folder_nothing_is_written(batch: SequenceBatch, tmp_path: Path) -> None:
    SummaryWriter(None, ["a", "b"]).write(step_statistics(1, batch, result(batch), ()), batch, result(batch), 0.1)
    assert list(tmp_path.iterdir()) == []
