"""Learning curves of a report, from the metrics file that the training wrote."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from gematria_ops.inference.comparison_report import ErrorOverTime, TimedPoint
from gematria_ops.inference.evaluation_report import CurvePoint, CurveSeries

# Names in metrics.jsonl.
TRAINING_LOSS = "loss"
VALIDATION_PREFIX = "validation_mape_percent_"
TRAINING_PREFIX = "mape_percent_"
SECONDS = "seconds"

MAX_POINTS = 200


def learning_curves(records: Sequence[Mapping[str, Any]], task_names: Sequence[str]) -> tuple[CurveSeries, ...]:
    """Gives the training loss and every task's validation error over the steps, at most 200 points each.

    Args:
        records: Records of `ops_common.metrics.read_metrics`, in the order of the steps.
        task_names: The tasks of the model.

    Returns:
        Only the curves that have a point.
    """
    series = [_series(records, TRAINING_LOSS, "loss of a batch", "", False)]
    for name in task_names:
        series.append(_series(records, VALIDATION_PREFIX + name, name, "percent", True))
    return tuple(one for one in series if one.points)


def error_over_time(
    records: Sequence[Mapping[str, Any]], task_names: Sequence[str], model: Literal["first", "second"]
) -> tuple[ErrorOverTime, ...]:
    """Gives the mean error of a model's tasks over steps and wall time, on the validation blocks and while training.

    The records of a training that was continued count their seconds from its last start; the parts are added up.

    Args:
        records: Records of `ops_common.metrics.read_metrics`, in the order of the steps.
        task_names: The tasks of the model; a record without one of them has no mean.
        model: Which of two models it is.

    Returns:
        Only the curves that have a point, at most 200 points each.
    """
    kinds: dict[Literal["validation", "training batches"], str] = {
        "validation": VALIDATION_PREFIX,
        "training batches": TRAINING_PREFIX,
    }
    clock = _wall_clock(records)
    curves = []
    for kind, prefix in kinds.items():
        points = [
            (record["step"], float(np.mean([record[prefix + name] for name in task_names])))
            for record in records
            if all(math.isfinite(record.get(prefix + name, math.nan)) for name in task_names)
        ]
        size = math.ceil(len(points) / MAX_POINTS) or 1
        points = points[::-1][::size][::-1] if kind == "validation" else _averaged(points, size)
        timed = [TimedPoint(step=step, seconds=_seconds_at(step, clock), error_percent=value) for step, value in points]
        if timed:
            curves.append(ErrorOverTime(model=model, kind=kind, points=tuple(timed)))
    return tuple(curves)


def _wall_clock(records: Sequence[Mapping[str, Any]]) -> list[tuple[int, float]]:
    """Gives steps and the seconds since the first start of the training."""
    clock: list[tuple[int, float]] = []
    before = last = 0.0
    for record in records:
        seconds = record.get(SECONDS, math.nan)
        if math.isfinite(seconds):
            if seconds < last:
                before += last
            last = seconds
            clock.append((record["step"], before + seconds))
    return clock


def _seconds_at(step: int, clock: Sequence[tuple[int, float]]) -> float | None:
    if not clock:
        return None
    return float(np.interp(step, [place for place, _ in clock], [seconds for _, seconds in clock]))


def _series(records: Sequence[Mapping[str, Any]], key: str, title: str, unit: str, is_validation: bool) -> CurveSeries:
    points = [
        (record["step"], float(record[key])) for record in records if key in record and math.isfinite(record[key])
    ]
    # Losses of single batches scatter, so neighbours are averaged; validation errors are figures, so some are left out.
    size = math.ceil(len(points) / MAX_POINTS) or 1
    points = points[::-1][::size][::-1] if is_validation else _averaged(points, size)
    if size > 1 and not is_validation:
        title += f", mean of {size} values"
    return CurveSeries(
        id=key,
        title=title,
        unit=unit,
        is_validation=is_validation,
        points=tuple(CurvePoint(step=step, value=value) for step, value in points),
    )


def _averaged(points: list[tuple[int, float]], size: int) -> list[tuple[int, float]]:
    """Averages windows of that many neighbours; a window stands at its last step."""
    windows = [points[start : start + size] for start in range(0, len(points), size)]
    return [(window[-1][0], sum(value for _, value in window) / len(window)) for window in windows]
