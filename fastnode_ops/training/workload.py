"""What a training is made of: model, feed, and what it tells; `ops_common.learning.fit` runs it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow as tf

from fastnode_ops.config import ExpressionConfig
from fastnode_ops.models.checking import check_batch
from fastnode_ops.models.expression import Expression
from fastnode_ops.models.inputs import ModelInputs, Vocabulary, attribute_prior
from fastnode_ops.samples.batch import TrainingBatch
from fastnode_ops.samples.metainfo import MetaInfo
from fastnode_ops.training.adam import Adam, learning_rate
from fastnode_ops.training.feeds import Feed
from fastnode_ops.training.step import EvaluationStep, StepResult, TrainStep
from fastnode_ops.training.summaries import TRAIN_FOLDER, VALIDATE_FOLDER, Interval, SummaryWriter
from ops_common.errors import DataError

logger = logging.getLogger(__name__)


class PreparedBatch(NamedTuple):
    """A batch, and how the network reads it."""

    batch: TrainingBatch
    inputs: ModelInputs


class ExpressionTraining:
    """A model with its feed: the workload of `ops_common.learning.fit`.

    Args:
        config: All settings.
        metainfo: Gives the sizes of the tables; the feed has to be of the same one.
        feed: Training batches.
        summary_dir: Folder of this training's summaries, or None.

    Raises:
        DataError: The feed is of another metainfo.
    """

    def __init__(self, config: ExpressionConfig, metainfo: MetaInfo, feed: Feed, summary_dir: Path | None) -> None:
        if feed.metainfo_digest != metainfo.digest:
            raise DataError(
                f"the samples are of another metainfo ({feed.metainfo_digest[:12]}, not {metainfo.digest[:12]})",
                "make samples with this metainfo, or train with the one that they were made with",
            )
        self._config = config
        self._feed = feed
        self._digest = metainfo.digest
        self.vocabulary = Vocabulary.of(metainfo)
        prior = attribute_prior(metainfo, self.vocabulary.num_productions)
        self.model = Expression(config.model, self.vocabulary, config.train.seed, prior)
        self._optimizer = Adam(config.train, self.model.variables_by_name())
        # counted in the checkpoint, so that the totals go on after a kill and in a continuation
        self._totals = {
            name: tf.Variable(0, dtype=tf.int64, trainable=False)
            for name in ("num_name_samples", "num_production_samples")
        }
        self._step = TrainStep(self.model, self._optimizer)
        self._interval = Interval()
        self._writer = SummaryWriter(summary_dir / TRAIN_FOLDER if summary_dir is not None else None)

    def identity(self) -> dict[str, Any]:
        """Return what a checkpoint must have in common with this training."""
        return {**self.model.identity(), "metainfo": self._digest}

    def variables_by_name(self) -> dict[str, tf.Variable]:
        """Return weights, the optimiser's state, and the counters."""
        totals = {f"totals/{name}": variable for name, variable in self._totals.items()}
        return {**self.model.variables_by_name(), **self._optimizer.variables_by_name(), **totals}

    def make_batch(self, step: int) -> PreparedBatch:
        """Fetch, check and prepare the batch of the update after `step` updates."""
        return prepared(self._feed.batch(step), self.model)

    def train_step(self, batch: PreparedBatch) -> StepResult:
        """Do one update."""
        result = self._step(batch.inputs)
        self._interval.add(batch.batch, result)
        self._totals["num_name_samples"].assign_add(len(batch.batch.infer_name.labels))
        self._totals["num_production_samples"].assign_add(len(batch.batch.infer_production.labels))
        return result

    def num_samples(self, batch: PreparedBatch) -> int:
        """Return the number of graph samples."""
        return batch.batch.num_samples

    def describe_samples(self, step: int, batch: PreparedBatch) -> list[dict[str, Any]]:
        """Tell the samples by the step, their place and their task: a feed gives the same batch again."""
        tasks = [*batch.batch.infer_name.tasks, *batch.batch.infer_production.tasks]
        return [{"batch": step, "sample": index, "task": task} for index, task in enumerate(tasks)]

    def report(self, step: int, batch: PreparedBatch, outcome: StepResult) -> dict[str, float]:
        """Write the summaries of the steps since the last report; the x axis is the step, counted from 0."""
        del batch, outcome
        totals = {name: int(variable) for name, variable in self._totals.items()}
        values = {**totals, "num_samples_all": sum(totals.values()), **self._interval.take()}
        self._writer.write(step - 1, values)
        logger.info(
            "step %d: loss %.4f, name accuracy %.3f, production accuracy %.3f",
            step,
            values["loss"],
            values.get("name_accuracy", 0.0),
            values.get("production_accuracy", 0.0),
        )
        told = {name: value for name, value in values.items() if name not in ("loss", "elapsed_time")}
        return {
            "interval_loss": values["loss"],
            "learning_rate": float(learning_rate(self._config.train, step - 1)),
            **told,
        }


class Validation:
    """Losses and accuracies of the current weights on a fixed list of held-out batches.

    Args:
        model: The model that is trained.
        batches: Of the validation split.
        summary_dir: Folder of this training's summaries, or None.
    """

    def __init__(self, model: Expression, batches: Sequence[TrainingBatch], summary_dir: Path | None) -> None:
        self._batches = [prepared(batch, model) for batch in batches]
        self._step = EvaluationStep(model)
        self._writer = SummaryWriter(summary_dir / VALIDATE_FOLDER if summary_dir is not None else None)
        self._interval = Interval()

    def __call__(self, step: int) -> dict[str, float]:
        """Return the means over the batches, named `validation_<name>`."""
        for batch in self._batches:
            self._interval.add(batch.batch, self._step(batch.inputs))
        values = self._interval.take()
        num_name = sum(len(batch.batch.infer_name.labels) for batch in self._batches)
        num_all = sum(batch.batch.num_samples for batch in self._batches)
        totals = {
            "num_name_samples": num_name,
            "num_production_samples": num_all - num_name,
            "num_samples_all": num_all,
        }
        self._writer.write(step - 1, {**totals, **values})
        logger.info("step %d, %d held-out samples: loss %.4f", step, num_all, values["loss"])
        return {f"validation_{name}": value for name, value in values.items() if name != "elapsed_time"}


def prepared(batch: TrainingBatch, model: Expression) -> PreparedBatch:
    """Check a batch and make it ready.

    Raises:
        DataError: The batch is not sound.
    """
    check_batch(batch, model.vocabulary)
    return PreparedBatch(batch, model.prepare(batch))
