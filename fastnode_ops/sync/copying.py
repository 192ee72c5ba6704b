"""A thread per host that brings its files here: list, compare, copy in batches, verify, delete there what was used."""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime

from fastnode_ops.remote.failures import RemoteError
from fastnode_ops.sample_files.names import SampleFileName, parse_name
from fastnode_ops.sample_files.reading import MAX_INDEX_BYTES, read_index
from fastnode_ops.sync.budget import Budget
from fastnode_ops.sync.folder import Arrived, SyncFolder
from fastnode_ops.sync.state import SyncState, Wanted
from fastnode_ops.sync.transport import RemoteFile, Transport
from ops_common.errors import ArtifactError, DataError, OpsError

MIN_BATCH_BYTES, MAX_BATCH_BYTES = 128 * 1024**2, 2 * 1024**3
BATCH_SECONDS = 20.0
"""A batch is as much as came in this time before. Connections take time to make, so there should be few; but what a
slow host is about to copy takes room from the others."""

LOOK_SECONDS = 0.3
"""How often it is looked whether a file of a batch has come."""

MAX_BATCH_FILES = 1_000
FIRST_WAIT_SECONDS = 1.0

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class HostStatus:
    """How it stands with a host.

    Args:
        name: The host.
        state: "new" before it was asked, "ok", "failed" after a bug of ours, "local_disk_full", else the kind of a
            `RemoteError`: "unreachable", "host_key", "user_key", "lost", "timeout", "missing", ...
        num_files: Finished sample files there.
        num_bytes: What they take there.
        num_ignored: Files there with names that none of ours has.
        last_error: What last went wrong; empty when it has gone well since.
        last_contact: When it last answered, by our clock, in UTC; empty: never.
    """

    name: str
    state: str = "new"
    num_files: int = 0
    num_bytes: int = 0
    num_ignored: int = 0
    last_error: str = ""
    last_contact: str = ""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often hosts are asked.

    Args:
        poll_seconds: Time between two looks at a host that has nothing new.
        max_wait_seconds: The longest time until a host is tried again that did not answer.
    """

    poll_seconds: float = 5.0
    max_wait_seconds: float = 60.0


@dataclass(slots=True)
class Sync:
    """What all hosts share.

    Args:
        folder: Where files go.
        state: What is known.
        budget: Who may copy how much.
        checkers: Threads that verify what has come, one for each host.
        deletes_remote: Whether used files are deleted on the hosts.
        pace: How often hosts are asked.
        stop: Set at the end.
    """

    folder: SyncFolder
    state: SyncState
    budget: Budget
    checkers: ThreadPoolExecutor
    deletes_remote: bool = False
    pace: Pace = Pace()
    stop: threading.Event = field(default_factory=threading.Event)
    _removing: threading.Lock = field(default_factory=threading.Lock)

    def remove_used(self) -> None:
        """Delete the files that were used and still stand here."""
        with self._removing:  # as soon as one has left it may come again, and must not be deleted by another thread
            for name in self.state.at("leaving"):
                self.folder.remove(parse_name(name))
                self.budget.settle(parse_name(name), 0)
                self.state.left(name)


class HostWorker:
    """Brings the files of a host.

    Args:
        sync: What all hosts share.
        transport: The host.
    """

    def __init__(self, sync: Sync, transport: Transport) -> None:
        self.status = HostStatus(transport.name)
        self._sync, self._transport, self._host = sync, transport, transport.name
        self._batch_bytes = MIN_BATCH_BYTES

    def run(self) -> None:
        """Work until the end."""
        wait_seconds = FIRST_WAIT_SECONDS
        while not self._sync.stop.is_set():
            if self._try_round():
                wait_seconds = FIRST_WAIT_SECONDS
            else:
                self._sync.stop.wait(min(wait_seconds, self._sync.pace.max_wait_seconds))
                wait_seconds *= 2

    def round(self) -> bool:
        """Look what there is, bring what is new, delete what was used.

        Returns:
            Whether it waited for room, for as long as hosts are looked at.

        Raises:
            OpsError: The host did not answer, or something here is wrong.
        """
        self._sync.state.give_back(self._host)
        listing = self._transport.list()
        status = self.status
        status.num_files, status.num_ignored = len(listing.files), listing.num_ignored
        status.num_bytes = sum(file.num_bytes for file in listing.files)
        self._has_answered()
        new = self._sync.state.unknown(self._host, listing.files)
        for start in range(0, len(new), MAX_BATCH_FILES):
            self._examine(new[start : start + MAX_BATCH_FILES])
        has_waited = self._copy_all()
        if self._sync.deletes_remote:
            self._delete_used()
        return has_waited

    def _try_round(self) -> bool:
        status = self.status
        try:
            has_waited = self.round()
            status.state, status.last_error = "ok", ""
            if not has_waited:
                self._sync.stop.wait(self._sync.pace.poll_seconds)
            return True
        except RemoteError as error:
            self._is_in_trouble("local_disk_full" if error.kind == "disk_full" else error.kind, error.message)
        except OpsError as error:
            self._is_in_trouble("failed", error.message)
        except OSError as error:
            is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            self._is_in_trouble("local_disk_full" if is_full else "failed", str(error))
        except Exception as error:  # a bug of ours must not end the work for this host without a word
            logger.exception("host %s", self._host)
            self._is_in_trouble("failed", f"internal error: {error}")
        if status.state == "local_disk_full":
            self._sync.folder.make_room(self._host)
        return False

    def _is_in_trouble(self, state: str, error: str) -> None:
        if not self._sync.stop.is_set():
            if error != self.status.last_error:
                logger.warning("%s", error)
            self.status.state, self.status.last_error = state, error

    def _has_answered(self) -> None:
        self.status.last_contact = datetime.now(UTC).isoformat(timespec="seconds")

    def _examine(self, files: Sequence[RemoteFile]) -> None:
        """Read the indexes of copies, and so find out which are worth copying."""
        state, partial = self._sync.state, self._sync.folder.partial(self._host)
        small = [file for file in files if file.index_bytes <= MAX_INDEX_BYTES]
        for file in files:
            if file.index_bytes > MAX_INDEX_BYTES:
                state.refuse(self._host, file, "corrupt")
        if small:
            names = [file.name.index_name for file in small]
            self._transport.fetch(names, partial, sum(file.index_bytes for file in small))
        for file in small:
            path = partial / file.name.file_name
            try:
                index = read_index(path)
            except ArtifactError as error:
                self._refuse(file, "corrupt", error.message)
                continue
            finally:
                path.with_suffix(".idx").unlink(missing_ok=True)
            if index.num_bytes + file.index_bytes != file.num_bytes:
                self._refuse(file, "corrupt", f"{file.name.file_name} does not have the size that its index says")
            elif self._sync.folder.metainfo_digest not in ("", index.header.metainfo_digest):
                self._refuse(file, "metainfo", f"{file.name.file_name} is of another metainfo")
            elif file.num_bytes > self._sync.budget.max_bytes:
                self._refuse(file, "too_large", f"{file.name.file_name} is larger than the budget")
            else:
                state.offer(self._host, file, index.sha256)

    def _refuse(self, file: RemoteFile, reason: str, text: str) -> None:
        logger.warning("host %s: %s: %s", self._host, reason, text)
        self._sync.state.refuse(self._host, file, reason)
        self._sync.folder.forget(self._host, file.name)

    def _copy_all(self) -> bool:
        """Copy what is wanted, batch by batch; a file is verified and shown while the next ones are copied.

        Returns:
            Whether something is left for which there is no room.
        """
        while not self._sync.stop.is_set():
            batch, has_to_wait = self._next_batch()
            if not batch:
                return has_to_wait
            is_over = threading.Event()
            settling = self._sync.checkers.submit(self._settle, batch, is_over)
            try:
                self._fetch(batch)
            finally:
                is_over.set()
                wait([settling])
            settling.result()
        return False

    def _next_batch(self) -> tuple[list[Wanted], bool]:
        """Claim what to copy next. Returns it, and whether the room was not enough for the first file."""
        state, budget = self._sync.state, self._sync.budget
        batch: list[Wanted] = []
        num_bytes = 0
        for one in state.wanted(self._host):
            num_bytes += one.num_bytes
            if batch and (num_bytes > self._batch_bytes or len(batch) == MAX_BATCH_FILES):
                break
            batch.append(one)
        claimed = set(state.claim(self._host, [one.name.file_name for one in batch]))
        batch = [one for one in batch if one.name.file_name in claimed]
        if not batch:
            budget.idle(self._host)
            return [], False
        granted = budget.reserve(self._host, batch, self._sync.pace.poll_seconds)
        for one in batch[len(granted) :]:
            state.failed(self._host, one.name.file_name)
        return granted, not granted

    def _fetch(self, batch: Sequence[Wanted]) -> None:
        names = [part for one in batch for part in (one.name.file_name, one.name.index_name)]
        num_bytes = sum(one.num_bytes for one in batch)
        started = time.monotonic()
        self._transport.fetch(names, self._sync.folder.partial(self._host), num_bytes)
        self._has_answered()
        bytes_per_second = num_bytes / max(time.monotonic() - started, 0.001)
        self._batch_bytes = int(min(max(BATCH_SECONDS * bytes_per_second, MIN_BATCH_BYTES), MAX_BATCH_BYTES))

    def _settle(self, batch: Sequence[Wanted], is_over: threading.Event) -> None:
        """Settle the files of a batch as they come, and the rest when nothing more comes."""
        left = list(batch)
        errors: list[Exception] = []
        while left:
            nothing_more_comes = is_over.wait(LOOK_SECONDS)
            here = set(os.listdir(self._sync.folder.partial(self._host)))  # noqa: PTH208 - one look for all of them
            come = [one for one in left if nothing_more_comes or {one.name.file_name, one.name.index_name} <= here]
            left = [one for one in left if one not in come]
            for one in come:
                try:
                    self._settle_one(one.name)
                except Exception as error:  # none keeps its room for nothing, whatever happens
                    self._sync.budget.settle(one.name, 0)
                    errors.append(error)
            if come:
                self._sync.remove_used()
        if errors:
            raise errors[0]  # what is still claimed is given back at the begin of the next round

    def _has_come(self, name: SampleFileName) -> bool:
        partial = self._sync.folder.partial(self._host)
        return (partial / name.file_name).exists() and (partial / name.index_name).exists()

    def _settle_one(self, name: SampleFileName) -> None:
        """Verify a file if all of it has come, and show it if it is good.

        The budget is told before the state: as soon as that says where the file is, other threads go on with it.
        """
        folder, state, budget = self._sync.folder, self._sync.state, self._sync.budget
        reason = ""
        if self._has_come(name):
            known = state.digest(name.file_name)
            arrived, reason, text = self._place(name, known)
            if arrived is not None:
                budget.settle(name, arrived.num_bytes)
                state.arrived(name.file_name, arrived.sha256, arrived.num_bytes)
                folder.forget_everywhere(name)
                return
            logger.warning("host %s: %s: %s", self._host, reason, text)
            folder.forget(self._host, name)
        budget.settle(name, 0)
        state.failed(self._host, name.file_name, reason)

    def _place(self, name: SampleFileName, known: str) -> tuple[Arrived | None, str, str]:
        """Verify a file and put it in its place; or say why it is refused, in a word and in a sentence."""
        try:
            if known not in ("", read_index(self._sync.folder.partial(self._host) / name.file_name).sha256):
                return None, "conflict", f"{name.file_name} has other bytes than it had before"
            return self._sync.folder.place(self._host, name), "", ""
        except ArtifactError as error:
            return None, "corrupt", error.message
        except DataError as error:
            return None, "metainfo", error.message

    def _delete_used(self) -> None:
        names = [parse_name(text) for text in self._sync.state.begin_removal(self._host)]
        if names:
            # the indexes first: without one a file is not finished for anybody
            self._transport.delete([name.index_name for name in names] + [name.file_name for name in names])
