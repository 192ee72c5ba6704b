"""Who may copy how much: the bytes on this machine are bounded, and hosts take turns (specification 20.7)."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from fastnode_ops.sample_files.names import SampleFileName
from fastnode_ops.sync.state import Wanted

RESUME_SHARE = 0.8
"""Copying stops at the budget, and goes on when less than this share of it is taken."""

FREE_SHARE, MAX_FREE_BYTES = 0.05, 64 * 1024 * 1024
"""Of the disk: what is left free, so that marks can always be written. The smaller of both counts."""

PauseReason = Literal["", "budget", "disk"]


class Budget:
    """The bytes that sample files may take here; those being copied count from when they are granted.

    A reader takes the files in the order of their steps. If the last room went to late files while an early one is
    still missing, it would wait for ever for the early one, and the syncer for it. So while steps are missing, files
    behind the gap may take no more than 80 % of the budget, and the rest, or more if a file is larger than that, is for
    those that fill it.

    Args:
        max_bytes: How much the files may take.
        held: The files that stand here, with their bytes.
        passed: Those that were used in this epoch.
        free_bytes: Tells how much more may be written to the disk.
    """

    def __init__(
        self,
        max_bytes: int,
        held: Mapping[SampleFileName, int],
        passed: Iterable[SampleFileName],
        free_bytes: Callable[[], int],
    ) -> None:
        self.max_bytes = max_bytes
        self._held, self._passed = dict(held), set(passed)
        self._free_bytes = free_bytes
        self._copying: set[SampleFileName] = set()
        self._waiting: dict[str, Sequence[Wanted]] = {}
        self._granted: dict[str, list[Wanted]] = {}
        self._turns: dict[str, int] = {}  # when a host was last granted something
        self._num_grants = 0
        self._is_full = False
        self._largest_bytes = max(held.values(), default=0)
        self._reasons: dict[str, PauseReason] = {}
        self._is_closed = False
        self._changed = threading.Condition()

    @property
    def pause_reason(self) -> PauseReason:
        """Why a host has to wait; empty when none has."""
        with self._changed:
            return next((reason for reason in self._reasons.values() if reason), "")

    def reserve(self, host: str, wanted: Sequence[Wanted], seconds: float) -> list[Wanted]:
        """Wait until a host may copy.

        Args:
            host: The host; one thread asks for it.
            wanted: What it would copy, in the order of its steps.
            seconds: How long to wait at most.

        Returns:
            The first ones of them, as many as there is room for; each has to be settled. None when the time is up.
        """
        with self._changed:
            self._waiting[host] = wanted
            self._grant()
            self._changed.wait_for(lambda: host in self._granted or self._is_closed, seconds)
            self._waiting.pop(host, None)
            granted = self._granted.pop(host, [])
            if granted:
                self._reasons.pop(host, None)
            return granted

    def settle(self, name: SampleFileName, num_bytes: int) -> None:
        """A file stands here with so many bytes; with none its copying failed, or it was deleted."""
        with self._changed:
            self._copying.discard(name)
            self._held.pop(name, None)
            if num_bytes:
                self._held[name] = num_bytes
            self._grant()

    def passed(self, names: Iterable[SampleFileName]) -> None:
        """Files were used: the reader is beyond them."""
        with self._changed:
            self._passed.update(names)

    def restart(self) -> None:
        """The reader begins again at the first step."""
        with self._changed:
            self._passed.clear()
            self._is_full = False
            self._grant()

    def close(self) -> None:
        """Nobody waits any longer."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def idle(self, host: str) -> None:
        """A host wants nothing."""
        with self._changed:
            self._reasons.pop(host, None)

    def _grant(self) -> None:
        for host in sorted(self._waiting, key=lambda host: self._turns.get(host, 0)):
            granted = self._fitting(host, self._waiting[host])
            if granted:
                self._num_grants += 1
                self._turns[host] = self._num_grants
                self._granted[host] = granted
                del self._waiting[host]
        self._changed.notify_all()

    def _fitting(self, host: str, wanted: Sequence[Wanted]) -> list[Wanted]:
        """Take the room for the first files of a list, as far as there is."""
        granted = []
        taken = sum(self._held.values())
        on_disk = self._free_bytes() - sum(self._held[name] for name in self._copying)
        self._is_full = self._is_full and taken >= RESUME_SHARE * self.max_bytes
        self._largest_bytes = max([self._largest_bytes, *(one.num_bytes for one in wanted)])
        for one in wanted:
            if taken + one.num_bytes > self._limit(one.name):
                self._is_full = self._is_full or taken + one.num_bytes > self.max_bytes
                self._reasons[host] = "budget"
                break
            if one.num_bytes > on_disk:
                self._reasons[host] = "disk"
                break
            self._held[one.name] = one.num_bytes
            self._copying.add(one.name)
            granted.append(one)
            taken += one.num_bytes
            on_disk -= one.num_bytes
        return granted

    def _limit(self, name: SampleFileName) -> float:
        if any(held.first_step > name.first_step for held in self._held):
            return self.max_bytes
        if name.first_step > self._end_of_known():  # behind a gap
            return min(RESUME_SHARE * self.max_bytes, self.max_bytes - self._largest_bytes)
        return RESUME_SHARE * self.max_bytes if self._is_full else self.max_bytes

    def _end_of_known(self) -> int:
        """The first step that is in no file held or used."""
        end = 0
        for name in sorted([*self._held, *self._passed]):
            if name.first_step > end:
                break
            end = max(end, name.end_step)
        return end


def disk_room(folder: Path) -> int:
    """The bytes that may still be written to a folder's disk."""
    usage = shutil.disk_usage(folder)
    return usage.free - int(min(FREE_SHARE * usage.total, MAX_FREE_BYTES))
