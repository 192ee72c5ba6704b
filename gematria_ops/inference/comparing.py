"""From two evaluated runs to a comparison on disk: the entry of the task `compare_evaluations`.

find_evaluation     a run folder, a folder of reports or a file of predictions -> what stands there
compare_evaluations two of them -> comparison.json, .html, .md     (pairing, comparison, comparison_page)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from gematria_ops.inference.comparison import changed_blocks, compare_tasks
from gematria_ops.inference.comparison_page import ComparisonFiles, write_comparison
from gematria_ops.inference.comparison_report import ComparedModel, ComparisonReport
from gematria_ops.inference.evaluation_report import EvaluationReport, read_report_json
from gematria_ops.inference.learning_curve import error_over_time
from gematria_ops.inference.pairing import only_tasks, pair_blocks
from gematria_ops.inference.predictions_file import PREDICTIONS_NAME, BlockPredictions, read_predictions
from gematria_ops.inference.report import JSON_NAME
from ops_common.artifacts import sha256_file
from ops_common.errors import ArtifactError, ConfigError
from ops_common.metrics import read_metrics
from ops_common.rundir import RunDir

NUM_CHANGED_BLOCKS = 20
MAX_RESAMPLES = 100_000


@dataclass(frozen=True)
class FoundEvaluation:
    """One evaluation on disk.

    Attributes:
        origin: Name of its run folder, or of the file of predictions when there is no run.
        predictions_file: Where its predictions stand.
        predictions: What stands there.
        report: The report beside them; None when there is none.
        metrics: Records of the training's metrics file; empty when there is none.
    """

    origin: str
    predictions_file: Path
    predictions: BlockPredictions
    report: EvaluationReport | None
    metrics: list[dict[str, Any]]


def find_evaluation(path: Path) -> FoundEvaluation:
    """Finds what an evaluation has left behind.

    Args:
        path: A run folder, its folder of reports, or a file of predictions (`evaluation_predictions.npz`).

    Raises:
        ArtifactError: There is no such file, or it cannot be read.
    """
    candidates = [path, path / PREDICTIONS_NAME, RunDir(path).reports_dir / PREDICTIONS_NAME]
    file = next((candidate for candidate in candidates if candidate.is_file()), None)
    if file is None:
        raise ArtifactError(
            f"{path} holds no evaluation: there is no {PREDICTIONS_NAME} in it or in its folder of reports",
            "give a run folder that evaluate-model has finished, or a file of predictions",
        )
    reports_dir = file.resolve().parent
    run = RunDir(reports_dir.parent)
    is_run = run.reports_dir == reports_dir
    report_file = reports_dir / JSON_NAME
    return FoundEvaluation(
        origin=run.path.name if is_run else file.name,
        predictions_file=file,
        predictions=read_predictions(file),
        report=read_report_json(report_file) if file.name == PREDICTIONS_NAME and report_file.is_file() else None,
        metrics=read_metrics(run.metrics_path) if is_run else [],
    )


def compare_evaluations(
    first: Path,
    second: Path,
    output_dir: Path,
    *,
    seed: int = 0,
    num_resamples: int = 1000,
    confidence: float = 0.95,
    tasks: Sequence[str] | None = None,
) -> tuple[ComparisonReport, ComparisonFiles]:
    """Compares two evaluated models on the blocks that both evaluations have, and writes the comparison.

    Args:
        first: The model that is there: see `find_evaluation`.
        second: The model that may replace it.
        output_dir: Where the comparison goes.
        seed: Of the bootstrap.
        num_resamples: Size of the bootstrap.
        confidence: Share of the resampled differences that the intervals hold, above 0 and below 1.
        tasks: Compare these tasks only; None: all, which both must have.

    Raises:
        ConfigError: The evaluations have other tasks or other labels, or num_resamples or confidence is out of range.
        DataError: They have no block in common, or a file of theirs cannot be read.
    """
    if not 1 <= num_resamples <= MAX_RESAMPLES:
        raise ConfigError(f"num_resamples must lie in 1..{MAX_RESAMPLES}, got {num_resamples}", "for example 1000")
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence must lie between 0 and 1, got {confidence}", "for example 0.95")
    found = (find_evaluation(first), find_evaluation(second))
    blocks = pair_blocks(*(only_tasks(one.predictions, tasks) for one in found))
    improved, worsened = changed_blocks(blocks, NUM_CHANGED_BLOCKS)
    which: tuple[Literal["first", "second"], ...] = ("first", "second")
    report = ComparisonReport(
        first=_describe(found[0], blocks.num_repeated[0], blocks.num_alone[0]),
        second=_describe(found[1], blocks.num_repeated[1], blocks.num_alone[1]),
        num_common=len(blocks.fingerprints),
        tasks=compare_tasks(blocks, seed, num_resamples, confidence),
        groups_left_out=blocks.cuts_left_out,
        improved=improved,
        worsened=worsened,
        learning_curves=tuple(
            curve
            for model, evaluation in zip(which, found, strict=True)
            for curve in error_over_time(evaluation.metrics, blocks.task_names, model)
        ),
        seed=seed,
        num_resamples=num_resamples,
        confidence=confidence,
        compared_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return report, write_comparison(report, output_dir)


def _describe(found: FoundEvaluation, num_repeated: int, num_alone: int) -> ComparedModel:
    report = found.report
    return ComparedModel(
        name=report.model.name if report else found.origin,
        origin=found.origin,
        global_step=report.model.global_step if report else None,
        sha256=report.model.sha256 if report else "",
        predictions_sha256=sha256_file(found.predictions_file),
        dataset=f"{report.dataset.name}, {report.dataset.split} split" if report else "",
        num_blocks=len(found.predictions.fingerprints),
        num_repeated=num_repeated,
        num_alone=num_alone,
    )
