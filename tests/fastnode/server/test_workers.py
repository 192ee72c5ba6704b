"""The pool of worker processes, with real processes that really die."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import psutil
import pytest

from fastnode_ops.server.workers import URGENT, WorkerPool
from ops_common.errors import DataError, ServiceError
from tests.fastnode.server.toy_jobs import open_nothing, open_toy

TIMEOUT = 60


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    one = WorkerPool(open_toy, 1)
    yield one
    one.close()


def test_answers_come_from_processes_that_stay() -> None:
    pool = WorkerPool(open_toy, 2)
    futures = [pool.submit(("square", number)) for number in range(20)]
    assert [future.result(TIMEOUT) for future in futures] == [number * number for number in range(20)]
    processes = [psutil.Process(process_id) for process_id in pool.process_ids()]
    assert len(processes) == 2 and os.getpid() not in pool.process_ids()
    assert pool.num_restarts == 0
    pool.close()
    assert not any(process.is_running() for process in processes)


def test_a_job_whose_worker_dies_is_done_by_the_next(pool: WorkerPool, tmp_path: Path) -> None:
    first, _ = pool.submit(("process",)).result(TIMEOUT)
    assert pool.submit(("die until", str(tmp_path / "tries"), 3)).result(TIMEOUT) == 3
    second, num_jobs = pool.submit(("process",)).result(TIMEOUT)
    assert (first != second, num_jobs, pool.num_restarts) == (True, 2, 2)


def test_a_worker_that_is_killed_at_work_is_replaced(pool: WorkerPool, tmp_path: Path) -> None:
    for name in ("gate.in", "gate.out"):
        os.mkfifo(tmp_path / name)
    future = pool.submit(("wait for", str(tmp_path / "gate")))
    os.kill(int((tmp_path / "gate.out").read_text()), signal.SIGKILL)
    again = int((tmp_path / "gate.out").read_text())  # blocks until the next worker has begun
    assert pool.process_ids() == [again]
    (tmp_path / "gate.in").write_text("go on")
    assert future.result(TIMEOUT) == "go on"


def test_a_job_that_kills_every_worker_is_given_up(pool: WorkerPool, tmp_path: Path) -> None:
    future = pool.submit(("die until", str(tmp_path / "tries"), 99))
    with pytest.raises(ServiceError, match="the worker process died 3 times under this job"):
        future.result(TIMEOUT)
    assert (tmp_path / "tries").read_text() == "xxx"
    assert pool.submit(("square", 3)).result(TIMEOUT) == 9


def test_a_worker_that_does_not_answer_is_killed(tmp_path: Path) -> None:
    for name in ("gate.in", "gate.out"):
        os.mkfifo(tmp_path / name)
    pool = WorkerPool(open_toy, 1, hang_seconds=0.2)
    future = pool.submit(("wait for", str(tmp_path / "gate")))
    with pytest.raises(ServiceError, match="died 3 times"):
        future.result(TIMEOUT)
    pool.close()


def test_errors_arrive_as_they_were_raised(pool: WorkerPool) -> None:
    with pytest.raises(DataError) as caught:
        pool.submit(("refuse", "no such symbol")).result(TIMEOUT)
    assert (caught.value.message, caught.value.hint) == ("no such symbol", "try again")
    with pytest.raises(ServiceError, match="ZeroDivisionError") as bug:
        pool.submit(("bug",)).result(TIMEOUT)
    assert "toy_jobs.py" in bug.value.message


def test_a_worker_that_cannot_start_says_why() -> None:
    pool = WorkerPool(open_nothing, 1)
    with pytest.raises(DataError, match="there is no corpus here"):
        pool.submit(("square", 1)).result(TIMEOUT)
    pool.close()


def test_urgent_jobs_go_first_and_cancelled_ones_are_not_done(pool: WorkerPool, tmp_path: Path) -> None:
    for name in ("gate.in", "gate.out"):
        os.mkfifo(tmp_path / name)
    blocking = pool.submit(("wait for", str(tmp_path / "gate")))
    (tmp_path / "gate.out").read_text()
    later, cancelled = pool.submit(("process",)), pool.submit(("process",))
    urgent = pool.submit(("process",), URGENT)
    assert cancelled.cancel()
    (tmp_path / "gate.in").write_text("go")
    numbers = [future.result(TIMEOUT)[1] for future in (urgent, later)]
    assert numbers == [2, 3]
    assert blocking.result(TIMEOUT) == "go"
    with pytest.raises(CancelledError):
        cancelled.result(TIMEOUT)
    assert pool.submit(("process",)).result(TIMEOUT)[1] == 4


def test_closing_fails_what_is_not_done(tmp_path: Path) -> None:
    for name in ("gate.in", "gate.out"):
        os.mkfifo(tmp_path / name)
    pool = WorkerPool(open_toy, 1)
    running, waiting = pool.submit(("wait for", str(tmp_path / "gate"))), pool.submit(("square", 1))
    process = psutil.Process(int((tmp_path / "gate.out").read_text()))
    pool.close()
    assert not process.is_running()
    for future in (running, waiting, pool.submit(("square", 1))):
        with pytest.raises(ServiceError, match="the workers were shut down"):
            future.result(TIMEOUT)
