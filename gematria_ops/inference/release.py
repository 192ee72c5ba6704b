"""The release gate: an evaluation report against thresholds. Needs neither TensorFlow nor the model.

judge_release   says of every check what was found and what is allowed
check_release   the same, and raises when a check failed, naming each number
"""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict

from gematria_ops.inference.evaluation_report import EvaluationReport, TaskReport
from ops_common.errors import ConfigError, GateError

# A model may leave this share of the labelled blocks without a prediction before its errors stop meaning anything.
MAX_UNPREDICTED_SHARE = 0.01


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ReleaseCheck(_Record):
    """One number against what is allowed."""

    name: Literal[
        "max_mape_percent",
        "better_than_baseline",
        "max_unpredicted_share",
        "keeps_tasks",
        "max_mape_increase_points",
    ]
    task: str
    value: float | None
    limit: float | None
    passed: bool
    text: str


class ReleaseVerdict(_Record):
    """What the gate found, for every task and check."""

    passed: bool
    worst_task: str
    worst_mape_percent: float | None
    checks: tuple[ReleaseCheck, ...]

    @property
    def failures(self) -> tuple[ReleaseCheck, ...]:
        """The checks that did not pass."""
        return tuple(check for check in self.checks if not check.passed)


def judge_release(
    report: EvaluationReport,
    max_mape_percent: float,
    require_better_than_baselines: bool = True,
    max_unpredicted_share: float = MAX_UNPREDICTED_SHARE,
) -> ReleaseVerdict:
    """Holds every task of a report against the thresholds.

    Args:
        report: The evaluation.
        max_mape_percent: Highest mean absolute percentage error allowed, in percent, inclusive.
        require_better_than_baselines: Whether the model's error must also lie below every baseline's. A report
            without a baseline fails then, since nothing shows that the model is worth its cost.
        max_unpredicted_share: Highest share of labelled blocks without a prediction, 0 to 1, inclusive.

    Raises:
        ConfigError: If a threshold is not a usable number, or the report has no task.
    """
    _check_thresholds(report, max_mape_percent, max_unpredicted_share)
    checks: list[ReleaseCheck] = []
    for task in report.tasks:
        checks.append(_mape_check(report, task, max_mape_percent))
        checks.append(_unpredicted_check(task, max_unpredicted_share))
        if require_better_than_baselines:
            checks += _baseline_checks(task)
    # A task without a figure is worse than any number.
    worst = max(report.tasks, key=lambda task: math.inf if (mape := task.model.mape_percent) is None else mape)
    return ReleaseVerdict(
        passed=all(check.passed for check in checks),
        worst_task=worst.name,
        worst_mape_percent=worst.model.mape_percent,
        checks=tuple(checks),
    )


def check_release(
    report: EvaluationReport,
    max_mape_percent: float,
    require_better_than_baselines: bool = True,
    max_unpredicted_share: float = MAX_UNPREDICTED_SHARE,
) -> ReleaseVerdict:
    """Passes a report through the gate; arguments as in `judge_release`.

    Raises:
        GateError: If a check failed; the message holds every number that failed and its limit.
        ConfigError: If a threshold is not a usable number.
    """
    verdict = judge_release(report, max_mape_percent, require_better_than_baselines, max_unpredicted_share)
    if not verdict.passed:
        reasons = "; ".join(check.text for check in verdict.failures)
        raise GateError(
            f"{report.model.name} is not released: {reasons}",
            "read reports/evaluation.html, then train longer, change the model, or set other thresholds on purpose",
        )
    return verdict


def _check_thresholds(report: EvaluationReport, max_mape_percent: float, max_unpredicted_share: float) -> None:
    if not (math.isfinite(max_mape_percent) and max_mape_percent > 0):
        raise ConfigError(
            f"max_mape_percent must be a positive number of percent, got {max_mape_percent}", "for example 25"
        )
    if not 0 <= max_unpredicted_share <= 1:
        raise ConfigError(f"max_unpredicted_share must lie in 0..1, got {max_unpredicted_share}", "for example 0.01")
    if not report.tasks:
        raise ConfigError(
            "the evaluation report has no task, so there is nothing to release", "evaluate the model again"
        )


def _mape_check(report: EvaluationReport, task: TaskReport, limit: float) -> ReleaseCheck:
    value = task.model.mape_percent
    what = f"{task.name}: mean absolute percentage error"
    blocks = f"({task.counts.num_relative:,d} blocks of the {report.dataset.split} split)"
    if value is None:
        text = f"{what} does not exist {blocks}, at most {limit:g} % is allowed"
    else:
        text = f"{what} is {value:.2f} % {blocks}, at most {limit:g} % is allowed"
    passed = value is not None and value <= limit
    return ReleaseCheck(name="max_mape_percent", task=task.name, value=value, limit=limit, passed=passed, text=text)


def _unpredicted_check(task: TaskReport, limit: float) -> ReleaseCheck:
    counts = task.counts
    labelled = counts.num_judged + counts.num_without_prediction
    share = counts.num_without_prediction / labelled if labelled else 0.0
    text = (
        f"{task.name}: {counts.num_without_prediction:,d} of {labelled:,d} labelled blocks ({100 * share:.2f} %) "
        f"have no prediction, at most {100 * limit:g} % are allowed"
    )
    return ReleaseCheck(
        name="max_unpredicted_share", task=task.name, value=share, limit=limit, passed=share <= limit, text=text
    )


def _baseline_checks(task: TaskReport) -> list[ReleaseCheck]:
    value = task.model.mape_percent
    known = {name: summary.mape_percent for name, summary in task.baselines.items() if summary.mape_percent is not None}
    if not known:
        text = f"{task.name}: the report has no baseline to be better than"
        return [
            ReleaseCheck(name="better_than_baseline", task=task.name, value=value, limit=None, passed=False, text=text)
        ]
    checks = []
    for name, limit in known.items():
        shown = "no figure" if value is None else f"{value:.2f} %"
        checks.append(
            ReleaseCheck(
                name="better_than_baseline",
                task=task.name,
                value=value,
                limit=limit,
                passed=value is not None and value < limit,
                text=f"{task.name}: the model has {shown}, the {name} baseline {limit:.2f} % and must be beaten",
            )
        )
    return checks
