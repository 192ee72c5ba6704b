"""The forms of a comparison: comparison.json, a self-contained page comparison.html, and a short comparison.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gematria_ops.inference import comparison_plots, wording
from gematria_ops.inference.comparison_report import (
    ChangedBlock,
    ComparisonReport,
    Difference,
    ErrorOverTime,
    TaskComparison,
)
from gematria_ops.inference.plots import FEWEST_DRAWN_BLOCKS
from gematria_ops.inference.templating import Drawing, environment, page_styles
from ops_common.artifacts import write_text

JSON_NAME = "comparison.json"
HTML_NAME = "comparison.html"
MARKDOWN_NAME = "comparison.md"

# Groups that are drawn too; all are in the tables.
_DRAWN_GROUPS = ("block_length", "dominant_category")
_OUTCOMES = {"better": "better", "worse": "worse", "unclear": "no clear difference"}


@dataclass(frozen=True)
class ComparisonFiles:
    """Where the forms of a comparison stand."""

    json: Path
    html: Path
    markdown: Path


def write_comparison(report: ComparisonReport, folder: Path) -> ComparisonFiles:
    """Writes all forms of a comparison into a folder, the JSON form last: where it stands, the others do too."""
    files = ComparisonFiles(folder / JSON_NAME, folder / HTML_NAME, folder / MARKDOWN_NAME)
    write_text(files.html, render_html(report))
    write_text(files.markdown, render_markdown(report))
    write_text(files.json, report.model_dump_json() + "\n")
    return files


def render_html(report: ComparisonReport) -> str:
    """Renders the page: one file, no script, nothing loaded from elsewhere."""
    template = environment(is_html=True).get_template("comparison.html.j2")
    return template.render(
        **_common(report),
        styles=page_styles(),
        overview=_overview(report),
        part_drawings=_part_drawings(report),
        fewest_drawn_blocks=FEWEST_DRAWN_BLOCKS,
        curves=_curves(report.learning_curves),
        changes=(
            ("improved", "Where the second model is much better", report.improved),
            ("worsened", "Where the second model is much worse", report.worsened),
        ),
    )


def render_markdown(report: ComparisonReport) -> str:
    """Renders the short form: verdict, differences of the tasks and of the parts, the blocks that changed most."""
    template = environment(is_html=False).get_template("comparison.md.j2")
    return template.render(
        **_common(report),
        changes=(
            ("Better by the second model", [_change_row(block) for block in report.improved]),
            ("Worse by the second model", [_change_row(block) for block in report.worsened]),
        ),
    )


def verdict(report: ComparisonReport) -> str:
    """Says in one to three sentences which model has the smaller error, and for which tasks that is beyond chance."""
    known = [(task.name, task.difference) for task in report.tasks if task.difference is not None]
    if not known:
        return "There is nothing to compare: no common block has a positive label and a prediction of both models."
    first = sum(difference.first_mape_percent for _, difference in known) / len(known)
    second = sum(difference.second_mape_percent for _, difference in known) / len(known)
    means = f"The second model is off by {second:.2f} % on average, the first by {first:.2f} %"
    tasks = f" ({len(known)} tasks)" if len(known) > 1 else ""
    sentences = [f"{means}, on the same blocks{tasks}."]
    for outcome, text in (
        ("better", "The second is better for {}"),
        ("worse", "The second is worse for {}"),
        ("unclear", "There is no clear difference for {}, where the interval holds zero"),
    ):
        names = [name for name, difference in known if difference.outcome == outcome]
        if names:
            sentences.append(text.format(wording.listing(names)) + ".")
    return " ".join(sentences).replace(" %", "\N{NO-BREAK SPACE}%")


def _common(report: ComparisonReport) -> dict[str, Any]:
    return {
        "report": report,
        "verdict": verdict(report),
        "groups": _groups_over_tasks(report),
        "outcomes": _OUTCOMES,
        "models": (("First", report.first), ("Second", report.second)),
    }


def _overview(report: ComparisonReport) -> Drawing | None:
    rows = [(task.name, task.difference) for task in report.tasks if task.difference is not None]
    if not rows:
        return None
    limits = comparison_plots.difference_limits([difference for _, difference in rows])
    svg = comparison_plots.plot_differences("tasks", rows, limits)
    return Drawing("Difference of the mean error of each task", _describe(rows), svg)


def _part_drawings(report: ComparisonReport) -> list[dict[str, Any]]:
    sections = []
    for group_id in _DRAWN_GROUPS:
        by_task = [(task, _drawn_parts(task, group_id)) for task in report.tasks]
        drawn = [(task, rows) for task, rows in by_task if rows]
        if not drawn:
            continue
        limits = comparison_plots.difference_limits([difference for _, rows in drawn for _, difference in rows])
        title = next(group.title for task, _ in drawn for group in task.groups if group.id == group_id)
        drawings = [
            Drawing(task.name, _describe(rows), comparison_plots.plot_differences(f"{group_id}-{index}", rows, limits))
            for index, (task, rows) in enumerate(drawn)
        ]
        sections.append({"title": title, "drawings": drawings})
    return sections


def _drawn_parts(task: TaskComparison, group_id: str) -> list[tuple[str, Difference]]:
    return [
        (part.name, part.difference)
        for group in task.groups
        if group.id == group_id
        for part in group.parts
        if part.difference.num_blocks >= FEWEST_DRAWN_BLOCKS
    ]


def _describe(rows: Sequence[tuple[str, Difference]]) -> str:
    parts = [f"{name}: {wording.points(difference.mape_points)}" for name, difference in rows]
    return f"Mean absolute percentage error, second minus first, in percentage points. {'; '.join(parts)}."


def _curves(curves: Sequence[ErrorOverTime]) -> list[Drawing]:
    drawings = []
    axes: tuple[Literal["steps", "seconds"], ...] = ("steps", "seconds")
    for axis in axes:
        shown = [curve for curve in curves if axis == "steps" or curve.points[-1].seconds is not None]
        if shown:
            title = "Error by optimiser step" if axis == "steps" else "Error by wall time"
            last = "; ".join(
                f"{curve.model} model, {curve.kind}: {wording.percent(curve.points[-1].error_percent)} % at "
                f"{curve.points[-1].step if axis == 'steps' else curve.points[-1].seconds or 0:,.0f}"
                for curve in shown
            )
            svg = comparison_plots.plot_error_over_time(f"curve-{axis}", shown, axis)
            drawings.append(Drawing(title, f"{title} ({axis}) of both models. Last values: {last}.", svg))
    return drawings


def _groups_over_tasks(report: ComparisonReport) -> list[dict[str, Any]]:
    """Turns the tasks' groups into tables: a row for each part, a difference or None for each task."""
    tables = []
    for position, group in enumerate(report.tasks[0].groups if report.tasks else ()):
        by_task = [{part.name: part.difference for part in task.groups[position].parts} for task in report.tasks]
        names = wording.merged_order([list(parts) for parts in by_task])
        rows = [{"name": name, "differences": [parts.get(name) for parts in by_task]} for name in names]
        if rows:
            tables.append({"id": group.id, "title": group.title, "explanation": group.explanation, "rows": rows})
    return tables


def _change_row(block: ChangedBlock) -> dict[str, Any]:
    largest = max(block.values, key=lambda value: abs(value.second_error_percent - value.first_error_percent))
    text = "; ".join(block.assembly) or block.machine_code or block.fingerprint
    return {"value": largest, "text": " ".join(text.split())}
