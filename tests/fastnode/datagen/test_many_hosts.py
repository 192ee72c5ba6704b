import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from fastnode_ops.datagen.many_hosts import on_each_host
from fastnode_ops.remote.hosts import Host
from ops_common.errors import ServiceError

HOSTS = [Host(f"h{index}") for index in range(6)]


def test_one_that_fails_does_not_stop_the_others_and_only_so_many_run_at_once() -> None:
    at_once, most, lock = Counter[str](), [0], threading.Lock()
    both = threading.Barrier(2, timeout=30)

    def work(host: Host) -> str:
        with lock:
            at_once["now"] += 1
            most[0] = max(most[0], at_once["now"])
        both.wait()  # so two do run at once
        with lock:
            at_once["now"] -= 1
        if host.name == "h1":
            raise ServiceError("no")
        return host.name

    done, failed = on_each_host(HOSTS, work, max_at_once=2)
    assert list(done.values()) == ["h0", "h2", "h3", "h4", "h5"]
    assert list(failed) == [HOSTS[1]]
    assert most[0] == 2


def test_a_bug_is_not_taken_for_a_failing_host() -> None:
    numbers: Iterator[int] = iter(range(10))

    def work(host: Host) -> None:
        if next(numbers) == 0:
            raise KeyError("bug")

    with pytest.raises(KeyError):
        on_each_host(HOSTS, work)
