"""Batches made ahead of a training in one background thread, and what the trainer does while one is long in coming."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

from ops_common.learning.stopping import StopRequest

NUM_BATCHES_AHEAD = 3
IDLE_SECONDS = 5.0
_SECONDS_PER_LOOK = 0.1

Batch = TypeVar("Batch")


@contextmanager
def batches_ahead(
    make_batch: Callable[[int], Batch], steps: Iterable[int], stop: StopRequest, end_making: Callable[[], None] | None
) -> Iterator[Iterator[Batch | None]]:
    """Make the batches of this and the next steps, so that the trainer finds them ready.

    Args:
        make_batch: Makes the batch of a step; called in one background thread, in the order of the steps.
        steps: The steps; no other batch is asked for.
        stop: Whether a signal came.
        end_making: Says that no more batches are needed, so that one that is being made need not be finished. Given,
            a batch may take long: every `IDLE_SECONDS` of waiting give a None, and a signal ends the batches. None:
            each batch is waited for.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches") as executor:

        def batches() -> Iterator[Batch | None]:
            for future in _submitted(executor, make_batch, steps):
                while end_making is not None and not _is_done(future, stop):
                    if stop.signal is not None:
                        return
                    yield None
                yield future.result()

        try:
            yield batches()
        finally:
            if end_making is not None:
                end_making()
            executor.shutdown(wait=True, cancel_futures=True)


def _submitted(
    executor: ThreadPoolExecutor, make_batch: Callable[[int], Batch], steps: Iterable[int]
) -> Iterator[Future[Batch]]:
    ahead: deque[Future[Batch]] = deque()
    for step in steps:
        ahead.append(executor.submit(make_batch, step))
        if len(ahead) > NUM_BATCHES_AHEAD:
            yield ahead.popleft()
    yield from ahead


def _is_done(future: Future[Batch], stop: StopRequest) -> bool:
    """Wait for a batch until it is made, it has taken long, or a signal comes; tell whether it is made."""
    for _ in range(round(IDLE_SECONDS / _SECONDS_PER_LOOK)):
        if future.done() or stop.signal is not None:
            break
        wait([future], timeout=_SECONDS_PER_LOOK)
    return future.done()
