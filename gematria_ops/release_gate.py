"""The release gate of a training: its evaluation against the thresholds, and against the model that is released now.

The released model is compared on the very same held-out blocks: with the predictions that were uploaded beside it when
it was evaluated on the same file, or else it is downloaded and evaluated again on the candidate's data set. The
difference of the errors comes with a paired bootstrap interval, and it is the upper end that may not exceed what is
allowed: a candidate has to show that it is not worse, so few blocks do not let a bad one pass.

    pass_gate   every check -> release.json, and an error with every number that failed
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gematria_ops.inference.comparing import compare_evaluations
from gematria_ops.inference.comparison_report import TaskComparison
from gematria_ops.inference.evaluation_report import EvaluationReport, TaskReport, read_report_json
from gematria_ops.inference.predictions_file import PREDICTIONS_NAME
from gematria_ops.inference.release import ReleaseCheck, ReleaseVerdict, judge_release
from gematria_ops.inference.report import JSON_NAME
from gematria_ops.publish import REPORTS
from gematria_ops.remote_inputs import local_bundle
from ops_common.errors import ConfigError, GateError
from ops_common.object_store import RetryPolicy
from ops_common.release_record import FigureInterval, ReleaseRecord, now_utc, write_release
from ops_common.releases import Release, open_released, read_released
from ops_common.rundir import RunDir
from ops_common.stores import Store

LOG = logging.getLogger(__name__)

RELEASED_FOLDER = "released"
"""Folder of the run for what the released model predicts on the candidate's held-out blocks."""

_HINT = "read reports/evaluation.html and reports/comparison.html; then train longer, change the model, or set other "
_OTHER_TASKS = "release with compare_with_released=false, once, if that is meant, or use another destination"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What a candidate needs; see `tasks.check_release`."""

    max_mape_percent: float
    require_better_than_baselines: bool = True
    max_mape_increase_points: float = 2.0
    confidence: float = 0.95
    num_resamples: int = 1000
    seed: int = 0

    def check(self) -> None:
        """Raises ConfigError for a value out of its range."""
        if not -100 <= self.max_mape_increase_points <= 1000:
            raise ConfigError(
                f"max_mape_increase_points must lie in -100..1000, got {self.max_mape_increase_points}", "for example 2"
            )
        if not 0.5 <= self.confidence < 1:
            raise ConfigError(f"confidence must lie in 0.5..1, got {self.confidence}", "for example 0.95")


@dataclass
class _Comparison:
    """What the comparison with the released model found."""

    released: Release | None = None
    checks: list[ReleaseCheck] = field(default_factory=list)
    intervals: list[FigureInterval] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def pass_gate(
    run_dir: Path,
    thresholds: Thresholds,
    *,
    destination: str = "",
    dataset_dir: Path | None = None,
    split: str = "validation",
    policy: RetryPolicy | None = None,
) -> tuple[ReleaseVerdict, ReleaseRecord]:
    """Passes a run's evaluation through the gate; the record is written in either case.

    Args:
        run_dir: Folder of an evaluated run.
        thresholds: What is needed.
        destination: Where models are published, for the one that is released there; empty: compare with none.
        dataset_dir: The candidate's data set, to evaluate the released model on it where that has to be.
        split: Held-out part of it that the candidate was evaluated on.
        policy: How patient to be with the object store.

    Raises:
        GateError: A check failed; the message and the record hold every number that failed and its limit.
        ConfigError: A threshold is out of range, or the released model has to be evaluated and no data set was given.
        ArtifactError: There is no evaluation, or the released model is damaged.
        ServiceError: The object store does not answer.
    """
    thresholds.check()
    run = RunDir(run_dir)
    report = read_report_json(run.reports_dir / JSON_NAME)
    verdict = judge_release(report, thresholds.max_mape_percent, thresholds.require_better_than_baselines)
    comparison = _Comparison(notes=["it was not to be compared with a released model"])
    if destination:
        comparison = _compare(run, report, thresholds, destination, dataset_dir, split, policy)
    checks = (*verdict.checks, *comparison.checks)
    verdict = verdict.model_copy(update={"checks": checks, "passed": all(check.passed for check in checks)})
    record = _record(run, report, verdict, comparison, thresholds, is_compared=bool(destination))
    write_release(run.path, record)
    for note in record.notes:
        LOG.info("%s", note)
    for check in verdict.checks:
        LOG.info("%s: %s", "passed" if check.passed else "FAILED", check.text)
    if not verdict.passed:
        reasons = "; ".join(record.reasons)
        run.mark_failed(f"not released: {reasons}")
        raise GateError(f"{report.model.name} is not released: {reasons}", f"{_HINT}thresholds on purpose")
    return verdict, record


def _record(
    run: RunDir,
    report: EvaluationReport,
    verdict: ReleaseVerdict,
    comparison: _Comparison,
    thresholds: Thresholds,
    *,
    is_compared: bool,
) -> ReleaseRecord:
    released = comparison.released.model_uri if comparison.released else ""
    figures = {f"mape_percent_{task.name}": task.model.mape_percent for task in report.tasks}
    return ReleaseRecord(
        family="gematria",
        run=run.path.name,
        decision="passed" if verdict.passed else "refused",
        reasons=tuple(check.text for check in verdict.failures),
        notes=tuple(comparison.notes),
        compared_with=released,
        released_then=released if is_compared else None,
        figures={name: value for name, value in figures.items() if value is not None},
        intervals=tuple(comparison.intervals),
        thresholds=_named(thresholds, is_compared=is_compared),
        at=now_utc(),
    )


def _named(thresholds: Thresholds, *, is_compared: bool) -> dict[str, float]:
    absolute = {
        "max_mape_percent": thresholds.max_mape_percent,
        "require_better_than_baselines": float(thresholds.require_better_than_baselines),
    }
    relative = {
        "max_mape_increase_points": thresholds.max_mape_increase_points,
        "confidence": thresholds.confidence,
        "num_resamples": float(thresholds.num_resamples),
        "seed": float(thresholds.seed),
    }
    return {**absolute, **(relative if is_compared else {})}


def _compare(
    run: RunDir,
    report: EvaluationReport,
    thresholds: Thresholds,
    destination: str,
    dataset_dir: Path | None,
    split: str,
    policy: RetryPolicy | None,
) -> _Comparison:
    """Holds the candidate against the released model."""
    found = _Comparison(released=read_released(destination, policy=policy))
    if found.released is None:
        found.notes.append(f"no model is released at {destination} yet: there is none to compare with")
        return found
    store, manifest = open_released(found.released, policy=policy)
    folder = run.path / RELEASED_FOLDER
    uri = found.released.model_uri
    other = _download_evaluation(store, manifest, folder)
    found.checks += _lost_tasks(report, other, uri)
    if found.checks:
        return found
    if other is None or not _is_same_data(report, other):
        found.notes.append(f"{uri} was evaluated again, on the held-out blocks of the candidate")
        other = _evaluate_again(found.released, folder, dataset_dir, split)
    shared = [task.name for task in report.tasks if _key(task) in {_key(one) for one in other.tasks}]
    comparison, files = compare_evaluations(
        folder,
        run.path,
        run.reports_dir,
        seed=thresholds.seed,
        num_resamples=thresholds.num_resamples,
        confidence=thresholds.confidence,
        tasks=shared,
    )
    LOG.info("the comparison with the released model: %s", files.html)
    new = [task.name for task in report.tasks if task.name not in shared]
    if new:
        found.notes.append(f"the released model does not predict {', '.join(new)}: there is nothing to compare with")
    for task in comparison.tasks:
        found.intervals += _interval(task, thresholds)
        found.checks.append(_increase_check(task, uri, thresholds))
    return found


def _key(task: TaskReport) -> tuple[str, str]:
    return task.name, task.source


def _lost_tasks(report: EvaluationReport, other: EvaluationReport | None, uri: str) -> list[ReleaseCheck]:
    """A candidate predicts everything that the released model predicts, as far as its evaluation tells."""
    present = {_key(task) for task in report.tasks}
    return [
        ReleaseCheck(
            name="keeps_tasks",
            task=task.name,
            value=None,
            limit=None,
            passed=False,
            text=f"{task.name} ({task.source or 'of an unknown source'}) is predicted by the released model {uri} and "
            f"not by this one: {_OTHER_TASKS}",
        )
        for task in (other.tasks if other else ())
        if _key(task) not in present
    ]


def _download_evaluation(store: Store, manifest: Mapping[str, Any], folder: Path) -> EvaluationReport | None:
    """The evaluation that was uploaded with the released model; None when there is none."""
    entries = manifest["files"]
    keys = {name: f"{REPORTS}/{name}" for name in (JSON_NAME, PREDICTIONS_NAME)}
    if not all(key in entries for key in keys.values()):
        return None
    for name, key in keys.items():
        store.get_file(key, folder / name, sha256=entries[key]["sha256"])
    return read_report_json(folder / JSON_NAME)


def _is_same_data(report: EvaluationReport, other: EvaluationReport) -> bool:
    """Whether both were evaluated on the same file of held-out blocks."""
    mine, theirs = report.dataset, other.dataset
    return bool(mine.sha256) and (mine.sha256, mine.split) == (theirs.sha256, theirs.split)


def _evaluate_again(released: Release, folder: Path, dataset_dir: Path | None, split: str) -> EvaluationReport:
    if dataset_dir is None:
        raise ConfigError(
            f"the released model {released.model_uri} was evaluated on other blocks, and there is no data set to "
            "evaluate it on",
            "give the data set of the candidate (dataset_dir)",
        )
    from gematria_ops.inference.evaluating import evaluate_bundle

    LOG.info("the released model %s is evaluated on the candidate's held-out blocks", released.model_uri)
    with local_bundle(released.model_uri) as bundle_dir:
        return evaluate_bundle(bundle_dir, dataset_dir, split, folder).report


def _interval(task: TaskComparison, thresholds: Thresholds) -> list[FigureInterval]:
    if task.difference is None:
        return []
    return [
        FigureInterval(
            figure=f"mape_points_{task.name}",
            difference=task.difference.mape_points,
            low=task.difference.low,
            high=task.difference.high,
            confidence=thresholds.confidence,
        )
    ]


def _increase_check(task: TaskComparison, uri: str, thresholds: Thresholds) -> ReleaseCheck:
    """The upper end of the interval may not lie above the limit: the candidate shows that it is not worse."""
    limit, share, change = thresholds.max_mape_increase_points, 100 * thresholds.confidence, task.difference
    if change is None or change.low is None or change.high is None:
        num = change.num_blocks if change else 0
        value, text = None, f"{task.name}: {num} blocks are too few to compare with the released model {uri}"
    else:
        value = change.high
        text = (
            f"{task.name}: the error is {change.second_mape_percent:.2f} %, that of the released model {uri} "
            f"{change.first_mape_percent:.2f} % on the same {change.num_blocks:,d} blocks: {change.mape_points:+.2f} "
            f"points ({share:g} % interval {change.low:+.2f} to {change.high:+.2f}), at most {limit:+g} is allowed for "
            f"the upper end"
        )
    passed = value is not None and value <= limit
    return ReleaseCheck(
        name="max_mape_increase_points", task=task.name, value=value, limit=limit, passed=passed, text=text
    )
