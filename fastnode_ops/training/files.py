"""Names of checkpoints, copies of summaries, and what a continuation set out to do (specification 2.2, 2.4)."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from fastnode_ops.pipeline_dir import PipelineDir
from ops_common.artifacts import atomic_folder, read_json, write_json
from ops_common.errors import ArtifactError, UsageError
from ops_common.learning.checkpoints import CheckpointStore, latest_checkpoint, read_global_step

CHECKPOINT_NAME = "ckpt"  # the last part of `PipelineDir.checkpoint_prefix`


class NumberedCheckpoints(CheckpointStore):
    """Checkpoints named after their last step, counted from 0: `ckpt-9` after ten steps (specification B.9).

    Args:
        folder: Where they are kept, the newest one only.
        identity: See `CheckpointStore`.
        is_safe: Told the number of updates that a checkpoint holds, when it was written or restored.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], is_safe: Callable[[int], None]) -> None:
        super().__init__(folder, identity, max_to_keep=1, name=CHECKPOINT_NAME)
        self._is_safe = is_safe

    def save(self, variables: Mapping[str, tf.Variable], step: int) -> Path:
        """Write the checkpoint after `step` updates."""
        prefix = super().save(variables, step - 1)
        self._is_safe(step)
        return prefix

    def restore(self, prefix: Path, variables: Mapping[str, tf.Variable]) -> None:
        """See `CheckpointStore`."""
        super().restore(prefix, variables)
        self._is_safe(int(variables["global_step"]))


@dataclass(frozen=True, slots=True)
class Continuation:
    """One call of `continue`, kept until its exports stand: killed and started again, it goes on to the same step.

    Args:
        number: 1 for the first.
        first_step: Updates done before it.
        is_finished: Whether it came to its end.
    """

    number: int
    first_step: int
    is_finished: bool = False

    @property
    def suffix(self) -> str:
        """Ends the name of its summaries: `_continue`, `_continue_2`, ... (D4)."""
        return "_continue" if self.number == 1 else f"_continue_{self.number}"

    def write(self, path: Path) -> None:
        """Write it down."""
        write_json(path, asdict(self))


def begin_continuation(place: PipelineDir, model_name: str) -> Continuation:
    """Take up an interrupted continuation, or begin one at the newest checkpoint.

    Raises:
        UsageError: There is no checkpoint to go on from (D3).
        ArtifactError: The record of the last continuation is torn.
    """
    newest = latest_checkpoint(place.tmp, CHECKPOINT_NAME)
    if newest is None:
        raise UsageError(f"there is no checkpoint to continue from in {place.tmp}", "run `train` first")
    step = read_global_step(newest)
    last = _read(place.continuation) if place.continuation.exists() else None
    if last is not None and not last.is_finished and last.first_step <= step:
        return last
    number = 1
    while place.tensorboard(model_name + Continuation(number, step).suffix).exists():
        number += 1
    begun = Continuation(number, step)
    begun.write(place.continuation)
    return begun


def copy_summaries(place: PipelineDir) -> None:
    """Copy the summaries of all models into `out/`, in place of an older copy."""
    source = place.tensorboard("")
    if source.is_dir():
        with atomic_folder(place.tensorboard_copy, replace=True) as temporary:
            shutil.copytree(source, temporary, dirs_exist_ok=True)


def _read(path: Path) -> Continuation:
    try:
        return Continuation(**read_json(path))
    except TypeError:
        raise ArtifactError(f"{path} is not the record of a continuation", "remove it") from None
