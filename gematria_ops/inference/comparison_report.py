"""The comparison of two models on the same held-out blocks: every figure, as frozen records that survive JSON.

Differences are always *second minus first*, so a negative difference of errors speaks for the second model. Undefined
figures are None, never NaN.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1

Outcome = Literal["better", "worse", "unclear"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ComparedModel(_Record):
    """One of the two models, and the evaluation that its predictions are from."""

    name: str
    origin: str = Field(description="name of the run folder or of the file of predictions")
    global_step: int | None
    sha256: str = Field(description="digest of the bundle's manifest, '' when it is not known")
    predictions_sha256: str = Field(description="digest of the file of predictions")
    dataset: str = Field(description="data set and split, '' when they are not known")
    num_blocks: int
    num_repeated: int = Field(description="blocks left out because their fingerprint occurred before")
    num_alone: int = Field(description="blocks that the other evaluation does not have")


class ModelErrors(_Record):
    """The errors of one model on the compared blocks of a task."""

    mape_percent: float | None
    median_percent: float | None
    mae_cycles_per_iteration: float | None
    kendall_tau: float | None
    spearman: float | None
    pearson: float | None


class Difference(_Record):
    """How the errors of two models differ on the same blocks."""

    num_blocks: int
    first_mape_percent: float
    second_mape_percent: float
    mape_points: float = Field(description="second minus first, percentage points")
    low: float | None = Field(description="lower end of the paired bootstrap interval; None with fewer than two blocks")
    high: float | None
    better_share: float = Field(description="share of the blocks where the second model has the smaller error, 0 to 1")
    worse_share: float
    equal_share: float

    @property
    def outcome(self) -> Outcome:
        """What the interval says of the second model: unclear when it holds zero."""
        if self.low is None or self.high is None or self.low <= 0 <= self.high:
            return "unclear"
        return "better" if self.high < 0 else "worse"


class PartDifference(_Record):
    """The difference on a part of the blocks."""

    name: str
    difference: Difference


class GroupDifference(_Record):
    """The differences of the parts of one group; see `SliceGroup`."""

    id: str
    title: str
    explanation: str
    is_overlapping: bool
    parts: tuple[PartDifference, ...]


class ComparedCounts(_Record):
    """Where the common blocks went, for one task; the numbers add up to the common blocks."""

    num_compared: int
    num_without_label: int
    num_unusable_label: int = Field(description="not finite, or not positive, so that there is no relative error")
    num_unpredicted_by_first: int
    num_unpredicted_by_second: int
    num_unpredicted_by_both: int


class TaskComparison(_Record):
    """All of one task."""

    name: str
    source: str = Field(description="source string of the labels, '' when it is not known")
    counts: ComparedCounts
    first: ModelErrors
    second: ModelErrors
    difference: Difference | None = Field(description="None when no block can be compared")
    groups: tuple[GroupDifference, ...]


class ChangedValue(_Record):
    """One task of a changed block, in cycles per iteration."""

    task: str
    label: float
    first: float
    second: float
    first_error_percent: float
    second_error_percent: float


class ChangedBlock(_Record):
    """A block whose error changed much."""

    fingerprint: str
    machine_code: str = Field(description="lower-case hex, '' when it is not known")
    assembly: tuple[str, ...]
    values: tuple[ChangedValue, ...]


class TimedPoint(_Record):
    """One point of a learning curve."""

    step: int
    seconds: float | None = Field(description="wall time since the training began, all its parts added up")
    error_percent: float


class ErrorOverTime(_Record):
    """How the error of one model fell while it was trained: the mean of its tasks' mean absolute percentage errors."""

    model: Literal["first", "second"]
    kind: Literal["validation", "training batches"]
    points: tuple[TimedPoint, ...]


class ComparisonReport(_Record):
    """The comparison of two models."""

    schema_version: int = SCHEMA_VERSION
    first: ComparedModel
    second: ComparedModel
    num_common: int = Field(description="blocks that both evaluations have")
    tasks: tuple[TaskComparison, ...]
    groups_left_out: dict[str, str] = Field(description="title of a group of parts to why it is not compared")
    improved: tuple[ChangedBlock, ...] = Field(description="largest fall of the error in any task first")
    worsened: tuple[ChangedBlock, ...] = Field(description="largest rise of the error in any task first")
    learning_curves: tuple[ErrorOverTime, ...]
    seed: int
    num_resamples: int
    confidence: float = Field(
        default=0.95, description="share of the resampled differences that the intervals hold, 0 to 1"
    )
    compared_at: str = Field(description="UTC, ISO 8601")
