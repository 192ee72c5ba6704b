"""The report's drawings: Matplotlib figures as SVG elements that take their colours and font from the page.

Matplotlib draws with placeholder colours; each is replaced by a CSS variable, so one drawing serves light and dark.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fastnode_ops.validation.calibration import Calibration
from fastnode_ops.validation.ranking import TOP, Recall

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NUM_SERIES = 6
_PLACEHOLDERS = {role: f"#0{i:02x}0{i:02x}" for i, role in enumerate(["ink", "grid", *map(str, range(NUM_SERIES))], 1)}
_MARKERS = "osD^vX"
_RC: Mapping[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "validation",
    "font.size": 8.5,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,
}


def draw_recall(figures: Mapping[str, Recall]) -> str:
    """Draw the share of the situations with the answer among the first 1, 3, 5 and 10, a line per provider."""
    from matplotlib import rc_context

    with rc_context(dict(_RC)):
        figure, axes = _canvas()
        for index, recall in enumerate(figures.values()):
            shares = [100 * (recall.share(number) or 0.0) for number in TOP]
            colour, marker = _PLACEHOLDERS[str(index % NUM_SERIES)], _MARKERS[index % NUM_SERIES]
            axes.plot(range(len(TOP)), shares, color=colour, marker=marker, markersize=5, linewidth=1.6)
        axes.set_xticks(range(len(TOP)), [f"first {number}" if number > 1 else "first" for number in TOP])
        axes.set_ylim(0, 100)
        axes.set_ylabel("situations, %")
        return _to_svg(figure, "recall")


def draw_calibration(figures: Mapping[str, tuple[int, Calibration]]) -> str:
    """Draw how often a first completion of some confidence is right; numbers of series by provider, and its figures."""
    from matplotlib import rc_context

    with rc_context(dict(_RC)):
        figure, axes = _canvas()
        axes.plot([0, 100], [0, 100], color=_PLACEHOLDERS["ink"], linewidth=0.8)
        for index, calibration in figures.values():
            confidences = [100 * one.mean_confidence for one in calibration.bins]
            right = [100 * one.share_right for one in calibration.bins]
            colour, marker = _PLACEHOLDERS[str(index % NUM_SERIES)], _MARKERS[index % NUM_SERIES]
            axes.plot(confidences, right, color=colour, marker=marker, markersize=5, linewidth=1.2)
        axes.set_xlim(0, 100)
        axes.set_ylim(0, 100)
        axes.set_xlabel("probability of the first completion, %")
        axes.set_ylabel("first completions that are right, %")
        return _to_svg(figure, "calibration")


def markers(num: int) -> Sequence[str]:
    """Return the signs of the first series, for a legend."""
    signs = {"o": "●", "s": "■", "D": "◆", "^": "▲", "v": "▼", "X": "✖"}
    return [signs[_MARKERS[index % NUM_SERIES]] for index in range(num)]


def _canvas() -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.4, 3.0), layout="constrained")
    axes = figure.add_subplot()
    for spine in axes.spines.values():
        spine.set_color(_PLACEHOLDERS["grid"])
    axes.tick_params(which="both", colors=_PLACEHOLDERS["ink"])
    axes.xaxis.label.set_color(_PLACEHOLDERS["ink"])
    axes.yaxis.label.set_color(_PLACEHOLDERS["ink"])
    axes.grid(True, color=_PLACEHOLDERS["grid"], linewidth=0.5)
    axes.set_axisbelow(True)
    axes.patch.set_visible(False)
    figure.patch.set_visible(False)
    return figure, axes


def _to_svg(figure: Figure, drawing_id: str) -> str:
    """Render a figure without a size of its own, outside references, or ids that clash with another drawing's."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<(metadata|style)\b.*?</\1>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'\sxmlns(:xlink)?="[^"]*"', "", text).replace("xlink:href=", "href=")
    text = re.sub(r'(<svg[^>]*?)\swidth="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?)\sheight="[^"]*"', r"\1", text, count=1)
    text = text.replace("<svg", '<svg aria-hidden="true" focusable="false"', 1)
    text = re.sub(r"font-family: [^;\"]*;? ?", "", text)  # the page's font
    for role, colour in _PLACEHOLDERS.items():
        text = text.replace(colour, f"var(--plot-{role})")
    return re.sub(r'(\sid="|href="#|url\(#)', rf"\g<1>{drawing_id}-", re.sub(r">\s+<", "><", text))
