"""One run on disk: a folder with one layout for both pipelines.

run.json                    what was asked for
checkpoints/  bundle/       the trainer's state; the exported model
metrics.jsonl  summaries/   curves; TensorBoard events
reports/                    what people read
results/<task>.record.json  what a finished task was asked and what it returned
DONE or FAILED              how the run ended
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from ops_common.artifacts import json_default, read_json, write_json
from ops_common.errors import ArtifactError, ConfigError
from ops_common.processes import exclusive_lock

RUN_REPORT_NAME = "run.html"
"""The report about all of a run; it says when and where things were made, so it is never part of what is uploaded."""

_ABSENT = object()


class RunDir:
    """The folder of one run; knows every path in it."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    @classmethod
    def create(cls, path: Path, request: Mapping[str, Any]) -> Self:
        """Makes the folder of a run, or opens it when the same was asked for before.

        Args:
            path: The folder.
            request: What the run is to do: plain values that JSON can say. Written to `run.json`.

        Raises:
            ConfigError: The folder belongs to a run with another request; the message names the first difference.
        """
        run = cls(path)
        wanted = _plain(request)
        if run.request_path.exists():
            difference = first_difference(run.request(), wanted)
            if difference:
                raise ConfigError(
                    f"run folder {run.path} was made for something else: {difference}",
                    "use another run folder, or ask for the same again",
                )
            return run
        write_json(run.request_path, {"request": wanted, "created_at": _now()})
        return run

    @classmethod
    def open(cls, path: Path) -> Self:
        """Opens the folder of a run that was made before.

        Raises:
            ArtifactError: There is no run in the folder.
        """
        run = cls(path)
        if not run.request_path.exists():
            raise ArtifactError(f"{run.path} is not a run folder: it has no run.json", "check the path of the run")
        return run

    @property
    def request_path(self) -> Path:
        """What was asked for (JSON)."""
        return self.path / "run.json"

    @property
    def checkpoints_dir(self) -> Path:
        """The trainer's checkpoints."""
        return self.path / "checkpoints"

    @property
    def bundle_dir(self) -> Path:
        """The exported model."""
        return self.path / "bundle"

    @property
    def metrics_path(self) -> Path:
        """The training curves (JSON lines)."""
        return self.path / "metrics.jsonl"

    @property
    def reports_dir(self) -> Path:
        """What people read."""
        return self.path / "reports"

    @property
    def results_dir(self) -> Path:
        """What finished tasks returned."""
        return self.path / "results"

    @property
    def summaries_dir(self) -> Path:
        """TensorBoard's event files."""
        return self.path / "summaries"

    def request(self) -> dict[str, Any]:
        """Returns what was asked for when the run was made."""
        return _entry(self.request_path, "request")

    def mark_done(self) -> None:
        """Says that the run ended well."""
        write_json(self.path / "DONE", {"at": _now()})
        (self.path / "FAILED").unlink(missing_ok=True)

    def mark_failed(self, reason: str) -> None:
        """Says that the run failed, and why. A later `mark_done` takes it back."""
        write_json(self.path / "FAILED", {"at": _now(), "reason": reason})
        (self.path / "DONE").unlink(missing_ok=True)

    @property
    def state(self) -> str:
        """How the run stands: "done", "failed" or "open"."""
        if (self.path / "DONE").exists():
            return "done"
        return "failed" if (self.path / "FAILED").exists() else "open"

    def failure_reason(self) -> str:
        """Why the run failed; empty when it did not."""
        path = self.path / "FAILED"
        return str(read_json(path).get("reason", "")) if path.exists() else ""

    def finished_result(self, task: str, arguments: Mapping[str, Any]) -> dict[str, Any] | None:
        """Returns what a task returned when it finished in this run before, or None when it did not.

        Raises:
            ConfigError: It finished with other arguments; the message names the first difference.
        """
        path = self._record_path(task)
        if not path.exists():
            return None
        difference = first_difference(_entry(path, "arguments"), _plain(arguments))
        if difference:
            raise ConfigError(
                f"task {task} finished in run folder {self.path} with other arguments: {difference}",
                "use another run folder, or give the same arguments again",
            )
        return _entry(path, "result")

    def recorded_result(self, task: str) -> dict[str, Any]:
        """Returns what a finished task of this run returned, whatever it was asked.

        Raises:
            ArtifactError: The task has not finished, or its record is damaged.
        """
        return _entry(self._record_path(task), "result")

    def save_result(self, task: str, arguments: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        """Records that a task finished: the last thing it does."""
        write_json(
            self._record_path(task),
            {"task": task, "finished_at": _now(), "arguments": _plain(arguments), "result": _plain(result)},
        )

    @contextmanager
    def exclusive(self, task: str) -> Iterator[None]:
        """Keeps a second process from running the same task in this run at the same time.

        The lock belongs to the process: the system releases it however the process ends.

        Raises:
            ConfigError: Another process runs the task now; the message names its process id.
        """
        self.results_dir.mkdir(parents=True, exist_ok=True)
        lock = self.results_dir / f".{task}.lock"
        with exclusive_lock(lock, f"task {task} is running in run folder {self.path}"):
            yield

    def _record_path(self, task: str) -> Path:
        return self.results_dir / f"{task}.record.json"


def first_difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Says in words where two sets of plain values first differ, with the dotted key; empty when they are equal."""
    for key in sorted({*before, *now}):
        old, new = before.get(key, _ABSENT), now.get(key, _ABSENT)
        if isinstance(old, dict) and isinstance(new, dict):
            inner = first_difference(old, new)
            if inner:
                return f"{key}.{inner}"
        elif old != new:
            return f"{key} was {_show(old)}, now {_show(new)}"
    return ""


def _show(value: Any) -> str:
    return "not given" if value is _ABSENT else repr(value)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    # What JSON makes of the values, so that a tuple or a path compares equal to what was read back.
    plain: dict[str, Any] = json.loads(json.dumps(dict(values), default=json_default))
    return plain


def _entry(path: Path, key: str) -> dict[str, Any]:
    record = read_json(path)
    value = record.get(key) if isinstance(record, dict) else None
    if not isinstance(value, dict):
        raise ArtifactError(f"{path} has no table {key!r}", "remove the file and run the step again")
    return value


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
