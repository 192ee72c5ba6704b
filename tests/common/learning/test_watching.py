"""Waiting for another process's checkpoints: each once, the newest, whole, and not too often. The clock is ours."""

import logging
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tensorflow as tf

from ops_common.learning.checkpoints import CheckpointStore
from ops_common.learning.stopping import StopRequest
from ops_common.learning.watching import POLL_SECONDS, CheckpointWatcher

pytestmark = pytest.mark.tf


class Clock:
    """A clock that only waiting moves; what happens meanwhile is told beforehand."""

    def __init__(self, *happenings: Callable[[], object]) -> None:
        self.seconds = 0.0
        self._happenings = iter(happenings)

    def now(self) -> float:
        return self.seconds

    def wait(self, seconds: float) -> None:
        self.seconds += seconds
        next(self._happenings, lambda: None)()


def save(folder: Path, *steps: int, max_to_keep: int = 100) -> Path:
    store = CheckpointStore(folder, {}, max_to_keep)
    return [store.save({"weight": tf.Variable(float(step))}, step) for step in steps][-1]


def stopping(stop: StopRequest) -> Callable[[], None]:
    def send() -> None:
        stop.signal = signal.SIGTERM

    return send


def watch(folder: Path, clock: Clock, stop: StopRequest, interval: float = 0.0) -> Iterator[Path]:
    return CheckpointWatcher(folder, interval, now=clock.now, wait=clock.wait).new_checkpoints(stop)


def test_only_the_newest_is_handed_out_and_only_once(tmp_path: Path) -> None:
    save(tmp_path, 1, 2)
    stop = StopRequest()
    clock = Clock(lambda: None, lambda: save(tmp_path, 3, 4), lambda: None, stopping(stop))
    assert [path.name for path in watch(tmp_path, clock, stop)] == ["model.ckpt-2", "model.ckpt-4"]
    assert clock.seconds == 4 * POLL_SECONDS


def test_the_folder_may_come_later(tmp_path: Path) -> None:
    stop = StopRequest()
    clock = Clock(lambda: None, lambda: save(tmp_path / "model", 7), stopping(stop))
    assert [path.name for path in watch(tmp_path / "model", clock, stop)] == ["model.ckpt-7"]


def test_there_are_so_many_seconds_between_two(tmp_path: Path) -> None:
    stop, clock = StopRequest(), Clock()
    save(tmp_path, 1)
    found = watch(tmp_path, clock, stop, interval=60)
    assert next(found).name == "model.ckpt-1"
    save(tmp_path, 2)
    assert next(found).name == "model.ckpt-2"
    assert clock.seconds == 60


@pytest.mark.parametrize("damage", ["cut", "removed", "record"])
def test_a_torn_one_is_passed_over_until_it_is_whole(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    suffix = {"cut": ".data-00000-of-00001", "removed": ".index", "record": ".json"}[damage]
    prefix = save(tmp_path, 1, 2)
    path = prefix.with_name(prefix.name + suffix)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    if damage == "removed":
        path.unlink()
    watcher = CheckpointWatcher(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert watcher.poll() == tmp_path / "model.ckpt-1"
        assert watcher.poll() is None
    assert len([message for message in caplog.messages if "model.ckpt-2 is passed over" in message]) == 1
    path.write_bytes(whole)
    assert watcher.poll() == prefix


@pytest.mark.parametrize("content", ["", "model_checkpoint_pa", "\x80"])
def test_a_half_written_state_file_is_no_checkpoint(content: str, tmp_path: Path) -> None:
    save(tmp_path, 1)
    state = tmp_path / "checkpoint"
    whole = state.read_bytes()
    state.write_bytes(content.encode("latin-1"))
    watcher = CheckpointWatcher(tmp_path)
    assert watcher.poll() is None
    state.write_bytes(whole)
    assert watcher.poll() == tmp_path / "model.ckpt-1"


def test_a_step_that_was_trained_anew_is_new(tmp_path: Path) -> None:
    watcher = CheckpointWatcher(tmp_path)
    save(tmp_path, 1)
    assert watcher.poll() == tmp_path / "model.ckpt-1"
    CheckpointStore(tmp_path, {}).save({"weight": tf.Variable(-1.0)}, 1)
    assert watcher.poll() == tmp_path / "model.ckpt-1"
    assert watcher.poll() is None


def test_a_signal_ends_it_also_between_two(tmp_path: Path) -> None:
    stop = StopRequest()
    save(tmp_path, 1)
    found = watch(tmp_path, Clock(), stop)
    next(found)
    stop.signal = signal.SIGINT
    assert next(found, None) is None
