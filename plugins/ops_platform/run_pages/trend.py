"""Figures over the nights, as coordinates of small drawings: a template makes SVG of them, each point a link.

A point is a run with that figure: a disc when its model was released, a cross when it was refused, else a ring. The
line is the figure of the model that was released then. Runs that failed without a figure are ticks on the axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from ops_platform.run_pages.listing import Row

WIDTH, HEIGHT = 640.0, 200.0
LEFT, RIGHT, TOP, BOTTOM = 58.0, 12.0, 12.0, 30.0
SPANS = (30, 90, 365, 1000)
"""How many runs a person may look back."""

_KINDS = {"released": "released", "rolled_back": "released", "refused": "refused", "not_approved": "refused"}
_NUM_TICKS = 4


@dataclass(frozen=True, slots=True)
class Point:
    """A run in a drawing; x and y in the units of the drawing."""

    row: Row
    x: float
    y: float
    value: float
    kind: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on an axis."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Trend:
    """The drawing of one figure.

    Attributes:
        figure: Its name.
        points: The runs that have it, the oldest first.
        line: Corners of the line of what was released, `x,y x,y ...`; empty when nothing was.
        failed: Runs of the same time that failed, on the axis.
        x_ticks: Days.
        y_ticks: Values.
        summary: What the drawing shows, for who cannot see it.
    """

    figure: str
    points: tuple[Point, ...]
    line: str
    failed: tuple[Point, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    summary: str


def trends(rows: Sequence[Row], figures: Sequence[str], span: int) -> list[Trend]:
    """The drawings of some figures over the newest runs.

    Args:
        rows: Runs of one family.
        figures: Names of the figures; one that no run has gets no drawing.
        span: How many of the newest runs to look at.
    """
    dated = sorted((row for row in rows if row.started_at), key=lambda row: (row.started_at or datetime.min, row.key))
    shown = dated[-span:]
    return [_trend(figure, shown) for figure in figures if any(figure in row.figures for row in shown)]


def _trend(figure: str, rows: Sequence[Row]) -> Trend:
    with_figure = [row for row in rows if figure in row.figures]
    values = [row.figures[figure] for row in with_figure]
    low, high, y_ticks = _scale(min(values), max(values))
    times = [row.started_at.timestamp() for row in rows if row.started_at]
    first, last = min(times), max(times)

    def x_of(row: Row) -> float:
        assert row.started_at is not None  # rows without a time were left out
        share = (row.started_at.timestamp() - first) / (last - first) if last > first else 0.5
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y_of(value: float) -> float:
        return round(HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)

    points = tuple(
        Point(row, x_of(row), y_of(value), value, _KINDS.get(row.decision, "other"))
        for row, value in zip(with_figure, values, strict=True)
    )
    failed = tuple(
        Point(row, x_of(row), HEIGHT - BOTTOM, math.nan, "failed")
        for row in rows
        if row.state == "failed" and figure not in row.figures
    )
    return Trend(
        figure=figure,
        points=points,
        line=_line(points),
        failed=failed,
        x_ticks=_days(first, last),
        y_ticks=tuple(Tick(y_of(value), _number(value)) for value in y_ticks),
        summary=_summary(figure, points, failed),
    )


def _line(points: Sequence[Point]) -> str:
    """The released model's figure from its release to the next one, and on to the right edge."""
    released = [point for point in points if point.kind == "released"]
    if not released:
        return ""
    corners = [f"{released[0].x},{released[0].y}"]
    for before, after in pairwise(released):
        corners += [f"{after.x},{before.y}", f"{after.x},{after.y}"]
    return " ".join([*corners, f"{WIDTH - RIGHT},{released[-1].y}"])


def _scale(low: float, high: float) -> tuple[float, float, list[float]]:
    """Ends of an axis around some values, and round numbers on it."""
    if high <= low:
        margin = abs(low) * 0.1 or 1.0
        low, high = low - margin, high + margin
    step = _round_step((high - low) / _NUM_TICKS)
    first, last = math.floor(low / step), math.ceil(high / step)
    return first * step, last * step, [number * step for number in range(first, last + 1)]


def _round_step(wanted: float) -> float:
    power = 10.0 ** math.floor(math.log10(wanted))
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= wanted * 0.999)


def _days(first: float, last: float) -> tuple[Tick, ...]:
    times = [first + (last - first) * part / 4 for part in range(5)] if last > first else [first]
    ticks: dict[str, Tick] = {}
    for part, time in enumerate(times):
        at = LEFT + (part / 4 if len(times) > 1 else 0.5) * (WIDTH - LEFT - RIGHT)
        text = f"{datetime.fromtimestamp(time, UTC):%d %b}"
        ticks.setdefault(text, Tick(round(at, 1), text))
    return tuple(ticks.values())


def _summary(figure: str, points: Sequence[Point], failed: Sequence[Point]) -> str:
    count = {kind: sum(point.kind == kind for point in points) for kind in ("released", "refused")}
    values = [point.value for point in points]
    return (
        f"{figure} of {len(points)} runs, from {_number(min(values))} to {_number(max(values))}, the newest "
        f"{_number(values[-1])}; {count['released']} released, {count['refused']} refused, {len(failed)} failed"
    )


def _number(value: float) -> str:
    return f"{value:.4g}"
