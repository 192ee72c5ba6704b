"""Lives of sessions (specification 5.3), with a clock that the test moves."""

import asyncio
import json
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from fastnode_ops.server.sessions import Sessions
from fastnode_ops.server.workers import WorkerPool
from fastnode_ops.web.refusals import RefusedError
from ops_common.errors import ServiceError
from tests.fastnode.server.servers import session_values
from tests.fastnode.server.toy_server import open_toy


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    one = WorkerPool(open_toy, 1)
    yield one
    one.close()


def body(**more: Any) -> bytes:
    return json.dumps(session_values(**more)).encode()


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 60))


def test_ids_are_times_and_never_used_twice(pool: WorkerPool) -> None:
    async def work() -> None:
        sessions = Sessions(pool, wall_clock=lambda: 1_700_000_000.5)
        ids = [(await sessions.create(body())).id for _ in range(3)]
        assert ids == [1_700_000_000_500, 1_700_000_000_501, 1_700_000_000_502]
        sessions.kill(ids[2])
        assert (await sessions.create(body())).id == 1_700_000_000_503
        sessions.close()

    run(work())


def test_a_session_that_nobody_uses_ends_after_five_minutes(pool: WorkerPool) -> None:
    async def work() -> None:
        clock = Clock()
        sessions = Sessions(pool, clock=clock)
        left, pinged = [(await sessions.create(body())).id for _ in range(2)]
        clock.seconds += 299
        sessions.get(pinged)
        sessions.expire()
        assert len(sessions) == 2
        clock.seconds += 1
        sessions.expire()
        assert list(sessions.info()) == [str(pinged)]
        with pytest.raises(RefusedError, match=f"there is no session {left}"):
            sessions.get(left)
        clock.seconds += 299
        sessions.expire()
        assert len(sessions) == 0
        sessions.close()

    run(work())


def test_a_session_that_serves_does_not_end(pool: WorkerPool) -> None:
    async def work() -> None:
        clock = Clock()
        sessions = Sessions(pool, clock=clock)
        session = await sessions.create(body())
        waiting = asyncio.ensure_future(sessions.next_steps(session))
        await asyncio.sleep(0)
        clock.seconds += 1_000
        sessions.expire()
        assert len(sessions) == 1
        first, steps = await waiting
        assert (first, len(steps)) == (0, 3)
        sessions.expire()
        assert len(sessions) == 1  # it was used just now
        clock.seconds += 300
        sessions.expire()
        assert len(sessions) == 0
        sessions.close()

    run(work())


def test_one_more_session_ends_the_one_that_was_used_longest_ago(pool: WorkerPool) -> None:
    async def work() -> None:
        clock = Clock()
        sessions = Sessions(pool, clock=clock, max_sessions=3)
        ids = []
        for _ in range(3):
            clock.seconds += 1
            ids.append((await sessions.create(body())).id)
        clock.seconds += 1
        sessions.get(ids[0])
        ids.append((await sessions.create(body())).id)
        assert list(sessions.info()) == [str(ids[0]), str(ids[2]), str(ids[3])]
        sessions.close()

    run(work())


def test_requests_for_one_session_wait_for_each_other(pool: WorkerPool) -> None:
    async def work() -> None:
        sessions = Sessions(pool)
        session = await sessions.create(body())
        answers = await asyncio.gather(*(sessions.next_steps(session) for _ in range(4)))
        assert sorted(first for first, _ in answers) == [0, 3, 6, 9]
        sessions.close()

    run(work())


def test_a_request_of_a_session_that_is_killed_fails(pool: WorkerPool) -> None:
    async def work() -> None:
        sessions = Sessions(pool)
        session = await sessions.create(body(num_batches=1_000))
        waiting = asyncio.ensure_future(sessions.next_steps(session))
        await asyncio.sleep(0)
        sessions.kill(session.id)
        with pytest.raises(ServiceError, match="session was shut down"):
            await waiting
        sessions.close()

    run(work())


def test_a_request_that_is_refused_leaves_nothing(pool: WorkerPool) -> None:
    async def work() -> None:
        sessions = Sessions(pool)
        for wrong in (b"", b"{}", body(num_batches=0)):
            with pytest.raises(RefusedError) as caught:
                await sessions.create(wrong)
            assert caught.value.status == 400
        assert len(sessions) == 0
        session = await sessions.create(body())
        assert [path.name for path in session.request.parent.iterdir()] == [f"{session.id}.json"]
        sessions.close()
        assert not session.request.parent.exists()

    run(work())
