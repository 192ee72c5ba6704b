"""Processes of one platform: started with its mark, found again by it, and ended without touching anybody else's.

Every process carries the platform's instance id in its environment, and so does everything it starts, also what moved
into another session or lost its parent. So "what did we start" has an exact answer after a crash, after an interrupted
start, and when a process id has been used again.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from ops_common.errors import ServiceError
from ops_common.processes import last_lines, start_process

MARK = "OPS_PLATFORM_INSTANCE"
HOME_MARK = "OPS_PLATFORM_HOME"


@dataclass(frozen=True, slots=True)
class Service:
    """A process that was started: a process id alone would not identify it for long."""

    name: str
    pid: int
    started_at: float
    """When the process began, in seconds since 1970, as the system says it."""

    def is_running(self) -> bool:
        """Whether this very process still runs."""
        try:
            process = psutil.Process(self.pid)
            return bool(process.create_time() == self.started_at and process.status() != psutil.STATUS_ZOMBIE)
        except psutil.Error:
            return False


def start(
    name: str, command: Sequence[str], environment: Mapping[str, str], instance: str, log_path: Path, cwd: Path
) -> Service:
    """Start a service in a session of its own; it outlives this process.

    Args:
        name: What to call it.
        command: Program and arguments.
        environment: Its complete environment; the mark is added.
        instance: Id of the platform's instance.
        log_path: File that its output is appended to.
        cwd: Its working folder.

    Returns:
        The service.

    Raises:
        ConfigError: The program cannot be started.
        ServiceError: It ended at once.
    """
    process = start_process(command, log_path, env={**environment, MARK: instance}, cwd=cwd)
    try:
        return Service(name, process.pid, psutil.Process(process.pid).create_time())
    except psutil.Error:
        raise ServiceError(f"{name} ended at once", f"its output: {log_path}\n{last_lines(log_path)}") from None


def find_marked(value: str, mark: str = MARK) -> list[psutil.Process]:
    """All running processes that carry a mark, this process and its ancestors left out.

    Args:
        value: The instance's id, or the folder of the platform.
        mark: The variable that holds it: `MARK`, or `HOME_MARK`.
    """
    found = []
    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    for process in psutil.process_iter():
        try:
            # a zombie has no environment any more
            if process.pid not in spared and process.environ().get(mark) == value:
                found.append(process)
        except (psutil.Error, OSError):
            continue  # gone meanwhile, or another user's
    return found


def signal_service(service: Service, number: signal.Signals) -> None:
    """Send a signal to a service if it is still the process that was started."""
    try:
        if service.is_running():
            psutil.Process(service.pid).send_signal(number)
    except psutil.Error:
        return


def wait_until_gone(services: Iterable[Service], seconds: float) -> list[Service]:
    """Wait until services have ended.

    Returns:
        Those that still run after the given time.
    """
    end = time.monotonic() + seconds
    left = [service for service in services if service.is_running()]
    while left and time.monotonic() < end:
        time.sleep(0.1)
        left = [service for service in left if service.is_running()]
    return left


def end_processes(find: Callable[[], list[psutil.Process]], grace_seconds: float) -> int:
    """End processes: SIGTERM, and SIGKILL for what is left after the grace time.

    Args:
        find: Finds the processes; asked again after each signal, for what was started meanwhile.
        grace_seconds: How long SIGTERM may take.

    Returns:
        How many processes there were.

    Raises:
        ServiceError: Some are still there after SIGKILL; names them.
    """
    processes = find()
    num_found = len(processes)
    for number, seconds in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, 5.0), (signal.SIGKILL, 5.0)):
        for process in processes:
            with suppress(psutil.Error):
                process.send_signal(number)  # checks that the id still means the same process
        psutil.wait_procs(processes, timeout=seconds)
        processes = find()
        if not processes:
            return num_found
    raise ServiceError(
        f"still running after SIGKILL: processes {', '.join(str(p.pid) for p in processes)}",
        "they hang in the system (a disk, a network file system): look with ps, then `make stop` again",
    )
