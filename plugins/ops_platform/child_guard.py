"""Run one command so that it cannot outlive the task that asked for it. Started by `op_task`, standard library only.

    python -I child_guard.py --lock FILE --grace SECONDS -- COMMAND...

Airflow gives a task that must end five seconds, then kills it; a trainer may need longer to write its checkpoint, and
nobody would be left to end it. So this small process stands between the two:

* It holds the lock file from before the command starts until its last process is gone. A retry waits there, and two
  attempts of one task never write the same files.
* It passes the command's output on. When the reader is gone the output is dropped, so that a dying task does not
  break the command in the middle of its checkpoint.
* When its standard input closes (the task ended, however) or on SIGTERM, it sends SIGTERM to the command's process
  group, waits for the grace time, then sends SIGKILL.
* When the command ends, whatever is left of its process group is ended too.

Exit status: that of the command, 128 + the signal number when a signal ended it.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

_STDIN, _STDOUT = 0, 1
_PR_SET_PDEATHSIG = 1
_STOPPED_WHILE_WAITING = 130
_LEFTOVER_GRACE_SECONDS = 2.0


class Guard:
    """One guarded command."""

    def __init__(self, command: list[str], grace_seconds: float) -> None:
        self._command = command
        self._grace_seconds = grace_seconds
        self._stop_at: float | None = None
        self._child: subprocess.Popen[bytes] | None = None

    def run(self, lock_path: str) -> int:
        """Take the lock, run the command, and clean up behind it.

        Args:
            lock_path: File that is locked while any process of the command is alive.

        Returns:
            The exit status to end with.
        """
        for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(name, self._on_stop)
        lock = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        if not self._take(lock, lock_path):
            return _STOPPED_WHILE_WAITING
        self._child = self._start(lock)
        if self._stop_at is not None:
            self._signal_group(signal.SIGTERM)  # asked to stop before there was anything to stop
        self._pump(self._child)
        return self._reap(self._child)

    def _on_stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._stop_at = self._stop_at or time.monotonic()
        if self._child is not None:
            self._signal_group(signal.SIGTERM)

    def _take(self, lock: int, lock_path: str) -> bool:
        announced = False
        while self._stop_at is None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                if not announced:
                    _say(f"waiting until the attempt before this one has ended (it holds {lock_path})")
                    announced = True
            if select.select([_STDIN], [], [], 0.2)[0] and not os.read(_STDIN, 1024):
                break
        return False

    def _start(self, lock: int) -> subprocess.Popen[bytes]:
        libc = ctypes.CDLL(None)  # loaded before the fork: the child may not import
        return subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(lock,),
            preexec_fn=lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM),
        )

    def _pump(self, child: subprocess.Popen[bytes]) -> None:
        """Pass output on until the command has closed it, or has ended; on the way, watch for the reader's end."""
        assert child.stdout is not None  # it was started with a pipe
        output = child.stdout.fileno()
        watched = {_STDIN, output}
        while output in watched:
            ready = select.select(list(watched), [], [], 0.2)[0]
            if output in ready:
                data = os.read(output, 65536)
                watched = watched if data else watched - {output}
                _pass_on(data)
            if _STDIN in ready and not os.read(_STDIN, 1024):
                watched -= {_STDIN}
                self._on_stop(signal.SIGTERM, None)
            self._enforce_grace()
            if not ready and _has_ended(child):
                return  # a process it left behind still holds the pipe

    def _enforce_grace(self) -> None:
        if self._stop_at is not None and time.monotonic() - self._stop_at > self._grace_seconds:
            _say(f"still running {self._grace_seconds:g} s after SIGTERM: killed")
            self._stop_at = float("inf")
            self._signal_group(signal.SIGKILL)

    def _reap(self, child: subprocess.Popen[bytes]) -> int:
        while not _has_ended(child):
            self._enforce_grace()
            time.sleep(0.05)
        # The ended leader is still unreaped here, so its group id cannot belong to anybody else.
        self._end_leftovers(child.pid)
        status = child.wait()
        return 128 - status if status < 0 else status

    def _end_leftovers(self, group: int) -> None:
        for name, patience in ((signal.SIGTERM, _LEFTOVER_GRACE_SECONDS), (signal.SIGKILL, _LEFTOVER_GRACE_SECONDS)):
            end = time.monotonic() + patience
            if _num_alive(group) == 0:
                return
            self._signal_group(name)
            while _num_alive(group) and time.monotonic() < end:
                time.sleep(0.02)

    def _signal_group(self, name: signal.Signals) -> None:
        assert self._child is not None  # only called once it runs
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, name)


def _has_ended(child: subprocess.Popen[bytes]) -> bool:
    """Whether the command has ended, without reaping it."""
    return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _num_alive(group: int) -> int:
    """How many processes of a group are running (not zombies)."""
    alive = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The command's name stands in brackets and may hold anything; the numbers come after the last bracket.
            state, _parent, process_group = path.read_text(errors="replace").rpartition(")")[2].split()[:3]
        except OSError:
            continue
        alive += int(process_group) == group and state not in "ZX"
    return alive


def _pass_on(data: bytes) -> None:
    try:
        while data:
            data = data[os.write(_STDOUT, data) :]
    except BrokenPipeError:
        pass


def _say(text: str) -> None:
    _pass_on(f"[guard] {text}\n".encode())


def main() -> int:
    """Read the command line and guard the command."""
    parser = argparse.ArgumentParser(prog="child_guard", description="Run a command that ends with its caller.")
    parser.add_argument("--lock", required=True, help="file to hold locked while the command runs")
    parser.add_argument("--grace", type=float, required=True, help="seconds between SIGTERM and SIGKILL")
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    return Guard(arguments.command, arguments.grace).run(arguments.lock)


if __name__ == "__main__":
    sys.exit(main())
