"""The errors of one task cut into parts: by block length, by label, and by what the training part had seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from gematria_ops.inference import metrics
from gematria_ops.inference.evaluation_report import Interval, Slice, SliceFigures, SliceGroup
from gematria_ops.inference.metrics import BoolArray, FloatArray, UsableRows

IntArray = npt.NDArray[np.int64]

# First length of each part; the last part is open.
BLOCK_LENGTHS = (1, 2, 3, 4, 6, 9, 13, 21)
# Borders between the parts, in cycles per iteration; a label on a border belongs to the upper part.
LABEL_BORDERS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)


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
    errors: TaskErrors,
    num_instructions: IntArray,
    seen_in_training: BoolArray | None,
    rng: np.random.Generator,
    num_resamples: int,
) -> tuple[SliceGroup, ...]:
    """Cuts a task's relative errors into all groups of parts; parts without a block are left out.

    Args:
        errors: The task.
        num_instructions: int [B].
        seen_in_training: bool [B], or None when it is not known; then there is no such group.
        rng: Source of the bootstrap.
        num_resamples: Size of the bootstrap.
    """
    cut = _Cutter(errors, rng, num_resamples)
    groups = [
        cut.group(
            "block_length",
            "By block length",
            "Instructions in the block.",
            _length_names(),
            np.searchsorted(BLOCK_LENGTHS, num_instructions, side="right"),
        ),
        cut.group(
            "label_range",
            "By expected throughput",
            "Label of the block, in cycles per iteration.",
            _label_names(),
            np.searchsorted(LABEL_BORDERS, errors.labels, side="right"),
        ),
    ]
    if seen_in_training is not None:
        groups.append(
            cut.group(
                "token_sequence",
                "By what training had seen",
                "A block is seen when some training block has the same token sequence: the same instructions and "
                "registers, differing at most in immediates, displacements and scales.",
                ("token sequence unseen", "token sequence seen"),
                seen_in_training.astype(np.int64),
            )
        )
    return tuple(groups)


class _Cutter:
    """Makes groups of parts from one task's errors."""

    def __init__(self, errors: TaskErrors, rng: np.random.Generator, num_resamples: int) -> None:
        self._relative = errors.rows.relative
        self._model = errors.percentage_errors(errors.predictions)
        self._baselines = {name: errors.percentage_errors(values) for name, values in errors.baselines.items()}
        self._rng = rng
        self._num_resamples = num_resamples

    def group(self, group_id: str, title: str, explanation: str, names: Sequence[str], parts: IntArray) -> SliceGroup:
        """Makes one group; parts is int [B], the position of each block's part in names."""
        slices = []
        for part, name in enumerate(names):
            members = parts[self._relative] == part
            if members.any():
                slices.append(self._slice(name, members))
        return SliceGroup(id=group_id, title=title, explanation=explanation, slices=tuple(slices))

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
