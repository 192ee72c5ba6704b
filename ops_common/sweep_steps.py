"""The steps of a sweep that are alike for all models: train one configuration, choose, report, or all of it.

What a training is, the library says with a function `Train`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ops_common.errors import DataError, Interrupted, NoRoomError, NothingHeldOutError, ServiceError
from ops_common.rundir import RunDir
from ops_common.sweep import Outcome, SweepDir, SweepPlan, number_of

logger = logging.getLogger(__name__)

Result = dict[str, Any]
Train = Callable[[SweepPlan, Path, int, int], float]
"""Given the plan, a folder, the number of a configuration and steps: trains it there until it has done so many, from
where it stood, and returns the figure that decides."""

_NOT_ITS_FAULT = (Interrupted, ServiceError, NoRoomError, NothingHeldOutError, KeyboardInterrupt)
"""Faults that say nothing about a configuration: the task fails."""


def train_one(run_dir: str, label: str, rung: int, train: Train) -> Result:
    """Train one configuration to the steps of a rung, and note its figure, or that it failed and why."""
    sweep, number = SweepDir(Path(run_dir)), number_of(label)
    plan = sweep.plan()
    outcome = sweep.outcome(number, rung)
    if outcome is None:
        outcome = _train(sweep, plan, number, rung, train)
        sweep.write_outcome(outcome)
    return {
        "configuration": label,
        "steps": outcome.steps,
        "value": outcome.value,
        "reason": outcome.reason,
        "wall_seconds": outcome.wall_seconds,
    }


def _train(sweep: SweepDir, plan: SweepPlan, number: int, rung: int, train: Train) -> Outcome:
    steps, started = plan.rung_steps[rung], time.monotonic()
    value, reason = None, ""
    try:
        value = train(plan, sweep.folder(number), number, steps)
    except _NOT_ITS_FAULT:
        raise
    except Exception as error:
        logger.exception("configuration %s failed", plan.configuration(number).label)
        reason = f"{type(error).__name__}: {str(error).strip()}"[:500]
    return Outcome(number, rung, steps, value, reason, round(time.monotonic() - started, 3))


def choose(run_dir: str, rung: int) -> Result:
    """Say which configurations train on after a rung."""
    sweep = SweepDir(Path(run_dir))
    plan = sweep.plan()
    entered = sweep.entrants(rung)
    outcomes = sweep.outcomes(rung, entered) if entered else []
    failed = [outcome for outcome in outcomes if outcome.value is None]
    for outcome in failed:
        logger.warning("warning: %s failed: %s", plan.configuration(outcome.number).label, outcome.reason)
    going_on = [plan.configuration(number).label for number in sweep.entrants(rung + 1)]
    return {"survivors": going_on, "num_entered": len(entered), "num_failed": len(failed)}


def report(run_dir: str) -> Result:
    """Write the table and the plot.

    Raises:
        DataError: No configuration came to an end.
    """
    from ops_common.sweep_report import REPORT_NAME, write_report

    written = write_report(SweepDir(Path(run_dir)))
    page = Path(run_dir) / "reports" / f"{REPORT_NAME}.html"
    best = written["best"]
    if best is None:
        raise DataError(
            f"none of {written['num_configurations']} configurations came to an end", f"the reasons are in {page}"
        )
    counts = ("num_configurations", "num_failed", "steps_spent", "steps_without_stopping")
    return {
        "report_html": str(page),
        "best": best["label"],
        "best_overrides": best["overrides"],
        written["figure"]: round(best["value"], 4),
        **{name: written[name] for name in counts},
    }


def plan_once(run_dir: str, request: Mapping[str, Any], plan: Callable[[], object]) -> None:
    """Plan a sweep, unless the same was planned before; a request that is refused leaves nothing in the way.

    Args:
        run_dir: Folder of the sweep.
        request: What is asked for.
        plan: Checks the request, and writes the plan into the folder.

    Raises:
        ConfigError: The folder is that of another sweep, or the request is refused.
    """
    path = Path(run_dir)
    if not RunDir(path).request_path.exists():
        plan()  # the request is written last: where it stands, the plan is whole
    RunDir.create(path, request)


def run_all(run_dir: str, train: Train) -> Result:
    """Do the whole sweep whose plan stands in a folder, or what is left of it."""
    sweep = SweepDir(Path(run_dir))
    plan = sweep.plan()
    for rung, steps in enumerate(plan.rung_steps):
        entered = sweep.entrants(rung)
        for at, number in enumerate(entered, 1):
            label = plan.configuration(number).label
            result = train_one(run_dir, label, rung, train)
            shown = result["reason"] if result["value"] is None else f"{plan.figure} {result['value']:.4g}"
            logger.info("%d steps, %d of %d: %s: %s", steps, at, len(entered), label, shown)
    return report(run_dir)
