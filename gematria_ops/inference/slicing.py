"""The errors of one task cut into parts.

By block length, by label, by what the training part had seen, and by whatever cuts of the blocks the caller brings
(instruction categories, source applications).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from gematria_ops.formats.applications_csv import BlockApplications
from gematria_ops.inference import categories, metrics
from gematria_ops.inference.evaluation_report import Interval, Slice, SliceFigures, SliceGroup
from gematria_ops.inference.metrics import BoolArray, FloatArray, UsableRows

IntArray = npt.NDArray[np.int64]

# First length of each part; the last part is open.
BLOCK_LENGTHS = (1, 2, 3, 4, 6, 9, 13, 21)
# Borders between the parts, in cycles per iteration; a label on a border belongs to the upper part.
LABEL_BORDERS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
UNKNOWN_APPLICATION = "unknown"


@dataclass(frozen=True)
class Cut:
    """One way to cut blocks into parts, the same for every task.

    Attributes:
        id: Of the group, see `SliceGroup`.
        title: Heading of the group.
        explanation: What decides the part of a block, a sentence or two.
        names: P names of the parts.
        members: bool [B, P], which blocks a part holds.
        is_overlapping: Whether a block may be in several parts.
    """

    id: str
    title: str
    explanation: str
    names: tuple[str, ...]
    members: BoolArray
    is_overlapping: bool = False

    @classmethod
    def of_parts(cls, cut_id: str, title: str, explanation: str, names: Sequence[str], parts: IntArray) -> Cut:
        """Makes a cut where each block is in one part; parts is int [B], its place in names."""
        members = parts[:, None] == np.arange(len(names))[None, :]  # [B, P]
        return cls(cut_id, title, explanation, tuple(names), members)


@dataclass(frozen=True)
class TaskErrors:
    """One task's labels with the predictions of the model and of the baselines.

    Attributes:
        predictions: float64 [B], cycles per iteration.
        labels: float64 [B], cycles per iteration.
        rows: Which of the B blocks can be judged; the same for every predictor.
        baselines: Name to float64 [B]; only baselines that have a number for every judged block.
    """

    predictions: FloatArray
    labels: FloatArray
    rows: UsableRows
    baselines: Mapping[str, FloatArray]

    @classmethod
    def of_task(
        cls, predictions: FloatArray, labels: FloatArray, mask: BoolArray, baselines: Mapping[str, FloatArray]
    ) -> TaskErrors:
        """Sorts the rows by the model's predictions and drops the baselines that do not cover them."""
        rows = metrics.usable_rows(predictions, labels, mask)
        covering = {name: values for name, values in baselines.items() if np.isfinite(values[rows.judged]).all()}
        return cls(predictions, labels, rows, covering)

    def percentage_errors(self, predictions: FloatArray) -> FloatArray:
        """Gives the absolute percentage errors of a predictor over the relative rows, float64 [N]."""
        relative = self.rows.relative
        return metrics.absolute_percentage_errors(predictions[relative], self.labels[relative])


def slice_groups(
    errors: TaskErrors, cuts: Sequence[Cut], rng: np.random.Generator, num_resamples: int
) -> tuple[SliceGroup, ...]:
    """Cuts a task's relative errors into all groups of parts; parts without a block are left out.

    Args:
        errors: The task.
        cuts: How; see `length_cut` and the others.
        rng: Source of the bootstrap.
        num_resamples: Size of the bootstrap.
    """
    cutter = _Cutter(errors, rng, num_resamples)
    return tuple(cutter.group(cut) for cut in cuts)


def length_cut(num_instructions: IntArray) -> Cut:
    """Cuts by the number of instructions, int [B]."""
    parts = np.searchsorted(BLOCK_LENGTHS, num_instructions, side="right")
    return Cut.of_parts("block_length", "By block length", "Instructions in the block.", _length_names(), parts)


def label_cut(labels: FloatArray) -> Cut:
    """Cuts by the label, float [B] in cycles per iteration; the only cut that differs between tasks."""
    parts = np.searchsorted(LABEL_BORDERS, labels, side="right")
    explanation = "Label of the block, in cycles per iteration."
    return Cut.of_parts("label_range", "By expected throughput", explanation, _label_names(), parts)


def seen_cut(seen_in_training: BoolArray) -> Cut:
    """Cuts by whether the training part holds the same token sequence, bool [B]."""
    return Cut.of_parts(
        "token_sequence",
        "By what training had seen",
        "A block is seen when some training block has the same token sequence: the same instructions and "
        "registers, differing at most in immediates, displacements and scales.",
        ("token sequence unseen", "token sequence seen"),
        seen_in_training.astype(np.int64),
    )


def category_cuts(category_numbers: IntArray, block_offsets: IntArray) -> tuple[Cut, Cut]:
    """Cuts by instruction category, overlapping, and by the dominant one; see `categories`.

    Args:
        category_numbers: int64 [I], `Category.number` of each instruction, blocks one after the other.
        block_offsets: int64 [B + 1], where each block's instructions begin and end.
    """
    members, dominant = categories.block_categories(category_numbers, block_offsets)
    return (
        Cut.of_parts(
            "dominant_category",
            "By dominant instruction category",
            "The most frequent category of the block's instructions; each block is in one part. A scalar integer "
            "instruction that accesses memory counts as load, store, or load and store here.",
            categories.DOMINANT_NAMES,
            dominant,
        ),
        Cut(
            "instruction_category",
            "By instruction category",
            "A block is in every part of which it has an instruction, so the parts overlap.",
            categories.CATEGORY_NAMES,
            members,
            is_overlapping=True,
        ),
    )


def application_cut(applications: BlockApplications, file_name: str) -> Cut:
    """Cuts by source application; blocks that the file does not name are the last part, `unknown`."""
    names = (*(name for name in applications.names if name != UNKNOWN_APPLICATION), UNKNOWN_APPLICATION)
    place = {name: index for index, name in enumerate(names)}
    members = np.zeros((len(applications.of_block), len(names)), dtype=np.bool_)
    for row, found in enumerate(applications.of_block):
        members[row, [place[name] for name in found or {UNKNOWN_APPLICATION}]] = True
    lost = ", ".join(f"{count:,d} {reason}" for reason, count in sorted(applications.unusable.items()))
    explanation = (
        f"The applications that {file_name} names for the block; one that several have is in each of their parts. "
        f"The file has {applications.num_rows:,d} rows, {f'of which unusable: {lost}' if lost else 'all usable'}."
    )
    return Cut("application", "By source application", explanation, names, members, is_overlapping=True)


class _Cutter:
    """Makes groups of parts from one task's errors."""

    def __init__(self, errors: TaskErrors, rng: np.random.Generator, num_resamples: int) -> None:
        self._relative = errors.rows.relative
        self._model = errors.percentage_errors(errors.predictions)
        self._baselines = {name: errors.percentage_errors(values) for name, values in errors.baselines.items()}
        self._rng = rng
        self._num_resamples = num_resamples

    def group(self, cut: Cut) -> SliceGroup:
        """Makes one group."""
        members = cut.members[self._relative]  # [N, P]
        slices = tuple(
            self._slice(name, members[:, part]) for part, name in enumerate(cut.names) if members[:, part].any()
        )
        return SliceGroup(
            id=cut.id,
            title=cut.title,
            explanation=cut.explanation,
            is_overlapping=cut.is_overlapping,
            slices=slices,
        )

    def _slice(self, name: str, members: BoolArray) -> Slice:
        bounds = metrics.bootstrap_mean_interval(self._model[members], self._rng, self._num_resamples)
        return Slice(
            name=name,
            num_blocks=int(members.sum()),
            model=_figures(self._model[members], None if bounds is None else Interval(low=bounds[0], high=bounds[1])),
            baselines={key: _figures(values[members], None) for key, values in self._baselines.items()},
        )


def _length_names() -> list[str]:
    names = ["no instruction"]
    for first, after in zip(BLOCK_LENGTHS, (*BLOCK_LENGTHS[1:], None), strict=True):
        if after is None:
            names.append(f"{first}+")
        else:
            names.append(str(first) if after == first + 1 else f"{first}–{after - 1}")
    return names


def _label_names() -> list[str]:
    borders = [f"{border:g}" for border in LABEL_BORDERS]
    middle = [f"{low} to {high}" for low, high in pairwise(borders)]
    return [f"below {borders[0]}", *middle, f"{borders[-1]} and more"]


def _figures(percentage_errors: FloatArray, interval: Interval | None) -> SliceFigures:
    quartile_1, median, quartile_3, rank_90 = metrics.nearest_percentiles(percentage_errors, (25, 50, 75, 90)).tolist()
    return SliceFigures(
        mape_percent=float(percentage_errors.mean()),
        mape_interval=interval,
        quartile_1_percent=quartile_1,
        median_percent=median,
        quartile_3_percent=quartile_3,
        percentile_90_percent=rank_90,
    )
