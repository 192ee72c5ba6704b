"""Error figures of predicted throughputs in NumPy: each function takes one task's vectors and says what it left out.

Errors are absolute (cycles per iteration) or relative. A relative error divides by the label itself, as in training
(specification 7.2); a label that is not positive has no meaningful relative error, so it is excluded and counted,
never turned into an infinity or quietly into a zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

# A resample of this many values is drawn at a time, which bounds the memory of a bootstrap to some 40 MB.
_BOOTSTRAP_CHUNK_VALUES = 2_000_000


@dataclass(frozen=True, slots=True)
class UsableRows:
    """Which blocks of one task can be judged, and why the others cannot.

    The counts and the rows of `judged` partition the blocks: num_without_label + num_invalid_label +
    num_without_prediction + judged.sum() is the number of blocks.

    Attributes:
        judged: bool [B]; the block has a finite label and a finite prediction.
        relative: bool [B]; judged, and the label is positive, so that a relative error exists.
        num_without_label: Blocks that the mask leaves out.
        num_invalid_label: Blocks whose label is NaN or infinite.
        num_without_prediction: Blocks with a label for which the model gave no finite number.
        num_nonpositive_label: Judged blocks that have no relative error because the label is zero or negative.
    """

    judged: BoolArray
    relative: BoolArray
    num_without_label: int
    num_invalid_label: int
    num_without_prediction: int
    num_nonpositive_label: int


def usable_rows(predictions: FloatArray, labels: FloatArray, mask: BoolArray) -> UsableRows:
    """Sorts the blocks of one task into those that can be judged and the reasons of the others.

    Args:
        predictions: float [B], cycles per iteration; NaN where the model gave none.
        labels: float [B], cycles per iteration.
        mask: bool [B], True where the block has a label for the task.
    """
    valid_label = mask & np.isfinite(labels)
    judged = valid_label & np.isfinite(predictions)
    relative = judged & (np.where(valid_label, labels, 0.0) > 0)
    return UsableRows(
        judged=judged,
        relative=relative,
        num_without_label=int(np.sum(~mask)),
        num_invalid_label=int(np.sum(mask & ~valid_label)),
        num_without_prediction=int(np.sum(valid_label & ~judged)),
        num_nonpositive_label=int(np.sum(judged & ~relative)),
    )


def absolute_percentage_errors(predictions: FloatArray, labels: FloatArray) -> FloatArray:
    """Gives 100 * |prediction - label| / label, in percent.

    Args:
        predictions: float [N], finite.
        labels: float [N], positive.

    Raises:
        ValueError: If a label is not positive; such rows are removed with `usable_rows` first.
    """
    if labels.size and not np.min(labels) > 0:
        raise ValueError("a relative error needs positive labels; filter with usable_rows().relative")
    return np.asarray(100.0 * np.abs(predictions - labels) / labels, dtype=np.float64)


def mean_absolute_error(predictions: FloatArray, labels: FloatArray) -> float | None:
    """Gives the mean of |prediction - label| in cycles per iteration; None without a row."""
    return float(np.mean(np.abs(predictions - labels))) if labels.size else None


def mean_squared_error(predictions: FloatArray, labels: FloatArray) -> float | None:
    """Gives the mean of (prediction - label)^2 in squared cycles; None without a row."""
    return float(np.mean(np.square(predictions - labels))) if labels.size else None


def mean_absolute_percentage_error(predictions: FloatArray, labels: FloatArray) -> float | None:
    """Gives the mean absolute percentage error (MAPE) in percent; None without a row."""
    return float(np.mean(absolute_percentage_errors(predictions, labels))) if labels.size else None


def mean_squared_percentage_error(predictions: FloatArray, labels: FloatArray) -> float | None:
    """Gives the mean of ((prediction - label) / label)^2, a fraction as in specification 7.2; None without a row."""
    if not labels.size:
        return None
    return float(np.mean(np.square(absolute_percentage_errors(predictions, labels) / 100.0)))


def nearest_percentiles(values: FloatArray, ranks: Sequence[float]) -> FloatArray:
    """Gives the percentiles of a sample by the nearest-rank rule of specification 7.5.

    Percentile r of n ascending values is the value at index round_half_to_even((n - 1) * r / 100): always a value
    of the sample, never an interpolation.

    Args:
        values: float [N], any order, N > 0.
        ranks: R percentile ranks, each from 0 to 100.

    Returns:
        float64 [R].

    Raises:
        ValueError: If a rank lies outside 0..100, or there are ranks but no values.
    """
    positions = np.asarray(ranks, dtype=np.float64)
    if positions.size and not (np.min(positions) >= 0 and np.max(positions) <= 100):
        raise ValueError(f"percentile ranks must lie in 0..100, got {list(ranks)}")
    if positions.size and not values.size:
        raise ValueError("no values to take a percentile of")
    indices = np.rint((values.size - 1) * positions / 100.0).astype(np.int64)
    return np.sort(np.asarray(values, dtype=np.float64))[indices]


def pearson_correlation(first: FloatArray, second: FloatArray) -> float | None:
    """Gives Pearson's correlation; None when it is undefined (fewer than two rows, or a constant column)."""
    if first.size < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    first_deviation = first - np.mean(first)
    second_deviation = second - np.mean(second)
    norms = float(np.linalg.norm(first_deviation) * np.linalg.norm(second_deviation))
    if norms == 0:
        return None
    return float(np.clip(np.dot(first_deviation, second_deviation) / norms, -1.0, 1.0))


def spearman_correlation(first: FloatArray, second: FloatArray) -> float | None:
    """Gives Spearman's rank correlation, ties on their average rank; None when it is undefined.

    Callers pass the rows that have a label only: upstream's summary also ranks the masked rows (specification 7.5,
    marked there as a defect).
    """
    from scipy.stats import rankdata

    if first.size < 2:
        return None
    return pearson_correlation(rankdata(first), rankdata(second))


def kendall_correlation(first: FloatArray, second: FloatArray) -> float | None:
    """Gives Kendall's tau-b, which accounts for ties; None when it is undefined."""
    from scipy.stats import kendalltau

    if first.size < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(kendalltau(first, second, variant="b").statistic)


def bootstrap_mean_interval(
    values: FloatArray, rng: np.random.Generator, num_resamples: int = 1000, confidence: float = 0.95
) -> tuple[float, float] | None:
    """Gives the percentile-bootstrap interval of a mean; None with fewer than two values.

    Args:
        values: float [N], one error a block.
        rng: Source of the resamples; the same generator state gives the same interval.
        num_resamples: How many samples of N values, drawn with replacement, to average.
        confidence: Share of the resampled means that the interval holds.

    Source: B. Efron, R. Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3.
    """
    if values.size < 2:
        return None
    means = np.empty(num_resamples, dtype=np.float64)
    chunk = max(1, _BOOTSTRAP_CHUNK_VALUES // values.size)
    for start in range(0, num_resamples, chunk):
        rows = min(chunk, num_resamples - start)
        picks = rng.integers(0, values.size, size=(rows, values.size), dtype=np.int32)
        means[start : start + rows] = np.mean(values[picks], axis=1)
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(means, [tail, 100.0 - tail])
    return float(low), float(high)
