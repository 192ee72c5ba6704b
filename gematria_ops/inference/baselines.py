"""Predictors that need no neural network: what a model has to beat before it is worth its cost.

All are fitted on the training part only, one task at a time, and predict cycles per iteration:

    median           the median label: the same number for every block
    best_constant    the constant with the least mean absolute percentage error on the training part
    linear           a weight per mnemonic and one per instruction, summed over the block, fitted for relative error

They see arrays only, so they work for any encoding of the blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from scipy.sparse import csr_array

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

# How a report describes each baseline; the keys are the names everywhere.
BASELINE_DESCRIPTIONS: Mapping[str, str] = {
    "median": "the median label of the training part, the same for every block",
    "best_constant": "the one constant with the least mean absolute percentage error on the training part",
    "linear": "linear in the number of times each mnemonic occurs and in the block's length, "
    "fitted on the training part for the least mean absolute percentage error",
}

# Residuals smaller than this share of the label count alike; below it the reweighting would divide by nearly zero.
_SMALL_RELATIVE_RESIDUAL = 1e-3
# Ridge term as a share of the mean diagonal of the normal equations: decides only what the data leave open.
_RIDGE_SHARE = 1e-6
_MAX_REWEIGHTINGS = 40


def instruction_counts(mnemonic_ids: IntArray, block_offsets: IntArray, num_mnemonics: int) -> csr_array:
    """Counts the mnemonics of each block.

    Args:
        mnemonic_ids: int [I], the mnemonic of each instruction, blocks one after the other.
        block_offsets: int [B + 1], instructions block_offsets[b]..block_offsets[b + 1] belong to block b.
        num_mnemonics: M; every id is below it.

    Returns:
        Sparse float64 [B, M + 1]: how often each mnemonic occurs, and in the last column the block's length.

    Raises:
        ValueError: If an id or the offsets do not fit.
    """
    from scipy.sparse import csr_array, hstack

    ids = np.asarray(mnemonic_ids, dtype=np.int64)
    offsets = np.asarray(block_offsets, dtype=np.int64)
    if ids.size and (ids.min() < 0 or ids.max() >= num_mnemonics):
        raise ValueError(f"mnemonic ids must lie in 0..{num_mnemonics - 1}")
    if offsets.size < 1 or offsets[0] != 0 or offsets[-1] != ids.size or np.any(np.diff(offsets) < 0):
        raise ValueError("block offsets must ascend from 0 to the number of instructions")
    # A copy: adding up duplicates rewrites ids and offsets in place, and they belong to the caller.
    counts = csr_array((np.ones(ids.size), ids, offsets), shape=(offsets.size - 1, num_mnemonics), copy=True)
    counts.sum_duplicates()
    lengths = csr_array(np.diff(offsets).astype(np.float64)[:, None])
    return csr_array(hstack([counts, lengths], format="csr"))


@dataclass(frozen=True, slots=True)
class ConstantBaseline:
    """Predicts one constant a task.

    Attributes:
        constants: float64 [K], cycles per iteration; NaN for a task without a positive training label.
    """

    constants: FloatArray

    def predict(self, num_blocks: int) -> FloatArray:
        """Gives float64 [B, K], the constants for every block."""
        return np.broadcast_to(self.constants, (num_blocks, self.constants.size)).copy()


@dataclass(frozen=True, slots=True)
class LinearBaseline:
    """Predicts a weighted sum of the instruction counts.

    Attributes:
        weights: float64 [M + 1, K], cycles per iteration for each occurrence; NaN for a task without labels.
        smallest_labels: float64 [K]; a sum below the smallest training label is raised to it, since a block cannot
            take no time or less.
    """

    weights: FloatArray
    smallest_labels: FloatArray

    def predict(self, counts: csr_array) -> FloatArray:
        """Gives float64 [B, K] for the counts [B, M + 1] of `instruction_counts`."""
        return np.maximum(np.asarray(counts @ self.weights, dtype=np.float64), self.smallest_labels)


def fit_median(labels: FloatArray, mask: BoolArray) -> ConstantBaseline:
    """Fits the median predictor.

    Args:
        labels: float [B, K], cycles per iteration of the training part.
        mask: bool [B, K], True where there is a label.
    """
    columns = [_labels_of_task(labels, mask, task) for task in range(labels.shape[1])]
    return ConstantBaseline(np.array([np.median(values) if values.size else np.nan for values in columns]))


def fit_best_constant(labels: FloatArray, mask: BoolArray) -> ConstantBaseline:
    """Fits the constant with the least mean absolute percentage error, shapes as in `fit_median`.

    sum |c - e| / e over the labels e is least at the median of the labels weighted with 1 / e, which lies below the
    plain median when large labels are rare.
    """
    columns = [_labels_of_task(labels, mask, task) for task in range(labels.shape[1])]
    return ConstantBaseline(np.array([_weighted_median(e, 1.0 / e) if e.size else np.nan for e in columns]))


def fit_linear(counts: csr_array, labels: FloatArray, mask: BoolArray) -> LinearBaseline:
    """Fits the linear baseline for the least mean absolute percentage error.

    Iteratively reweighted least squares on sum |x.w - e| / e, started from the fit of the squared relative error,
    keeping the best weights seen. Source: E. J. Schlossmacher, JASA 68 (1973), 857-859, with weights 1 / e.

    Args:
        counts: sparse float64 [B, M + 1] of `instruction_counts`.
        labels: float [B, K], cycles per iteration of the training part.
        mask: bool [B, K], True where there is a label.
    """
    num_tasks = labels.shape[1]
    weights = np.full((counts.shape[1], num_tasks), np.nan)
    smallest = np.full(num_tasks, np.nan)
    for task in range(num_tasks):
        rows = _rows_of_task(labels, mask, task)
        if rows.size:
            task_labels = labels[rows, task].astype(np.float64)
            weights[:, task] = _fit_relative_l1(counts[rows], task_labels)
            smallest[task] = task_labels.min()
    return LinearBaseline(weights, smallest)


def _rows_of_task(labels: FloatArray, mask: BoolArray, task: int) -> IntArray:
    usable = mask[:, task] & np.isfinite(labels[:, task]) & (labels[:, task] > 0)
    return np.flatnonzero(usable)


def _labels_of_task(labels: FloatArray, mask: BoolArray, task: int) -> FloatArray:
    return np.asarray(labels[_rows_of_task(labels, mask, task), task], dtype=np.float64)


def _weighted_median(values: FloatArray, weights: FloatArray) -> float:
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(cumulative, cumulative[-1] / 2.0)])


def _fit_relative_l1(counts: csr_array, labels: FloatArray) -> FloatArray:
    from scipy.sparse import dia_array

    # Dividing every row by its label turns relative errors into plain ones: fit relative @ w = 1.
    relative = dia_array((1.0 / labels[None, :], [0]), shape=(labels.size, labels.size)) @ counts
    relative = relative.tocsr()
    importance = np.ones(labels.size)
    best_error, best = np.inf, np.zeros(counts.shape[1])
    for _ in range(_MAX_REWEIGHTINGS):
        weights = _solve_weighted(relative, importance)
        residuals = np.abs(relative @ weights - 1.0)
        error = float(np.mean(residuals))
        if error < best_error * (1.0 - 1e-4):
            best_error, best = error, weights
        else:
            break
        importance = 1.0 / np.maximum(residuals, _SMALL_RELATIVE_RESIDUAL)
    return best


def _solve_weighted(features: csr_array, importance: FloatArray) -> FloatArray:
    """Solves the ridge-damped normal equations of features @ w = 1 with a weight per row."""
    from scipy.linalg import solve
    from scipy.sparse import dia_array

    scale = dia_array((importance[None, :], [0]), shape=(importance.size, importance.size))
    gram = (features.T @ (scale @ features)).toarray()
    ridge = _RIDGE_SHARE * max(float(np.mean(np.diag(gram))), np.finfo(np.float64).tiny)
    gram[np.diag_indices_from(gram)] += ridge
    return np.asarray(solve(gram, features.T @ importance, assume_a="pos"), dtype=np.float64)
