"""The forms of a validation: JSON, and one self-contained page for people.

attributes.json   the report itself                   (attribute_report.py)
attributes.html   templates/attributes.html.j2, drawings from drawing.py
calls.json        the figures of the call validation  (calls.py)
calls.html        templates/calls.html.j2
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastnode_ops.validation import drawing
from fastnode_ops.validation.attribute_report import AttributeReport, write_report_json
from fastnode_ops.validation.calls import CallReport
from fastnode_ops.validation.providers import MODEL_PROVIDER, POPULARITY_PROVIDER
from fastnode_ops.validation.ranking import TOP
from ops_common.artifacts import write_text
from ops_common.drawing import page_styles, series_role
from ops_common.page_templates import page_environment

if TYPE_CHECKING:
    from jinja2 import Environment

JSON_NAME = "attributes.json"
HTML_NAME = "attributes.html"
CALLS_JSON_NAME = "calls.json"
CALLS_HTML_NAME = "calls.html"
NUM_SHOWN_SYMBOLS = 200
NO_FIGURE = "–"

_TEMPLATES = Path(__file__).parent / "templates"


def write_reports(report: AttributeReport, folder: Path) -> None:
    """Write both forms into a folder, the JSON form last: where it stands, the other does too."""
    write_text(folder / HTML_NAME, render_html(report))
    write_report_json(folder / JSON_NAME, report)


def render_html(report: AttributeReport) -> str:
    """Render the page: one file, no script, nothing loaded from elsewhere."""
    names = list(report.providers)
    calibrated = {
        name: (index, one.calibration)
        for index, (name, one) in enumerate(report.providers.items())
        if one.calibration is not None and one.calibration.num_answers
    }
    return render(
        "attributes",
        report=report,
        verdict=verdict(report),
        names=names,
        legend=[(name, series_role(index), drawing.marker_sign(index)) for index, name in enumerate(names)],
        top=TOP,
        recall_drawing=drawing.draw_recall({name: one.common for name, one in report.providers.items()}),
        recall_text=_recall_text(report),
        calibrated=calibrated,
        calibration_drawing=drawing.draw_calibration(calibrated) if calibrated else "",
        symbols=report.symbols[:NUM_SHOWN_SYMBOLS],
        listed=[row for row in report.fallback if row.is_listed],
    )


def write_call_reports(report: CallReport, folder: Path) -> None:
    """Write both forms of a call validation, the JSON form last."""
    write_text(folder / CALLS_HTML_NAME, render("calls", report=report, verdict=call_verdict(report)))
    write_text(folder / CALLS_JSON_NAME, report.model_dump_json(indent=2) + "\n")


def call_verdict(report: CallReport) -> str:
    """Say in a few sentences how often the call that was written is among those offered."""
    answered = f"The model offers calls at {percent(report.num_answered / report.num_situations)} of the places."
    shares = [
        (title, average)
        for title, average in (
            ("all of its values are variables", _over_all(report, "exact_concrete")),
            ("it has a placeholder", _over_all(report, "exact_placeholder")),
        )
        if average is not None
    ]
    parts = [f"in {percent(average)} of the cases when {title}" for title, average in shares]
    if not parts:
        return answered
    return f"{answered} There, the call that was written is among them {' and '.join(parts)}."


def _over_all(report: CallReport, name: str) -> float | None:
    """Return an average over all numbers of arguments."""
    averages = [average for one in report.by_num_args if (average := getattr(one, name)).count]
    total = sum(one.count for one in averages)
    return sum(one.count * one.avg for one in averages) / total if total else None


def render(template: str, **values: Any) -> str:
    """Render a page of this package with the style sheet of reports."""
    from markupsafe import Markup

    made = _environment().get_template(f"{template}.html.j2")
    return made.render(styles=Markup(page_styles()), **values)


def verdict(report: AttributeReport) -> str:
    """Say in a few sentences how the model did, beside popularity."""
    model, pop = report.providers.get(MODEL_PROVIDER), report.providers.get(POPULARITY_PROVIDER)
    if not report.num_situations:
        return "There is nothing to judge: the files of this split have no situation."
    if model is None or pop is None:
        return f"{len(report.providers)} providers were asked at {report.num_situations:,d} places."
    coverage = percent(model.answered.num_situations / model.all.num_situations)
    if not model.common.num_situations:
        return f"The model answered at {coverage} of the places, and never where popularity did: they do not compare."
    mine, theirs = model.common.share(1) or 0.0, pop.common.share(1) or 0.0
    outcome = "better than" if mine > theirs else "worse than" if mine < theirs else "as good as"
    return (
        f"Where all providers answer, the model's first completion is right in {percent(mine)} and popularity's in "
        f"{percent(theirs)}: the model is {outcome} popularity. It answers at {coverage} of all places."
    )


def percent(share: float | None) -> str:
    """Write a share from 0 to 1 as percent with its sign."""
    return NO_FIGURE if share is None else f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def number(value: float | None, digits: int = 3) -> str:
    """Write a number with a fixed count of decimals."""
    return NO_FIGURE if value is None else f"{value:,.{digits}f}"


def count(value: int) -> str:
    """Write a whole number with separators for thousands."""
    return f"{value:,d}"


def _recall_text(report: AttributeReport) -> str:
    parts = [
        f"{name}: " + ", ".join(f"{percent(one.common.share(n))} among the first {n}" for n in TOP)
        for name, one in report.providers.items()
    ]
    return "Share of the situations with the answer among the first completions. " + "; ".join(parts) + "."


@cache
def _environment() -> Environment:
    from markupsafe import Markup

    return page_environment(_TEMPLATES, percent=percent, count=count, number=number, svg=Markup)
