"""Room for files, and turns."""

import threading
from collections.abc import Callable

import pytest

from fastnode_ops.sample_files.names import SampleFileName
from fastnode_ops.sync.budget import Budget
from fastnode_ops.sync.state import Wanted
from ops_common.processes import wait_until


def name(index: int) -> SampleFileName:
    return SampleFileName(10 * index, 10, 1)


def wanted(*indexes: int, num_bytes: int = 10) -> list[Wanted]:
    return [Wanted(name(index), num_bytes) for index in indexes]


def budget(held: dict[int, int] | None = None, free_bytes: Callable[[], int] = lambda: 10**12) -> Budget:
    return Budget(100, {name(index): size for index, size in (held or {}).items()}, [], free_bytes)


def granted(given: Budget, host: str, *indexes: int, num_bytes: int = 10) -> list[int]:
    return [one.name.first_step // 10 for one in given.reserve(host, wanted(*indexes, num_bytes=num_bytes), 0)]


def test_it_stops_at_the_budget_and_resumes_below_80_percent() -> None:
    given = budget()
    assert granted(given, "a", *range(12)) == list(range(10))
    assert given.pause_reason == ""
    assert granted(given, "a", 10) == []
    assert given.pause_reason == "budget"
    given.settle(name(0), 0)
    given.passed([name(0)])
    assert granted(given, "a", 10) == []  # 90 of 100
    for index in (1, 2):
        given.passed([name(index)])
        given.settle(name(index), 0)
    assert granted(given, "a", 10, 11, 12) == [10, 11, 12]
    assert given.pause_reason == ""


def test_room_is_left_for_a_file_that_is_missing_before_others() -> None:
    given = budget()
    assert granted(given, "a", *range(1, 12)) == list(range(1, 9))  # step 0 is missing: 80 %
    assert granted(given, "a", 9) == []
    assert granted(given, "b", 0) == [0]
    assert granted(given, "a", 9, 10) == [9]


def test_the_missing_file_finds_room_however_large_files_are() -> None:
    given = budget()
    assert granted(given, "b", 1, 2, num_bytes=40) == [1]  # a third one of 40 must still fit
    assert granted(given, "b", 2, num_bytes=40) == []
    assert granted(given, "a", 0, num_bytes=60) == [0]
    large = budget()
    assert granted(large, "b", 1, num_bytes=60) == []  # with it, the first one could not come
    assert granted(large, "a", 0, num_bytes=60) == [0]


def test_after_an_epoch_the_first_step_is_missing_again() -> None:
    given = Budget(100, {}, [name(0)], lambda: 10**12)
    assert granted(given, "a", 1, num_bytes=90) == [1]
    given.settle(name(1), 0)
    given.restart()
    assert granted(given, "a", 1, num_bytes=90) == []


def test_the_disk_bounds_too() -> None:
    free = [25]
    given = budget(free_bytes=lambda: free[0])
    assert granted(given, "a", 0, 1, 2) == [0, 1]
    assert granted(given, "a", 2) == []  # what is being copied is not written yet
    assert given.pause_reason == "disk"
    free[0] = 40
    assert granted(given, "a", 2) == [2]


def test_hosts_take_turns() -> None:
    given = budget()
    assert granted(given, "a", *range(5)) == list(range(5))
    assert granted(given, "b", *range(5, 10)) == list(range(5, 10))
    found: dict[str, list[Wanted]] = {}

    def ask(host: str, index: int) -> None:
        found[host] = given.reserve(host, wanted(index, num_bytes=30), 30.0)

    threads = {host: threading.Thread(target=ask, args=(host, index)) for host, index in (("b", 10), ("a", 10))}
    for host, thread in threads.items():
        thread.start()
        wait_until(lambda host=host: host in given._waiting, 10, "who waits")
    for index in range(3):
        given.passed([name(index)])
        given.settle(name(index), 0)
    threads["a"].join()  # b asked before it, but was granted something after it
    assert "b" not in found and found["a"]
    for index in range(3, 6):
        given.passed([name(index)])
        given.settle(name(index), 0)
    threads["b"].join()
    assert found["b"]


def test_the_end_wakes_whoever_waits() -> None:
    given = budget({0: 100})
    thread = threading.Thread(target=given.reserve, args=("a", wanted(1), 60.0))
    thread.start()
    wait_until(lambda: given.pause_reason == "budget", 10, "the pause")
    given.close()
    thread.join(timeout=10)
    assert not thread.is_alive()


@pytest.mark.parametrize("size", [101, 1_000])
def test_what_can_never_fit_is_not_granted(size: int) -> None:
    assert granted(budget(), "a", 0, num_bytes=size) == []
