"""Lines of a log as JSON, each with the run and the task that wrote it; for whoever collects logs of many tasks.

`OPS_LOG_FORMAT=json` turns it on. Run and task are what the platform puts into the environment of a task's command
(`CONTEXT_VARIABLES`); by hand there is none, and the lines have only what is known.

    {"at": "2026-01-01T02:00:00.123+00:00", "level": "info", "message": "...", "dag_id": "gematria_train",
     "run_id": "...", "task_id": "train_model", "try_number": 1}
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

FORMAT_VARIABLE = "OPS_LOG_FORMAT"
CONTEXT_VARIABLES = {
    "dag_id": "OPS_TASK_DAG_ID",
    "run_id": "OPS_TASK_RUN_ID",
    "task_id": "OPS_TASK_ID",
    "map_index": "OPS_TASK_MAP_INDEX",
    "try_number": "OPS_TASK_TRY_NUMBER",
}
"""The variable that says each of them."""

_NUMBERS = ("map_index", "try_number")
_LEVELS = ("debug", "info", "warning", "error", "critical")
_MAX_MESSAGE = 16_384


def is_json_asked(environment: Mapping[str, str] | None = None) -> bool:
    """Whether lines are to be JSON."""
    env = os.environ if environment is None else environment
    return env.get(FORMAT_VARIABLE, "").strip().lower() == "json"


def context_of(environment: Mapping[str, str] | None = None) -> dict[str, str | int]:
    """Run and task of this process, as far as somebody said."""
    env = os.environ if environment is None else environment
    found: dict[str, str | int] = {}
    for name, variable in CONTEXT_VARIABLES.items():
        text = env.get(variable, "")
        if text:
            found[name] = int(text) if name in _NUMBERS and text.lstrip("-").isdigit() else text
    return found


def as_json_line(line: str, context: Mapping[str, Any]) -> str:
    """A line of text as JSON, without its end; a line that is JSON of ours already stays as it is.

    Args:
        line: What was written. Its level is what it begins with: `warning: ...`, `error: ...`.
        context: Run and task.
    """
    text = line.rstrip("\r\n")
    if text.startswith('{"at":') and level_of_json(text):
        return text
    level, _, rest = text.partition(": ")
    if level.lower() in _LEVELS and rest:
        return _compact({"at": _now(), "level": level.lower(), "message": rest[:_MAX_MESSAGE], **context})
    return _compact({"at": _now(), "level": "info", "message": text[:_MAX_MESSAGE], **context})


def level_of_json(line: str) -> str:
    """The level of a line of ours; empty when it is none."""
    try:
        level = json.loads(line)["level"]
    except (ValueError, KeyError, TypeError):
        return ""
    return level if level in _LEVELS else ""


class JsonLines(io.TextIOBase):
    """A text stream that writes each whole line to another one as JSON.

    Args:
        stream: Where the lines go.
        context: Run and task.
    """

    def __init__(self, stream: TextIO, context: Mapping[str, Any]) -> None:
        self._stream, self._context, self._rest = stream, context, ""

    def writable(self) -> bool:
        """It can be written to."""
        return True

    def isatty(self) -> bool:
        """It is no terminal, so whoever would draw a bar writes lines."""
        return False

    def fileno(self) -> int:
        """The file behind it; what is written there directly is no JSON."""
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Take text; lines that are whole now are written."""
        *lines, self._rest = (self._rest + text).replace("\r", "\n").split("\n")
        for line in lines:
            if line.strip():
                self._stream.write(as_json_line(line, self._context) + "\n")
        return len(text)

    def flush(self) -> None:
        """Let what was written out; half a line waits for its end."""
        self._stream.flush()

    def end(self) -> None:
        """Write the last line, though nobody ended it."""
        if self._rest:
            self.write("\n")
        self.flush()


def _compact(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
