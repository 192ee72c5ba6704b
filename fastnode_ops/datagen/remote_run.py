"""What runs on a host: starts the generation, tells how it goes, stops it, cleans up.

It is sent over ssh as the program of `python -I -` (`host_agent.py`), so it needs nothing but the standard library, and
works whatever was deployed there before. One call is one JSON object in, one out.

    <root>/.datagen-root           says that the folder is ours; nothing is deleted where it is not
    <root>/incoming/               archives and corpora on their way
    <root>/code/<digest>/          an unpacked and verified bundle
    <root>/corpora/<digest>/       a corpus
    <root>/environments/<digest>/  a virtual environment
    <root>/samples/<data set>/     sample files; `.datagen/` in it has run.json, run.log and the generator's own files

A run is known by the process id and start time of its first process in run.json, and by a number of its own in the
environment of every process that descends from it. So exactly the run is ended, and never a process that has its
number or its name by now.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

ROOT_MARK = ".datagen-root"
RUN_VARIABLE = "DATAGEN_RUN"
STATE_DIR = ".datagen"

_SYSTEM_DIRS = ("bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "proc", "run", "sbin", "sys", "usr")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_STOP_SECONDS = 20.0
_MAX_JSON_BYTES = 16 * 1024 * 1024
LOG_BYTES = 2_000


class HostError(Exception):
    """What cannot be done on this host, and what to do about it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


def check_root(text: str, home: str) -> PurePosixPath:
    """Return a folder that may be filled and emptied; raises HostError for any that might hold something else.

    Args:
        text: The folder.
        home: The user's home folder.
    """
    hint = "choose a folder of its own, two levels deep at least: REMOTE_DIR=/data/datagen"
    parts = text.split("/")
    if not text.startswith("/") or any(part in (".", "..") for part in parts) or not text.isprintable():
        raise HostError(f"the folder {text!r} is not an absolute path without `.` and `..`", hint)
    path = PurePosixPath("/" + text.strip("/"))
    home_path = PurePosixPath("/" + home.strip("/"))
    if len(path.parts) < 3 or path == home_path or path in home_path.parents:
        raise HostError(f"the folder {text!r} holds more than sample files", hint)
    if path.parts[1] in _SYSTEM_DIRS:
        raise HostError(f"the folder {text!r} is the system's", hint)
    return path


def check_name(name: str) -> str:
    """Return the name of a data set or a digest, which is one plain folder; raises HostError for any other."""
    if not _NAME.fullmatch(name):
        raise HostError(f"{name!r} is not a name", "use letters, digits, dots, dashes and underscores")
    return name


def start(
    *, root: str, dataset: str, identity: str, ranges: str, command: list[str], environment: dict[str, str]
) -> dict[str, Any]:
    """Stop the older run of a data set and start anew, in a session of its own that outlives the connection.

    Args:
        root: The folder.
        dataset: Name of the data set.
        identity: What its samples are made from; another one must have a folder of its own.
        ranges: What the host is to make, for whoever asks.
        command: Program and arguments; `{samples}` and `{state}` in them become the folders.
        environment: Variables to add.
    """
    with _locked(open_root(root)) as folder:
        samples = _samples(folder, dataset)
        state = samples / STATE_DIR
        state.mkdir(parents=True, exist_ok=True)
        _check_identity(state, identity)
        _end(state)
        argv = [word.replace("{samples}", str(samples)).replace("{state}", str(state)) for word in command]
        run = uuid.uuid4().hex
        # written before it starts: should we die in between, whoever stops it still knows the number
        record: dict[str, Any] = {"run": run, "ranges": ranges, "command": argv, "started_at": time.time()}
        _write_json(state / "run.json", record)
        with (state / "run.log").open("ab") as log:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=samples,
                env={**os.environ, **environment, RUN_VARIABLE: run},
                start_new_session=True,
            )
        record |= {"process_id": process.pid, "start_time": _start_time(process.pid), "boot": _boot()}
        _write_json(state / "run.json", record)
        return {"process_id": process.pid, "samples": str(samples)}


def status(*, root: str, dataset: str, identity: str = "") -> dict[str, Any]:
    """Tell how the generation of a data set goes."""
    samples = _samples(open_root(root), dataset)
    state = samples / STATE_DIR
    if identity and state.is_dir():
        _check_identity(state, identity)
    run = read_json(state / "run.json")
    files = list(samples.glob("*.samples"))
    return {
        "time": time.time(),
        "is_running": bool(_processes(run)),
        "ranges": run.get("ranges", ""),
        "generator": read_json(state / "status.json"),
        "made": read_json(state / "made.json"),
        "unfinished": [path.name for path in files if not path.with_suffix(".idx").exists()],
        "num_bytes": sum(map(_size, files)),
        "log": _log_end(state / "run.log"),
    }


def stop(*, root: str, dataset: str) -> dict[str, Any]:
    """End the run of a data set, if there is one, and nothing else."""
    with _locked(open_root(root)) as folder:
        return {"num_processes": _end(_samples(folder, dataset) / STATE_DIR)}


def clean(*, root: str, dataset: str) -> dict[str, Any]:
    """Stop the run of a data set and delete its samples; without a name, of all, and everything else of ours."""
    folder = open_root(root)
    with _locked(folder):
        chosen = [_samples(folder, dataset)] if dataset else sorted((folder / "samples").glob("*"))
        num_processes = sum(_end(samples / STATE_DIR) for samples in chosen)
        doomed = chosen if dataset else [folder / name for name in ("incoming", "code", "corpora", "environments")]
        for path in [*chosen, *doomed]:
            _delete(path)
    return {"num_processes": num_processes, "free_bytes": shutil.disk_usage(folder).free}


VERBS = {verb.__name__: verb for verb in (start, status, stop, clean)}


def answer(verb: Callable[..., dict[str, Any]], request: str) -> str:
    """Call a verb with the arguments in a JSON object; returns the result as one, or what was wrong."""
    try:
        return json.dumps({"result": verb(**json.loads(request))})
    except HostError as error:
        return json.dumps({"error": error.message, "hint": error.hint})
    except OSError as error:
        return json.dumps({"error": f"{error.filename}: {error.strerror}", "hint": "", "errno": error.errno})


def open_root(text: str, *, make: bool = False) -> Path:
    """Return our folder on this host; raises HostError when it is not ours.

    Args:
        text: The folder.
        make: Whether it may be made, or taken when it is empty.
    """
    home = os.path.expanduser("~")  # noqa: PTH111 (not resolved)
    folder = Path(check_root(text, home))
    check_root(str(folder.resolve()), str(Path(home).resolve()))
    if make and not folder.exists():
        folder.mkdir(parents=True)
        (folder / ROOT_MARK).touch()
    if make and not any(folder.iterdir()):
        (folder / ROOT_MARK).touch()
    if not (folder / ROOT_MARK).is_file():
        what = "holds something that is not ours" if folder.exists() else "does not exist: nothing is deployed there"
        raise HostError(f"the folder {text} {what}", "check REMOTE_DIR; it has to be new, empty, or of a deployment")
    return folder


def _samples(folder: Path, dataset: str) -> Path:
    return folder / "samples" / check_name(dataset)


def _check_identity(state: Path, identity: str) -> None:
    """A data set has one metainfo and one request; a folder that was begun with others is not mixed with them."""
    path = state / "identity"
    if not path.exists():
        path.write_text(identity)
    elif path.read_text() != identity:
        raise HostError(
            f"{state.parent} holds samples of another metainfo, corpus or settings",
            "make clean_remote first, or give the new samples a name of their own: DATASET_NAME",
        )


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[Path]:
    with (folder / ROOT_MARK).open("a") as mark:
        try:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HostError(f"{folder} is being changed by another command", "wait for it, then try again") from None
        yield folder


def _end(state: Path) -> int:
    """End a run; returns how many processes it had."""
    run = read_json(state / "run.json")
    processes = first = _processes(run)
    deadline, told = time.monotonic() + _STOP_SECONDS, set[int]()
    while processes:
        is_late, leader = time.monotonic() > deadline, run.get("process_id")
        # the first process ends its servers itself, when it is asked once; without it they are asked too
        for process_id in [leader] if leader in processes and not is_late else processes:
            with contextlib.suppress(ProcessLookupError):
                if is_late or process_id not in told:
                    os.kill(process_id, signal.SIGKILL if is_late else signal.SIGTERM)
            told.add(process_id)
        time.sleep(0.1)
        processes = _processes(run)
    return len(first)


def _processes(run: dict[str, Any]) -> list[int]:
    """The living processes of a run."""
    if not run.get("run"):
        return []
    mark = f"{RUN_VARIABLE}={run['run']}".encode()
    found = []
    for entry in os.listdir("/proc"):  # noqa: PTH208 (paths of each process would be ten times slower)
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError), open(f"/proc/{entry}/environ", "rb") as file:  # noqa: PTH123
            if mark in file.read().split(b"\0"):
                found.append(int(entry))
    leader = run.get("process_id")
    if isinstance(leader, int) and run.get("boot") == _boot() and run.get("start_time") == _start_time(leader):
        found.append(leader)
    return sorted(set(found))


def _start_time(process_id: int) -> int:
    """When a process started, in the system's ticks since it was booted; 0 when there is none, or only its remains."""
    try:
        fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in "ZX" else int(fields[19])


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def read_json(path: Path) -> dict[str, Any]:
    """An object of one of our small files; empty when there is none or it cannot be read."""
    try:
        with path.open("rb") as file:
            value = json.loads(file.read(_MAX_JSON_BYTES))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _write_json(path: Path, value: dict[str, Any]) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(value))
    part.replace(path)


def _size(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):  # fetched and deleted since
        return path.stat().st_size
    return 0


def _log_end(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LOG_BYTES))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def _delete(path: Path) -> None:
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)
