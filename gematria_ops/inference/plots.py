"""The report's plots as inline SVG that takes its colours and font from the page, so one drawing serves light and dark.

Matplotlib draws with placeholder colours; each is replaced by a CSS variable. Everything is drawn from the report
itself (histograms and percentiles), never from the blocks, which keeps a plot at a few kilobytes. Captions, legends and
descriptions stand in the page around a drawing.
"""

from __future__ import annotations

import functools
import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec

from gematria_ops.inference.evaluation_report import (
    CurveSeries,
    Density,
    ErrorCurve,
    EvaluationReport,
    Slice,
    SliceGroup,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Role to the placeholder that Matplotlib draws with; the page defines --plot-<role>.
_PLACEHOLDERS: Mapping[str, str] = {
    role: f"#0{index:02x}0{index:02x}"
    for index, role in enumerate(
        ["ink", "grid", "model", "linear", "median", "best_constant", "other"]
        + [f"density-{level}" for level in range(1, 7)]
        + [f"series-{number}" for number in range(1, 7)],
        start=1,
    )
}
_NUM_DENSITY_LEVELS = 6
NUM_SERIES_COLOURS = 6
FEWEST_DRAWN_BLOCKS = 5
# A baseline is told apart by its dashes too, not by colour alone; the page's legend draws the same.
_DASHES: Mapping[str, tuple[float, tuple[float, ...]]] = {
    "linear": (0, (5, 2)),
    "median": (0, (1.5, 1.8)),
    "best_constant": (0, (5, 1.6, 1.2, 1.6)),
}
_MARKERS: Mapping[str, str] = {"linear": "s", "median": "D", "best_constant": "^"}

_RC: Mapping[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "evaluation",
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


def _styled(draw: Callable[_Arguments, str]) -> Callable[_Arguments, str]:
    """Draws under our settings whatever the process's Matplotlib is set to; texts take them when they are made."""

    @functools.wraps(draw)
    def styled(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> str:
        from matplotlib import rc_context

        with rc_context(dict(_RC)):
            return draw(*args, **kwargs)

    return styled


@_styled
def plot_density(drawing_id: str, density: Density, window: tuple[int, int]) -> str:
    """Draws predictions against labels as a logarithmic two-dimensional histogram with its diagonal.

    Args:
        drawing_id: Unique among the drawings of a page, as for every drawing here.
        density: The histogram of one task.
        window: First and last bin to show on both axes, see `density_window`.
    """
    figure, axes = _canvas(3.9, 3.55)
    largest = max((count for _, _, count in density.cells), default=1)
    for level in range(1, _NUM_DENSITY_LEVELS + 1):
        cells = [(x, y) for x, y, count in density.cells if _density_level(count, largest) == level]
        _draw_cells(axes, cells, _colour(f"density-{level}"))
    low, high = window
    axes.plot([low, high + 1], [low, high + 1], color=_colour("ink"), linewidth=0.8)
    _set_cycle_ticks(axes, density.edges_cycles_per_iteration, window)
    axes.set_xlabel("expected, cycles per iteration")
    axes.set_ylabel("predicted, cycles per iteration")
    return _to_svg(figure, drawing_id)


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


@_styled
def plot_error_curve(drawing_id: str, curve: ErrorCurve, largest_percent: float = 100.0) -> str:
    """Draws which share of the blocks stays below each error, for the model and each baseline."""
    figure, axes = _canvas(3.9, 2.9)
    for name, values in curve.baselines_percent.items():
        axes.plot(values, curve.ranks, color=_colour(name), linewidth=1.2, linestyle=_dashes(name))
    axes.plot(curve.model_percent, curve.ranks, color=_colour("model"), linewidth=1.9)
    axes.set_xlim(0, largest_percent)
    axes.set_ylim(0, 100)
    axes.set_xlabel("absolute percentage error, %")
    axes.set_ylabel("blocks with at most this error, %")
    return _to_svg(figure, drawing_id)


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


@_styled
def plot_error_by_slice(
    drawing_id: str, group: SliceGroup, axis_label: str, baseline: str | None, largest_percent: float
) -> str:
    """Draws the model's median error and its quartiles over the parts of a group, with one baseline's median."""
    figure, axes = _canvas(3.9, 2.9)
    slices = drawn_slices(group)
    positions = range(len(slices))
    medians = [_number(part.model.median_percent) for part in slices]
    lower = [_number(part.model.quartile_1_percent) for part in slices]
    upper = [_number(part.model.quartile_3_percent) for part in slices]
    axes.fill_between(positions, lower, upper, color=_colour("model"), alpha=0.2, linewidth=0)
    if baseline is not None:
        compared = [_number(part.baselines[baseline].median_percent) for part in slices]
        axes.plot(positions, compared, color=_colour(baseline), linewidth=1.2, linestyle=_dashes(baseline))
    axes.plot(positions, medians, color=_colour("model"), linewidth=1.9, marker="o", markersize=3.5)
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
    return _to_svg(figure, drawing_id)


@_styled
def plot_task_means(drawing_id: str, report: EvaluationReport) -> str:
    """Draws the mean absolute percentage error of every task: model with its interval, and the baselines.

    Rows are the tasks from top to bottom in the report's order.
    """
    num_tasks = len(report.tasks)
    figure, axes = _canvas(3.9, 0.6 + 0.34 * num_tasks)
    for row, task in enumerate(report.tasks):
        for name, summary in task.baselines.items():
            if summary.mape_percent is not None:
                marker = _MARKERS.get(name, "x")
                axes.plot(summary.mape_percent, row, marker=marker, color=_colour(name), markersize=5, fillstyle="none")
        if task.model.mape_percent is not None:
            if task.model.mape_interval is not None:
                interval = [task.model.mape_interval.low, task.model.mape_interval.high]
                axes.plot(interval, [row, row], color=_colour("model"), linewidth=3, alpha=0.45)
            axes.plot(task.model.mape_percent, row, marker="o", color=_colour("model"), markersize=6)
    axes.set_yticks(range(num_tasks), [_shortened(task.name) for task in report.tasks])
    axes.set_ylim(num_tasks - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_xlabel("mean absolute percentage error, %")
    return _to_svg(figure, drawing_id)


@_styled
def plot_learning_curve(drawing_id: str, series: Sequence[CurveSeries], axis_label: str, logarithmic: bool) -> str:
    """Draws quantities of the same unit over the optimiser's steps, coloured in the order of `series`."""
    figure, axes = _canvas(4.3, 2.7)
    for index, one in enumerate(series):
        steps = [point.step for point in one.points]
        values = [point.value for point in one.points]
        colour = _colour(f"series-{index % NUM_SERIES_COLOURS + 1}")
        marker = "o" if len(steps) <= 30 else ""
        axes.plot(steps, values, color=colour, linewidth=1.4, marker=marker, markersize=3)
    if logarithmic and all(point.value > 0 for one in series for point in one.points):
        _set_log_scale(axes, [point.value for one in series for point in one.points])
    else:
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.locator_params(axis="x", nbins=6, integer=True)
    axes.set_xlabel("optimiser steps")
    axes.set_ylabel(axis_label)
    return _to_svg(figure, drawing_id)


def _canvas(width_inches: float, height_inches: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_inches, height_inches), layout="constrained")
    axes = figure.add_subplot()
    ink, grid = _colour("ink"), _colour("grid")
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


def _to_svg(figure: Figure, drawing_id: str) -> str:
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


def _colour(role: str) -> str:
    return _PLACEHOLDERS.get(role, _PLACEHOLDERS["other"])


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_TASK_LABEL else name[: _LONGEST_TASK_LABEL - 1] + "…"


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


def _set_log_scale(axes: Axes, values: Sequence[float]) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_yscale("log")
    wide = max(values) / min(values) > 30
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
