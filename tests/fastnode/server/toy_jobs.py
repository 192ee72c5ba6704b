"""Jobs for real worker processes."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ops_common.errors import DataError


def open_toy() -> Callable[[Any], Any]:
    num_jobs = 0

    def do(job: Any) -> Any:
        nonlocal num_jobs
        num_jobs += 1
        match job:
            case ("square", number):
                return number * number
            case ("process",):
                return os.getpid(), num_jobs
            case ("refuse", text):
                raise DataError(text, "try again")
            case ("bug",):
                return 1 // 0
            case ("die until", path, tries):
                return _die_until(Path(path), tries)
            case ("wait for", path):
                return _wait_for(Path(path))
        raise AssertionError(job)

    return do


def open_nothing() -> Callable[[Any], Any]:
    raise DataError("there is no corpus here", "make corpus")


def _die_until(path: Path, tries: int) -> int:
    with path.open("a") as file:
        file.write("x")
    if len(path.read_text()) < tries:
        os.kill(os.getpid(), signal.SIGKILL)
    return len(path.read_text())


def _wait_for(path: Path) -> str:
    """Say who we are through the first named pipe, then wait until somebody writes into the second."""
    with path.with_suffix(".out").open("w") as out:
        out.write(str(os.getpid()))
    return path.with_suffix(".in").read_text()
