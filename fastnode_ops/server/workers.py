"""A pool of worker processes that survives the death of any of them.

Each worker opens what it needs once and then does one job after the other. A thread per worker hands the jobs over;
when the process dies under a job (out of memory, killed), the thread starts another one and gives it the same job
again. As a job's answer depends on the job alone, nobody can tell afterwards. The standard library's pool gives up all
jobs of all workers instead, and does not say under which of them the process died.
"""

from __future__ import annotations

import itertools
import multiprocessing
import queue
import signal
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from ops_common.collecting import settle_collector
from ops_common.errors import OpsError, ServiceError

Handler = Callable[[Any], Any]
"""Does one job. Jobs, answers and errors are pickled."""

MAX_TRIES = 3
HANG_SECONDS = 900.0

# jobs that somebody waits for go before those that are done ahead
URGENT, AHEAD = 0, 1

_Task = tuple[int, int, Any, "Future[Any] | None"]


class WorkerPool:
    """Worker processes, and the queue of their jobs.

    Args:
        open_handler: Called once in each worker; gives what does the jobs. Must be importable by name (or a
            `functools.partial` of such a function).
        num_workers: How many processes.
        hang_seconds: A worker that has not answered after that long is killed, as if it had died by itself. Jobs are
            bounded in steps of work, so this is for a worker that the machine has stopped.
    """

    def __init__(
        self, open_handler: Callable[[], Handler], num_workers: int, *, hang_seconds: float = HANG_SECONDS
    ) -> None:
        self.num_workers = num_workers
        self.num_restarts = 0
        self._open_handler = open_handler
        self._hang_seconds = hang_seconds
        self._tasks: queue.PriorityQueue[_Task] = queue.PriorityQueue()
        self._numbers = itertools.count()
        self._closed = False
        self._lock = threading.Lock()
        self._processes: dict[int, BaseProcess] = {}
        self._threads = [
            threading.Thread(target=self._run, args=(worker,), name=f"worker-{worker}", daemon=True)
            for worker in range(num_workers)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Any, priority: int = AHEAD) -> Future[Any]:
        """Queue a job; the future gives its answer, or raises its error.

        The error is what the handler raised when that was an `OpsError`, else a ServiceError with the traceback; also
        when the worker died `MAX_TRIES` times under the job, and when the pool is closed.
        """
        future: Future[Any] = Future()
        with self._lock:
            if not self._closed:
                self._tasks.put((priority, next(self._numbers), job, future))
                return future
        future.set_exception(_closed())
        return future

    def process_ids(self) -> list[int]:
        """Return the process ids of the workers that run now."""
        with self._lock:
            return [process.pid for process in self._processes.values() if process.pid and process.is_alive()]

    def close(self) -> None:
        """End all workers; jobs that are not done fail."""
        with self._lock:
            self._closed = True
            for process in self._processes.values():
                process.kill()  # they only read, so there is nothing to finish
        for _ in self._threads:
            self._tasks.put((-1, next(self._numbers), None, None))
        for thread in self._threads:
            thread.join()
        while True:
            try:
                future = self._tasks.get_nowait()[3]
            except queue.Empty:
                return
            if future is not None and future.set_running_or_notify_cancel():
                future.set_exception(_closed())

    def _run(self, worker: int) -> None:
        connection: Connection | None = None
        while True:
            _, _, job, future = self._tasks.get()
            if future is None:
                break
            if not future.set_running_or_notify_cancel():
                continue
            for _ in range(MAX_TRIES):
                if connection is None:
                    connection = self._start(worker)
                answered = connection is not None and self._ask(connection, job, future)
                if answered or self._closed:
                    break
                self._bury(worker, connection)
                connection = None
            if not future.done():
                future.set_exception(_closed() if self._closed else _died())
        self._bury(worker, connection)

    def _start(self, worker: int) -> Connection | None:
        context = multiprocessing.get_context("spawn")  # a fork would copy the locks of our threads
        ours, theirs = context.Pipe()
        with self._lock:
            if self._closed:
                return None
            process = context.Process(target=_serve, args=(theirs, self._open_handler), daemon=True)
            with suppress(OSError):  # no memory for one more process: as if it had died at once
                process.start()
                self._processes[worker] = process
        theirs.close()  # so that the end of the process ends the connection
        return ours

    def _ask(self, connection: Connection, job: Any, future: Future[Any]) -> bool:
        """Have a job done; False when the process died under it."""
        try:
            connection.send(job)
            if not connection.poll(self._hang_seconds):
                return False
            is_answer, value = connection.recv()
        except (OSError, EOFError):
            return False
        if is_answer:
            future.set_result(value)
        else:
            future.set_exception(value)
        return True

    def _bury(self, worker: int, connection: Connection | None) -> None:
        with self._lock:
            process = self._processes.pop(worker, None)
            self.num_restarts += process is not None and not self._closed
        if process is not None:
            process.kill()
            process.join()
        if connection is not None:
            connection.close()


def _serve(connection: Connection, open_handler: Callable[[], Handler]) -> None:
    """The life of a worker process: until its server closes the connection or ends."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # both may go to the whole group; the server decides when we end
    try:
        handler = open_handler()
    except Exception as error:  # told to whoever gives the first job
        handler = _failing(_portable(error))
    settle_collector()
    with suppress(OSError, EOFError):
        while True:
            connection.send(_answer(handler, connection.recv()))


def _answer(handler: Handler, job: Any) -> tuple[bool, Any]:
    try:
        return True, handler(job)
    except Exception as error:
        return False, _portable(error)


def _portable(error: Exception) -> OpsError:
    if isinstance(error, OpsError):
        return error
    text = "".join(traceback.format_exception(error))
    return ServiceError(f"a worker failed: {type(error).__name__}: {error}\n{text}", "this is a bug; report it")


def _failing(error: OpsError) -> Handler:
    def fail(_: Any) -> Any:
        raise error

    return fail


def _closed() -> ServiceError:
    return ServiceError("the workers were shut down")


def _died() -> ServiceError:
    return ServiceError(
        f"the worker process died {MAX_TRIES} times under this job", "look for a lack of memory in the system's log"
    )
