"""Work for several processes: a bounded number of jobs under way, results in the order of the jobs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any, TypeVar

from ops_common.errors import OpsError

Job = TypeVar("Job")
Answer = TypeVar("Answer")

_JOBS_PER_WORKER = 4


def run_jobs(
    function: Callable[[Job], Answer],
    jobs: Iterable[Job],
    num_workers: int,
    initializer: Callable[..., None] | None = None,
    arguments: tuple[Any, ...] = (),
) -> Iterator[Answer]:
    """Yield the answer to every job, in the order of the jobs, whatever the number of workers.

    Jobs are taken from the iterable a few ahead only, so neither jobs nor answers pile up in memory. One worker is this
    process itself.

    Args:
        function: Does one job; a function of a module, since other processes have to find it.
        jobs: The jobs.
        num_workers: How many processes.
        initializer: Called once in every process first.
        arguments: Its arguments.

    Raises:
        OpsError: A worker process died, most likely because the memory was used up.
    """
    if num_workers <= 1:
        if initializer is not None:
            initializer(*arguments)
        yield from map(function, jobs)
        return
    pool = ProcessPoolExecutor(num_workers, get_context("spawn"), initializer=initializer, initargs=arguments)
    waiting: deque[Future[Answer]] = deque()
    try:
        for job in jobs:
            waiting.append(pool.submit(function, job))
            if len(waiting) >= num_workers * _JOBS_PER_WORKER:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise OpsError(
            "a worker process died without a word, most likely because the memory was used up",
            "start again with fewer workers; what was done is kept",
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
