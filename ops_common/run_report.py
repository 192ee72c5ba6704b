"""`reports/run.html`: all of a run on one page that needs nothing but itself.

Curves, figures, what the gate said, what each task took and cost, and everything to repeat the run, made from the run's
folder alone: while it goes on, when it has ended, also when it failed. A library adds the drawings of its own reports.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops_common.artifacts import write_text
from ops_common.drawing import page_styles
from ops_common.errors import ArtifactError, OpsError
from ops_common.metrics import read_metrics
from ops_common.page_templates import page_environment
from ops_common.run_drawings import Curves, Drawing, draw_curves, draw_intervals
from ops_common.run_facts import RunFacts, flat, read_run
from ops_common.rundir import RUN_REPORT_NAME

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATES = Path(__file__).parent / "templates"
_VERDICTS = {
    "released": "Its model was released.",
    "passed": "Its model passed the gate and is not released yet.",
    "refused": "Its model was refused.",
    "not_approved": "Its model passed the gate, and nobody approved its release.",
    "rolled_back": "Its model was released, and rolled back later.",
}
_STATES = {"done": "The run ended well.", "failed": "The run failed.", "open": "The run has not ended."}
_LONGEST_TEXT = 4000

Draw = Callable[[Path], Iterable[Drawing]]
"""Gives the drawings of a library's own reports, given the folder that the model stands in."""


def write_run_report(
    run_dir: Path, *, metrics: Callable[[Path], Path], curves: Sequence[Curves], draw: Draw, reports: str
) -> Path:
    """Writes the report of a run into its `reports/`.

    Args:
        run_dir: The run's folder.
        metrics: Gives the metrics file, given the folder that the model stands in.
        curves: What to draw of it.
        draw: Makes further drawings. What cannot be read for one is named on the page.
        reports: Where the library keeps the pages of its reports, from the folder that the model stands in.

    Returns:
        The page.

    Raises:
        ArtifactError: There is no such folder.
    """
    run_dir = Path(run_dir).absolute()
    if not run_dir.is_dir():
        raise ArtifactError(f"{run_dir} is no folder", "give the folder of a run")
    facts = read_run(run_dir)
    work_dir, problems = Path(facts.work_dir), list(facts.problems)
    page = run_dir / "reports" / RUN_REPORT_NAME

    def attempt(make: Callable[[], Iterable[Drawing]]) -> list[Drawing]:
        try:
            return list(make())
        except OpsError as error:
            problems.append(error.message.replace(f"{work_dir}/", ""))
            return []

    drawings = attempt(lambda: _curves(metrics(work_dir), curves)) + attempt(lambda: draw(work_dir))
    write_text(page, render(facts, drawings, problems, _links(page, work_dir / reports)))
    return page


def render(facts: RunFacts, drawings: Sequence[Drawing], problems: Sequence[str], links: Sequence[str] = ()) -> str:
    """Renders the page.

    Args:
        facts: What the folder says.
        drawings: Its plots.
        problems: What could not be read.
        links: Names of pages that stand beside this one.
    """
    from markupsafe import Markup

    release = facts.release
    intervals = release.intervals if release else ()
    return (
        _environment()
        .get_template("run_report.html.j2")
        .render(
            styles=Markup(page_styles()),
            facts=facts,
            verdict=_verdict(facts),
            drawings=drawings,
            intervals_drawing=draw_intervals("intervals", intervals) if intervals else "",
            problems=problems,
            links=links,
            tables=_tables(facts),
            wall_seconds=sum(task.wall_seconds or 0.0 for task in facts.tasks.values()),
        )
    )


def _verdict(facts: RunFacts) -> str:
    parts = [_STATES[facts.state]]
    if facts.failure and not (facts.release and facts.release.reasons):
        parts.append(f"{facts.failure[0].upper()}{facts.failure[1:]}.")
    if facts.release:
        parts.append(_VERDICTS[facts.release.decision])
    return " ".join(parts)


def _curves(metrics: Path, curves: Sequence[Curves]) -> list[Drawing]:
    records = read_metrics(metrics)
    drawn = (draw_curves(f"curves-{index}", one, records) for index, one in enumerate(curves))
    return [drawing for drawing in drawn if drawing is not None]


def _links(page: Path, reports: Path) -> list[str]:
    """Pages in the same folder: links to any other would break when the folder is copied away."""
    if reports.absolute() != page.parent.absolute():
        return []
    return sorted(path.name for path in reports.glob("*.html") if path != page)


def _tables(facts: RunFacts) -> list[tuple[str, dict[str, str]]]:
    """Everything to repeat the run, as tables of texts; without those of which nothing is known."""
    origin = {"Workflow": facts.dag_id, "Run": facts.run_id, "Begun": facts.begun_at, "Data": facts.data_dir}
    tables: list[tuple[str, Mapping[str, Any]]] = [
        ("Where it is from", {name: value for name, value in origin.items() if value}),
        ("Asked for", facts.conf),
        ("Seeds", facts.seeds),
        ("Data, SHA-256", facts.data),
        ("Code", facts.code),
        ("Versions", facts.versions),
        ("Machine", facts.machine),
        ("Settings in effect", facts.config),
        ("Made by the run, SHA-256", facts.artifacts),
    ]
    return [(title, {name: _text(value) for name, value in flat(table).items()}) for title, table in tables if table]


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]} … ({len(text):,d} characters)"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.4g}"


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:,.1f}"


@cache
def _environment() -> Environment:
    from markupsafe import Markup

    return page_environment(_TEMPLATES, figure=_figure, signed=_signed, seconds=_seconds, svg=Markup)
