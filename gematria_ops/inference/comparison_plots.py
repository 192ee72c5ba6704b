"""The plots of a comparison as inline SVG, see ops_common/drawing.py: differences with intervals, error over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from gematria_ops.inference.comparison_report import Difference, ErrorOverTime
from ops_common.drawing import canvas, colour, set_log_scale, shortened, styled, to_svg

# Which role of the page's colours each model has, and a difference that may be none.
MODEL_ROLES = {"first": "linear", "second": "model"}
_OUTCOME_ROLES = {"better": MODEL_ROLES["second"], "worse": MODEL_ROLES["first"], "unclear": "median"}


@styled
def plot_differences(drawing_id: str, rows: Sequence[tuple[str, Difference]], limits: tuple[float, float]) -> str:
    """Draws differences of the mean error, second minus first, with their intervals, one below the other.

    Args:
        drawing_id: Unique among the drawings of a page.
        rows: Name and difference of each row, from top to bottom.
        limits: Ends of the axis in percentage points, see `difference_limits`.
    """
    figure, axes = canvas(3.9, 0.75 + 0.26 * len(rows))
    axes.axvline(0, color=colour("ink"), linewidth=0.9)
    for row, (_, difference) in enumerate(rows):
        shade = colour(_OUTCOME_ROLES[difference.outcome])
        if difference.low is not None and difference.high is not None:
            axes.plot([difference.low, difference.high], [row, row], color=shade, linewidth=3, alpha=0.45)
        axes.plot(difference.mape_points, row, marker="o", color=shade, markersize=5, linestyle="none")
    axes.set_yticks(range(len(rows)), [shortened(name) for name, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(*limits)
    axes.set_xlabel("second minus first, percentage points")
    return to_svg(figure, drawing_id)


def difference_limits(differences: Sequence[Difference]) -> tuple[float, float]:
    """Finds ends of an axis that suit all differences and their intervals, zero among them, with some air."""
    ends = [0.0]
    for difference in differences:
        ends += [difference.mape_points, difference.low or 0.0, difference.high or 0.0]
    air = 0.06 * (max(ends) - min(ends)) or 1.0
    return min(ends) - air, max(ends) + air


@styled
def plot_error_over_time(drawing_id: str, curves: Sequence[ErrorOverTime], axis: Literal["steps", "seconds"]) -> str:
    """Draws the error of both models over steps or wall time: validation as lines with marks, batches as thin lines."""
    figure, axes = canvas(4.3, 2.9)
    for curve in curves:
        placed = [
            (float(point.step) if axis == "steps" else point.seconds, point.error_percent) for point in curve.points
        ]
        points = [(place, error) for place, error in placed if place is not None]
        is_validation = curve.kind == "validation"
        axes.plot(
            [place for place, _ in points],
            [error for _, error in points],
            color=colour(MODEL_ROLES[curve.model]),
            linewidth=1.8 if is_validation else 0.8,
            alpha=1 if is_validation else 0.6,
            marker="o" if is_validation and len(points) <= 60 else "",
            markersize=3,
        )
    values = [point.error_percent for curve in curves for point in curve.points]
    if min(values) > 0:
        set_log_scale(axes, values)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.locator_params(axis="x", nbins=6)
    axes.set_xlabel("optimiser steps" if axis == "steps" else "wall time, seconds")
    axes.set_ylabel("mean error of the tasks, %")
    return to_svg(figure, drawing_id)
