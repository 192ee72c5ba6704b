"""The forms of an evaluation report for people: a self-contained HTML page and a short Markdown text.

evaluation.json   the report itself          (evaluation_report.py)
evaluation.html   templates/evaluation.html.j2 with templates/evaluation.css, drawings from plots.py
evaluation.md     templates/evaluation.md.j2
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gematria_ops.inference import plots, wording
from gematria_ops.inference.evaluation_report import (
    CurveSeries,
    ErrorSummary,
    EvaluationReport,
    SliceGroup,
    write_report_json,
)
from gematria_ops.inference.templating import Drawing, environment, page_styles
from ops_common.artifacts import write_text
from ops_common.drawing import series_role

JSON_NAME = "evaluation.json"
HTML_NAME = "evaluation.html"
MARKDOWN_NAME = "evaluation.md"

# The group whose parts are drawn, and the unit of its axis.
_DRAWN_GROUP = "block_length"
_DRAWN_GROUP_AXIS = "instructions in the block"


@dataclass(frozen=True)
class ReportFiles:
    """Where the forms of a report stand."""

    json: Path
    html: Path
    markdown: Path


def write_reports(report: EvaluationReport, reports_dir: Path) -> ReportFiles:
    """Writes all forms of a report into a folder, the JSON form last: where it stands, the others do too."""
    files = ReportFiles(reports_dir / JSON_NAME, reports_dir / HTML_NAME, reports_dir / MARKDOWN_NAME)
    write_text(files.html, render_html(report))
    write_text(files.markdown, render_markdown(report))
    write_report_json(files.json, report)
    return files


def render_html(report: EvaluationReport) -> str:
    """Renders the page: one file, no script, nothing loaded from elsewhere."""
    return (
        environment(is_html=True)
        .get_template("evaluation.html.j2")
        .render(
            report=report,
            verdict=wording.verdict(report),
            best_baseline=report.best_baseline(),
            baselines=_baselines_best_first(report),
            styles=page_styles(),
            means=Drawing(
                "Mean error of each task", wording.describe_task_means(report), plots.plot_task_means("means", report)
            ),
            sections=_plot_sections(report),
            fewest_drawn_blocks=plots.FEWEST_DRAWN_BLOCKS,
            curves=_learning_curves(report.learning_curves),
            groups=_groups_over_tasks(report),
            figure_rows=_figure_rows(report),
            config_text=json.dumps(report.provenance.config, indent=2, ensure_ascii=False, sort_keys=True),
        )
    )


def render_markdown(report: EvaluationReport) -> str:
    """Renders the short form: verdict, table against the baselines, parts, how it was made."""
    return (
        environment(is_html=False)
        .get_template("evaluation.md.j2")
        .render(
            report=report,
            verdict=wording.verdict(report),
            baselines=_baselines_best_first(report),
            groups=_groups_over_tasks(report),
            ranks=_percentile_ranks(report),
        )
    )


def _baselines_best_first(report: EvaluationReport) -> list[str]:
    def mean(name: str) -> float:
        value = report.mean_mape_percent(name)
        return float("inf") if value is None else value

    return sorted(report.baseline_descriptions, key=mean)


def _plot_sections(report: EvaluationReport) -> list[dict[str, Any]]:
    window = plots.density_window(report)
    best = report.best_baseline()
    drawn = [group for task in report.tasks if (group := _drawn_group(task.slice_groups)) is not None]
    largest_percent = plots.slice_axis_limit(drawn, best)
    density, curves, lengths = [], [], []
    for index, task in enumerate(report.tasks):
        if task.density is not None:
            scale = tuple(
                (f"density-{level}", wording.count(low) if low == high else f"{low:,d}–{high:,d}")
                for level, low, high in plots.density_scale(task.density)
            )
            alt = wording.describe_density(task)
            density.append(Drawing(task.name, alt, plots.plot_density(f"density-{index}", task.density, window), scale))
        if task.error_curve is not None:
            alt = wording.describe_error_curve(task)
            curves.append(Drawing(task.name, alt, plots.plot_error_curve(f"curve-{index}", task.error_curve)))
        group = _drawn_group(task.slice_groups)
        if group is not None:
            shown = best if best in task.baselines else None
            svg = plots.plot_error_by_slice(f"length-{index}", group, _DRAWN_GROUP_AXIS, shown, largest_percent)
            lengths.append(Drawing(task.name, wording.describe_slices(task, group), svg))
    return [
        {"id": "expected", "drawings": density},
        {"id": "percentiles", "drawings": curves},
        {"id": "length", "drawings": lengths},
    ]


def _drawn_group(groups: Sequence[SliceGroup]) -> SliceGroup | None:
    return next((group for group in groups if group.id == _DRAWN_GROUP and plots.drawn_slices(group)), None)


def _learning_curves(series: Sequence[CurveSeries]) -> list[Drawing]:
    drawings: list[Drawing] = []
    kinds = sorted({(one.is_validation, one.unit) for one in series})
    for is_validation, unit in kinds:
        members = [one for one in series if (one.is_validation, one.unit) == (is_validation, unit) and one.points]
        if not members:
            continue
        title = "Validation error" if is_validation else "Training loss"
        axis = f"{title.lower()}, %" if unit == "percent" else title.lower()
        last = "; ".join(f"{one.title}: {one.points[-1].value:.4g} at step {one.points[-1].step:,d}" for one in members)
        drawings.append(
            Drawing(
                title=title,
                alt=f"{title} over the optimiser's steps. Last values: {last}.",
                svg=plots.plot_learning_curve(
                    f"learning-{len(drawings)}", members, axis, logarithmic=not is_validation
                ),
                legend=tuple((series_role(index), one.title) for index, one in enumerate(members)),
            )
        )
    return drawings


def _groups_over_tasks(report: EvaluationReport) -> list[dict[str, Any]]:
    """Turns the tasks' slice groups into tables: a row for each part, a column group for each task."""
    tables = []
    for first in (group for task in report.tasks[:1] for group in task.slice_groups):
        by_task = [
            {part.name: part for group in task.slice_groups if group.id == first.id for part in group.slices}
            for task in report.tasks
        ]
        names = wording.merged_order([list(parts) for parts in by_task])
        rows = [{"name": name, "parts": [parts.get(name) for parts in by_task]} for name in names]
        tables.append({"id": first.id, "title": first.title, "explanation": first.explanation, "rows": rows})
    return tables


def _percentile_ranks(report: EvaluationReport) -> list[float]:
    """Gives the ranks that some task has a percentile for; none without a judged block."""
    summaries = [task.model for task in report.tasks]
    return sorted({entry.rank for summary in summaries for entry in summary.absolute_error_percentiles})


def _figure_rows(report: EvaluationReport) -> list[dict[str, Any]]:
    """Turns the tasks' summaries into a table: a row for each figure, a pair (model, best baseline) for each task."""
    best = report.best_baseline()
    pairs = [(task.model, task.baselines.get(best) if best else None) for task in report.tasks]

    def row(name: str, show: Callable[[ErrorSummary], str]) -> dict[str, Any]:
        cells = [(show(model), show(other) if other else wording.NO_FIGURE) for model, other in pairs]
        return {"name": name, "cells": cells}

    def relative_row(rank: float) -> dict[str, Any]:
        return row(f"{rank:g}th percentile", lambda summary: wording.percent(summary.percentage_error_at(rank)))

    def absolute_row(rank: float) -> dict[str, Any]:
        return row(f"{rank:g}th percentile", lambda summary: wording.cycles(summary.absolute_error_at(rank)))

    relative = [
        row("Mean (MAPE)", lambda summary: wording.percent(summary.mape_percent)),
        row("95 % interval", wording.interval),
        *map(relative_row, _percentile_ranks(report)),
    ]
    absolute = [
        row("Mean", lambda summary: wording.cycles(summary.mae_cycles_per_iteration)),
        *map(absolute_row, _percentile_ranks(report)),
    ]
    squares = [
        row("Mean square, cycles²", lambda summary: wording.cycles(summary.mse_squared_cycles)),
        row("Mean square of the relative error (a fraction)", lambda summary: wording.cycles(summary.mspe)),
    ]
    correlations = [
        row("Kendall’s tau-b", lambda summary: wording.correlation(summary.kendall_tau)),
        row("Spearman", lambda summary: wording.correlation(summary.spearman)),
        row("Pearson", lambda summary: wording.correlation(summary.pearson)),
    ]
    return [
        {"title": "Absolute percentage error, %", "rows": relative},
        {"title": "Absolute error, cycles", "rows": absolute},
        {"title": "Squared errors", "rows": squares},
        {"title": "Correlation with the label", "rows": correlations},
    ]
