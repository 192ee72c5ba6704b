"""The action eval: a process beside a trainer that evaluates its checkpoints as they come. Specification 6.5.

One batch is made, in the order of the input and within both limits. Each new checkpoint of the checkpoint folder is
restored strictly, its losses go to the log and, at the checkpoint's global step, to TensorBoard, and the best are kept.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from gematria_ops.blocks.vocabulary import Vocabulary
from gematria_ops.config import RunnerConfig
from gematria_ops.config.runner import spell
from gematria_ops.encode.batch import Batch
from gematria_ops.encode.batching import take_fitting
from gematria_ops.encode.encoded_blocks import EncodedBlocks
from gematria_ops.encode.layouts import annotation_names, layout_of, prediction_options
from gematria_ops.encode.loading import BlockLoader, evaluation_settings
from gematria_ops.models.factory import build_model, model_identity
from gematria_ops.models.output import ModelOutput
from gematria_ops.models.predict_step import PredictStep
from gematria_ops.models.threads import use_one_thread_per_operation
from gematria_ops.training.best_models import BestModels
from gematria_ops.training.losses import batch_losses, check_labels
from gematria_ops.training.optimizers import learning_rate_schedule
from gematria_ops.training.profiler import start_profiler
from gematria_ops.training.step import StepResult
from gematria_ops.training.summaries import SummaryWriter, TrainingEpochStats, step_statistics
from ops_common.errors import ArtifactError, DataError
from ops_common.learning.checkpoints import read_global_step, restore_checkpoint
from ops_common.learning.stopping import stop_signals
from ops_common.learning.watching import CheckpointWatcher
from ops_common.seeding import derived_seed

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EvaluationSummary:
    """What a continuous evaluation did: the global steps it evaluated, and those of them that were kept as best."""

    steps: tuple[int, ...]
    best_steps: tuple[int, ...]

    def as_text(self) -> str:
        """Return one line for people."""
        return (
            f"{len(self.steps)} checkpoints evaluated, the last of step {self.steps[-1] if self.steps else 'none'}; "
            f"{len(self.best_steps)} of them kept as best"
        )


def evaluate_continuously(
    config: RunnerConfig,
    *,
    blocks: BlockLoader | None = None,
    now: Callable[[], float] = time.monotonic,
    wait: Callable[[float], None] = time.sleep,
) -> EvaluationSummary:
    """Evaluate each new checkpoint of the checkpoint folder, until a signal comes or as often as the settings say.

    Args:
        config: All settings.
        blocks: A loader of `evaluation_settings(config)` that was started earlier; None: it is started here.
        now: The clock, in seconds.
        wait: Waits so many seconds.

    Raises:
        ConfigError: A checkpoint belongs to another model or vocabulary.
        DataError: The input is damaged, a task has no label, or no block fits into the batch.
        ArtifactError: A best checkpoint cannot be written.
        Interrupted: SIGINT or SIGTERM came; what was evaluated is written.
    """
    use_one_thread_per_operation()
    np.set_printoptions(edgeitems=config.summary.numpy_print_edgeitems)
    tf.debugging.set_log_device_placement(config.distributed.log_device_placement)
    start_profiler(config.summary)
    with BlockLoader(evaluation_settings(config)) if blocks is None else nullcontext(blocks) as loader:
        evaluator = Evaluator(config, loader.vocabulary, loader.load)
    folder, most = Path(config.checkpoint.directory), config.summary.eval_max_evaluations
    watcher = CheckpointWatcher(folder, config.summary.eval_interval_seconds, now=now, wait=wait)
    steps: list[int] = []
    best_steps: list[int] = []
    logger.info("waiting for checkpoints in %s", folder)
    with stop_signals() as stop:
        for prefix in watcher.new_checkpoints(stop):
            try:
                step, is_best = evaluator.evaluate(prefix)
            except CheckpointGoneError as error:
                logger.warning("checkpoint %s is passed over: %s", prefix, error.message)
                continue
            steps.append(step)
            best_steps += [step] if is_best else []
            if len(steps) == most:
                return EvaluationSummary(tuple(steps), tuple(best_steps))
        raise stop.error("evaluation", f"after {len(steps)} evaluations; all of them are written")


class CheckpointGoneError(ArtifactError):
    """The trainer removed the checkpoint before it was read."""


class Evaluator:
    """A model with one batch of labelled blocks, and where its figures go.

    Args:
        config: All settings.
        vocabulary: The tokens the model knows.
        load_blocks: Returns the blocks.

    Raises:
        DataError: What `load_blocks` raises; the labels cannot be used; or no block fits into the batch.
    """

    def __init__(self, config: RunnerConfig, vocabulary: Vocabulary, load_blocks: Callable[[], EncodedBlocks]) -> None:
        self._config = config
        self._model = model = build_model(config, vocabulary, annotation_names(config))
        self._batch = _one_batch(config, load_blocks())
        self._predict = PredictStep(model)
        self._learning_rate = learning_rate_schedule(
            config.optimizer, derived_seed(config.random_seed, "learning rate")
        )
        folder, task_names = Path(config.summary.directory), config.task_names()
        self._identity = model_identity(config.model, task_names, vocabulary, model.annotation_names)
        self._summaries = SummaryWriter(folder, task_names)
        self._best = BestModels(folder, task_names, self._identity, _digest(self._identity, self._batch))

    def evaluate(self, prefix: Path) -> tuple[int, bool]:
        """Restore a checkpoint, tell how good it is, and keep it if it is the best so far.

        Returns:
            The checkpoint's global step, and whether it was kept.

        Raises:
            CheckpointGoneError: It is not there any more, or torn.
            ConfigError: It belongs to another model.
            ArtifactError: The best checkpoint cannot be written.
        """
        weights = self._model.variables_by_name()
        try:
            restore_checkpoint(prefix, weights, self._identity, weights_only=True)
            step = read_global_step(prefix)
        except ArtifactError as error:
            raise CheckpointGoneError(error.message) from error
        stats, result = self._statistics(step)
        logger.info("Evaluation: %s", stats)
        self._summaries.write(stats, self._batch, result, float(self._learning_rate(tf.constant(step, tf.int64))))
        return step, bool(self._best.offer(step, stats.relative_mae.tolist(), weights))

    def _statistics(self, step: int) -> tuple[TrainingEpochStats, StepResult]:
        loss, batch = self._config.loss, self._batch
        output, deltas = self._predict(batch)
        answer = ModelOutput(tf.constant(output), None if deltas is None else tf.constant(deltas))
        losses = batch_losses(answer, batch.inputs, batch.targets, loss)
        result = StepResult(float(losses.loss), losses.task_losses.numpy(), output, deltas)
        return step_statistics(step, batch, result, loss.collected_percentile_ranks), result


def _one_batch(config: RunnerConfig, encoded: EncodedBlocks) -> Batch[Any]:
    check_labels(encoded, config.task_names(), config.loss)
    limits = config.batch
    candidates = np.arange(encoded.num_blocks, dtype=np.int64)
    indices = take_fitting(candidates, encoded.block_sizes, limits.max_blocks, limits.max_instructions)
    if not len(indices):
        raise DataError(
            f"no block fits into the batch: all have more than {limits.max_instructions} instructions",
            f"raise {spell('batch.max_instructions')}",
        )
    batch = layout_of(config.model).make(encoded, indices, prediction_options(config.model), None)
    logger.info("%d blocks, %d instructions", batch.num_blocks, batch.num_instructions)
    if batch.num_blocks < encoded.num_blocks:
        logger.info("%d blocks do not fit into the batch", encoded.num_blocks - batch.num_blocks)
    return batch


def _digest(identity: dict[str, Any], batch: Batch[Any]) -> str:
    """Return a digest of what errors depend on beside the weights: the kind of model, the blocks, their labels."""
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode("utf-8"))
    for values in (batch.inputs.block_sizes, batch.expected, batch.mask):
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()
