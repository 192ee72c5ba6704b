"""Training and continued training of one model, from a feed to finished exports (specification 9, 2.4)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from fastnode_ops.config import ExpressionConfig
from fastnode_ops.models.export import write_frozen_graph, write_saved_model, write_weights
from fastnode_ops.models.expression import Expression
from fastnode_ops.models.threads import use_one_thread_per_operation
from fastnode_ops.pipeline_dir import PipelineDir
from fastnode_ops.samples.batch import TrainingBatch
from fastnode_ops.samples.metainfo import MetaInfo
from fastnode_ops.training.feeds import Feed
from fastnode_ops.training.files import NumberedCheckpoints, begin_continuation, copy_summaries
from fastnode_ops.training.workload import ExpressionTraining, Validation
from ops_common.artifacts import write_json
from ops_common.errors import ConfigError
from ops_common.learning.fit import Plan, fit
from ops_common.learning.pace import Cadence, FitSummary
from ops_common.metrics import read_metrics

REPORT_NAME = "training.json"


@dataclass(frozen=True, slots=True)
class TrainSummary:
    """What a training did. Rates leave out the first step, which compiles, and validation.

    Attributes:
        first_step: Updates done before this call.
        global_step: Updates done after it.
        num_samples: Graph samples of this call.
        final_loss: Loss of the last step; NaN when there is none known.
        steps_per_second: By wall time.
        cpu_seconds_per_step: Processor time of this process, all threads; 0 when there were fewer than two steps.
        wall_seconds: Of this call.
        validation_loss: Mean over the held-out batches at the end; NaN without any.
    """

    first_step: int
    global_step: int
    num_samples: int
    final_loss: float
    steps_per_second: float
    cpu_seconds_per_step: float
    wall_seconds: float
    validation_loss: float

    @property
    def num_steps(self) -> int:
        """Updates of this call."""
        return self.global_step - self.first_step

    def as_text(self) -> str:
        """Return one line for people."""
        if not self.num_steps:
            return f"nothing to train: {self.global_step} steps are done already"
        return (
            f"{self.num_steps} steps from {self.first_step} to {self.global_step} on {self.num_samples} samples, "
            f"{self.steps_per_second:.2f} steps/s, loss {self.final_loss:.4f}"
        )


def train(
    config: ExpressionConfig,
    metainfo: MetaInfo,
    feed: Feed,
    validation_batches: Sequence[TrainingBatch],
    work_dir: Path,
    num_steps: int,
    *,
    model_name: str = "model",
) -> TrainSummary:
    """Train a model until `num_steps` updates are done, and export it.

    It goes on from the newest checkpoint in `tmp/`, so a killed training that is started again ends with the weights
    of an uninterrupted one, bit for bit.

    Args:
        config: All settings.
        metainfo: The rows of the tables; a model is tied to it.
        feed: Training batches.
        validation_batches: Held-out batches, always the same; none: there is no validation.
        work_dir: The pipeline's folder.
        num_steps: Updates in all.
        model_name: The summaries go to `tensorboard/<name>`.

    Raises:
        ConfigError: The newest checkpoint is another model's, or `num_steps` is not positive.
        DataError: The feed is of another metainfo, a batch is not sound, or the loss is not finite.
        ArtifactError: Something cannot be written, or no checkpoint is whole.
        Interrupted: SIGINT or SIGTERM came; a checkpoint was written.
    """
    _check_num_steps(num_steps)
    place = PipelineDir(Path(work_dir))
    return _run(config, metainfo, feed, validation_batches, place, num_steps, place.tensorboard(model_name))


def continue_training(
    config: ExpressionConfig,
    metainfo: MetaInfo,
    feed: Feed,
    validation_batches: Sequence[TrainingBatch],
    work_dir: Path,
    num_steps: int,
    *,
    model_name: str = "model",
) -> TrainSummary:
    """Train `num_steps` more updates from the newest checkpoint, and export anew (specification 2.4).

    Each continuation has summaries of its own: `tensorboard/<name>_continue`, `<name>_continue_2`, ... One that was
    killed is taken up where it stood and ends where it was to end.

    Args:
        config: All settings.
        metainfo: That of the model.
        feed: Training batches; asked for the steps behind those that are done.
        validation_batches: Held-out batches.
        work_dir: The pipeline's folder.
        num_steps: Updates of this continuation.
        model_name: See `train`.

    Raises:
        UsageError: There is no checkpoint.
        ConfigError, DataError, ArtifactError, Interrupted: As in `train`.
    """
    _check_num_steps(num_steps)
    place = PipelineDir(Path(work_dir))
    continuation = begin_continuation(place, model_name)
    last_step = continuation.first_step + num_steps
    summaries = place.tensorboard(model_name + continuation.suffix)
    summary = _run(config, metainfo, feed, validation_batches, place, last_step, summaries)
    replace(continuation, is_finished=True).write(place.continuation)
    return summary


def _run(
    config: ExpressionConfig,
    metainfo: MetaInfo,
    feed: Feed,
    validation_batches: Sequence[TrainingBatch],
    place: PipelineDir,
    last_step: int,
    summary_dir: Path,
) -> TrainSummary:
    use_one_thread_per_operation()
    training = ExpressionTraining(config, metainfo, feed, summary_dir)
    validation = Validation(training.model, validation_batches, summary_dir) if validation_batches else None
    fitted = fit(
        training,
        _plan(config, last_step, is_validated=validation is not None),
        NumberedCheckpoints(place.tmp, training.identity(), lambda step: feed.saved(step, last_step)),
        validate=validation,
        metrics_path=place.metrics,
        end_making=feed.stop,
    )
    summary = _summarize(fitted, place.metrics)
    export_model(config, training.model, place)
    copy_summaries(place)
    write_json(place.reports / REPORT_NAME, _report(summary, config, metainfo))
    return summary


def export_model(config: ExpressionConfig, model: Expression, place: PipelineDir) -> None:
    """Write saved model, frozen graph and weights into `out/`, in place of older ones."""
    weights = {name: variable.numpy() for name, variable in model.variables_by_name().items()}
    write_saved_model(place.saved_model, config.model, weights)
    write_weights(place.weights, weights)
    write_frozen_graph(place.frozen_model, config.model, weights)


def _plan(config: ExpressionConfig, last_step: int, *, is_validated: bool) -> Plan:
    settings = config.train
    return Plan(
        num_steps=last_step,
        save=Cadence(settings.checkpoint_steps, settings.checkpoint_seconds),
        report=Cadence(settings.summary_steps),
        validate_steps=settings.validation_steps if is_validated else 0,
    )


def _check_num_steps(num_steps: int) -> None:
    if num_steps < 1:
        raise ConfigError(f"the number of steps must be at least 1 (given: {num_steps})", "STEPS=1 or more")


def _summarize(fitted: FitSummary, metrics_path: Path) -> TrainSummary:
    records = read_metrics(metrics_path)
    losses = [record["loss"] for record in records if "loss" in record]
    held_out = [record["validation_loss"] for record in records if "validation_loss" in record]
    per_step = fitted.num_samples / max(fitted.num_steps, 1)
    by_cpu = fitted.samples_per_cpu_second
    return TrainSummary(
        first_step=fitted.first_step,
        global_step=fitted.global_step,
        num_samples=fitted.num_samples,
        # without a step of its own, a call reports that of the one before it
        final_loss=fitted.final_loss if fitted.num_steps or not losses else losses[-1],
        steps_per_second=fitted.samples_per_second / per_step if per_step else 0.0,
        cpu_seconds_per_step=per_step / by_cpu if by_cpu else 0.0,
        wall_seconds=fitted.wall_seconds,
        validation_loss=held_out[-1] if held_out else math.nan,
    )


def _report(summary: TrainSummary, config: ExpressionConfig, metainfo: MetaInfo) -> dict[str, Any]:
    values = {name: value if math.isfinite(value) else None for name, value in asdict(summary).items()}
    return {**values, "config_digest": config.digest, "metainfo_digest": metainfo.digest}
