"""Two evaluations brought together: the blocks that both have, in one order, with the predictions of both models.

What cannot be compared is refused by name (other tasks, other labels) or counted (blocks that only one has).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from gematria_ops.inference.metrics import BoolArray, FloatArray
from gematria_ops.inference.predictions_file import BlockPredictions
from gematria_ops.inference.slicing import Cut
from ops_common.errors import ConfigError, DataError

IntArray = npt.NDArray[np.int64]

_REFUSED = "compare models of the same tasks, evaluated on the same data set"


@dataclass(frozen=True)
class PairedBlocks:
    """The blocks that two evaluations have in common, in the order of the first.

    Attributes:
        first: float64 [B, K], predictions of the first model, cycles per iteration; NaN where it gave none.
        second: float64 [B, K], those of the second.
        labels: float64 [B, K], cycles per iteration.
        mask: bool [B, K], True where there is a label.
        task_names: K names.
        sources: K source strings of the labels, '' where they are not known.
        fingerprints: B digests.
        machine_codes: B strings of lower-case hex, '' where they are not known.
        token_sequence_ids: B numbers, equal where a model cannot tell the blocks apart.
        cuts: Ways to cut the blocks into parts.
        cuts_left_out: Title of a cut to why it is not used.
        num_repeated: How many blocks each evaluation has more than once.
        num_alone: How many blocks only that evaluation has.
    """

    first: FloatArray
    second: FloatArray
    labels: FloatArray
    mask: BoolArray
    task_names: tuple[str, ...]
    sources: tuple[str, ...]
    fingerprints: Sequence[str]
    machine_codes: Sequence[str]
    token_sequence_ids: Sequence[int]
    cuts: tuple[Cut, ...]
    cuts_left_out: dict[str, str]
    num_repeated: tuple[int, int]
    num_alone: tuple[int, int]

    def percentage_errors(self, predictions: FloatArray) -> FloatArray:
        """Gives the absolute percentage errors, float64 [B, K]; NaN where a block cannot be compared."""
        compared = self.compared()
        labels = np.where(compared, self.labels, 1.0)
        return np.where(compared, 100.0 * np.abs(predictions - labels) / labels, np.nan)

    def compared(self) -> BoolArray:
        """Says which blocks can be compared, bool [B, K]: a positive label, and a prediction of both models."""
        usable = self.mask & np.isfinite(self.labels) & (np.where(self.mask, self.labels, 0.0) > 0)
        return np.asarray(usable & np.isfinite(self.first) & np.isfinite(self.second))


def pair_blocks(first: BlockPredictions, second: BlockPredictions) -> PairedBlocks:
    """Matches the blocks of two evaluations by their fingerprints.

    A block that an evaluation has twice counts once, with its first row.

    Raises:
        ConfigError: The evaluations have other tasks, or other labels for a common block.
        DataError: They have no block in common.
    """
    _check_tasks(first, second)
    columns = [second.task_names.index(name) for name in first.task_names]
    rows_of_first, rows_of_second = _first_rows(first.fingerprints), _first_rows(second.fingerprints)
    common = [fingerprint for fingerprint in rows_of_first if fingerprint in rows_of_second]
    if not common:
        raise DataError("the two evaluations have no block in common", _REFUSED)
    rows = np.array([rows_of_first[fingerprint] for fingerprint in common])
    other_rows = np.array([rows_of_second[fingerprint] for fingerprint in common])
    _check_labels(
        first.task_names,
        common,
        np.where(first.mask, first.labels, np.nan)[rows],
        np.where(second.mask, second.labels, np.nan)[other_rows][:, columns],
    )
    cuts, left_out = _common_cuts(first.cuts, second.cuts, rows, other_rows)
    codes = [first.machine_codes[row] for row in rows] if first.machine_codes else [""] * len(common)
    ids = [first.token_sequence_ids[row] for row in rows] if first.token_sequence_ids else range(len(common))
    return PairedBlocks(
        first=first.predictions[rows],
        second=second.predictions[other_rows][:, columns],
        labels=first.labels[rows],
        mask=first.mask[rows],
        task_names=first.task_names,
        sources=first.sources or tuple(second.sources[column] for column in columns if second.sources),
        fingerprints=common,
        machine_codes=codes,
        token_sequence_ids=ids,
        cuts=cuts,
        cuts_left_out=left_out,
        num_repeated=(len(first.fingerprints) - len(rows_of_first), len(second.fingerprints) - len(rows_of_second)),
        num_alone=(len(rows_of_first) - len(common), len(rows_of_second) - len(common)),
    )


def only_tasks(blocks: BlockPredictions, names: Sequence[str] | None) -> BlockPredictions:
    """The predictions of some tasks, in the order that they have; all of them for None.

    Raises:
        ConfigError: There is no such task.
    """
    if names is None:
        return blocks
    missing = [name for name in names if name not in blocks.task_names]
    if missing:
        raise ConfigError(f"the evaluation has no task {', '.join(map(repr, missing))}", _REFUSED)
    columns = [index for index, name in enumerate(blocks.task_names) if name in names]
    return replace(
        blocks,
        predictions=blocks.predictions[:, columns],
        labels=blocks.labels[:, columns],
        mask=blocks.mask[:, columns],
        task_names=tuple(blocks.task_names[column] for column in columns),
        sources=tuple(blocks.sources[column] for column in columns if blocks.sources),
    )


def _check_tasks(first: BlockPredictions, second: BlockPredictions) -> None:
    alone = {
        "first": [name for name in first.task_names if name not in second.task_names],
        "second": [name for name in second.task_names if name not in first.task_names],
    }
    said = [f"only the {which} has {', '.join(map(repr, names))}" for which, names in alone.items() if names]
    if said:
        raise ConfigError(f"the two evaluations are of different tasks: {'; '.join(said)}", _REFUSED)
    for name, source in zip(first.task_names, first.sources, strict=False):
        other = second.sources[second.task_names.index(name)] if second.sources else source
        if source and other and source != other:
            raise ConfigError(
                f"task {name!r} has labels of {source!r} in the first evaluation, of {other!r} in the second", _REFUSED
            )


def _first_rows(fingerprints: Sequence[str]) -> dict[str, int]:
    rows: dict[str, int] = {}
    for row, fingerprint in enumerate(fingerprints):
        rows.setdefault(fingerprint, row)
    return rows


def _check_labels(
    task_names: Sequence[str], fingerprints: Sequence[str], first: FloatArray, second: FloatArray
) -> None:
    """Compares labels, float64 [B, K] with NaN where there is none."""
    differs = ~((first == second) | (np.isnan(first) & np.isnan(second)))  # [B, K]
    for task, name in enumerate(task_names):
        found = np.flatnonzero(differs[:, task])
        if found.size:
            block = int(found[0])
            values = [
                "none" if np.isnan(value) else f"{value:g} cycles"
                for value in (first[block, task], second[block, task])
            ]
            raise ConfigError(
                f"the labels of task {name!r} differ for {found.size:,d} of {len(fingerprints):,d} common blocks: "
                f"block {fingerprints[block]} has {values[0]} in the first evaluation, {values[1]} in the second",
                _REFUSED,
            )


def _common_cuts(
    first: Sequence[Cut], second: Sequence[Cut], rows: IntArray, other_rows: IntArray
) -> tuple[tuple[Cut, ...], dict[str, str]]:
    """Takes the cuts that either evaluation has, unless both have one and it cuts the common blocks differently."""
    cuts, left_out = [], {}
    others = {cut.id: cut for cut in second}
    for cut in first:
        cut_here = replace(cut, members=cut.members[rows])
        other = others.pop(cut.id, None)
        if other is not None and not _same_parts(cut_here, replace(other, members=other.members[other_rows])):
            left_out[cut.title] = "the two evaluations cut the blocks differently"
            continue
        cuts.append(cut_here)
    cuts += [replace(cut, members=cut.members[other_rows]) for cut in others.values()]
    return tuple(cuts), left_out


def _same_parts(first: Cut, second: Cut) -> bool:
    return first.names == second.names and bool(np.array_equal(first.members, second.members))
