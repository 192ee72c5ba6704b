"""How a report speaks: numbers with their decimals, the verdict, and what the plots show, said in words."""

from __future__ import annotations

from collections.abc import Sequence

from gematria_ops.inference.evaluation_report import (
    ErrorSummary,
    EvaluationReport,
    SliceFigures,
    SliceGroup,
    TaskReport,
)

NO_FIGURE = "–"

BASELINE_TITLES = {"linear": "Linear", "median": "Median", "best_constant": "Best constant"}


def percent(value: float | None) -> str:
    """Formats a percentage with one decimal and without its sign: 8.1, 1,234.5."""
    return NO_FIGURE if value is None else f"{value:,.1f}"


def points(value: float | None) -> str:
    """Formats a difference of percentages with two decimals and its sign: +0.31, −2.05, 0.00."""
    if value is None:
        return NO_FIGURE
    text = f"{value:+,.2f}"
    return "0.00" if text in ("+0.00", "-0.00") else text.replace("-", "\N{MINUS SIGN}")


def share(value: float | None) -> str:
    """Formats a share from 0 to 1 as percent without its sign: 0.571 is 57.1."""
    return NO_FIGURE if value is None else percent(100 * value)


def cycles(value: float | None) -> str:
    """Formats cycles per iteration with three significant digits at least: 0.183, 1.35, 381."""
    if value is None:
        return NO_FIGURE
    if value == 0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.3g}".rstrip(".")


def correlation(value: float | None) -> str:
    """Formats a number from -1 to 1, or a small fraction, with three decimals."""
    return NO_FIGURE if value is None else f"{value:,.3f}"


def count(value: int | None) -> str:
    """Formats a whole number with separators for thousands."""
    return NO_FIGURE if value is None else f"{value:,d}"


def baseline_title(name: str) -> str:
    """Gives the heading of a baseline."""
    return BASELINE_TITLES.get(name, name)


def listing(names: list[str]) -> str:
    """Joins names as a sentence does: a, b and c."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""


def merged_order(orders: Sequence[Sequence[str]]) -> list[str]:
    """Merges the names of several lists into one order; a name missing in one keeps its place among the others."""
    merged: list[str] = []
    for names in orders:
        place = 0
        for name in names:
            if name in merged:
                place = merged.index(name) + 1
            else:
                merged.insert(place, name)
                place += 1
    return merged


def verdict(report: EvaluationReport) -> str:
    """Says in one to three sentences what was found: the mean error, the best baseline, and what speaks against it."""
    mean = report.mean_mape_percent()
    where = f"{count(report.dataset.num_blocks)} blocks of the {report.dataset.split} split"
    if mean is None:
        unjudged = [task.name for task in report.tasks if task.model.mape_percent is None]
        sentences = [f"There is no mean error over the {where}: no block can be judged for {listing(unjudged)}."]
    else:
        tasks = f" and {len(report.tasks)} tasks" if len(report.tasks) > 1 else ""
        sentences = [f"The model is off by {percent(mean)} % on average over {where}{tasks}" + _against_best(report)]
    lost = [task.name for task in report.tasks if _is_beaten(task)]
    if lost:
        sentences.append(f"It does not beat every baseline for {listing(lost)}.")
    unpredicted = max((task.counts.num_without_prediction for task in report.tasks), default=0)
    if unpredicted:
        sentences.append(f"Up to {count(unpredicted)} blocks a task got no prediction; they are in no error figure.")
    return " ".join(sentences).replace(" %", "\N{NO-BREAK SPACE}%")


def _against_best(report: EvaluationReport) -> str:
    best = report.best_baseline()
    if best is None:
        return "; there is no baseline to compare with."
    return (
        f"; the best baseline, {baseline_title(best).lower()}, is off by {percent(report.mean_mape_percent(best))} %."
    )


def _is_beaten(task: TaskReport) -> bool:
    """Says whether some baseline is at least as good as the model for the task."""
    model = task.model.mape_percent
    others = [summary.mape_percent for summary in task.baselines.values() if summary.mape_percent is not None]
    return model is not None and any(other <= model for other in others)


def interval(summary: ErrorSummary | SliceFigures) -> str:
    """Formats the bootstrap interval of the mean error: 7.9 to 8.3."""
    bounds = summary.mape_interval
    return NO_FIGURE if bounds is None else f"{percent(bounds.low)} to {percent(bounds.high)}"


def describe_density(task: TaskReport) -> str:
    """Describes the plot of predictions against labels."""
    return (
        f"Predicted against expected throughput for {task.name}, {count(task.counts.num_relative)} blocks, logarithmic "
        f"axes. Pearson correlation {correlation(task.model.pearson)}; half of the predictions are within "
        f"{percent(task.model.percentage_error_at(50))} % of the label, nine in ten within "
        f"{percent(task.model.percentage_error_at(90))} %."
    )


def describe_error_curve(task: TaskReport) -> str:
    """Describes the plot of the error percentiles."""
    parts = [f"model {percent(task.model.percentage_error_at(50))} %"]
    parts += [
        f"{baseline_title(name).lower()} {percent(summary.percentage_error_at(50))} %"
        for name, summary in task.baselines.items()
    ]
    return f"Share of the blocks below each absolute percentage error for {task.name}. Medians: {', '.join(parts)}."


def describe_slices(task: TaskReport, group: SliceGroup) -> str:
    """Describes the plot of the error over the parts of a group."""
    parts = [f"{part.name}: {percent(part.model.median_percent)} %" for part in group.slices]
    return f"Median absolute percentage error for {task.name}. {group.explanation} {'; '.join(parts)}."


def describe_task_means(report: EvaluationReport) -> str:
    """Describes the plot of the mean errors of all tasks."""
    parts = []
    for task in report.tasks:
        others = [f"{baseline_title(n).lower()} {percent(s.mape_percent)} %" for n, s in task.baselines.items()]
        parts.append(f"{task.name}: {', '.join([f'model {percent(task.model.mape_percent)} %', *others])}")
    return "Mean absolute percentage error. " + "; ".join(parts) + "."
