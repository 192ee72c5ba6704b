"""SIGINT and SIGTERM while training: remembered, so that the loop can finish its step and write a checkpoint."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ops_common.errors import Interrupted

logger = logging.getLogger(__name__)


class Terminated(Interrupted):
    """SIGTERM asked us to stop; what had been done was saved first."""

    exit_code = 128 + signal.SIGTERM


class StopRequest:
    """Whether a signal has asked us to stop, and which."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def as_error(self, step: int, saved_step: int | None) -> Interrupted:
        """Return the error to leave with, whose exit code is the one that shells expect after this signal."""
        kind = Terminated if self.signal is signal.Signals.SIGTERM else Interrupted
        name = self.signal.name if self.signal is not None else "request"
        saved = f"the checkpoint of step {saved_step} is written" if saved_step is not None else "nothing was saved"
        return kind(f"training stopped by {name} at step {step}; {saved}", "start it again to go on from there")


@contextmanager
def stop_signals() -> Iterator[StopRequest]:
    """Remember SIGINT and SIGTERM instead of dying of them; only the main thread can, elsewhere nothing changes.

    A second signal is no more than the first: who stops a process group often signals twice, and the checkpoint must
    still be written.
    """
    request = StopRequest()

    def remember(number: int, frame: FrameType | None) -> None:
        del frame
        request.signal = request.signal or signal.Signals(number)

    previous = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            previous[number] = signal.signal(number, remember)
    except ValueError:
        logger.info("not in the main thread: signals are left to it")
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
