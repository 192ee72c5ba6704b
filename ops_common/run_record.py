"""`record.json` of a run: everything that is needed to repeat it, and what it cost.

    {"dag_id" and "run_id", or "command"; "conf", "begun_at"      what was asked for
     "config", "seeds", "data", "data_dir"                        the settings as they were used; SHA-256 by file
     "code", "versions", "machine"                                what ran, where (ops_common.surroundings)
     "tasks": {name: {"library", "command", "arguments", "working_dir", "status", "attempts",
                      "started_at", "finished_at", "wall_seconds", "cpu_seconds", "gpu_seconds"}}
     "cost": {"core_hours", "gpu_hours"}
     "artifacts": {path: SHA-256}}

The first task of a workflow begins it (`begin`), the training says what it was made with (`describe`), and every
command of a run adds itself when it ends (`recorded`), also when it fails. Times of attempts add up. Tasks of one run
may end at the same moment: whoever writes holds a lock, and the file is replaced as a whole.
"""

from __future__ import annotations

import fcntl
import json
import logging
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ops_common.artifacts import MANIFEST_NAME, json_default, read_json, read_manifest, sha256_file, write_json
from ops_common.errors import ArtifactError, Interrupted, OpsError
from ops_common.rundir import RUN_REPORT_NAME
from ops_common.surroundings import describe_code, describe_machine, describe_versions, gpus_in_use

logger = logging.getLogger(__name__)

RECORD_NAME = "record.json"
_LOCK_NAME = ".record.lock"

ARTIFACTS = ("config.toml", "metrics.jsonl", "bundle/**/*", "reports/**/*", "tmp/metrics.jsonl", "out/**/*")
"""What a run makes, in the folders of both libraries. Event files and the report about the run are left out, since they
say when they were written."""

_NO_ARTIFACTS = {"tensorboard", RUN_REPORT_NAME}
NOT_RECORDED = frozenset({"report"})
"""Commands that only look at a run."""
_current: ContextVar[Path | None] = ContextVar("folder of the run whose command runs", default=None)


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a run.

    Attributes:
        folder: Folder of the run whose record it belongs to.
        task: Its name there: that of the task function, with a number where there are many.
        library: The package.
        name: The task function's name.
        arguments: What it was given.
    """

    folder: Path
    task: str
    library: str
    name: str
    arguments: Mapping[str, Any]

    @property
    def work_dir(self) -> Path:
        """Where it writes: the folder of the run, or that of the run which is continued."""
        return Path(str(self.arguments.get("work_dir") or self.folder))


def read_record(folder: Path) -> dict[str, Any]:
    """The record of a run.

    Raises:
        ArtifactError: There is none, or it is damaged.
    """
    record = read_json(Path(folder) / RECORD_NAME)
    if not isinstance(record, dict):
        raise ArtifactError(f"{Path(folder) / RECORD_NAME} is not the record of a run", "choose another run")
    return record


def begin(folder: Path, **asked: Any) -> None:
    """Begin the record of a run; one that stands there is kept, since a run may be cleared and done again.

    Args:
        folder: Folder of the run.
        **asked: What was asked for: `dag_id`, `run_id`, `conf`; or `command`.
    """

    def change(record: dict[str, Any]) -> None:
        if "begun_at" not in record:
            record.update({**_plain(asked), "begun_at": _now()})

    _update(folder, change)


def describe(
    folder: Path, library: str, *, config: Mapping[str, Any], seeds: Mapping[str, int], data_dir: Path | None
) -> None:
    """Say what a run is made with. Code, versions and machine are those of this process.

    Args:
        folder: Folder of the training. The record is that of the run whose command this is: the continuation of a
            training is a run of its own.
        library: The package that trains.
        config: The settings as they are used, as plain values.
        seeds: By name.
        data_dir: Folder of the data, whose manifest lists its files; None: there is none here.

    Raises:
        ArtifactError: The folder of the data has no manifest.
    """
    files = read_manifest(data_dir / MANIFEST_NAME)["files"] if data_dir is not None else {}
    told = {
        "config": _plain(config),
        "seeds": _plain(seeds),
        "data": {name: entry["sha256"] for name, entry in files.items()},
        "data_dir": str(data_dir.absolute()) if data_dir is not None else "",
        "code": describe_code(library),
        "versions": describe_versions(),
        "machine": describe_machine(),
    }
    _update(_current.get() or folder, lambda record: record.update(told))


@contextmanager
def recorded(command: Command) -> Iterator[None]:
    """Adds a command to the record of its run, with what it took, when the body ends, however it does.

    A record that cannot be written is a warning: it shall not undo the work that it describes.
    """
    began, started_at, before = time.monotonic(), time.time(), _cpu_seconds()
    status = "failed"
    token = _current.set(command.folder)
    try:
        yield
        status = "done"
    except (Interrupted, KeyboardInterrupt):
        status = "interrupted"
        raise
    finally:
        _current.reset(token)
        wall_seconds = time.monotonic() - began
        taken = {
            "wall_seconds": round(wall_seconds, 3),
            "cpu_seconds": round(_cpu_seconds() - before, 3),
            "gpu_seconds": round(wall_seconds * len(gpus_in_use()), 3),
        }
        try:
            if command.folder.is_dir():
                _add(command, status, started_at, taken)
        except (OpsError, OSError) as error:
            logger.warning("warning: the record of %s was not completed: %s", command.folder, error)


def _add(command: Command, status: str, started_at: float, taken: Mapping[str, float]) -> None:
    finished_at = _now()
    known = _read_or_empty(command.folder).get("artifacts", {})
    artifacts = _digests(command.work_dir, known, since=started_at)

    def change(record: dict[str, Any]) -> None:
        if "begun_at" not in record:
            words = ["python", "-m", command.library, command.name.replace("_", "-")]
            record.update({"command": words, "conf": _plain(command.arguments), "begun_at": _time(started_at)})
        tasks = record.setdefault("tasks", {})
        before = tasks.get(command.task, {})
        tasks[command.task] = {
            "library": command.library,
            "command": command.name,
            "arguments": _plain(command.arguments),
            "working_dir": str(Path.cwd()),
            "status": status,
            "attempts": before.get("attempts", 0) + 1,
            "started_at": before.get("started_at", _time(started_at)),
            "finished_at": finished_at,
            **{name: round(before.get(name, 0) + value, 3) for name, value in taken.items()},
        }
        if gpus := gpus_in_use():
            record.setdefault("machine", {})["gpus"] = gpus
        hours = {name: sum(task[f"{name}_seconds"] for task in tasks.values()) / 3600 for name in ("cpu", "gpu")}
        record["cost"] = {"core_hours": round(hours["cpu"], 6), "gpu_hours": round(hours["gpu"], 6)}
        record["artifacts"] = {**record.get("artifacts", {}), **artifacts}
        record["artifacts"] = {
            name: digest for name, digest in record["artifacts"].items() if (command.work_dir / name).is_file()
        }

    _update(command.folder, change)


def _digests(work_dir: Path, known: Mapping[str, str], since: float) -> dict[str, str]:
    """SHA-256 of what was made: of each file that is not known yet, or was written meanwhile."""
    found = {}
    for pattern in ARTIFACTS:
        for path in sorted(work_dir.glob(pattern)):
            name = path.relative_to(work_dir)
            if (
                not path.is_file()
                or not _NO_ARTIFACTS.isdisjoint(name.parts)
                or any(part.startswith(".") for part in name.parts)
            ):
                continue
            if name.as_posix() not in known or path.stat().st_mtime >= since - 1:
                found[name.as_posix()] = sha256_file(path)
    return found


def _update(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK_NAME).open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the system gives it back however this process ends
        record = _read_or_empty(folder)
        change(record)
        write_json(folder / RECORD_NAME, record)


def _read_or_empty(folder: Path) -> dict[str, Any]:
    return read_record(folder) if (folder / RECORD_NAME).exists() else {}


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(dict(values), default=json_default))
    return plain


def _cpu_seconds() -> float:
    """Processor time of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _now() -> str:
    return _time(time.time())


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
