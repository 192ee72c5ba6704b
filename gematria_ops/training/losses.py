"""Losses, and the error statistics that are reported beside them. Specification sections 7.1 to 7.5.

For each task only the rows with a label count. A task without any label in the batch counts nowhere; the training loss
is the unweighted mean over the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from gematria_ops.config import ErrorNormalization, LossConfig, LossType
from gematria_ops.encode.batch import Inputs, Targets
from gematria_ops.encode.encoded_blocks import EncodedBlocks
from gematria_ops.models.output import ModelOutput
from ops_common.errors import DataError


class Losses(NamedTuple):
    """Losses of one batch.

    Attributes:
        loss: [] float32. Mean over the tasks that have a label in the batch; 0 when none has.
        task_losses: [K] float32. Of each task; NaN where it has no label in the batch.
    """

    loss: tf.Tensor
    task_losses: tf.Tensor


class ErrorStatistics(NamedTuple):
    """Errors of one batch, for each task over the rows that have a label; NaN where there is none.

    Attributes:
        absolute_mse: [K] mean squared error, in squared cycles per iteration.
        absolute_mae: [K] mean absolute error, in cycles per iteration.
        relative_mae: [K] mean absolute percentage error, as a fraction.
        relative_mse: [K] mean squared percentage error, as a fraction.
        absolute_error_percentiles: [R, K] of the absolute error, in cycles per iteration.
        relative_error_percentiles: [R, K] of the absolute percentage error, as a fraction.
    """

    absolute_mse: NDArray[np.float64]
    absolute_mae: NDArray[np.float64]
    relative_mae: NDArray[np.float64]
    relative_mse: NDArray[np.float64]
    absolute_error_percentiles: NDArray[np.float64]
    relative_error_percentiles: NDArray[np.float64]


def compute_losses(
    output: tf.Tensor,
    expected: tf.Tensor,
    mask: tf.Tensor,
    loss_type: LossType,
    normalization: ErrorNormalization,
    label_counts: tf.Tensor | None = None,
) -> Losses:
    """Computes the loss of each task and their mean.

    Args:
        output: [N, K] float32. What the model answered.
        expected: [N, K] float32. What it should answer.
        mask: [N, K] bool. Where there is a label.
        loss_type: How a normalised error becomes a loss; Huber's delta is 1.
        normalization: By what an error is divided.
        label_counts: [K] float32. Labels of the whole batch, if these are the rows of one worker: then the losses are
            its part of those of the whole batch, which are their sums. None: the rows are the whole batch.

    Returns:
        The losses.
    """
    # What stands under the mask must not reach the gradient, not even as 0 * NaN.
    expected = tf.where(mask, expected, tf.ones_like(expected))
    error = tf.where(mask, output - expected, tf.zeros_like(expected))
    if normalization is ErrorNormalization.PERCENTAGE_ERROR:
        error /= expected
    elif normalization is ErrorNormalization.EXPECTED_VALUE_GREATER_THAN_ONE:
        error /= tf.maximum(expected, 1.0)
    if loss_type is LossType.MEAN_SQUARED_ERROR:
        losses = tf.square(error)
    elif loss_type is LossType.MEAN_ABSOLUTE_ERROR:
        losses = tf.abs(error)
    else:
        size = tf.abs(error)
        near = tf.minimum(size, 1.0)
        losses = 0.5 * tf.square(near) + (size - near)
    weights = tf.cast(mask, losses.dtype)
    counts = tf.reduce_sum(weights, axis=0) if label_counts is None else label_counts  # [K]
    sums = tf.reduce_sum(losses * weights, axis=0)  # [K]
    present = counts > 0
    means = sums / tf.maximum(counts, 1.0)
    num_present = tf.reduce_sum(tf.cast(present, losses.dtype))
    loss = tf.reduce_sum(means) / tf.maximum(num_present, 1.0)
    return Losses(loss, tf.where(present, means, tf.fill(tf.shape(means), np.float32(np.nan))))


def batch_losses(answer: ModelOutput, inputs: Inputs, targets: Targets, config: LossConfig) -> Losses:
    """Computes the training losses of a batch: on contributions if the model gives them and the config says so.

    Args:
        answer: What the model answered.
        inputs: What it read.
        targets: What it should answer.
        config: Loss settings.

    Returns:
        The losses.
    """
    blocks = inputs.instruction_blocks
    if answer.deltas is None or blocks is None or not config.use_seq2seq_loss:
        of_blocks = None if targets.label_counts is None else targets.label_counts[0]
        return compute_losses(
            answer.output, targets.expected, targets.mask, config.loss_type, config.loss_normalization, of_blocks
        )
    # Rows that were filled up have block -1.
    mask = tf.gather(targets.mask, tf.maximum(blocks, 0)) & (blocks >= 0)[:, None]  # [I, K]
    of_instructions = None if targets.label_counts is None else targets.label_counts[1]
    return compute_losses(
        answer.deltas, targets.expected_deltas, mask, config.loss_type, config.loss_normalization, of_instructions
    )


def error_statistics(
    output: NDArray[np.float32], expected: NDArray[np.float32], mask: NDArray[np.bool_], ranks: Sequence[int] = ()
) -> ErrorStatistics:
    """Computes the statistics that logs and curves show, whatever the training minimises.

    Args:
        output: [N, K] float32. What the model answered.
        expected: [N, K] float32. What it should answer.
        mask: [N, K] bool. Where there is a label.
        ranks: R percentile ranks, 0 to 100.

    Returns:
        The statistics.
    """
    num_tasks = output.shape[1]
    means = np.full((4, num_tasks), np.nan)
    percentiles = np.full((2, len(ranks), num_tasks), np.nan)
    for task in range(num_tasks):
        rows = mask[:, task]
        if not rows.any():
            continue
        wanted = expected[rows, task].astype(np.float64)
        absolute = np.abs(output[rows, task].astype(np.float64) - wanted)
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = absolute / wanted
        means[:, task] = (absolute**2).mean(), absolute.mean(), relative.mean(), (relative**2).mean()
        percentiles[0, :, task] = nearest_percentiles(absolute, ranks)
        percentiles[1, :, task] = nearest_percentiles(relative, ranks)
    return ErrorStatistics(means[0], means[1], means[2], means[3], percentiles[0], percentiles[1])


def nearest_percentiles(values: NDArray[np.float64], ranks: Sequence[int]) -> NDArray[np.float64]:
    """Returns percentiles as values that occur: rank r of n sorted values is number round((n - 1) * r / 100).

    Args:
        values: [N], N > 0.
        ranks: R percentile ranks, 0 to 100. Halves are rounded to the even number.

    Returns:
        [R].
    """
    positions = np.rint((len(values) - 1) * np.asarray(ranks, dtype=np.float64) / 100).astype(np.int64)
    return np.sort(values)[positions]


def check_labels(encoded: EncodedBlocks, task_names: Sequence[str], config: LossConfig) -> None:
    """Checks that a model can be trained on these labels with this loss.

    Raises:
        DataError: A task has no label at all, or a label is 0 and the error is divided by it.
    """
    for task, name in enumerate(task_names):
        if not encoded.mask[:, task].any():
            raise DataError(
                f"no block has a throughput for task {name!r}", "Look at the source filters and the data set's sources."
            )
    if config.loss_normalization is ErrorNormalization.PERCENTAGE_ERROR:
        zeros = np.argwhere(encoded.mask & (encoded.labels == 0))
        if len(zeros):
            raise DataError(
                f"block {zeros[0, 0]} has throughput 0 for task {task_names[zeros[0, 1]]!r}; the relative error of "
                f"{len(zeros)} such labels is not defined",
                "Use loss_normalization EXPECTED_VALUE_GREATER_THAN_ONE, or drop these blocks.",
            )
