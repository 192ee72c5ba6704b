"""Child processes that are servers: start in a session of their own, wait until they answer, end all of them.

And a lock, for what only one process may do at a time.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from ops_common.errors import ConfigError, ServiceError

_NUM_LOG_LINES = 8


def start_process(
    argv: Sequence[str], log_path: Path, *, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.Popen[bytes]:
    """Starts a command in a session of its own, its output appended to a log file, its input empty.

    The session makes `stop_process_group` possible, and keeps Ctrl-C in our terminal from reaching the child.

    Args:
        argv: Program and arguments; no shell is involved.
        log_path: Where standard output and standard error go; missing folders are made.
        env: The whole environment of the child; ours when None.
        cwd: Where the child works; where we do when None.

    Raises:
        ConfigError: The program does not exist or may not be run.
    """
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with log_path.open("ab") as log:
        try:
            return subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=None if env is None else dict(env),
                cwd=cwd,
                start_new_session=True,
            )
        except OSError as error:
            raise ConfigError(
                f"{argv[0]} cannot be started: {error.strerror}", "check that the environment is complete"
            ) from error


def stop_process_group(process: subprocess.Popen[bytes] | int, grace_seconds: float = 10.0) -> bool:
    """Ends a child that was started in its own session, with everything in that session.

    SIGTERM goes to its process group; what is still there after the grace time gets SIGKILL, also processes of the
    session that moved to a group of their own. Returns when nothing is left.

    Args:
        process: The child, or the process id it had.
        grace_seconds: How long SIGTERM may take.

    Returns:
        Whether SIGTERM was enough.
    """
    session = process if isinstance(process, int) else process.pid
    if session <= 1:
        raise ValueError(f"{session} is not the id of a session of ours")
    with suppress(ProcessLookupError):
        os.killpg(session, signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    while members := _session_members(session, process):
        if time.monotonic() >= deadline:
            break
        time.sleep(0.02)
    killed = False
    while members:
        for member in members:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        killed = True
        time.sleep(0.02)
        members = _session_members(session, process)
    if isinstance(process, subprocess.Popen):
        process.wait(timeout=grace_seconds + 10)  # it has ended, but may have done so since it was last asked
    return not killed


def wait_until(
    check: Callable[[], bool],
    timeout_seconds: float,
    what: str,
    *,
    process: subprocess.Popen[bytes] | None = None,
    log_path: Path | None = None,
    interval_seconds: float = 0.05,
) -> None:
    """Waits until a check says yes.

    Args:
        check: Asks the service. False and connection errors (OSError) mean: not yet.
        timeout_seconds: How long to wait.
        what: What is waited for, for the error: "the S3 server at http://...".
        process: The server; when it ends there is nothing to wait for any more.
        log_path: Its log; the last lines become part of the error.
        interval_seconds: Time between two questions.

    Raises:
        ServiceError: The time is up, or the process ended.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        with suppress(OSError):
            if check():
                return
        if process is not None and process.poll() is not None:
            raise ServiceError(
                f"{what} ended with status {process.returncode} before it was ready", _log_hint(log_path)
            )
        if time.monotonic() >= deadline:
            raise ServiceError(f"{what} was not ready after {timeout_seconds:g} s", _log_hint(log_path))
        time.sleep(interval_seconds)


@contextmanager
def exclusive_lock(path: Path, busy: str) -> Iterator[None]:
    """Keeps other processes out while the body runs.

    The lock belongs to the process: the system releases it however the process ends.

    Args:
        path: The lock file, in a folder that exists; it stays there.
        busy: What is the case when another process holds the lock, for the error.

    Raises:
        ConfigError: Another process holds it; the message names its process id.
    """
    with path.open("ab+", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read(20).decode("ascii", "replace").strip() or "unknown"
            raise ConfigError(f"{busy} (process {holder})", "wait for it, or end it first") from None
        file.truncate(0)
        with suppress(OSError):  # the lock holds on a full disk, too
            file.write(str(os.getpid()).encode())
        yield


def last_lines(path: Path, num_lines: int = _NUM_LOG_LINES) -> str:
    """Returns the last lines of a log file; empty when there is none."""
    with suppress(OSError), path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 64 * 1024))
        return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-num_lines:])
    return ""


def _log_hint(log_path: Path | None) -> str:
    if log_path is None:
        return "look into its log"
    return f"see {log_path}, which ends with:\n{last_lines(log_path) or '(it is empty)'}"


def _session_members(session: int, leader: subprocess.Popen[bytes] | int) -> list[psutil.Process]:
    if isinstance(leader, subprocess.Popen):
        leader.poll()  # reaps it; otherwise it would stay a zombie as long as we live
    members = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError, PermissionError):
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                members.append(process)
    return members
