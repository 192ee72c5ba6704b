"""The one-shot evaluation of the runner: every block of the input files, predicted by one checkpoint, in a table."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gematria_ops.config import RunnerConfig
from gematria_ops.config.runner import spell
from gematria_ops.encode.loading import BlockLoader, evaluation_settings
from gematria_ops.inference import metrics
from gematria_ops.inference.metrics import BoolArray, FloatArray
from gematria_ops.inference.predictor import Predictor
from gematria_ops.inference.wording import NO_FIGURE
from ops_common.errors import ArtifactError
from ops_common.learning.checkpoints import latest_checkpoint, read_global_step

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TaskFigures:
    """Errors of one task. Blocks without a label, or whose label or prediction is not finite, are only counted.

    Attributes:
        name: The task.
        num_judged: Blocks with a label and a prediction.
        num_left_out: The others, by reason; only reasons that occur.
        figures: Title to value, in the order of the table; None where it is not defined.
    """

    name: str
    num_judged: int
    num_left_out: Mapping[str, int]
    figures: Mapping[str, float | None]


@dataclass(frozen=True)
class WholeFileEvaluation:
    """What one checkpoint makes of all blocks of the input files."""

    checkpoint: Path
    global_step: int
    num_blocks: int
    num_dropped: Mapping[str, int]
    tasks: tuple[TaskFigures, ...]

    def as_text(self) -> str:
        """Return the tables, one for each task."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"{self.checkpoint}, global step {self.global_step}: {self.num_blocks} blocks"
        for reason, count in self.num_dropped.items():
            yield f"{count} blocks dropped: {reason}"
        for task in self.tasks:
            yield ""
            left_out = "".join(f", {count} {reason}" for reason, count in task.num_left_out.items())
            yield f"task {task.name}: {task.num_judged} blocks judged{left_out}"
            for title, value in task.figures.items():
                yield f"  {title:<28} {NO_FIGURE if value is None else format(value, '.6g'):>12}"


def evaluate_whole_file(config: RunnerConfig) -> WholeFileEvaluation:
    """Predict all blocks of the input files with the checkpoint of the settings, else the newest of their folder.

    Raises:
        ConfigError: The checkpoint belongs to another model or vocabulary.
        ArtifactError: There is no checkpoint (yet), or it is torn.
        DataError: The input is damaged, or a task has no label at all.
    """
    prefix = _checkpoint(config)
    found = config.checkpoint.model_copy(update={"file": str(prefix)})
    with BlockLoader(evaluation_settings(config)) as loader:
        predictor = Predictor.from_checkpoint(config.model_copy(update={"checkpoint": found}))
        encoded = loader.load()
    output = predictor.predict_encoded(encoded).output.astype(np.float64)
    labels, mask = encoded.labels.astype(np.float64), encoded.mask
    ranks = config.loss.collected_percentile_ranks
    return WholeFileEvaluation(
        checkpoint=prefix,
        global_step=read_global_step(prefix),
        num_blocks=encoded.num_blocks,
        num_dropped=encoded.dropped,
        tasks=tuple(
            task_figures(name, output[:, task], labels[:, task], mask[:, task], ranks)
            for task, name in enumerate(config.task_names())
        ),
    )


def task_figures(
    name: str, predictions: FloatArray, labels: FloatArray, mask: BoolArray, ranks: tuple[int, ...]
) -> TaskFigures:
    """Compute the figures of one task from [B] predictions, labels and mask; percentiles at the ranks."""
    rows = metrics.usable_rows(predictions, labels, mask)
    judged, wanted = predictions[rows.judged], labels[rows.judged]
    relative, positive = predictions[rows.relative], labels[rows.relative]
    figures: dict[str, float | None] = {
        "MAPE, percent": metrics.mean_absolute_percentage_error(relative, positive),
        "MSE, squared cycles": metrics.mean_squared_error(judged, wanted),
    }
    if ranks and len(judged):
        absolute = metrics.nearest_percentiles(np.abs(judged - wanted), ranks)
        figures |= {f"absolute error {rank}%, cycles": float(value) for rank, value in zip(ranks, absolute)}
    if ranks and len(relative):
        percent = metrics.nearest_percentiles(metrics.absolute_percentage_errors(relative, positive), ranks)
        figures |= {f"relative error {rank}%, percent": float(value) for rank, value in zip(ranks, percent)}
    figures |= {
        "Kendall": metrics.kendall_correlation(judged, wanted),
        "Spearman": metrics.spearman_correlation(judged, wanted),
        "Pearson": metrics.pearson_correlation(judged, wanted),
    }
    reasons = {
        "without a label": rows.num_without_label,
        "with a label that is not finite": rows.num_invalid_label,
        "without a finite prediction": rows.num_without_prediction,
        "without a relative error (their label is not positive)": rows.num_nonpositive_label,
    }
    left_out = {reason: count for reason, count in reasons.items() if count}
    return TaskFigures(name, len(judged), left_out, figures)


def _checkpoint(config: RunnerConfig) -> Path:
    if config.checkpoint.file:
        return Path(config.checkpoint.file)
    folder = Path(config.checkpoint.directory)
    prefix = latest_checkpoint(folder)
    if prefix is None:
        raise ArtifactError(
            f"there is no checkpoint in {folder} yet",
            f"train first, or look at {spell('checkpoint.directory')}",
        )
    return prefix
