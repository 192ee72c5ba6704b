"""What a training tells while it runs: the statistics of a step, as a text for the log and as TensorBoard scalars.

Errors are those of whole blocks; models that answer for every instruction report the errors of the contributions
beside them. Names and texts are those of the public runner's TensorFlow 1 version (specification 6.7).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from gematria_ops.encode.batch import Batch
from gematria_ops.inference.metrics import spearman_correlation
from gematria_ops.training.losses import error_statistics
from gematria_ops.training.step import StepResult

logger = logging.getLogger(__name__)

Vector = NDArray[np.float64]

_DELTA_FIELDS = ("absolute_delta_mse", "absolute_delta_mae", "absolute_delta_error_percentiles")
_VECTOR_FIELDS = ("absolute_mse", "relative_mae", "relative_mse", "absolute_delta_mse", "absolute_delta_mae")
_PERCENTILE_FIELDS = (
    "absolute_error_percentiles",
    "relative_error_percentiles",
    "absolute_delta_error_percentiles",
)


@dataclass(frozen=True, eq=False)
class TrainingEpochStats:
    """Statistics of one step ("epoch" is the public runner's word for it). R percentile ranks, K tasks.

    Attributes:
        epoch: Global step after the update.
        loss: What was minimised, from before the update.
        percentile_ranks: The R ranks, 0 to 100.
        absolute_mse: [K], squared cycles per iteration.
        relative_mae: [K], mean absolute percentage error as a fraction.
        relative_mse: [K], mean squared percentage error as a fraction.
        absolute_error_percentiles: [R, K], cycles per iteration; [0] without ranks.
        relative_error_percentiles: [R, K], fractions; [0] without ranks.
        absolute_delta_mse: [K], of the instructions' contributions; the three are given together or not at all.
        absolute_delta_mae: [K].
        absolute_delta_error_percentiles: [R, K]; [0] without ranks.

    Raises:
        ValueError: A field has another shape; the message names it.
    """

    epoch: int
    loss: float
    percentile_ranks: tuple[int, ...]
    absolute_mse: Vector
    relative_mae: Vector
    relative_mse: Vector
    absolute_error_percentiles: Vector
    relative_error_percentiles: Vector
    absolute_delta_mse: Vector | None = None
    absolute_delta_mae: Vector | None = None
    absolute_delta_error_percentiles: Vector | None = None

    def __post_init__(self) -> None:
        missing = [name for name in _DELTA_FIELDS if getattr(self, name) is None]
        if missing and len(missing) < len(_DELTA_FIELDS):
            raise ValueError(f"{missing[0]} is missing, though the other statistics of deltas are given")
        num_tasks = self.absolute_mse.shape
        for name in _VECTOR_FIELDS:
            value = getattr(self, name)
            if value is not None and (value.ndim != 1 or value.shape != num_tasks):
                raise ValueError(f"{name} must be a vector with one value for each task, not {value.shape}")
        wanted = (len(self.percentile_ranks), *num_tasks) if self.percentile_ranks else (0,)
        for name in _PERCENTILE_FIELDS:
            value = getattr(self, name)
            if value is not None and value.shape != wanted:
                raise ValueError(f"{name} must have shape {wanted} (ranks, tasks), not {value.shape}")

    def __str__(self) -> str:
        lines = [
            f"epoch: {self.epoch}, loss: {_number(self.loss)}",
            f"absolute mse: {_vector(self.absolute_mse)}{self._percentiles(self.absolute_error_percentiles)}",
            f"relative mse: {_vector(self.relative_mse)}, mae: {_vector(self.relative_mae)}"
            f"{self._percentiles(self.relative_error_percentiles)}",
        ]
        if self.absolute_delta_mse is not None and self.absolute_delta_mae is not None:
            lines.append(
                f"absolute delta mse: {_vector(self.absolute_delta_mse)}, mae: {_vector(self.absolute_delta_mae)}"
                f"{self._percentiles(self.absolute_delta_error_percentiles)}"
            )
        return "\n".join(lines)

    def _percentiles(self, percentiles: Vector | None) -> str:
        rows = () if percentiles is None else percentiles
        return "".join(f", {rank}%: {_vector(row)}" for rank, row in zip(self.percentile_ranks, rows))


def step_statistics(step: int, batch: Batch[Any], result: StepResult, ranks: Sequence[int]) -> TrainingEpochStats:
    """Compute the statistics of a step from what the model answered before its update."""
    blocks = error_statistics(result.output, batch.expected, batch.mask, ranks)
    deltas = None
    if result.deltas is not None and batch.expected_deltas is not None:
        deltas = error_statistics(result.deltas, batch.expected_deltas, batch.instruction_mask, ranks)

    def percentiles(values: Vector) -> Vector:
        return values if len(ranks) else np.zeros(0)

    return TrainingEpochStats(
        epoch=step,
        loss=result.loss,
        percentile_ranks=tuple(ranks),
        absolute_mse=blocks.absolute_mse,
        relative_mae=blocks.relative_mae,
        relative_mse=blocks.relative_mse,
        absolute_error_percentiles=percentiles(blocks.absolute_error_percentiles),
        relative_error_percentiles=percentiles(blocks.relative_error_percentiles),
        absolute_delta_mse=None if deltas is None else deltas.absolute_mse,
        absolute_delta_mae=None if deltas is None else deltas.absolute_mae,
        absolute_delta_error_percentiles=None if deltas is None else percentiles(deltas.absolute_error_percentiles),
    )


class SummaryWriter:
    """Writes TensorBoard scalars; does nothing when there is no folder to write to.

    Args:
        folder: Folder of the event files, or None.
        task_names: The tasks, in the order of the model's outputs.
    """

    def __init__(self, folder: Path | None, task_names: Sequence[str]) -> None:
        self._task_names = task_names
        self._writer = tf.summary.create_file_writer(str(folder)) if folder is not None else None
        self._last: tuple[int, float] | None = None

    def write(self, stats: TrainingEpochStats, batch: Batch[Any], result: StepResult, learning_rate: float) -> None:
        """Write all scalars of a step and flush them, so that they survive a kill."""
        if self._writer is None:
            return
        scalars = {"learning_rate": learning_rate, "overall_loss": stats.loss, **self._rate(stats.epoch)}
        scalars.update(_per_task(stats, self._task_names))
        for task, name in enumerate(self._task_names):
            scalars[f"loss_{name}"] = float(result.task_losses[task])
            rows = batch.mask[:, task]
            correlation = spearman_correlation(
                result.output[rows, task].astype(np.float64), batch.expected[rows, task].astype(np.float64)
            )
            scalars[f"spearman_{name}"] = np.nan if correlation is None else correlation
        with self._writer.as_default(step=stats.epoch):
            for name, value in scalars.items():
                # A task without a label in this batch has no error; a gap in its curve says so.
                if np.isfinite(value):
                    tf.summary.scalar(name, value)
        self._writer.flush()

    def _rate(self, step: int) -> dict[str, float]:
        now, before = time.monotonic(), self._last
        self._last = step, now
        return {} if before is None else {"global_step/sec": (step - before[0]) / max(now - before[1], 1e-9)}


def _per_task(stats: TrainingEpochStats, task_names: Sequence[str]) -> dict[str, float]:
    """Name the statistics of each task as TensorBoard shows them."""
    vectors: Mapping[str, Vector | None] = {
        "absolute_mse": stats.absolute_mse,
        "relative_mae": stats.relative_mae,
        "relative_mse": stats.relative_mse,
        "absolute_mse_deltas": stats.absolute_delta_mse,
        "absolute_mae_deltas": stats.absolute_delta_mae,
    }
    named = {f"{name}_{task}": float(v) for name, vector in vectors.items() for task, v in _pairs(task_names, vector)}
    matrices: Mapping[str, Vector | None] = {
        "absolute_error_{}p": stats.absolute_error_percentiles,
        "absolute_percentage_error_{}p": stats.relative_error_percentiles,
        "absolute_error_deltas_{}p": stats.absolute_delta_error_percentiles,
    }
    for name, matrix in matrices.items():
        for rank, row in zip(stats.percentile_ranks, [] if matrix is None else matrix):
            named.update({f"{name.format(rank)}_{task}": float(value) for task, value in _pairs(task_names, row)})
    return named


def _pairs(task_names: Sequence[str], vector: Vector | None) -> Iterator[tuple[str, float]]:
    return zip(task_names, () if vector is None else vector.tolist())


def _vector(values: Vector) -> str:
    return "[" + ", ".join(_number(value) for value in values.tolist()) + "]"


def _number(value: float) -> str:
    return str(float(f"{value:.6g}")) if isinstance(value, float) else str(value)
