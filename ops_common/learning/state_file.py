"""The file `checkpoint` of a folder, which lists its checkpoints by absolute path, as TensorFlow 1 wrote it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf import text_format

from ops_common.artifacts import write_text

logger = logging.getLogger(__name__)

STATE_NAME = "checkpoint"


def read_state(folder: Path) -> list[Path]:
    """Return the paths of a folder's state file, newest first; none when there is no readable one."""
    path = folder / STATE_NAME
    try:
        state = text_format.Parse(path.read_text(encoding="utf-8"), _new_state())
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        logger.warning("state file %s is not used: %s", path, first_line(error))
        return []
    newest = [state.model_checkpoint_path] if state.model_checkpoint_path else []
    names = dict.fromkeys([*newest, *reversed(state.all_model_checkpoint_paths)])
    return [folder / name for name in names]


def write_state(folder: Path, kept: list[Path]) -> None:
    """Write a folder's state file, atomically; the last path is the newest."""
    state = _new_state()
    state.model_checkpoint_path = str(kept[-1])
    state.all_model_checkpoint_paths.extend(str(path) for path in kept)
    write_text(folder / STATE_NAME, text_format.MessageToString(state, as_utf8=True))


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its kind."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def _new_state() -> Any:
    # The message class itself is not part of TensorFlow's public names; what makes a message is.
    return type(tf.compat.v1.train.generate_checkpoint_state_proto("/", "/", ["/"]))()
