"""How a report's drawing is made: Matplotlib under our settings, SVG that takes its colours and font from the page.

Matplotlib draws with placeholder colours; each is replaced by a CSS variable, so one drawing serves light and dark.
"""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STYLES = Path(__file__).parent / "templates" / "report.css"
_NUM_SERIES_COLOURS = 6
# Role to the placeholder that Matplotlib draws with; the page defines --plot-<role>.
_PLACEHOLDERS: Mapping[str, str] = {
    role: f"#0{index:02x}0{index:02x}"
    for index, role in enumerate(
        ["ink", "grid", "model", "linear", "median", "best_constant", "other"]
        + [f"density-{level}" for level in range(1, 7)]
        + [f"series-{number}" for number in range(1, _NUM_SERIES_COLOURS + 1)],
        start=1,
    )
}
_RC: Mapping[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "font.size": 8.5,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "text.parse_math": False,
    "axes.unicode_minus": True,
    "path.simplify": True,
}
_LONGEST_TASK_LABEL = 18

_Arguments = ParamSpec("_Arguments")


def styled(draw: Callable[_Arguments, str]) -> Callable[_Arguments, str]:
    """Draws under our settings whatever the process's Matplotlib is set to; texts take them when they are made."""

    @functools.wraps(draw)
    def drawn(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> str:
        from matplotlib import rc_context

        with rc_context(dict(_RC)):
            return draw(*args, **kwargs)

    return drawn


def page_styles() -> str:
    """The style sheet of report pages; it defines the colours that drawings take."""
    return _STYLES.read_text(encoding="utf-8")


def canvas(width_inches: float, height_inches: float) -> tuple[Figure, Axes]:
    """Makes an empty drawing with a grid and without a background."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_inches, height_inches), layout="constrained")
    axes = figure.add_subplot()
    ink, grid = colour("ink"), colour("grid")
    for spine in axes.spines.values():
        spine.set_color(grid)
    axes.tick_params(which="both", colors=ink)
    axes.xaxis.label.set_color(ink)
    axes.yaxis.label.set_color(ink)
    axes.grid(True, color=grid, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.patch.set_visible(False)
    figure.patch.set_visible(False)
    return figure, axes


def to_svg(figure: Figure, drawing_id: str) -> str:
    """Renders a figure as an SVG element without ids that clash, outside references or fixed colours."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<(metadata|style)\b.*?</\1>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'\sxmlns(:xlink)?="[^"]*"', "", text).replace("xlink:href=", "href=")
    text = re.sub(r'(<svg[^>]*?)\swidth="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?)\sheight="[^"]*"', r"\1", text, count=1)
    text = text.replace("<svg", '<svg aria-hidden="true" focusable="false"', 1)
    text = re.sub(r"font-family: [^;\"]*;? ?", "", text)  # the page's font
    text = re.sub(r' transform="rotate\(-0 [^"]*"', "", text)
    text = re.sub(r"-?\d+\.\d{3,}", lambda match: f"{float(match.group()):.2f}".rstrip("0").rstrip("."), text)
    for role, colour in _PLACEHOLDERS.items():
        text = text.replace(colour, f"var(--plot-{role})")
    return _unique_ids(re.sub(r">\s+<", "><", text), drawing_id)


def _unique_ids(text: str, prefix: str) -> str:
    """Keeps only the ids that something refers to, prefixed, since several drawings share one page."""
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))

    def rename(match: re.Match[str]) -> str:
        return f' id="{prefix}-{match.group(1)}"' if match.group(1) in used else ""

    text = re.sub(r'\sid="([^"]*)"', rename, text)
    return re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}-", text)


def colour(role: str) -> str:
    """Gives the placeholder of a role; the page defines its colour as `--plot-<role>`."""
    return _PLACEHOLDERS.get(role, _PLACEHOLDERS["other"])


def series_role(index: int) -> str:
    """Names the role of one of several lines, told apart by colour; after the last colour the first comes again."""
    return f"series-{index % _NUM_SERIES_COLOURS + 1}"


def series_colour(index: int) -> str:
    """Gives the placeholder of `series_role`."""
    return colour(series_role(index))


def shortened(name: str) -> str:
    """Cuts a name off that would not fit beside an axis."""
    return name if len(name) <= _LONGEST_TASK_LABEL else name[: _LONGEST_TASK_LABEL - 1] + "…"


def set_log_scale(axes: Axes, values: Sequence[float]) -> None:
    """Makes the upright axis logarithmic, with round numbers that suit the positive values."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_yscale("log")
    wide = max(values) / min(values) > 30
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
