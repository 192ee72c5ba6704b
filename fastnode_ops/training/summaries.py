"""What a training tells: means over an interval under the names of specification 9.3, and each task's accuracy."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf

from fastnode_ops.models.accuracy import Hits, add_hits, count_hits
from fastnode_ops.samples.batch import TrainingBatch
from fastnode_ops.training.step import StepResult

TRAIN_FOLDER, VALIDATE_FOLDER = "train_summary", "validate_summary"


class Interval:
    """Adds up batches and their results until they are told.

    Losses and sizes are means over batches; an accuracy is the share of right samples, so that a batch without any
    does not pull it down.
    """

    def __init__(self) -> None:
        self._built = time.monotonic()
        self._clear()

    def add(self, batch: TrainingBatch, result: StepResult) -> None:
        """Add a batch."""
        self._num_batches += 1
        num_name, num_production = len(batch.infer_name.labels), len(batch.infer_production.labels)
        values = {
            "num_name_samples_batch_avg": num_name,
            "num_production_samples_batch_avg": num_production,
            "num_samples_all_batch_avg": num_name + num_production,
            "num_nodes_context_graph": batch.context_graph.num_nodes,
            "num_nodes_expansion_graph": batch.expansion_graph.num_nodes,
            "loss": result.loss,
            "name_loss": result.name_loss,
            "production_loss": result.production_loss,
            "elapsed_time": time.monotonic() - self._built,
        }
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        add_hits(self._hits, count_hits(batch, result.name_logits, result.production_logits))

    def take(self) -> dict[str, float]:
        """Return the means, and begin a new interval; nothing when no batch was added."""
        values = {name: value / self._num_batches for name, value in self._sums.items()}
        values.update({name: hits.share for name, hits in self._hits.items()})
        self._clear()
        return values

    def _clear(self) -> None:
        self._num_batches = 0
        self._sums: dict[str, float] = {}
        self._hits: dict[str, Hits] = {}


class SummaryWriter:
    """Writes TensorBoard scalars; its folder is made with the first of them.

    Args:
        folder: Folder of the event files; None: nothing is written.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._writer: tf.summary.SummaryWriter | None = None

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Write values of a step and flush them, so that they survive a kill."""
        if self._folder is None:
            return
        if self._writer is None:
            self._writer = tf.summary.create_file_writer(str(self._folder))
        with self._writer.as_default(step=step):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        self._writer.flush()
