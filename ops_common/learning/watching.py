"""Waits for the checkpoints that another process writes: each new one once, whole, the newest first.

There is no message between the two processes: the folder's state file is looked at once a second. A checkpoint that is
torn or half written is passed over until its files change; one that came and went between two looks is never seen.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

from ops_common.learning.checkpoints import SUFFIXES, find_damage, listed_checkpoints, with_suffix
from ops_common.learning.state_file import STATE_NAME
from ops_common.learning.stopping import StopRequest

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0

# Of each file its number, size and time of change: equal as long as nobody wrote it anew.
Stamp: TypeAlias = "tuple[tuple[int, int, int] | None, ...]"


class CheckpointWatcher:
    """Watches one folder, which need not exist yet.

    Args:
        folder: Folder of the checkpoints.
        min_interval_seconds: Least seconds from handing out a checkpoint to handing out the next one.
        now: The clock, in seconds.
        wait: Waits so many seconds.
    """

    def __init__(
        self,
        folder: Path,
        min_interval_seconds: float = 0.0,
        *,
        now: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._folder = Path(folder).absolute()
        self._min_interval_seconds = min_interval_seconds
        self._now = now
        self._wait = wait
        self._state: Stamp = ()
        self._listed: list[Path] = []
        self._torn: dict[Path, Stamp] = {}
        self._last: tuple[Path, Stamp] | None = None

    def new_checkpoints(self, stop: StopRequest) -> Iterator[Path]:
        """Yield the prefix of each new checkpoint, for ever, until a signal asks to stop."""
        earliest = self._now()
        while stop.signal is None:
            prefix = self.poll() if self._now() >= earliest else None
            if prefix is None:
                self._wait(POLL_SECONDS)
            else:
                earliest = self._now() + self._min_interval_seconds
                yield prefix

    def poll(self) -> Path | None:
        """Return the newest whole checkpoint that the state file lists, if it is not the one of the last time."""
        state = _stamp([self._folder / STATE_NAME])
        if state != self._state:
            self._state, self._listed = state, listed_checkpoints(self._folder)
        for prefix in self._listed:
            stamp = _stamp([with_suffix(prefix, suffix) for suffix in SUFFIXES])
            if (prefix, stamp) == self._last:
                return None
            if self._torn.get(prefix) == stamp:
                continue
            damage = find_damage(prefix)
            if not damage:
                self._last = prefix, stamp
                return prefix
            logger.warning("checkpoint %s is passed over: %s", prefix, damage)
            self._torn[prefix] = stamp
        return None


def _stamp(paths: list[Path]) -> Stamp:
    return tuple(_stamp_of(path) for path in paths)


def _stamp_of(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
