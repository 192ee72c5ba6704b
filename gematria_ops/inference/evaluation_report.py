"""The evaluation report: every figure with its data, split, count and unit, as frozen records that survive JSON.

The report is complete in itself: the page, the Markdown form, the plots, the release gate and later comparisons read
nothing else. Undefined figures are None, never NaN.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ops_common.artifacts import read_json, write_text
from ops_common.errors import ArtifactError

SCHEMA_VERSION = 1


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Interval(_Record):
    """A bootstrap interval of a mean."""

    low: float
    high: float
    confidence: float = 0.95


class Percentile(_Record):
    """One nearest-rank percentile (specification 7.5)."""

    rank: float
    value: float


class ErrorSummary(_Record):
    """All error figures of one predictor on one task; which blocks it is over stands in the task's counts."""

    mape_percent: float | None = Field(description="mean absolute percentage error over the relative blocks, percent")
    mape_interval: Interval | None = Field(description="bootstrap interval of mape_percent, percent")
    mae_cycles_per_iteration: float | None = Field(description="mean absolute error over the judged blocks, cycles")
    mse_squared_cycles: float | None = Field(description="mean squared error over the judged blocks, cycles squared")
    mspe: float | None = Field(description="mean squared relative error over the relative blocks, a fraction")
    percentage_error_percentiles: tuple[Percentile, ...] = Field(description="of the absolute percentage error")
    absolute_error_percentiles: tuple[Percentile, ...] = Field(description="of the absolute error, in cycles")
    kendall_tau: float | None = Field(description="Kendall's tau-b of predictions and labels, -1 to 1")
    spearman: float | None = Field(description="Spearman's rank correlation of predictions and labels, -1 to 1")
    pearson: float | None = Field(description="Pearson's correlation of predictions and labels, -1 to 1")

    def percentage_error_at(self, rank: float) -> float | None:
        """Gives the absolute percentage error at a percentile rank, None when the report does not hold the rank."""
        return next((entry.value for entry in self.percentage_error_percentiles if entry.rank == rank), None)

    def absolute_error_at(self, rank: float) -> float | None:
        """Gives the absolute error in cycles at a percentile rank, None when the report does not hold the rank."""
        return next((entry.value for entry in self.absolute_error_percentiles if entry.rank == rank), None)


class SliceFigures(_Record):
    """The relative errors of one predictor on a part of the blocks, in percent; None without a block."""

    mape_percent: float | None
    mape_interval: Interval | None
    quartile_1_percent: float | None
    median_percent: float | None
    quartile_3_percent: float | None
    percentile_90_percent: float | None


class Slice(_Record):
    """One part of a task's blocks."""

    name: str = Field(description="what the part holds, for example '4-5 instructions'")
    num_blocks: int = Field(description="blocks of the part that have a relative error")
    model: SliceFigures
    baselines: dict[str, SliceFigures]


class SliceGroup(_Record):
    """Parts that together hold each block of the task once, or, when they overlap, as often as it belongs to one."""

    id: str = Field(
        description="block_length, label_range, token_sequence, dominant_category, instruction_category or application"
    )
    title: str
    explanation: str
    is_overlapping: bool = Field(default=False, description="whether a block may be in several parts, or in none")
    slices: tuple[Slice, ...]


class Density(_Record):
    """A two-dimensional histogram of labels and predictions on logarithmic axes; empty cells are left out."""

    edges_cycles_per_iteration: tuple[float, ...] = Field(description="ascending bin edges, the same on both axes")
    cells: tuple[tuple[int, int, int], ...] = Field(description="(label bin, prediction bin, number of blocks)")
    num_clipped: int = Field(description="blocks whose prediction lies outside the edges, counted in the last bin")


class ErrorCurve(_Record):
    """Percentiles of the absolute percentage error, for the model and each baseline on the same blocks."""

    ranks: tuple[float, ...]
    model_percent: tuple[float, ...]
    baselines_percent: dict[str, tuple[float, ...]]


class TaskCounts(_Record):
    """Where the blocks of the split went, for one task; the first four numbers add up to the split's blocks."""

    num_judged: int = Field(description="blocks with a finite label and a finite prediction")
    num_without_label: int
    num_invalid_label: int = Field(description="the label is NaN or infinite")
    num_without_prediction: int = Field(description="there is a label, but the model gave no finite number")
    num_relative: int = Field(description="judged blocks with a positive label: the N of every percentage")
    num_nonpositive_label: int = Field(description="judged blocks without relative error")


class TaskReport(_Record):
    """All of one task, which is one microarchitecture."""

    name: str
    source: str = Field(description="source string of the labels in the data set, '' when it is not known")
    counts: TaskCounts
    model: ErrorSummary
    baselines: dict[str, ErrorSummary]
    slice_groups: tuple[SliceGroup, ...]
    density: Density | None
    error_curve: ErrorCurve | None


class TaskValue(_Record):
    """What was expected and predicted for one block and task, in cycles per iteration."""

    task: str
    label: float
    prediction: float
    percentage_error: float


class WorstBlock(_Record):
    """One of the blocks with the largest percentage error in any task, the worst of those with its token sequence."""

    fingerprint: str
    machine_code: str = Field(description="lower-case hex")
    assembly: tuple[str, ...]
    num_instructions: int
    seen_in_training: bool | None = Field(description="the training part holds the same token sequence")
    values: tuple[TaskValue, ...]


class CurvePoint(_Record):
    """One point of a learning curve."""

    step: int
    value: float


class CurveSeries(_Record):
    """One quantity over the optimiser's steps."""

    id: str
    title: str
    unit: str = Field(description="'percent' or '' for a plain number")
    is_validation: bool
    points: tuple[CurvePoint, ...]


class DatasetDescription(_Record):
    """Which blocks the figures are about."""

    name: str
    split: str
    num_blocks: int = Field(description="blocks of the split that were offered to the model")
    num_training_blocks: int | None = Field(description="blocks that the baselines were fitted on")
    sha256: str = Field(description="digest of the split's file, '' when it is not known")
    label_note: str = Field(description="what the labels are and are not")
    dropped: dict[str, int] = Field(default_factory=dict, description="blocks left out before, by reason")


class ModelDescription(_Record):
    """Which model was judged."""

    name: str
    global_step: int | None
    num_parameters: int | None
    sha256: str = Field(description="digest of the bundle's manifest, '' when it is not known")


class Provenance(_Record):
    """How the report was made, enough to make it again."""

    evaluated_at: str = Field(description="UTC, ISO 8601")
    seed: int = Field(description="seed of the bootstrap")
    num_resamples: int
    evaluation_seconds: float | None = None
    digests: dict[str, str] = Field(default_factory=dict, description="file to SHA-256")
    versions: dict[str, str] = Field(default_factory=dict, description="library to version")
    machine: str = ""
    config: dict[str, Any] = Field(default_factory=dict, description="the effective configuration of the model")


class EvaluationReport(_Record):
    """The evaluation of one model on one split."""

    schema_version: int = SCHEMA_VERSION
    dataset: DatasetDescription
    model: ModelDescription
    throughput_unit: str = "cycles per iteration"
    tasks: tuple[TaskReport, ...]
    baseline_descriptions: dict[str, str]
    unpredicted: dict[str, int] = Field(default_factory=dict, description="blocks without prediction, by reason")
    worst_blocks: tuple[WorstBlock, ...]
    learning_curves: tuple[CurveSeries, ...] = ()
    provenance: Provenance

    def mean_mape_percent(self, baseline: str | None = None) -> float | None:
        """Gives the unweighted mean of the tasks' MAPE, for the model or for one baseline.

        None when a task has no such figure: a mean over the tasks that happen to have one would compare unlike things.
        """
        figures = [task.model if baseline is None else task.baselines.get(baseline) for task in self.tasks]
        values = [figure.mape_percent for figure in figures if figure is not None and figure.mape_percent is not None]
        return sum(values) / len(values) if values and len(values) == len(self.tasks) else None

    def best_baseline(self) -> str | None:
        """Names the baseline with the lowest mean MAPE, None when there is none."""
        means = {name: self.mean_mape_percent(name) for name in self.baseline_descriptions}
        known = {name: value for name, value in means.items() if value is not None}
        return min(known, key=lambda name: known[name]) if known else None


def write_report_json(path: Path, report: EvaluationReport) -> None:
    """Writes a report as one line of JSON, under a temporary name first."""
    write_text(path, report.model_dump_json() + "\n")


def read_report_json(path: Path) -> EvaluationReport:
    """Reads a report written by `write_report_json`.

    Raises:
        ArtifactError: If the file is missing, torn, or not a report of this version.
    """
    value = read_json(path)
    version = value.get("schema_version") if isinstance(value, dict) else None
    if version != SCHEMA_VERSION:
        raise ArtifactError(
            f"{path}: is not an evaluation report of version {SCHEMA_VERSION} (its schema_version is {version!r})",
            "evaluate the model again with this code (evaluate-model)",
        )
    try:
        return EvaluationReport.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ArtifactError(
            f"{path}: {place}: {first['msg']}", "evaluate the model again with this code (evaluate-model)"
        ) from error
