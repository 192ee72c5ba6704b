"""The report's plots as inline SVG, see ops_common/drawing.py.

Everything is drawn from the report itself (histograms and percentiles), never from the blocks, which keeps a plot at a
few kilobytes. Captions, legends and descriptions stand in the page around a drawing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from gematria_ops.inference.evaluation_report import (
    CurveSeries,
    Density,
    ErrorCurve,
    EvaluationReport,
    Slice,
    SliceGroup,
)
from ops_common.drawing import canvas, colour, series_colour, set_log_scale, shortened, styled, to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NUM_DENSITY_LEVELS = 6
FEWEST_DRAWN_BLOCKS = 5
# A baseline is told apart by its dashes too, not by colour alone; the page's legend draws the same.
_DASHES: Mapping[str, tuple[float, tuple[float, ...]]] = {
    "linear": (0, (5, 2)),
    "median": (0, (1.5, 1.8)),
    "best_constant": (0, (5, 1.6, 1.2, 1.6)),
}
_MARKERS: Mapping[str, str] = {"linear": "s", "median": "D", "best_constant": "^"}


@styled
def plot_density(drawing_id: str, density: Density, window: tuple[int, int]) -> str:
    """Draws predictions against labels as a logarithmic two-dimensional histogram with its diagonal.

    Args:
        drawing_id: Unique among the drawings of a page, as for every drawing here.
        density: The histogram of one task.
        window: First and last bin to show on both axes, see `density_window`.
    """
    figure, axes = canvas(3.9, 3.55)
    largest = max((count for _, _, count in density.cells), default=1)
    for level in range(1, _NUM_DENSITY_LEVELS + 1):
        cells = [(x, y) for x, y, count in density.cells if _density_level(count, largest) == level]
        _draw_cells(axes, cells, colour(f"density-{level}"))
    low, high = window
    axes.plot([low, high + 1], [low, high + 1], color=colour("ink"), linewidth=0.8)
    _set_cycle_ticks(axes, density.edges_cycles_per_iteration, window)
    axes.set_xlabel("expected, cycles per iteration")
    axes.set_ylabel("predicted, cycles per iteration")
    return to_svg(figure, drawing_id)


def density_window(report: EvaluationReport) -> tuple[int, int]:
    """Finds the bins that hold a block of any task, so that the tasks' plots have the same axes."""
    bins = [index for task in report.tasks if task.density for cell in task.density.cells for index in cell[:2]]
    return (min(bins), max(bins)) if bins else (0, 1)


def density_scale(density: Density) -> list[tuple[int, int, int]]:
    """Gives the legend of a density plot: (level, fewest blocks, most blocks), levels without a number left out."""
    largest = max((count for _, _, count in density.cells), default=1)
    found: dict[int, list[int]] = {}
    for _, _, count in density.cells:
        found.setdefault(_density_level(count, largest), []).append(count)
    return [(level, min(counts), max(counts)) for level, counts in sorted(found.items())]


@styled
def plot_error_curve(drawing_id: str, curve: ErrorCurve, largest_percent: float = 100.0) -> str:
    """Draws which share of the blocks stays below each error, for the model and each baseline."""
    figure, axes = canvas(3.9, 2.9)
    for name, values in curve.baselines_percent.items():
        axes.plot(values, curve.ranks, color=colour(name), linewidth=1.2, linestyle=_dashes(name))
    axes.plot(curve.model_percent, curve.ranks, color=colour("model"), linewidth=1.9)
    axes.set_xlim(0, largest_percent)
    axes.set_ylim(0, 100)
    axes.set_xlabel("absolute percentage error, %")
    axes.set_ylabel("blocks with at most this error, %")
    return to_svg(figure, drawing_id)


def drawn_slices(group: SliceGroup) -> list[Slice]:
    """Gives the parts that are large enough for quartiles to mean something."""
    return [part for part in group.slices if part.num_blocks >= FEWEST_DRAWN_BLOCKS]


def slice_axis_limit(groups: Sequence[SliceGroup], baseline: str | None) -> float:
    """Finds an upper limit of the error axis that suits all the groups, so that their plots compare, in percent."""
    highest = [0.0]
    for part in (part for group in groups for part in drawn_slices(group)):
        highest.append(_number(part.model.quartile_3_percent))
        if baseline in part.baselines:
            highest.append(_number(part.baselines[baseline].median_percent))
    return max(1.0, 1.05 * max(value for value in highest if math.isfinite(value)))


@styled
def plot_error_by_slice(
    drawing_id: str, group: SliceGroup, axis_label: str, baseline: str | None, largest_percent: float
) -> str:
    """Draws the model's median error and its quartiles over the parts of a group, with one baseline's median."""
    figure, axes = canvas(3.9, 2.9)
    slices = drawn_slices(group)
    positions = range(len(slices))
    medians = [_number(part.model.median_percent) for part in slices]
    lower = [_number(part.model.quartile_1_percent) for part in slices]
    upper = [_number(part.model.quartile_3_percent) for part in slices]
    axes.fill_between(positions, lower, upper, color=colour("model"), alpha=0.2, linewidth=0)
    if baseline is not None:
        compared = [_number(part.baselines[baseline].median_percent) for part in slices]
        axes.plot(positions, compared, color=colour(baseline), linewidth=1.2, linestyle=_dashes(baseline))
    axes.plot(positions, medians, color=colour("model"), linewidth=1.9, marker="o", markersize=3.5)
    # A slanted label needs room for its tail; short ones stay level.
    slanted = any(len(part.name) > 6 for part in slices)
    axes.set_xticks(list(positions), [part.name for part in slices], rotation=35 if slanted else 0)
    if slanted:
        for label in axes.get_xticklabels():
            label.set_horizontalalignment("right")
            label.set_rotation_mode("anchor")
    axes.set_ylim(0, largest_percent)
    axes.set_xlabel(axis_label)
    axes.set_ylabel("absolute percentage error, %")
    return to_svg(figure, drawing_id)


@styled
def plot_task_means(drawing_id: str, report: EvaluationReport) -> str:
    """Draws the mean absolute percentage error of every task: model with its interval, and the baselines.

    Rows are the tasks from top to bottom in the report's order.
    """
    num_tasks = len(report.tasks)
    figure, axes = canvas(3.9, 0.6 + 0.34 * num_tasks)
    for row, task in enumerate(report.tasks):
        for name, summary in task.baselines.items():
            if summary.mape_percent is not None:
                marker = _MARKERS.get(name, "x")
                axes.plot(summary.mape_percent, row, marker=marker, color=colour(name), markersize=5, fillstyle="none")
        if task.model.mape_percent is not None:
            if task.model.mape_interval is not None:
                interval = [task.model.mape_interval.low, task.model.mape_interval.high]
                axes.plot(interval, [row, row], color=colour("model"), linewidth=3, alpha=0.45)
            axes.plot(task.model.mape_percent, row, marker="o", color=colour("model"), markersize=6)
    axes.set_yticks(range(num_tasks), [shortened(task.name) for task in report.tasks])
    axes.set_ylim(num_tasks - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_xlabel("mean absolute percentage error, %")
    return to_svg(figure, drawing_id)


@styled
def plot_learning_curve(drawing_id: str, series: Sequence[CurveSeries], axis_label: str, logarithmic: bool) -> str:
    """Draws quantities of the same unit over the optimiser's steps, coloured in the order of `series`."""
    figure, axes = canvas(4.3, 2.7)
    for index, one in enumerate(series):
        steps = [point.step for point in one.points]
        values = [point.value for point in one.points]
        marker = "o" if len(steps) <= 30 else ""
        axes.plot(steps, values, color=series_colour(index), linewidth=1.4, marker=marker, markersize=3)
    if logarithmic and all(point.value > 0 for one in series for point in one.points):
        set_log_scale(axes, [point.value for one in series for point in one.points])
    else:
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.locator_params(axis="x", nbins=6, integer=True)
    axes.set_xlabel("optimiser steps")
    axes.set_ylabel(axis_label)
    return to_svg(figure, drawing_id)


def _dashes(baseline: str) -> tuple[float, tuple[float, ...]]:
    return _DASHES.get(baseline, (0, (2, 2)))


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _density_level(count: int, largest: int) -> int:
    """Sorts a cell's count into levels 1 to 6 of equal ratio."""
    if largest <= 1:
        return _NUM_DENSITY_LEVELS
    return 1 + min(_NUM_DENSITY_LEVELS - 1, int(_NUM_DENSITY_LEVELS * math.log(count) / math.log(largest)))


def _draw_cells(axes: Axes, cells: Sequence[tuple[int, int]], colour: str) -> None:
    """Draws cells as one path, neighbours of a row joined, which is smaller and leaves no seams."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    vertices: list[tuple[float, float]] = []
    codes: list[int] = []
    filled = set(cells)
    for x, y in sorted(cells, key=lambda cell: (cell[1], cell[0])):
        if (x - 1, y) in filled:
            continue
        end = x + 1
        while (end, y) in filled:
            end += 1
        vertices += [(x, y), (end, y), (end, y + 1), (x, y + 1), (x, y)]
        codes += [int(Path.MOVETO), *[int(Path.LINETO)] * 3, int(Path.CLOSEPOLY)]
    if vertices:
        axes.add_patch(PathPatch(Path(vertices, codes), facecolor=colour, edgecolor=colour, linewidth=0.15))


def _set_cycle_ticks(axes: Axes, edges: Sequence[float], window: tuple[int, int]) -> None:
    """Labels bin positions with round numbers of cycles: 1, 10, 100 and, where there is room, 2 and 5 times these."""
    low, high = window
    first = math.log10(edges[0])
    bins_per_decade = (len(edges) - 1) / (math.log10(edges[-1]) - first)
    decades = (high + 1 - low) / bins_per_decade
    multiples = (1, 2, 5) if decades <= 2 else (1, 3) if decades <= 3 else (1,)
    ticks = [m * 10.0**e for e in range(math.floor(first), math.ceil(math.log10(edges[-1])) + 1) for m in multiples]
    placed = [((math.log10(tick) - first) * bins_per_decade, tick) for tick in ticks]
    shown = [(position, tick) for position, tick in placed if low <= position <= high + 1]
    positions, labels = [position for position, _ in shown], [f"{tick:,.10g}" for _, tick in shown]
    axes.set_xticks(positions, labels)
    axes.set_yticks(positions, labels)
    axes.set_xlim(low, high + 1)
    axes.set_ylim(low, high + 1)
    axes.set_aspect("equal")
