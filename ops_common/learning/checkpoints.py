"""Checkpoints: the named variables of a training, whole or not there.

A checkpoint of step 1200 is three files. They are written in a folder of their own and renamed in this order:

    model.ckpt-1200.json                  the record: step, SHA-256 of the other two, and the identity of the model
    model.ckpt-1200.data-00000-of-00001   TensorFlow's name-based format: `tf.train.load_checkpoint` lists our names
    model.ckpt-1200.index

Then the folder's state file `checkpoint`, which lists those that are kept by absolute path as TensorFlow 1 did, is
replaced. A process killed anywhere in between leaves the previous checkpoint as the newest one; the record tells that
the rest is ours to remove. A checkpoint is whole when its files are those that its record speaks of.

The *identity* is what has to be equal for weights to make sense: the model's sizes, its tasks, its vocabulary.
Restoring compares it first, so that a checkpoint of another model is refused by name and not by a shape.
"""

from __future__ import annotations

import json
import logging
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from ops_common.artifacts import check_file, read_json, remove_part_files, sha256_file, sync_to_disk
from ops_common.errors import ArtifactError, ConfigError
from ops_common.learning.state_file import first_line, read_state, write_state
from ops_common.rundir import first_difference

logger = logging.getLogger(__name__)

PREFIX_NAME = "model.ckpt"
DATA_SUFFIX, INDEX_SUFFIX, RECORD_SUFFIX = ".data-00000-of-00001", ".index", ".json"
SUFFIXES = (RECORD_SUFFIX, DATA_SUFFIX, INDEX_SUFFIX)

# What TensorFlow's reader raises for a torn file: some of its status codes become Python's own errors.
_READER_ERRORS = (tf.errors.OpError, OSError, IndexError, ValueError, RuntimeError)


class CheckpointStore:
    """The checkpoints of one training in one folder; there is one writer at a time.

    Args:
        folder: Made when the first checkpoint is saved.
        identity: Plain values that tell this model from others; nested dicts are compared key by key.
        max_to_keep: How many of the newest checkpoints stay; 0: all.
        name: What the names of its checkpoints begin with, before "-<step>".
    """

    def __init__(
        self, folder: Path, identity: Mapping[str, Any], max_to_keep: int = 100, name: str = PREFIX_NAME
    ) -> None:
        # The state file holds absolute paths, whatever the working folder of its reader is.
        self.folder = Path(folder).absolute()
        self._identity = _as_json(identity)
        self._max_to_keep = max_to_keep
        self._name = name

    def latest(self) -> Path | None:
        """Return the newest whole checkpoint, or None; see `latest_checkpoint`."""
        return latest_checkpoint(self.folder, self._name)

    def restore(self, prefix: Path, variables: Mapping[str, tf.Variable]) -> None:
        """Restore all variables from a checkpoint of the same model; see `restore_checkpoint`."""
        restore_checkpoint(prefix, variables, self._identity)

    def save(self, variables: Mapping[str, tf.Variable], step: int) -> Path:
        """Write a checkpoint, list it as the newest one, and remove those beyond the number to keep.

        Args:
            variables: Everything that training needs to go on, `global_step` included, under its checkpoint names.
            step: The global step, part of the name.

        Returns:
            The checkpoint's prefix, e.g. `<folder>/model.ckpt-1200`.

        Raises:
            ArtifactError: The disk is full or the folder cannot be written; what stood there before is still valid.
        """
        prefix = self.folder / f"{self._name}-{step}"
        with _write_errors_named(prefix):
            self.folder.mkdir(parents=True, exist_ok=True)
            remove_part_files(self.folder)
            with tempfile.TemporaryDirectory(dir=self.folder, prefix=f".{prefix.name}.", suffix=".part") as temporary:
                written = Path(temporary) / prefix.name
                write_variables(written, variables)
                self._write_record(written, step)
                for suffix in SUFFIXES:
                    with_suffix(written, suffix).replace(with_suffix(prefix, suffix))
            sync_to_disk(self.folder)
            kept = [path for path in self._listed() if path != prefix] + [prefix]
            kept = kept[-self._max_to_keep :] if self._max_to_keep else kept
            write_state(self.folder, kept)
            self._remove_old(kept)
        return prefix

    def _write_record(self, prefix: Path, step: int) -> None:
        files = {}
        for suffix in (DATA_SUFFIX, INDEX_SUFFIX):
            path = with_suffix(prefix, suffix)
            sync_to_disk(path)
            files[path.name] = {"sha256": sha256_file(path), "size_bytes": path.stat().st_size}
        record = with_suffix(prefix, RECORD_SUFFIX)
        record.write_text(json.dumps({"step": step, "identity": self._identity, "files": files}, indent=2) + "\n")
        sync_to_disk(record)

    def _listed(self) -> list[Path]:
        """Return the checkpoints of the state file that stand in this folder, oldest first."""
        paths = reversed(read_state(self.folder))
        return [path for path in paths if path.parent == self.folder and with_suffix(path, INDEX_SUFFIX).exists()]

    def _remove_old(self, kept: list[Path]) -> None:
        """Remove what is older than the oldest kept one and was written by us; files of others stay."""
        oldest = min(step_of(path) for path in kept)
        for record in self.folder.glob(f"{self._name}-*{RECORD_SUFFIX}"):
            prefix = record.with_suffix("")
            if self._max_to_keep and prefix not in kept and step_of(prefix) < oldest:
                for suffix in reversed(SUFFIXES):
                    with_suffix(prefix, suffix).unlink(missing_ok=True)


class FollowedCheckpoints(CheckpointStore):
    """The checkpoints that another process of the same training writes: read here, never written."""

    def save(self, variables: Mapping[str, tf.Variable], step: int) -> Path:
        """Return the prefix of the checkpoint that the other process writes for this step."""
        del variables
        return self.folder / f"{PREFIX_NAME}-{step}"


@dataclass(frozen=True, slots=True)
class PartialRestore:
    """What a warm start took from a checkpoint, and what it left, with the reason."""

    loaded: tuple[str, ...]
    skipped: Mapping[str, str]


def latest_checkpoint(folder: Path, name: str = PREFIX_NAME) -> Path | None:
    """Return the prefix of the newest whole checkpoint of a folder; None when the folder has none at all.

    The state file decides which one is newest. A torn one is reported and passed over. A folder that was moved or
    copied is read where it is now, whatever absolute paths its state file holds.

    Args:
        folder: The folder.
        name: What the names of its checkpoints begin with, for those that the state file does not list.

    Raises:
        ArtifactError: There are checkpoints, and every one is torn; starting again from nothing would hide that.
    """
    folder = Path(folder).absolute()
    first_damage = ""
    for prefix in _candidates(folder, name):
        damage = find_damage(prefix)
        if not damage:
            return prefix
        logger.warning("checkpoint %s is passed over: %s", prefix, damage)
        first_damage = first_damage or damage
    if first_damage:
        raise ArtifactError(
            f"no checkpoint in {folder} is whole: {first_damage}",
            "bring the files back from a copy, or empty the folder to start again from nothing",
        )
    return None


def listed_checkpoints(folder: Path) -> list[Path]:
    """Return the prefixes that a folder's state file lists, newest first, whole or not.

    Of a folder that was moved or copied, those that stand in it now.
    """
    folder = Path(folder).absolute()
    listed = []
    for path in read_state(folder):
        here = folder / path.name
        listed.append(here if with_suffix(here, INDEX_SUFFIX).exists() else path)
    return listed


def find_damage(prefix: Path) -> str:
    """Say what is wrong with a checkpoint's files; empty when they are whole.

    With our record beside it sizes and SHA-256 are compared. Without one (another program wrote it) everything is read.
    """
    index = with_suffix(prefix, INDEX_SUFFIX)
    if not index.exists():
        return f"{index} is missing"
    try:
        record = read_record(prefix)
        if record is not None:
            for name, entry in record["files"].items():
                check_file(prefix.parent / name, entry["sha256"], entry["size_bytes"], "listed in its record")
        else:
            reader = tf.train.load_checkpoint(str(prefix))
            for name in reader.get_variable_to_shape_map():
                reader.get_tensor(name)
    except ArtifactError as error:
        return error.message
    except _READER_ERRORS as error:
        return f"{prefix} cannot be read: {first_line(error)}"
    return ""


def restore_checkpoint(
    prefix: Path, variables: Mapping[str, tf.Variable], identity: Mapping[str, Any], *, weights_only: bool = False
) -> None:
    """Restore all variables, or change none and name the first difference.

    Args:
        prefix: The checkpoint, e.g. `<folder>/model.ckpt-1200`.
        variables: Variables under their checkpoint names.
        identity: What the checkpoint's record has to say; see the file's head. A checkpoint without a record (another
            program wrote it) is compared by its variables only.
        weights_only: The checkpoint may also hold the state of an optimiser for these variables, and its record may
            say more than ``identity``.

    Raises:
        ArtifactError: There is no such checkpoint, or it is torn.
        ConfigError: It belongs to another model: the message names the first setting, or the first variable that is
            missing, too many, or of another shape or type.
    """
    _check_exists(prefix)
    record = read_record(prefix)
    if record is None:
        logger.warning("checkpoint %s has no record beside it; it is compared by its variables only", prefix)
    else:
        recorded, wanted = record["identity"], _as_json(identity)
        if weights_only:
            recorded = {key: value for key, value in recorded.items() if key in wanted}
        difference = first_difference(recorded, wanted)
        if difference:
            raise ConfigError(
                f"checkpoint {prefix} belongs to another model: {difference}",
                "give the settings it was trained with, or another checkpoint (folder)",
            )
    with _read_errors_named(prefix):
        reader = tf.train.load_checkpoint(str(prefix))
        stored = reader.get_variable_to_shape_map()
        types = reader.get_variable_to_dtype_map()
    for name in sorted({*stored, *variables}):
        if weights_only and name not in variables and _is_optimizer_state(name, variables):
            continue
        difference = _variable_difference(name, variables.get(name), stored.get(name), types.get(name))
        if difference:
            raise ConfigError(f"checkpoint {prefix} belongs to another model: {difference}")
    with _read_errors_named(prefix):
        # Read everything before anything is assigned: a torn file must not leave a half-restored model.
        values = {name: reader.get_tensor(name) for name in variables}
    for name, variable in variables.items():
        variable.assign(values[name])


def restore_matching(prefix: Path, variables: Mapping[str, tf.Variable]) -> PartialRestore:
    """Restore those variables that the checkpoint holds with the same name, shape and type; leave the others.

    Raises:
        ArtifactError: There is no such checkpoint, or it is torn.
    """
    _check_exists(prefix)
    loaded, skipped = {}, {}
    with _read_errors_named(prefix):
        reader = tf.train.load_checkpoint(str(prefix))
        stored, types = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
        for name, variable in variables.items():
            difference = _variable_difference(name, variable, stored.get(name), types.get(name))
            if difference:
                skipped[name] = difference
            else:
                loaded[name] = reader.get_tensor(name)
    for name, value in loaded.items():
        variables[name].assign(value)
    return PartialRestore(tuple(loaded), skipped)


def read_global_step(prefix: Path) -> int:
    """Return the global step that a checkpoint holds.

    Raises:
        ArtifactError: There is no such checkpoint, it is torn, or it has no `global_step`.
    """
    _check_exists(prefix)
    with _read_errors_named(prefix):
        reader = tf.train.load_checkpoint(str(prefix))
        if reader.has_tensor("global_step"):
            return int(reader.get_tensor("global_step"))
    raise ArtifactError(f"checkpoint {prefix} has no global_step")


def write_variables(prefix: Path, variables: Mapping[str, tf.Variable]) -> None:
    """Write variables under a prefix in TensorFlow's name-based format; neither atomic nor flushed."""
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(variables),
        shape_and_slices=[""] * len(variables),
        tensors=[variable.read_value() for variable in variables.values()],
    )


def read_record(prefix: Path) -> dict[str, Any] | None:
    """Return a checkpoint's record, or None when it has none.

    Raises:
        ArtifactError: There is one, and it is not what we write.
    """
    path = with_suffix(prefix, RECORD_SUFFIX)
    if not path.exists():
        return None
    record = read_json(path)
    if not isinstance(record, dict) or not {"step", "identity", "files"} <= record.keys():
        raise ArtifactError(f"{path} is not the record of a checkpoint")
    return record


def step_of(prefix: Path) -> int:
    """Return the step in a checkpoint's name; -1 when it has none."""
    match = re.search(r"-(\d+)$", prefix.name)
    return int(match.group(1)) if match else -1


def with_suffix(prefix: Path, suffix: str) -> Path:
    """Append to the name; `Path.with_suffix` would take the step for a suffix and replace it."""
    return prefix.with_name(prefix.name + suffix)


def _candidates(folder: Path, name: str) -> list[Path]:
    """Return the checkpoints of the state file, newest first, then the folder's others by falling step."""
    listed = listed_checkpoints(folder)
    found = [path.with_suffix("") for path in folder.glob(f"{name}-*{INDEX_SUFFIX}")]
    others = sorted((path for path in found if path not in listed), key=step_of, reverse=True)
    return listed + others


def _variable_difference(name: str, variable: tf.Variable | None, shape: list[int] | None, dtype: Any) -> str:
    if shape is None:
        return f"it has no variable {name!r}"
    if variable is None:
        return f"it has a variable {name!r}, which this model has not"
    if list(variable.shape) != list(shape):
        return f"variable {name!r} has shape {list(shape)} in it, {list(variable.shape)} here"
    if variable.dtype != dtype:
        return f"variable {name!r} is {dtype.name} in it, {variable.dtype.name} here"
    return ""


def _is_optimizer_state(name: str, variables: Mapping[str, tf.Variable]) -> bool:
    """Slots are called `<variable>/<slot>`; counters and powers have plain names."""
    return "/" not in name or name.rpartition("/")[0] in variables


def _check_exists(prefix: Path) -> None:
    if not with_suffix(prefix, INDEX_SUFFIX).exists():
        raise ArtifactError(
            f"No checkpoint was found at {prefix}", "give the prefix, without .index, e.g. DIR/model.ckpt-1000"
        )


def _as_json(identity: Mapping[str, Any]) -> dict[str, Any]:
    # A tuple has to compare equal to the list that is read back.
    plain: dict[str, Any] = json.loads(json.dumps(dict(identity)))
    return plain


@contextmanager
def _write_errors_named(prefix: Path) -> Iterator[None]:
    try:
        yield
    except (tf.errors.OpError, OSError) as error:
        raise ArtifactError(
            f"checkpoint {prefix} cannot be written: {first_line(error)}",
            "free disk space, or check who may write there; the checkpoints before it are still valid",
        ) from error


@contextmanager
def _read_errors_named(prefix: Path) -> Iterator[None]:
    try:
        yield
    except _READER_ERRORS as error:
        raise ArtifactError(f"checkpoint {prefix} is torn: {first_line(error)}", "use another checkpoint") from error
