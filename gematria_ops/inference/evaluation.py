"""Predictions against labels on held-out blocks: every figure of the report, from arrays alone.

A baseline is judged on exactly the blocks that the model is judged on, so the two figures always compare. What
cannot be judged is counted by reason in the report.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from gematria_ops.inference import metrics
from gematria_ops.inference.baselines import BASELINE_DESCRIPTIONS
from gematria_ops.inference.evaluation_report import (
    CurveSeries,
    DatasetDescription,
    Density,
    ErrorCurve,
    ErrorSummary,
    EvaluationReport,
    Interval,
    ModelDescription,
    Percentile,
    Provenance,
    TaskCounts,
    TaskReport,
    TaskValue,
    WorstBlock,
)
from gematria_ops.inference.metrics import BoolArray, FloatArray
from gematria_ops.inference.slicing import Cut, TaskErrors, label_cut, length_cut, seen_cut, slice_groups
from ops_common.seeding import stream

PERCENTILE_RANKS = (10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0)
CURVE_RANKS = tuple(float(rank) for rank in range(101))

_BINS_PER_DECADE = 16
# The axes reach this factor beyond the labels; a prediction further out is drawn on the border and counted.
_PREDICTION_MARGIN = 2.0


@dataclass(frozen=True)
class HeldOutBlocks:
    """The blocks of one split, in any fixed order.

    Attributes:
        labels: float [B, K], cycles per iteration.
        mask: bool [B, K], True where there is a label.
        num_instructions: int [B].
        fingerprints: B digests of the machine code.
        machine_codes: B strings of lower-case hex.
        assembly: From a block's index to the text of its instructions; asked for the worst blocks only.
        seen_in_training: bool [B], whether the training part holds the same token sequence; None when not known.
        token_sequences: B keys, equal where the token sequences are; empty when not known.
        cuts: Further ways to cut the blocks into parts.
    """

    labels: FloatArray
    mask: BoolArray
    num_instructions: np.ndarray[tuple[int], np.dtype[np.int64]]
    fingerprints: Sequence[str]
    machine_codes: Sequence[str]
    assembly: Callable[[int], Sequence[str]]
    seen_in_training: BoolArray | None = None
    token_sequences: Sequence[Hashable] = ()
    cuts: Sequence[Cut] = ()

    def cuts_of_blocks(self) -> tuple[Cut, ...]:
        """Gives the cuts into parts that are the same for every task."""
        seen = [] if self.seen_in_training is None else [seen_cut(self.seen_in_training)]
        return (length_cut(self.num_instructions), *seen, *self.cuts)


@dataclass(frozen=True)
class EvaluationSettings:
    """How the figures are made."""

    seed: int = 0
    num_resamples: int = 1000
    num_worst_blocks: int = 20


def evaluate(
    predictions: FloatArray,
    blocks: HeldOutBlocks,
    task_names: Sequence[str],
    *,
    baselines: Mapping[str, FloatArray],
    dataset: DatasetDescription,
    model: ModelDescription,
    provenance: Provenance,
    sources: Sequence[str] = (),
    learning_curves: Sequence[CurveSeries] = (),
    settings: EvaluationSettings | None = None,
) -> EvaluationReport:
    """Makes the report of one model on one split.

    Args:
        predictions: float [B, K], cycles per iteration; NaN where the model gave none.
        blocks: What was predicted.
        task_names: K names, one for each column.
        baselines: Name to predictions, float [B, K]; a column of NaN means that the baseline has no such task.
        dataset: Which data the blocks are.
        model: Which model made the predictions.
        provenance: How the predictions were made; its seed and num_resamples are set from `settings`.
        sources: K source strings of the labels, or none.
        learning_curves: Copied into the report.
        settings: Seed and sizes; None takes the defaults.

    Raises:
        ValueError: If the shapes do not agree.
    """
    settings = settings or EvaluationSettings()
    expected = (len(blocks.fingerprints), len(task_names))
    _check_shapes(predictions, blocks, baselines, expected)
    edges = _density_edges(blocks.labels[blocks.mask])
    length, *others = blocks.cuts_of_blocks()
    tasks = []
    for index, name in enumerate(task_names):
        columns = {key: values[:, index].astype(np.float64) for key, values in baselines.items()}
        errors = TaskErrors.of_task(
            predictions[:, index].astype(np.float64),
            blocks.labels[:, index].astype(np.float64),
            blocks.mask[:, index],
            columns,
        )
        rng = stream(settings.seed, "bootstrap", name)
        source = sources[index] if sources else ""
        cuts = (length, label_cut(errors.labels), *others)
        tasks.append(_task_report(name, source, errors, cuts, edges, rng, settings))
    return EvaluationReport(
        dataset=dataset,
        model=model,
        tasks=tuple(tasks),
        baseline_descriptions={name: BASELINE_DESCRIPTIONS.get(name, name) for name in baselines},
        worst_blocks=_worst_blocks(predictions, blocks, task_names, settings.num_worst_blocks),
        learning_curves=tuple(learning_curves),
        provenance=provenance.model_copy(
            update={"seed": settings.seed, "num_resamples": settings.num_resamples},
        ),
    )


def _check_shapes(
    predictions: FloatArray, blocks: HeldOutBlocks, baselines: Mapping[str, FloatArray], expected: tuple[int, int]
) -> None:
    arrays = {"predictions": predictions, "labels": blocks.labels, "mask": blocks.mask} | {
        f"baseline {name}": values for name, values in baselines.items()
    }
    for name, values in arrays.items():
        if values.shape != expected:
            raise ValueError(f"{name} must have shape [blocks, tasks] = {expected}, got {values.shape}")
    vectors = {"num_instructions": len(blocks.num_instructions), "machine_codes": len(blocks.machine_codes)}
    if blocks.token_sequences:
        vectors["token_sequences"] = len(blocks.token_sequences)
    if blocks.seen_in_training is not None:
        vectors["seen_in_training"] = len(blocks.seen_in_training)
    vectors |= {f"cut {cut.id}": len(cut.members) for cut in blocks.cuts}
    for name, length in vectors.items():
        if length != expected[0]:
            raise ValueError(f"{name} must have one entry for each of the {expected[0]} blocks, got {length}")


def _task_report(
    name: str,
    source: str,
    errors: TaskErrors,
    cuts: Sequence[Cut],
    edges: FloatArray,
    rng: np.random.Generator,
    settings: EvaluationSettings,
) -> TaskReport:
    rows = errors.rows
    counts = TaskCounts(
        num_judged=int(rows.judged.sum()),
        num_without_label=rows.num_without_label,
        num_invalid_label=rows.num_invalid_label,
        num_without_prediction=rows.num_without_prediction,
        num_relative=int(rows.relative.sum()),
        num_nonpositive_label=rows.num_nonpositive_label,
    )
    return TaskReport(
        name=name,
        source=source,
        counts=counts,
        model=summarize_errors(errors.predictions, errors, rng, settings.num_resamples),
        baselines={
            key: summarize_errors(values, errors, rng, settings.num_resamples)
            for key, values in errors.baselines.items()
        },
        slice_groups=slice_groups(errors, cuts, rng, settings.num_resamples),
        density=_density(errors, edges),
        error_curve=_error_curve(errors),
    )


def summarize_errors(
    predictions: FloatArray, errors: TaskErrors, rng: np.random.Generator, num_resamples: int
) -> ErrorSummary:
    """Gives all figures of one predictor on one task.

    Args:
        predictions: float [B]; judged on the rows of `errors`.
        errors: The task's labels and rows.
        rng: Source of the bootstrap.
        num_resamples: Size of the bootstrap.
    """
    judged, relative = errors.rows.judged, errors.rows.relative
    predicted, expected = predictions[judged], errors.labels[judged]
    percentage = metrics.absolute_percentage_errors(predictions[relative], errors.labels[relative])
    return ErrorSummary(
        mape_percent=float(percentage.mean()) if percentage.size else None,
        mape_interval=to_interval(metrics.bootstrap_mean_interval(percentage, rng, num_resamples)),
        mae_cycles_per_iteration=metrics.mean_absolute_error(predicted, expected),
        mse_squared_cycles=metrics.mean_squared_error(predicted, expected),
        mspe=metrics.mean_squared_percentage_error(predictions[relative], errors.labels[relative]),
        percentage_error_percentiles=_percentiles(percentage),
        absolute_error_percentiles=_percentiles(np.abs(predicted - expected)),
        kendall_tau=metrics.kendall_correlation(predicted, expected),
        spearman=metrics.spearman_correlation(predicted, expected),
        pearson=metrics.pearson_correlation(predicted, expected),
    )


def to_interval(bounds: tuple[float, float] | None) -> Interval | None:
    """Turns the bounds of a 95 % bootstrap into a record."""
    return None if bounds is None else Interval(low=bounds[0], high=bounds[1])


def _percentiles(values: FloatArray) -> tuple[Percentile, ...]:
    if not values.size:
        return ()
    found = metrics.nearest_percentiles(values, PERCENTILE_RANKS)
    return tuple(Percentile(rank=rank, value=float(value)) for rank, value in zip(PERCENTILE_RANKS, found, strict=True))


def _error_curve(errors: TaskErrors) -> ErrorCurve | None:
    if not errors.rows.relative.any():
        return None

    def curve(values: FloatArray) -> tuple[float, ...]:
        return tuple(metrics.nearest_percentiles(errors.percentage_errors(values), CURVE_RANKS).tolist())

    return ErrorCurve(
        ranks=CURVE_RANKS,
        model_percent=curve(errors.predictions),
        baselines_percent={key: curve(values) for key, values in errors.baselines.items()},
    )


def _density_edges(labels: FloatArray) -> FloatArray:
    """Gives logarithmic bin edges around the positive labels; none without a positive label."""
    usable = labels[np.isfinite(labels) & (labels > 0)]
    if not usable.size:
        return np.empty(0)
    low = np.floor(np.log10(usable.min() / _PREDICTION_MARGIN) * _BINS_PER_DECADE)
    high = np.ceil(np.log10(usable.max() * _PREDICTION_MARGIN) * _BINS_PER_DECADE)
    return np.asarray(10.0 ** (np.arange(low, high + 1) / _BINS_PER_DECADE), dtype=np.float64)


def _density(errors: TaskErrors, edges: FloatArray) -> Density | None:
    relative = errors.rows.relative
    if not relative.any():
        return None
    labels, predictions = errors.labels[relative], errors.predictions[relative]
    inside = np.clip(predictions, edges[0], edges[-1])
    last = edges.size - 2
    label_bins = np.clip(np.searchsorted(edges, labels, side="right") - 1, 0, last)
    prediction_bins = np.clip(np.searchsorted(edges, inside, side="right") - 1, 0, last)
    pairs, numbers = np.unique(np.stack([label_bins, prediction_bins], axis=1), axis=0, return_counts=True)
    return Density(
        edges_cycles_per_iteration=tuple(edges.tolist()),
        cells=tuple((int(x), int(y), int(n)) for (x, y), n in zip(pairs, numbers, strict=True)),
        num_clipped=int(np.sum(inside != predictions)),
    )


def _worst_blocks(
    predictions: FloatArray, blocks: HeldOutBlocks, task_names: Sequence[str], num_worst: int
) -> tuple[WorstBlock, ...]:
    usable = blocks.mask & np.isfinite(blocks.labels) & np.isfinite(predictions)
    usable &= np.where(usable, blocks.labels, 0) > 0
    labels = np.where(usable, blocks.labels, 1.0).astype(np.float64)
    percentage = np.where(usable, 100.0 * np.abs(predictions - labels) / labels, -1.0)  # [B, K]
    largest = percentage.max(axis=1, initial=-1.0)  # [B]
    # Ties in the order of the fingerprints, so that the list does not depend on the order of the file.
    order = sorted(
        np.flatnonzero(largest >= 0).tolist(), key=lambda index: (-largest[index], blocks.fingerprints[index])
    )
    return tuple(
        WorstBlock(
            fingerprint=blocks.fingerprints[index],
            machine_code=blocks.machine_codes[index],
            assembly=tuple(blocks.assembly(index)),
            num_instructions=int(blocks.num_instructions[index]),
            seen_in_training=None if blocks.seen_in_training is None else bool(blocks.seen_in_training[index]),
            values=tuple(
                TaskValue(
                    task=name,
                    label=float(labels[index, task]),
                    prediction=float(predictions[index, task]),
                    percentage_error=float(percentage[index, task]),
                )
                for task, name in enumerate(task_names)
                if usable[index, task]
            ),
        )
        for index in islice(_first_of_each_sequence(order, blocks.token_sequences), num_worst)
    )


def _first_of_each_sequence(order: Iterable[int], token_sequences: Sequence[Hashable]) -> Iterator[int]:
    """Leaves out blocks that a model cannot tell from an earlier one; they would fill the list with one mistake."""
    met: set[Hashable] = set()
    for index in order:
        key = token_sequences[index] if token_sequences else index
        if key not in met:
            met.add(key)
            yield index
