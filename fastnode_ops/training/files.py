"""Where a training keeps its checkpoints, summaries and exports, and what it set out to do (specification 2.2, 2.4)."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import tensorflow as tf

from ops_common.artifacts import atomic_folder, read_json, write_json
from ops_common.errors import ArtifactError, UsageError
from ops_common.learning.checkpoints import CheckpointStore, latest_checkpoint, read_global_step

CHECKPOINT_NAME = "ckpt"


class NumberedCheckpoints(CheckpointStore):
    """Checkpoints named after their last step, counted from 0: `ckpt-9` after ten steps (specification B.9)."""

    def save(self, variables: Mapping[str, tf.Variable], step: int) -> Path:
        """Write the checkpoint after `step` updates."""
        return super().save(variables, step - 1)


@dataclass(frozen=True, slots=True)
class TrainingFiles:
    """The files of one training.

    Args:
        work_dir: The pipeline's folder.
        model_name: Name of the model; its summaries stand in `tensorboard/<name>`.
    """

    work_dir: Path
    model_name: str

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.work_dir / "tmp"

    @property
    def metrics(self) -> Path:
        """One line per report."""
        return self.work_dir / "tmp" / "metrics.jsonl"

    @property
    def continuation(self) -> Path:
        """What the newest `continue` set out to do."""
        return self.work_dir / "tmp" / "continuation.json"

    @property
    def saved_model(self) -> Path:
        """The finished model with variables."""
        return self.work_dir / "out" / "saved_model"

    @property
    def frozen_graph(self) -> Path:
        """The finished model, weights as constants."""
        return self.work_dir / "out" / "expr_model.uncompressed.frozen.pb"

    @property
    def weights(self) -> Path:
        """The finished weights for NumPy."""
        return self.work_dir / "out" / "expr_model.weights.npz"

    @property
    def report(self) -> Path:
        """What the training did."""
        return self.work_dir / "out" / "training.json"

    def summaries(self, suffix: str = "") -> Path:
        """Return the folder of the summaries of a training or of a continuation."""
        return self.work_dir / "tensorboard" / f"{self.model_name}{suffix}"

    def copy_summaries(self) -> None:
        """Copy all summaries into `out/tensorboard`, in place of an older copy."""
        source = self.work_dir / "tensorboard"
        if source.is_dir():
            with atomic_folder(self.work_dir / "out" / "tensorboard", replace=True) as temporary:
                shutil.copytree(source, temporary, dirs_exist_ok=True)


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


def begin_continuation(files: TrainingFiles) -> Continuation:
    """Take up an interrupted continuation, or begin one at the newest checkpoint.

    Raises:
        UsageError: There is no checkpoint to go on from (D3).
        ArtifactError: The record of the last continuation is torn.
    """
    newest = latest_checkpoint(files.checkpoints, CHECKPOINT_NAME)
    if newest is None:
        raise UsageError(f"there is no checkpoint to continue from in {files.checkpoints}", "run `train` first")
    step = read_global_step(newest)
    last = _read(files.continuation) if files.continuation.exists() else None
    if last is not None and not last.is_finished and last.first_step <= step:
        return last
    number = 1
    while files.summaries(Continuation(number, step).suffix).exists():
        number += 1
    begun = Continuation(number, step)
    begun.write(files.continuation)
    return begun


def _read(path: Path) -> Continuation:
    try:
        return Continuation(**read_json(path))
    except TypeError:
        raise ArtifactError(f"{path} is not the record of a continuation", "remove it") from None
