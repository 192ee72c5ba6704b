"""The steps of one session: computed ahead by many workers, delivered in the order of their numbers.

Without the order, steps that are quick to make would come first, and symbols in large files would be rarer than their
weight says (specification 5.7). No more than a window of steps is computed beyond what was read, so a session that
nobody reads costs nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from ops_common.errors import ServiceError

T = TypeVar("T")


class StepStream(Generic[T]):
    """Delivers the steps from a first one on. To be used in one event loop, by one task at a time.

    Args:
        submit: Begins to compute a step.
        first_step: The first to deliver.
        window: How many steps are computed ahead.
    """

    def __init__(self, submit: Callable[[int], Future[T]], first_step: int, window: int) -> None:
        self.next_step = first_step
        self._submit = submit
        self._window = window
        self._ahead: deque[Future[T]] = deque()
        self._closed = asyncio.Event()

    def seek(self, step: int) -> None:
        """Go on with another step; what was computed ahead and is not in the way stays."""
        while self._ahead and self.next_step < step:
            self._ahead.popleft().cancel()
            self.next_step += 1
        if step != self.next_step:
            self._cancel()
            self.next_step = step

    async def take(self) -> T:
        """Return the next step.

        Raises:
            ServiceError: The session was closed.
            OpsError: The step cannot be made; the next `take` will say the same.
        """
        self._fill()
        head = asyncio.wrap_future(self._ahead[0])
        closed = asyncio.ensure_future(self._closed.wait())
        try:
            await asyncio.wait((head, closed), return_when=asyncio.FIRST_COMPLETED)
            if self._closed.is_set():
                raise ServiceError("session was shut down")
            value = head.result()
        finally:
            closed.cancel()
        self._ahead.popleft()
        self.next_step += 1
        self._fill()
        return value

    def close(self) -> None:
        """End the computing ahead; a `take` that waits fails."""
        self._closed.set()
        self._cancel()

    def _fill(self) -> None:
        if not self._closed.is_set():
            while len(self._ahead) < self._window:
                self._ahead.append(self._submit(self.next_step + len(self._ahead)))

    def _cancel(self) -> None:
        while self._ahead:
            self._ahead.pop().cancel()
