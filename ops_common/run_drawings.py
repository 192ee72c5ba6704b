"""The drawings of a run's report: its curves, and how its model differs from the released one. See drawing.py."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ops_common.drawing import canvas, colour, series_colour, series_role, set_log_scale, shortened, styled, to_svg
from ops_common.release_record import FigureInterval

MAX_POINTS = 300
"""Points of one curve; of a longer one neighbours are averaged."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A plot of the report.

    Attributes:
        title: Its caption.
        alt: What it shows, for a reader who cannot see it.
        svg: The SVG element.
        legend: (role of the colour, name) of each series; empty for a drawing that needs none.
    """

    title: str
    alt: str
    svg: str
    legend: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Curves:
    """Which curves of a metrics file make one drawing.

    Attributes:
        title: Its caption.
        names: Names in the metrics file; one with a `*` at its end stands for all that begin so.
        axis: What the upright axis says.
        is_logarithmic: Whether that axis is.
    """

    title: str
    names: tuple[str, ...]
    axis: str
    is_logarithmic: bool = False


Points = list[tuple[int, float]]


def draw_curves(drawing_id: str, curves: Curves, records: Sequence[Mapping[str, Any]]) -> Drawing | None:
    """Draws curves over the optimiser's steps; None when the file holds no point of any of them.

    Args:
        drawing_id: Unique among the drawings of the page.
        curves: Which ones.
        records: Those of `ops_common.metrics.read_metrics`.
    """
    series = {name: points for name in _names(curves, records) if (points := _points(name, records))}
    if not series:
        return None
    last = "; ".join(f"{name} {points[-1][1]:.4g} at step {points[-1][0]:,d}" for name, points in series.items())
    legend = tuple((series_role(index), name) for index, name in enumerate(series)) if len(series) > 1 else ()
    alt = f"{curves.axis} over the optimiser's steps; last values: {last}."
    return Drawing(curves.title, alt, _draw(drawing_id, curves, series), legend)


@styled
def draw_intervals(drawing_id: str, intervals: Sequence[FigureInterval]) -> str:
    """Draws each difference from the released model with its interval, a row each, and the line of no difference."""
    figure, axes = canvas(4.6, 0.75 + 0.42 * len(intervals))
    axes.axvline(0, color=colour("ink"), linewidth=0.9)
    for row, one in enumerate(intervals):
        if one.low is not None and one.high is not None:
            axes.plot([one.low, one.high], [row, row], color=series_colour(0), linewidth=2.2, solid_capstyle="butt")
        axes.plot([one.difference], [row], color=series_colour(0), marker="o", markersize=5, linestyle="none")
    axes.set_yticks(range(len(intervals)), [shortened(one.figure) for one in intervals])
    axes.set_ylim(len(intervals) - 0.5, -0.5)
    axes.set_xlabel("candidate minus released")
    return to_svg(figure, drawing_id)


@styled
def _draw(drawing_id: str, curves: Curves, series: Mapping[str, Points]) -> str:
    figure, axes = canvas(4.4, 2.8)
    for index, points in enumerate(series.values()):
        marker = "o" if len(points) <= 30 else ""
        steps, values = zip(*points, strict=True)
        axes.plot(steps, values, color=series_colour(index), linewidth=1.4, marker=marker, markersize=3)
    everything = [value for points in series.values() for _, value in points]
    if curves.is_logarithmic and min(everything) > 0:
        set_log_scale(axes, everything)
    else:
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.locator_params(axis="x", nbins=6, integer=True)
    axes.set_xlabel("optimiser steps")
    axes.set_ylabel(curves.axis)
    return to_svg(figure, drawing_id)


def _names(curves: Curves, records: Sequence[Mapping[str, Any]]) -> list[str]:
    known = dict.fromkeys(name for record in records for name in record)
    return [
        name
        for wanted in curves.names
        for name in known
        if (name.startswith(wanted[:-1]) if wanted.endswith("*") else name == wanted)
    ]


def _points(name: str, records: Sequence[Mapping[str, Any]]) -> Points:
    points = [(record["step"], float(record[name])) for record in records if math.isfinite(_number(record.get(name)))]
    size = math.ceil(len(points) / MAX_POINTS) or 1
    parts = [points[start : start + size] for start in range(0, len(points), size)]
    return [(part[-1][0], sum(value for _, value in part) / len(part)) for part in parts]


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
