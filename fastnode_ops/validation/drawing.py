"""The report's drawings as inline SVG, see ops_common/drawing.py: a line and a marker for each provider."""

from __future__ import annotations

from collections.abc import Mapping

from fastnode_ops.validation.calibration import Calibration
from fastnode_ops.validation.ranking import TOP, Recall
from ops_common.drawing import canvas, colour, series_colour, styled, to_svg

_MARKERS = "osD^vX"


@styled
def draw_recall(figures: Mapping[str, Recall]) -> str:
    """Draw the share of the situations with the answer among the first 1, 3, 5 and 10, a line per provider."""
    figure, axes = canvas(4.4, 3.0)
    for index, recall in enumerate(figures.values()):
        shares = [100 * (recall.share(number) or 0.0) for number in TOP]
        shade, marker = series_colour(index), _MARKERS[index % len(_MARKERS)]
        axes.plot(range(len(TOP)), shares, color=shade, marker=marker, markersize=5, linewidth=1.6)
    axes.set_xticks(range(len(TOP)), [f"first {number}" if number > 1 else "first" for number in TOP])
    axes.set_ylim(0, 100)
    axes.set_ylabel("situations, %")
    return to_svg(figure, "recall")


@styled
def draw_calibration(figures: Mapping[str, tuple[int, Calibration]]) -> str:
    """Draw how often a first completion of some confidence is right; numbers of series by provider, and its figures."""
    figure, axes = canvas(4.4, 3.0)
    axes.plot([0, 100], [0, 100], color=colour("ink"), linewidth=0.8)
    for index, calibration in figures.values():
        confidences = [100 * one.mean_confidence for one in calibration.bins]
        right = [100 * one.share_right for one in calibration.bins]
        shade, marker = series_colour(index), _MARKERS[index % len(_MARKERS)]
        axes.plot(confidences, right, color=shade, marker=marker, markersize=5, linewidth=1.2)
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 100)
    axes.set_xlabel("probability of the first completion, %")
    axes.set_ylabel("first completions that are right, %")
    return to_svg(figure, "calibration")


def marker_sign(index: int) -> str:
    """Return the sign of a series, for a legend."""
    signs = {"o": "●", "s": "■", "D": "◆", "^": "▲", "v": "▼", "X": "✖"}
    return signs[_MARKERS[index % len(_MARKERS)]]
