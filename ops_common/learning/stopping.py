"""SIGINT and SIGTERM while training or evaluating: remembered, so that the loop can finish what it is at."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ops_common.errors import Interrupted, Terminated

logger = logging.getLogger(__name__)


class StopRequest:
    """Whether a signal has asked us to stop, and which."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def as_error(self, step: int, saved_step: int | None) -> Interrupted:
        """Return the error to leave a training with, at a step."""
        saved = f"the checkpoint of step {saved_step} is written" if saved_step is not None else "nothing was saved"
        return self.error("training", f"at step {step}; {saved}")

    def error(self, what: str, state: str) -> Interrupted:
        """Return the error to leave with, whose exit code is the one that shells expect after this signal.

        Args:
            what: What was stopped, e.g. "training".
            state: Where it stood, and what is kept of it.
        """
        kind = Terminated if self.signal is signal.Signals.SIGTERM else Interrupted
        name = self.signal.name if self.signal is not None else "request"
        return kind(f"{what} stopped by {name} {state}", "start it again to go on from there")


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
