"""Every metric: its name, what it says and in which unit, and its labels. All are gauges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        name: Its name; the unit is part of it.
        help: What it says.
        labels: Names of its labels.
    """

    name: str
    help: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """A value of a metric.

    Attributes:
        metric: The metric's name.
        labels: Value by label, all of the metric's labels.
        value: The value.
    """

    metric: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


METRICS = (
    Metric("ops_runs", "Run folders, by how the run stands: done, failed, open.", ("dag_id", "state")),
    Metric("ops_newest_run_info", "1 for the newest run of each workflow.", ("dag_id", "run", "state")),
    Metric("ops_newest_run_age_seconds", "Seconds since the newest run was asked for.", ("dag_id",)),
    Metric("ops_training_step", "Last update of the newest training of each workflow.", ("dag_id",)),
    Metric("ops_training_loss", "Loss at that update.", ("dag_id",)),
    Metric("ops_training_steps_per_second", "Updates per second, between its last two reports.", ("dag_id",)),
    Metric("ops_training_samples_per_second", "Samples per second of wall time, without the first step.", ("dag_id",)),
    Metric("ops_training_report_age_seconds", "Seconds since it last reported; grows when it hangs.", ("dag_id",)),
    Metric("ops_validation_figure", "Figures of its last validation, under their own names.", ("dag_id", "figure")),
    Metric("ops_task_seconds", "Wall seconds of each task of the newest run, all attempts.", ("dag_id", "task")),
    Metric("ops_task_cpu_seconds", "The same in processor seconds.", ("dag_id", "task")),
    Metric("ops_task_gpu_seconds", "The same in seconds of graphics processors.", ("dag_id", "task")),
    Metric("ops_data_samples", "Blocks or files of the newest data set of each family.", ("family", "data_set")),
    Metric("ops_data_dropped", "What was left out of it, by reason.", ("family", "data_set", "reason")),
    Metric("ops_candidates", "Models that came to the gate, by what was decided.", ("family", "decision")),
    Metric("ops_released_model_age_seconds", "Seconds since a model was released.", ("family",)),
    Metric("ops_released_model_info", "1 for the run whose model was released last.", ("family", "run")),
    Metric("ops_released_model_figure", "Its figures at the gate, under their own names.", ("family", "figure")),
    Metric("ops_disk_free_bytes", "Free bytes of the disk of a place.", ("place",)),
    Metric("ops_disk_used_bytes", "Used bytes of that disk.", ("place",)),
    Metric("ops_unreadable_files", "Files of runs and data sets that could not be read for these metrics."),
    Metric("ops_collect_seconds", "How long it took to collect them."),
)
BY_NAME = {metric.name: metric for metric in METRICS}


def as_markdown(metrics: Iterable[Metric] = METRICS) -> str:
    """The table of the documentation."""
    rows = [f"| `{one.name}` | {', '.join(one.labels)} | {one.help} |" for one in metrics]
    return "\n".join(["| metric | labels | what it says |", "|---|---|---|", *rows])
