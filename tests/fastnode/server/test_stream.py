"""Steps in order, a window ahead."""

import asyncio
from concurrent.futures import Future

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastnode_ops.server.stream import StepStream
from ops_common.errors import DataError, ServiceError


class Computer:
    """Remembers what was asked; answers when told."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.futures: dict[int, Future[str]] = {}

    def submit(self, step: int) -> Future[str]:
        self.asked.append(step)
        self.futures[step] = Future()
        return self.futures[step]

    def answer(self, *steps: int) -> None:
        for step in steps:
            self.futures[step].set_result(f"step {step}")


@given(st.permutations(range(6)))
def test_steps_come_in_order_whatever_is_ready_first(order: list[int]) -> None:
    async def read() -> list[str]:
        computer = Computer()
        stream = StepStream(computer.submit, 0, 6)
        waiting = asyncio.ensure_future(stream.take())
        await asyncio.sleep(0)
        computer.answer(*order)
        return [await waiting, *[await stream.take() for _ in range(5)]]

    assert asyncio.run(read()) == [f"step {step}" for step in range(6)]


def test_no_more_than_the_window_is_computed_ahead() -> None:
    async def read() -> None:
        computer = Computer()
        stream = StepStream(computer.submit, 10, 3)
        assert computer.asked == []
        waiting = asyncio.ensure_future(stream.take())
        await asyncio.sleep(0)
        assert computer.asked == [10, 11, 12]
        computer.answer(10, 11, 12)
        assert await waiting == "step 10"
        assert computer.asked == [10, 11, 12, 13]
        assert await stream.take() == "step 11"
        assert computer.asked == [10, 11, 12, 13, 14]

    asyncio.run(read())


def test_seeking_keeps_what_is_ahead() -> None:
    async def read() -> None:
        computer = Computer()
        stream = StepStream(computer.submit, 0, 3)
        waiting = asyncio.ensure_future(stream.take())
        await asyncio.sleep(0)
        computer.answer(0)
        await waiting
        stream.seek(2)  # of 1, 2, 3 the first is left out
        assert computer.futures[1].cancelled()
        computer.answer(2)
        assert await stream.take() == "step 2"
        assert computer.asked == [0, 1, 2, 3, 4, 5]
        stream.seek(0)  # back: nothing of it is there any more
        waiting = asyncio.ensure_future(stream.take())
        await asyncio.sleep(0)
        assert computer.asked[6:] == [0, 1, 2]
        computer.answer(0)
        assert await waiting == "step 0"
        stream.seek(1)
        assert stream.next_step == 1 and len(computer.asked) == 10
        stream.seek(100)
        assert stream.next_step == 100 and computer.futures[1].cancelled()

    asyncio.run(read())


def test_a_step_that_fails_fails_again_and_does_not_move() -> None:
    async def read() -> None:
        computer = Computer()
        stream = StepStream(computer.submit, 0, 2)
        for _ in range(2):
            waiting = asyncio.ensure_future(stream.take())
            await asyncio.sleep(0)
            if not computer.futures[0].done():
                computer.futures[0].set_exception(DataError("nothing to be made"))
            with pytest.raises(DataError, match="nothing to be made"):
                await waiting
        assert stream.next_step == 0
        stream.seek(1)
        computer.answer(1)
        assert await stream.take() == "step 1"

    asyncio.run(read())


def test_closing_wakes_who_waits_and_cancels_the_rest() -> None:
    async def read() -> None:
        computer = Computer()
        stream = StepStream(computer.submit, 0, 2)
        computer_waiting = asyncio.ensure_future(stream.take())
        await asyncio.sleep(0)
        stream.close()
        with pytest.raises(ServiceError, match="session was shut down"):
            await computer_waiting
        assert all(future.cancelled() for future in computer.futures.values())

    asyncio.run(read())
