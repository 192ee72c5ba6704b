"""What a training is made of: blocks, model, batches, and what it tells; ``ops_common.learning.fit`` runs it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from gematria_ops.blocks.vocabulary import Vocabulary
from gematria_ops.config import RunnerConfig
from gematria_ops.config.runner import spell
from gematria_ops.data.selecting import selection_for_evaluation
from gematria_ops.encode.batch import Batch
from gematria_ops.encode.batching import BatchSchedule
from gematria_ops.encode.encoded_blocks import EncodedBlocks
from gematria_ops.encode.layouts import annotation_names, layout_of, training_options
from gematria_ops.encode.loading import load_encoded_blocks
from gematria_ops.encode.training_batches import TrainingBatches
from gematria_ops.inference.metrics import mean_absolute_percentage_error, usable_rows
from gematria_ops.inference.predictor import Predictor
from gematria_ops.models.factory import ThroughputModel, build_model, model_identity
from gematria_ops.training.losses import check_labels
from gematria_ops.training.optimizers import Optimizer
from gematria_ops.training.replicas import Replicas
from gematria_ops.training.starting_point import warm_start
from gematria_ops.training.step import StepResult, TrainStep
from gematria_ops.training.summaries import SummaryWriter, step_statistics
from ops_common.errors import ConfigError
from ops_common.seeding import derived_seed, stream

logger = logging.getLogger(__name__)


class ModelTraining:
    """A model with its data: the workload of ``ops_common.learning.fit``.

    Args:
        config: All settings.
        vocabulary: The tokens the model will know.
        load_blocks: Returns the training blocks; called when the model is built, which takes about as long.
        replicas: The workers that share each batch; None: this process is the only one.

    Raises:
        DataError: What ``load_blocks`` raises; or the labels cannot be trained on.
        ConfigError: There is no such group of variables.
    """

    def __init__(
        self,
        config: RunnerConfig,
        vocabulary: Vocabulary,
        load_blocks: Callable[[], EncodedBlocks],
        replicas: Replicas | None = None,
    ) -> None:
        self._config = config
        self._replicas = replicas = replicas or Replicas()
        seed = config.random_seed
        self.model = build_model(config, vocabulary, annotation_names(config))
        trained = trained_variables(self.model, config.optimizer.trained_variables)
        self._optimizer = Optimizer(config.optimizer, trained, derived_seed(seed, "learning rate"))
        options = training_options(config)
        self._step = TrainStep(
            self.model,
            config.loss,
            self._optimizer,
            variables=trained,
            dropout=options.dropout,
            precision=config.matmul_precision,
            replicas=replicas,
        )
        self.encoded = encoded = load_blocks()
        check_labels(encoded, config.task_names(), config.loss)
        limits = config.batch
        schedule = BatchSchedule(
            encoded.block_sizes, limits.max_blocks, limits.max_instructions, limits.randomize, seed
        )
        if schedule.num_skipped:
            logger.warning("%d blocks are in no batch: over the instruction limit", schedule.num_skipped)
        layout = layout_of(config.model)
        self._batches = TrainingBatches(encoded, schedule, layout, options, seed, replicas.rank, replicas.num)
        folder = config.summary.directory
        self._summaries = SummaryWriter(Path(folder) if folder else None, config.task_names())

    def identity(self) -> dict[str, Any]:
        """Return what a checkpoint must have in common with this training."""
        model = self.model
        identity = model_identity(model.config, model.task_names, self.encoded.vocabulary, model.annotation_names)
        return {**identity, "optimizer_type": self._config.optimizer.optimizer_type.name}

    def warm_start(self) -> None:
        """Load another training's weights if the settings say so."""
        warm_start(self._config.checkpoint, self.model.variables_by_name(), self._optimizer.global_step)

    def variables_by_name(self) -> dict[str, tf.Variable]:
        """Return weights, slots and global step."""
        return {**self.model.variables_by_name(), **self._optimizer.variables_by_name()}

    def make_batch(self, step: int) -> Batch[Any]:
        """Make the batch of the update after ``step`` updates, from seed and step alone."""
        return self._batches.batch(step)

    def train_step(self, batch: Batch[Any]) -> StepResult:
        """Do one update."""
        return self._step(batch)

    def num_samples(self, batch: Batch[Any]) -> int:
        """Return the number of blocks; of a batch that is shared, what all workers have of it, give or take one."""
        return batch.num_blocks * self._replicas.num

    def describe_samples(self, step: int, batch: Batch[Any]) -> list[dict[str, Any]]:
        """Tell the blocks by index among the encoded ones and by fingerprint (of the SHA-256 of their tokens)."""
        del batch
        indices = self._batches.block_indices(step).tolist()
        return [{"index": index, "fingerprint": _fingerprint(self.encoded, index)} for index in indices]

    def report(self, step: int, batch: Batch[Any], outcome: StepResult) -> dict[str, float]:
        """Log the statistics of a step and write them for TensorBoard."""
        stats = step_statistics(step, batch, outcome, self._config.loss.collected_percentile_ranks)
        # The rate of this step was the schedule at the step before.
        rate = float(self._optimizer.learning_rate_at(step - 1))
        logger.info("Training: %s", stats)
        logger.info("%d blocks, %d instructions", batch.num_blocks, batch.num_instructions)
        self._summaries.write(stats, batch, outcome, rate)
        errors = zip(self._config.task_names(), stats.relative_mae.tolist())
        return {"learning_rate": rate, **{f"mape_percent_{name}": 100 * error for name, error in errors}}


class Validation:
    """Error of the current weights on held-out blocks, for the learning curve."""

    def __init__(self, config: RunnerConfig, model: ThroughputModel, vocabulary: Vocabulary) -> None:
        selection = selection_for_evaluation(config.input.throughput_selection)
        changed = {
            "input": config.input.model_copy(update={"throughput_selection": selection, "drop_invalid_blocks": True})
        }
        encoded = load_encoded_blocks(config.model_copy(update=changed), config.validation.files, vocabulary)
        self._encoded = encoded
        size = min(config.validation.max_blocks or encoded.num_blocks, encoded.num_blocks)
        self._chosen = stream(config.random_seed, "validation").choice(encoded.num_blocks, size, replace=False)
        self._task_names = config.task_names()
        self._predictor = Predictor(model, vocabulary)

    def __call__(self, step: int) -> dict[str, float]:
        """Return the mean absolute percentage error of each task."""
        predictions = self._predictor.predict_encoded(self._encoded, block_indices=self._chosen)
        output = predictions.output.astype(np.float64)  # NaN where a block was not chosen
        labels, mask = self._encoded.labels.astype(np.float64), self._encoded.mask
        errors = {}
        for task, name in enumerate(self._task_names):
            rows = usable_rows(output[:, task], labels[:, task], mask[:, task]).relative
            error = mean_absolute_percentage_error(output[rows, task], labels[rows, task])
            errors[f"validation_mape_percent_{name}"] = float("nan") if error is None else error
        shown = ", ".join(f"{name} {error:.2f}" for name, error in errors.items())
        logger.info("step %d, %d held-out blocks: %s", step, len(self._chosen), shown)
        return errors


def trained_variables(model: ThroughputModel, groups: Sequence[str]) -> dict[str, tf.Variable]:
    """Returns the variables of some groups, in the model's order; all variables if no group is named.

    Raises:
        ConfigError: The model has no such group; the message names those it has.
    """
    known = model.variable_groups()
    for group in groups:
        if group not in known:
            raise ConfigError(
                f"{spell('optimizer.trained_variables')}: the model has no group of variables {group!r}",
                f"choose from {', '.join(known)}" if known else "leave it out: this kind of model has no groups",
            )
        if not known[group]:
            raise ConfigError(f"{spell('optimizer.trained_variables')}: there is no variable in group {group!r}")
    chosen = {name for group in groups for name in known[group]}
    return {name: variable for name, variable in model.variables_by_name().items() if not groups or name in chosen}


def _fingerprint(encoded: EncodedBlocks, index: int) -> str:
    ids = encoded.instruction_ids[encoded.block_splits[index] : encoded.block_splits[index + 1]]
    digest = hashlib.sha256()
    for instruction in ids.tolist():
        start, end = encoded.instruction_splits[instruction], encoded.instruction_splits[instruction + 1]
        tokens = [encoded.vocabulary.tokens[token] for token in encoded.instruction_tokens[start:end].tolist()]
        digest.update((" ".join(tokens) + "\n").encode("utf-8"))
    return digest.hexdigest()[:16]
