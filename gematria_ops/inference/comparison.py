"""Two models on the same held-out blocks: differences of their errors with paired bootstrap intervals.

compare_tasks    for every task: errors of both, their difference, the difference on every part of the blocks
changed_blocks   the blocks whose error changed most

The bootstrap is paired: a resample draws blocks, and with a block the errors of both models on it, so what makes a
block hard for both does not widen the interval. That is the bootstrap of the mean of the differences, block by block.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gematria_ops.inference import metrics
from gematria_ops.inference.comparison_report import (
    ChangedBlock,
    ChangedValue,
    ComparedCounts,
    Difference,
    GroupDifference,
    ModelErrors,
    PartDifference,
    TaskComparison,
)
from gematria_ops.inference.metrics import FloatArray
from gematria_ops.inference.pairing import PairedBlocks
from gematria_ops.inference.slicing import Cut, label_cut
from ops_common.errors import DataError
from ops_common.seeding import stream


def compare_tasks(
    blocks: PairedBlocks, seed: int, num_resamples: int, confidence: float = 0.95
) -> tuple[TaskComparison, ...]:
    """Compares the two models task by task.

    Args:
        blocks: What both predicted.
        seed: Of the bootstrap; each task has its own stream.
        num_resamples: Size of the bootstrap.
        confidence: Share of the resampled differences that the intervals hold.
    """
    bootstrap = _Bootstrap(seed, num_resamples, confidence)
    first, second = blocks.percentage_errors(blocks.first), blocks.percentage_errors(blocks.second)
    return tuple(
        _compare_task(blocks, task, first[:, task], second[:, task], bootstrap)
        for task in range(len(blocks.task_names))
    )


@dataclass(frozen=True, slots=True)
class _Bootstrap:
    """How the intervals are made."""

    seed: int
    num_resamples: int
    confidence: float

    def interval(self, changes: FloatArray, rng: np.random.Generator) -> tuple[float, float] | None:
        return metrics.bootstrap_mean_interval(changes, rng, self.num_resamples, self.confidence)


def _compare_task(
    blocks: PairedBlocks, task: int, first: FloatArray, second: FloatArray, bootstrap: _Bootstrap
) -> TaskComparison:
    compared = np.isfinite(first)
    rng = stream(bootstrap.seed, "comparison", blocks.task_names[task])
    whole = _difference(first[compared], second[compared], rng, bootstrap)
    groups = [
        GroupDifference(
            id=cut.id,
            title=cut.title,
            explanation=cut.explanation,
            is_overlapping=cut.is_overlapping,
            parts=_part_differences(cut, first, second, rng, bootstrap),
        )
        for cut in (*blocks.cuts, label_cut(blocks.labels[:, task]))
    ]
    labels = blocks.labels[compared, task]
    return TaskComparison(
        name=blocks.task_names[task],
        source=blocks.sources[task] if blocks.sources else "",
        counts=_counts(blocks, task, int(compared.sum())),
        first=_errors(blocks.first[compared, task], labels, first[compared]),
        second=_errors(blocks.second[compared, task], labels, second[compared]),
        difference=whole,
        groups=tuple(groups),
    )


def _part_differences(
    cut: Cut, first: FloatArray, second: FloatArray, rng: np.random.Generator, bootstrap: _Bootstrap
) -> tuple[PartDifference, ...]:
    """Compares the two on each part that has a block; percentage errors, float64 [B], NaN where not compared."""
    parts = []
    for part, name in enumerate(cut.names):
        members = cut.members[:, part] & np.isfinite(first)
        difference = _difference(first[members], second[members], rng, bootstrap)
        if difference is not None:
            parts.append(PartDifference(name=name, difference=difference))
    return tuple(parts)


def _difference(
    first: FloatArray, second: FloatArray, rng: np.random.Generator, bootstrap: _Bootstrap
) -> Difference | None:
    """Compares percentage errors, float64 [N] each; None without a block."""
    if not first.size:
        return None
    changes = second - first
    bounds = bootstrap.interval(changes, rng)
    return Difference(
        num_blocks=first.size,
        first_mape_percent=float(first.mean()),
        second_mape_percent=float(second.mean()),
        mape_points=float(changes.mean()),
        low=bounds[0] if bounds else None,
        high=bounds[1] if bounds else None,
        better_share=float(np.mean(changes < 0)),
        worse_share=float(np.mean(changes > 0)),
        equal_share=float(np.mean(changes == 0)),
    )


def _errors(predictions: FloatArray, labels: FloatArray, percentage: FloatArray) -> ModelErrors:
    return ModelErrors(
        mape_percent=float(percentage.mean()) if percentage.size else None,
        median_percent=float(metrics.nearest_percentiles(percentage, (50,))[0]) if percentage.size else None,
        mae_cycles_per_iteration=metrics.mean_absolute_error(predictions, labels),
        kendall_tau=metrics.kendall_correlation(predictions, labels),
        spearman=metrics.spearman_correlation(predictions, labels),
        pearson=metrics.pearson_correlation(predictions, labels),
    )


def _counts(blocks: PairedBlocks, task: int, num_compared: int) -> ComparedCounts:
    mask, labels = blocks.mask[:, task], blocks.labels[:, task]
    usable = mask & np.isfinite(labels) & (np.where(mask, labels, 0.0) > 0)
    by_first, by_second = np.isfinite(blocks.first[:, task]), np.isfinite(blocks.second[:, task])
    return ComparedCounts(
        num_compared=num_compared,
        num_without_label=int(np.sum(~mask)),
        num_unusable_label=int(np.sum(mask & ~usable)),
        num_unpredicted_by_first=int(np.sum(usable & ~by_first & by_second)),
        num_unpredicted_by_second=int(np.sum(usable & by_first & ~by_second)),
        num_unpredicted_by_both=int(np.sum(usable & ~by_first & ~by_second)),
    )


def changed_blocks(blocks: PairedBlocks, num_shown: int) -> tuple[tuple[ChangedBlock, ...], tuple[ChangedBlock, ...]]:
    """Gives the blocks whose error fell most, and those whose error rose most, by their largest change in any task.

    Of several blocks with the same token sequence only the first is given: a model cannot tell them apart.
    """
    first, second = blocks.percentage_errors(blocks.first), blocks.percentage_errors(blocks.second)
    changes = np.where(np.isfinite(first), second - first, 0.0)  # [B, K]
    found = []
    for sizes in (-changes.min(axis=1), changes.max(axis=1)):
        # Ties in the order of the fingerprints, so that the list does not depend on the order of the file.
        order = sorted(np.flatnonzero(sizes > 0).tolist(), key=lambda row: (-sizes[row], blocks.fingerprints[row]))
        met: set[int] = set()
        shown: list[int] = []
        for row in order:
            if len(shown) < num_shown and blocks.token_sequence_ids[row] not in met:
                met.add(blocks.token_sequence_ids[row])
                shown.append(row)
        found.append(tuple(_changed_block(blocks, row, first[row], second[row]) for row in shown))
    return found[0], found[1]


def _changed_block(blocks: PairedBlocks, row: int, first: FloatArray, second: FloatArray) -> ChangedBlock:
    code = blocks.machine_codes[row]
    values = tuple(
        ChangedValue(
            task=name,
            label=float(blocks.labels[row, task]),
            first=float(blocks.first[row, task]),
            second=float(blocks.second[row, task]),
            first_error_percent=float(first[task]),
            second_error_percent=float(second[task]),
        )
        for task, name in enumerate(blocks.task_names)
        if np.isfinite(first[task])
    )
    return ChangedBlock(
        fingerprint=blocks.fingerprints[row], machine_code=code, assembly=_assembly(code), values=values
    )


def _assembly(machine_code: str) -> tuple[str, ...]:
    from gematria_ops.blocks.decoding import decode_block

    try:
        return tuple(part.assembly.strip() for part in decode_block(bytes.fromhex(machine_code)))
    except DataError:
        return ()  # a block of another importer; the page shows its bytes
