"""The best checkpoints of a continuous evaluation, and the errors they have to beat, kept across restarts.

    best_models/best_models-<step>.*   weights and global step, 15 kept, with the state file `checkpoint`
    best_models/best.json              of each task the smallest error so far, and what it was measured with

Errors are comparable only if the same blocks were predicted by the same kind of model; `best.json` says so by a digest.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from ops_common.artifacts import read_json, write_json
from ops_common.errors import ArtifactError
from ops_common.learning.checkpoints import CheckpointStore

logger = logging.getLogger(__name__)

FOLDER_NAME = PREFIX_NAME = "best_models"
RECORD_NAME = "best.json"
MAX_TO_KEEP = 15


class BestModels:
    """Keeps a checkpoint whenever the error of any task is smaller than ever before.

    Args:
        summary_dir: The folder `best_models` is made in it.
        task_names: The tasks, in the order of the errors.
        identity: What tells the model from others; goes into the checkpoints.
        measured_with: Digest of what the errors depend on beside the weights.

    Raises:
        ArtifactError: There is a `best.json`, and it is not what we write.
    """

    def __init__(
        self, summary_dir: Path, task_names: Sequence[str], identity: Mapping[str, Any], measured_with: str
    ) -> None:
        self._path = Path(summary_dir) / FOLDER_NAME / RECORD_NAME
        self._store = CheckpointStore(self._path.parent, identity, MAX_TO_KEEP, PREFIX_NAME)
        self._task_names = tuple(task_names)
        self._measured_with = measured_with
        self._best = self._read()

    def offer(self, step: int, errors: Sequence[float], weights: Mapping[str, tf.Variable]) -> tuple[str, ...]:
        """Keep the weights if they are the best for any task.

        Args:
            step: Global step of the weights.
            errors: Of each task; one that is not finite is never the best.
            weights: The variables by name.

        Returns:
            The tasks whose error became smaller.

        Raises:
            ArtifactError: The disk is full or the folder cannot be written.
        """
        improved = {
            name: {"relative_mae": error, "global_step": step}
            for name, error in zip(self._task_names, errors, strict=True)
            if math.isfinite(error) and error < self._smallest(name)
        }
        if improved:
            variables = {**weights, "global_step": tf.Variable(step, dtype=tf.int64)}
            prefix = self._store.save(variables, step)
            # Last, so that a kill in between does not make this error one to beat without its checkpoint.
            self._best |= improved
            write_json(self._path, {"measured_with": self._measured_with, "tasks": self._best})
            logger.info("%s: best so far for %s", prefix, ", ".join(improved))
        return tuple(improved)

    def _smallest(self, task_name: str) -> float:
        return float(self._best[task_name]["relative_mae"]) if task_name in self._best else math.inf

    def _read(self) -> dict[str, dict[str, Any]]:
        if not self._path.exists():
            return {}
        record = read_json(self._path)
        if not _is_record(record):
            raise ArtifactError(f"{self._path} is not a record of the best errors", "remove it to begin anew")
        if record["measured_with"] != self._measured_with:
            logger.warning(
                "%s is of other blocks, labels or settings of the model: the best errors begin anew", self._path
            )
            return {}
        return dict(record["tasks"])


def _is_record(record: Any) -> bool:
    tasks = record.get("tasks") if isinstance(record, dict) else None
    return (
        isinstance(tasks, dict)
        and isinstance(record.get("measured_with"), str)
        and all(isinstance(entry, dict) and _is_number(entry.get("relative_mae")) for entry in tasks.values())
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
