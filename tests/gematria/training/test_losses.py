"""Losses and statistics against hand-worked values; specification 7.1 to 7.5."""

import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal

from gematria_ops.blocks.basic_block import BasicBlock
from gematria_ops.blocks.throughput import BasicBlockWithThroughput
from gematria_ops.config import ErrorNormalization, LossConfig, LossType
from gematria_ops.encode.batch import BatchOptions, roomy_shape
from gematria_ops.encode.encoded_blocks import EncodedBlocks, encode_blocks
from gematria_ops.encode.sequence_batch import fill_up, make_batch, shape_of
from gematria_ops.models.output import ModelOutput
from gematria_ops.training.losses import (
    batch_losses,
    check_labels,
    compute_losses,
    error_statistics,
    nearest_percentiles,
)
from ops_common.errors import DataError
from tests.gematria.encode.block_examples import instruction, throughput, vocabulary

pytestmark = pytest.mark.tf

MSE, MAE, HUBER = LossType.MEAN_SQUARED_ERROR, LossType.MEAN_ABSOLUTE_ERROR, LossType.HUBER
NONE, PERCENTAGE = ErrorNormalization.NONE, ErrorNormalization.PERCENTAGE_ERROR
ABOVE_ONE = ErrorNormalization.EXPECTED_VALUE_GREATER_THAN_ONE


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)[:, None]


@pytest.mark.parametrize(
    ("loss_type", "normalization", "expected"),
    [
        # Errors 0.5, 2 and 6; expected values 0.5, 4 and 2.
        (MSE, NONE, (0.25 + 4 + 36) / 3),
        (MAE, NONE, 8.5 / 3),
        (HUBER, NONE, (0.125 + 1.5 + 5.5) / 3),
        # Relative errors 1, 0.5 and 3.
        (MSE, PERCENTAGE, (1 + 0.25 + 9) / 3),
        (MAE, PERCENTAGE, 4.5 / 3),
        (HUBER, PERCENTAGE, (0.5 + 0.125 + 2.5) / 3),
        # The smallest expected value counts as 1: 0.5, 0.5 and 3.
        (MSE, ABOVE_ONE, (0.25 + 0.25 + 9) / 3),
        (MAE, ABOVE_ONE, 4 / 3),
        (HUBER, ABOVE_ONE, (0.125 + 0.125 + 2.5) / 3),
    ],
)
def test_values(loss_type: LossType, normalization: ErrorNormalization, expected: float) -> None:
    output, wanted = column(1.0, 2.0, 8.0), column(0.5, 4.0, 2.0)
    losses = compute_losses(output, wanted, np.ones((3, 1), bool), loss_type, normalization)
    assert_allclose(losses.loss, expected, rtol=1e-6)
    assert_allclose(losses.task_losses, [expected], rtol=1e-6)


def test_expected_value_zero_is_fine_when_normalised_by_at_least_one() -> None:
    losses = compute_losses(column(2.0), column(0.0), np.ones((1, 1), bool), MSE, ABOVE_ONE)
    assert float(losses.loss) == 4.0


def test_tasks_count_equally_whatever_their_number_of_labels() -> None:
    output = np.array([[1, 10], [2, 20], [3, 30]], np.float32)
    expected = np.array([[0, 11], [0, -1], [0, -1]], np.float32)
    mask = np.array([[True, True], [True, False], [True, False]])
    losses = compute_losses(output, expected, mask, MAE, NONE)
    assert_allclose(losses.task_losses, [2.0, 1.0])
    assert_allclose(losses.loss, 1.5)


@pytest.mark.parametrize("loss_type", list(LossType))
@pytest.mark.parametrize("normalization", list(ErrorNormalization))
def test_a_task_without_labels_is_left_out(loss_type: LossType, normalization: ErrorNormalization) -> None:
    output = tf.constant([[1.0, 10.0], [2.0, 20.0]])
    # Under the mask stands what would be poison: 0 to divide by, NaN, infinity.
    expected = tf.constant([[2.0, 0.0], [np.nan, np.inf]])
    mask = tf.constant([[True, False], [False, False]])
    with tf.GradientTape() as tape:
        tape.watch(output)
        losses = compute_losses(output, expected, mask, loss_type, normalization)
    alone = compute_losses(output[:1, :1], expected[:1, :1], mask[:1, :1], loss_type, normalization)
    assert_array_equal(losses.loss, alone.loss)
    assert np.isnan(losses.task_losses[1])
    gradient = tape.gradient(losses.loss, output).numpy()
    assert np.isfinite(gradient).all()
    assert gradient[0, 0] != 0
    assert not gradient.ravel()[1:].any()


def test_no_label_at_all_is_no_loss() -> None:
    losses = compute_losses(column(1.0), column(-1.0), np.zeros((1, 1), bool), MSE, NONE)
    assert float(losses.loss) == 0.0
    assert np.isnan(losses.task_losses[0])


def test_gradient_of_the_mean() -> None:
    output = tf.constant([[3.0, 1.0], [5.0, 7.0]])
    expected = tf.constant([[1.0, 0.0], [1.0, 4.0]])
    mask = tf.constant([[True, False], [True, True]])
    with tf.GradientTape() as tape:
        tape.watch(output)
        loss = compute_losses(output, expected, mask, MSE, NONE).loss
    # d/dy of mean over 2 tasks of the mean over a task's rows of (y - e)^2.
    assert_allclose(tape.gradient(loss, output), [[2 * 2 / 2 / 2, 0], [2 * 4 / 2 / 2, 2 * 3 / 2]])


@pytest.mark.parametrize(("use_seq2seq_loss", "expected"), [(True, 3 / 5), (False, 9.0)])
@pytest.mark.parametrize("is_filled", [False, True])
def test_seq2seq_vectors(use_seq2seq_loss: bool, expected: float, is_filled: bool) -> None:
    # Specification 7.4: prefixes 1, 1, 1, 1, 2 and predicted contributions of 1 each.
    block = BasicBlockWithThroughput(BasicBlock((instruction("nop"),) * 5), (throughput(2, [1, 1, 1, 1, 2]),))
    encoded = encode_blocks([block], vocabulary(), 1, needs_prefixes=True)
    batch = make_batch(encoded, np.array([0]), BatchOptions(seq2seq=True))
    if is_filled:
        batch = fill_up(batch, roomy_shape([shape_of(batch)]))
    assert batch.inputs.instruction_blocks is not None
    deltas = np.ones((len(batch.inputs.instruction_blocks), 1), np.float32)
    output = np.full((len(batch.inputs.block_sizes), 1), 5, np.float32)
    config = LossConfig(loss_type=MSE, use_seq2seq_loss=use_seq2seq_loss)
    losses = batch_losses(ModelOutput(output, deltas), batch.inputs, batch.targets, config)
    assert_allclose(losses.loss, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("values", "ranks", "expected"),
    [
        ([0, 0, 0.25, 0.75, 4], [25, 50, 60, 90], [0, 0.25, 0.25, 4]),
        ([6, 0.1], [50, 75], [0.1, 6]),
        ([27, 0.5, 3], [75], [27]),
        ([1, 2, 3], [0, 100], [1, 3]),
        ([5], [0, 50, 99], [5, 5, 5]),
        ([1, 2], [], []),
    ],
)
def test_percentiles(values: list[float], ranks: list[int], expected: list[float]) -> None:
    assert nearest_percentiles(np.array(values, dtype=float), ranks).tolist() == expected


def test_statistics() -> None:
    output = np.array([[1, 5], [2, 9], [8, 7]], np.float32)
    expected = np.array([[0.5, -1], [4, -1], [2, -1]], np.float32)
    mask = np.array([[True, False]] * 3)
    statistics = error_statistics(output, expected, mask, [50, 99])
    assert_allclose(statistics.absolute_mse, [40.25 / 3, np.nan])
    assert_allclose(statistics.absolute_mae, [8.5 / 3, np.nan])
    assert_allclose(statistics.relative_mae, [4.5 / 3, np.nan])
    assert_allclose(statistics.relative_mse, [10.25 / 3, np.nan])
    assert_allclose(statistics.absolute_error_percentiles, [[2, np.nan], [6, np.nan]])
    assert_allclose(statistics.relative_error_percentiles, [[1, np.nan], [3, np.nan]])


def test_statistics_without_ranks_and_with_expected_value_zero() -> None:
    statistics = error_statistics(column(1.0), column(0.0), np.ones((1, 1), bool))
    assert statistics.absolute_error_percentiles.shape == (0, 1)
    assert statistics.relative_mae.tolist() == [np.inf]
    assert statistics.absolute_mae.tolist() == [1.0]


def labels(*rows: tuple[float | None, ...]) -> EncodedBlocks:
    blocks = [
        BasicBlockWithThroughput(
            BasicBlock((instruction("nop"),)), tuple(None if value is None else throughput(value) for value in row)
        )
        for row in rows
    ]
    return encode_blocks(blocks, vocabulary(), len(rows[0]))


def test_check_labels() -> None:
    relative, absolute = LossConfig(loss_normalization=PERCENTAGE), LossConfig(loss_normalization=NONE)
    check_labels(labels((1.0, None), (2.0, 3.0)), ("a", "b"), relative)
    check_labels(labels((1.0, 0.0)), ("a", "b"), absolute)
    with pytest.raises(DataError, match="no block has a throughput for task 'b'"):
        check_labels(labels((1.0, None), (2.0, None)), ("a", "b"), absolute)
    with pytest.raises(DataError, match="block 1 has throughput 0 for task 'b'"):
        check_labels(labels((1.0, 2.0), (2.0, 0.0)), ("a", "b"), relative)
