"""Many items in several processes: order kept, read ahead bounded, errors and deaths reported, nobody left behind."""

import functools
import gc
import os
import signal
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from gematria_ops.data.ordered_pool import ordered_map
from ops_common.errors import ConfigError, DataError, ServiceError

# Starting worker processes takes half a second each time.
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]


def make_adder(amount):
    return functools.partial(add, amount)


def add(amount, number):
    return number + amount


def make_process_id():
    return process_id


def process_id(_):
    return os.getpid()


def make_raiser():
    return raise_at_thirteen


def raise_at_thirteen(number):
    if number == 13:
        raise DataError("thirteen", "count on")
    return number


def make_killer():
    return kill_itself


def kill_itself(_):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("num_workers", [1, 2, 3])
@pytest.mark.parametrize("num_items", [0, 1, 50])
def test_results_are_in_order(num_workers, num_items):
    results = list(ordered_map(functools.partial(make_adder, 1), range(num_items), num_workers))
    assert results == list(range(1, num_items + 1))


def test_many_items_go_to_other_processes_and_few_do_not():
    assert set(ordered_map(make_process_id, range(5), 2)) == {os.getpid()}
    assert os.getpid() not in set(ordered_map(make_process_id, range(50), 2))
    assert set(ordered_map(make_process_id, range(50), 1)) == {os.getpid()}


def test_items_are_read_ahead_by_a_few_only():
    num_read = 0

    def items():
        nonlocal num_read
        for number in range(1000):
            num_read += 1
            yield number

    with closing(ordered_map(functools.partial(make_adder, 0), items(), 2)) as results:
        assert [next(results) for _ in range(10)] == list(range(10))
        assert num_read < 30


@pytest.mark.parametrize("num_workers", [1, 2])
def test_an_error_of_the_function_arrives_whole(num_workers):
    results = ordered_map(make_raiser, range(50), num_workers)
    assert [next(results) for _ in range(13)] == list(range(13))
    with pytest.raises(DataError) as caught:
        next(results)
    assert (caught.value.message, caught.value.hint) == ("thirteen", "count on")


def test_a_killed_worker_is_reported():
    with pytest.raises(ServiceError, match="a worker process was killed"):
        list(ordered_map(make_killer, range(50), 2))


@pytest.mark.parametrize("num_workers", [1, 2])
def test_pythons_settings_are_as_before_afterwards(num_workers):
    before = gc.get_threshold()
    with closing(ordered_map(functools.partial(make_adder, 0), range(50), num_workers)) as results:
        next(results)
        assert gc.get_threshold() != before
    assert gc.get_threshold() == before


@pytest.mark.parametrize("num_workers", [0, -1])
def test_no_workers(num_workers):
    with pytest.raises(ConfigError, match=f"num_workers = {num_workers}"):
        list(ordered_map(make_process_id, [1], num_workers))


def test_workers_end_with_a_killed_parent():
    program = textwrap.dedent("""
        import functools, multiprocessing, sys, time
        from gematria_ops.data.ordered_pool import ordered_map
        from tests.gematria.data.test_ordered_pool import make_process_id

        def endless():
            while True:
                yield 0

        if __name__ == "__main__":
            for process_id in ordered_map(make_process_id, endless(), 2):
                children = [child.pid for child in multiprocessing.active_children()]
                if len(children) == 2:
                    print(*children, flush=True)
                    sys.stdin.read()
    """)
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        workers = [psutil.Process(int(word)) for word in parent.stdout.readline().split()]
        assert len(workers) == 2
        parent.kill()
        _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive
