"""Where a training begins when its own checkpoint folder is empty: a copied folder, or the weights of another one.

The order is that of the public runner's TensorFlow 1 version (specification 6.8): the newest checkpoint of the folder,
after `resume_from_dir` has been copied there if it was empty; else a warm start; else fresh weights.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf

from gematria_ops.config import CheckpointConfig
from gematria_ops.config.runner import spell
from ops_common.artifacts import atomic_path, write_json, write_text
from ops_common.errors import ArtifactError, ConfigError
from ops_common.learning.checkpoints import PartialRestore, latest_checkpoint, read_global_step, restore_matching
from ops_common.learning.state_file import STATE_NAME

logger = logging.getLogger(__name__)

# Stands in the copy until it is whole, so that a copy that was cut short is made again.
COPY_MARK = ".copy-is-not-whole"

REPORT_NAME = "warm_start.json"


def copy_resume_folder(config: CheckpointConfig) -> bool:
    """Copy `resume_from_dir` to `resume_to_dir` if the checkpoint folder has no entries; say whether it was done.

    In every copied state file the old absolute path becomes the new one, so that the old files are never touched again.

    Raises:
        ConfigError: The checkpoint folder is not `resume_to_dir` or below it, or there is nothing to copy.
    """
    if not config.resume_from_dir or not config.resume_to_dir:
        return False
    source, target = Path(config.resume_from_dir).absolute(), Path(config.resume_to_dir).absolute()
    folder = Path(config.directory).absolute()
    mark = target / COPY_MARK
    if folder.is_dir() and any(folder.iterdir()) and not mark.exists():
        logger.info("%s is not empty: nothing is copied from %s", folder, source)
        return False
    if not folder.is_relative_to(target):
        raise ConfigError(
            f"{spell('checkpoint.directory')} {folder} is neither {spell('checkpoint.resume_to_dir')} {target} "
            "nor below it"
        )
    if not source.is_dir():
        raise ConfigError(f"{spell('checkpoint.resume_from_dir')}: there is no folder {source}")
    write_text(mark, f"being copied from {source}\n")
    for path in sorted(source.rglob("*")):
        if path.is_file():
            _copy(path, target / path.relative_to(source), source, target)
    mark.unlink()
    logger.info("copied %s to %s", source, target)
    return True


def _copy(path: Path, copy: Path, source: Path, target: Path) -> None:
    if path.name == STATE_NAME:
        write_text(copy, path.read_text(encoding="utf-8").replace(str(source), str(target)))
    else:
        with atomic_path(copy) as temporary:
            shutil.copyfile(path, temporary)


def warm_start(
    config: CheckpointConfig, weights: Mapping[str, tf.Variable], global_step: tf.Variable
) -> PartialRestore | None:
    """Load what fits of another checkpoint's weights, and its step if that is wanted; never the optimiser's state.

    What was loaded and what was not is logged, and written to `warm_start.json` in the checkpoint folder, if any.

    Args:
        config: Names the checkpoint, or the folder whose newest one is meant; or neither.
        weights: The trainable variables by name.
        global_step: Set with `load_global_step`.

    Returns:
        What was loaded and what was not; None when no warm start is asked for.

    Raises:
        ArtifactError: There is no such checkpoint, or it is torn.
    """
    if not config.warmstart_file and not config.warmstart_dir:
        return None
    prefix = (
        Path(config.warmstart_file) if config.warmstart_file else latest_checkpoint(Path(config.warmstart_dir or ""))
    )
    if prefix is None:
        raise ArtifactError(
            f"No checkpoint was found at {config.warmstart_dir}", f"look at {spell('checkpoint.warmstart_dir')}"
        )
    restored = restore_matching(prefix, weights)
    for name, reason in restored.skipped.items():
        logger.warning("warm start from %s: %r keeps its fresh value: %s", prefix, name, reason)
    logger.info("warm start from %s: %d of %d variables loaded", prefix, len(restored.loaded), len(weights))
    if config.load_global_step:
        global_step.assign(read_global_step(prefix))
    if config.directory:
        report = {
            "checkpoint": prefix.absolute(),
            "global_step": int(global_step),
            "loaded": restored.loaded,
            "kept_fresh": dict(restored.skipped),
        }
        write_json(Path(config.directory) / REPORT_NAME, report)
    return restored
