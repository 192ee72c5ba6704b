"""What a syncer's state means for who waits for its first files: enough, not yet, or nothing that could come."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=0)]
Outlook = Literal["ready", "waiting", "hopeless", "gone", "late"]
"""Gone: the syncer does not answer; late: the time is up."""

LASTING_FAULTS = frozenset({"host_key", "user_key", "missing", "failed"})
"""States of a host that do not pass by themselves; the others (`unreachable`, `lost`, `timeout`, a full disk) may."""

FOREIGN_FILES = frozenset({"metainfo", "too_large"})
"""Reasons to refuse a file that hold for every file of the same making."""

_SOUND = frozenset({"new", "ok"})
_MAX_NAMED_HOSTS = 5
_MAX_ERROR_CHARACTERS = 300


class HostState(BaseModel):
    """A host as `GET /state` tells it."""

    model_config = ConfigDict(frozen=True)

    name: str
    state: str
    num_files: Count = 0
    last_error: str = ""

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong with it that the syncer knows of."""
        return self.state in _SOUND


class SyncState(BaseModel):
    """What of `GET /state` matters here."""

    model_config = ConfigDict(frozen=True)

    num_verified: Count
    num_batches_verified: Count
    paused: bool
    pause_reason: str = ""
    refused: dict[str, Count]
    hosts: tuple[HostState, ...]

    @property
    def faults(self) -> str:
        """What is wrong, host by host; empty when nothing is."""
        bad = [host for host in self.hosts if not host.is_sound]
        lines = [f"  {host.name}: {host.state}: {host.last_error[:_MAX_ERROR_CHARACTERS]}" for host in bad]
        if len(bad) > _MAX_NAMED_HOSTS:
            counts = Counter(host.state for host in bad[_MAX_NAMED_HOSTS:])
            more = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
            lines[_MAX_NAMED_HOSTS:] = [f"  and others: {more}"]
        lines += [f"  files refused ({reason}): {count}" for reason, count in sorted(self.refused.items()) if count]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is waited for; both, when both are given.

    Args:
        num_files: Verified sample files.
        num_batches: Training batches in verified files.
    """

    num_files: int
    num_batches: int = 0

    def __str__(self) -> str:
        batches = f" and {self.num_batches:,} batches" if self.num_batches else ""
        return f"{self.num_files:,} verified sample files{batches}"

    def is_met(self, state: SyncState) -> bool:
        """Whether so much is there."""
        return state.num_verified >= self.num_files and state.num_batches_verified >= self.num_batches


class Watch:
    """Looks at states one after the other.

    A fault that may be the moment's counts when two looks in a row see it; one that may pass, when it has lasted.

    Args:
        wanted: What is waited for.
        lost_seconds: How long all hosts may be out of reach.
    """

    def __init__(self, wanted: Wanted, lost_seconds: float) -> None:
        self._wanted, self._lost_seconds = wanted, lost_seconds
        self._hopeless_looks = 0
        self._lost_since: float | None = None

    def look(self, state: SyncState, now: float) -> tuple[Outlook, str]:
        """Judge a state.

        Args:
            state: The state.
            now: Seconds that only ever grow.

        Returns:
            What is to be expected, and why nothing is, if so.
        """
        if self._wanted.is_met(state):
            return "ready", ""
        reason = self._dead_end(state)
        self._hopeless_looks = self._hopeless_looks + 1 if reason else 0
        if self._hopeless_looks > 1:
            return "hopeless", reason
        if not state.hosts or any(host.is_sound for host in state.hosts):
            self._lost_since = None
            return "waiting", ""
        self._lost_since = now if self._lost_since is None else self._lost_since
        lost = now - self._lost_since
        if lost >= self._lost_seconds:
            return "hopeless", f"for {lost:,.0f} s no host could be reached"
        return "waiting", ""

    def _dead_end(self, state: SyncState) -> str:
        if not state.hosts:
            return "the syncer has no hosts"
        if all(host.state in LASTING_FAULTS for host in state.hosts):
            return "all hosts failed"
        seen = sum(host.num_files for host in state.hosts)
        foreign = sum(count for reason, count in state.refused.items() if reason in FOREIGN_FILES)
        if not state.num_verified and 0 < seen <= foreign:
            return "every file that the hosts have was refused"
        if state.paused and state.pause_reason != "disk":
            return f"the budget for files on this machine is used up by {state.num_verified:,} of them"
        return ""
