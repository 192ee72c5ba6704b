"""A function over many items in several processes: results in the order of the items, memory bounded.

Not more items are under way than keep the processes busy, so a slow consumer stops the producer. Workers end when
their parent does, however it ended: a killed import leaves no processes behind.
"""

from __future__ import annotations

import gc
import itertools
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

from ops_common.errors import ConfigError, ServiceError

Item = TypeVar("Item")
Result = TypeVar("Result")

# Starting processes takes longer than doing this many items right here.
_NUM_INLINE_ITEMS = 8

_PENDING_PER_WORKER = 3

# New objects, and collections of the younger generations, between two collections; by default 700, 10, 10.
_COLLECTION_THRESHOLDS = (50_000, 20, 20)


def ordered_map(
    make_function: Callable[[], Callable[[Item], Result]], items: Iterable[Item], num_workers: int
) -> Generator[Result, None, None]:
    """Applies a function to items in worker processes. Close the iterator (`contextlib.closing`) to end them early.

    Args:
        make_function: Makes the function, once in every process; it and the items must be picklable.
        items: What to apply the function to; read ahead by a few items only.
        num_workers: How many processes; 1 stays in this process, as do a few items.

    Yields:
        The results in the order of the items, the same for any number of workers.

    Raises:
        ConfigError: `num_workers` is not positive.
        ServiceError: A worker process was killed.
    """
    if num_workers < 1:
        raise ConfigError(f"num_workers = {num_workers}: at least one is needed", "use the number of free cores")
    iterator = iter(items)
    with _rare_collections():
        first = list(itertools.islice(iterator, _NUM_INLINE_ITEMS + 1))
        if num_workers == 1 or len(first) <= _NUM_INLINE_ITEMS:
            yield from map(make_function(), itertools.chain(first, iterator))
            return
        try:
            yield from _map_in_processes(make_function, itertools.chain(first, iterator), num_workers)
        except BrokenProcessPool as error:
            raise ServiceError(
                "a worker process was killed, or died of lack of memory", "use fewer workers, then run the step again"
            ) from error


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Lets Python look for cycles of objects less often, for a while.

    The functions keep tens of thousands of small immutable objects in caches, and results come by the thousand;
    looking through all of them as often as Python does by default costs a quarter of the time.
    """
    before = gc.get_threshold()
    gc.set_threshold(*_COLLECTION_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _map_in_processes(
    make_function: Callable[[], Callable[[Item], Result]], items: Iterator[Item], num_workers: int
) -> Iterator[Result]:
    # Spawned, not forked: forking a process with threads (a progress bar, TensorFlow) may hang the child, and forked
    # siblings would hold the pipes by which each of them learns of the parent's end.
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(num_workers, context, _start_worker, (make_function,))
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            pending.append(executor.submit(_call, item))
            if len(pending) >= num_workers * _PENDING_PER_WORKER:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        executor.shutdown(cancel_futures=True)


# The function of this worker process, made by `_start_worker`.
_function: Callable[[Any], Any]


def _start_worker(make_function: Callable[[], Callable[[Any], Any]]) -> None:
    global _function
    # Ctrl-C reaches the whole process group; the parent decides what happens then.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    gc.set_threshold(*_COLLECTION_THRESHOLDS)
    _function = make_function()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def _call(item: Any) -> Any:
    return _function(item)
