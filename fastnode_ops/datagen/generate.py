"""Make sample files: the ranges of a work list one after the other, from a graph data server (specification 10.5).

What was made is never made again, though it was fetched and deleted. Nothing of a file can be seen before it is whole;
when the work ends in the middle of one, by whatever means, that one is made again, with the same bytes.
"""

from __future__ import annotations

import itertools
import logging
import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from fastnode_ops.datagen.generator_status import GeneratorStatus
from fastnode_ops.datagen.ledger import STATE_FOLDER, Ledger
from fastnode_ops.datagen.sample_set import SampleSet
from fastnode_ops.sample_files.reading import finished_files
from fastnode_ops.sample_files.writing import encode_batch, write_index, write_records
from fastnode_ops.server.client import SessionClient
from fastnode_ops.server.local import serving
from ops_common.artifacts import make_folder, remove_part_files
from ops_common.errors import ConfigError, NoRoomError, ServiceError
from ops_common.learning.stopping import StopRequest, stop_signals
from ops_common.processes import exclusive_lock
from ops_common.progress import Progress

logger = logging.getLogger(__name__)

MAX_BYTES = 20_000_000_000
"""What finished files may take by default, until they are fetched."""

POLL_SECONDS = 2.0

_SLICE_SECONDS = 0.1  # how long a signal may go unseen

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class GenerateSummary:
    """What one run has made.

    Args:
        num_ranges: Ranges on the work list.
        num_files: Files that this run has made.
        num_batches: Batches in them.
        batches_per_second: Without pauses.
    """

    num_ranges: int
    num_files: int
    num_batches: int
    batches_per_second: float


def generate(
    sample_set: SampleSet,
    numbers: Sequence[int],
    out_dir: Path,
    corpus_dir: Path,
    *,
    server: str = "",
    num_workers: int = 0,
    max_bytes: int = MAX_BYTES,
    patience_seconds: float = math.inf,
    poll_seconds: float = POLL_SECONDS,
) -> GenerateSummary:
    """Make the files of some ranges.

    Args:
        sample_set: What the ranges are of.
        numbers: The work list, in order.
        out_dir: Where the files go. It is used by one generator at a time, and its files are of one sample set.
        corpus_dir: The corpus, which a private server is started with when none answers.
        server: Where a server may be running.
        num_workers: Processes of the private server; 0 for one per core.
        max_bytes: Wait while the finished files are larger than this together.
        patience_seconds: The longest such wait without a file being fetched.
        poll_seconds: How often to look for room while waiting.

    Raises:
        Interrupted: A signal asked to stop; finished files stay.
        ConfigError: A setting is out of its limits, or another generator works in the folder.
        DataError: The folder holds files of something else, or the server serves another corpus.
        ServiceError: The server does not answer, or cannot make a step; or nobody fetches what is finished.
    """
    if max_bytes < 1:
        raise ConfigError(f"max_bytes must be at least 1, not {max_bytes:,}", "a file is made once the others are gone")
    for number in numbers:
        sample_set.steps(number)
    make_folder(out_dir / STATE_FOLDER)
    with exclusive_lock(out_dir / STATE_FOLDER / "lock", f"another generator works in {out_dir}"):
        remove_part_files(out_dir)
        remove_part_files(out_dir / STATE_FOLDER)
        ledger = Ledger(out_dir, sample_set)
        todo = [number for number in numbers if not ledger.is_made(number)]
        status = GeneratorStatus(out_dir, len(numbers), len(numbers) - len(todo), max_bytes)
        status.change("running")
        try:
            with stop_signals() as stop:
                generator = _Generator(
                    sample_set, out_dir, ledger, status, stop, max_bytes, patience_seconds, poll_seconds
                )
                if todo:
                    with serving(server, corpus_dir, num_workers=num_workers) as url:
                        generator.make(url, todo)
        except BaseException as error:
            status.change("stopped" if stop.signal else "failed", getattr(error, "message", "") or repr(error))
            raise
        status.change("done")
    return GenerateSummary(len(numbers), len(todo), status.num_batches, status.batches_per_second)


@dataclass(frozen=True, slots=True)
class _Generator:
    """One run; see `generate`."""

    sample_set: SampleSet
    out_dir: Path
    ledger: Ledger
    status: GeneratorStatus
    stop: StopRequest
    max_bytes: int
    patience_seconds: float
    poll_seconds: float

    def make(self, url: str, todo: Sequence[int]) -> None:
        """Make the files of ranges, each when there is room."""
        ranges = [self.sample_set.steps(number) for number in todo]
        request = self.sample_set.request.model_copy(update={"start_step": ranges[0].start})
        corpus_digest = self.sample_set.digests["corpus_digest"]
        self._check_stop()
        with (
            SessionClient(url, request, corpus_digest=corpus_digest, following=_following(ranges)) as session,
            Progress("samples", total=sum(map(len, ranges)), unit="batches") as progress,
        ):
            for number in todo:
                self._await_room()
                self._make_file(session, number, progress)

    def _make_file(self, session: SessionClient, number: int, progress: Progress) -> None:
        header = self.sample_set.header(number)
        records = []
        for step in self.sample_set.steps(number):
            self._check_stop()
            records.append(encode_batch(session.batch(step)))
            self.status.add_batch()
            progress.advance()
        index = self._patiently(lambda: write_records(self.out_dir, header, records))
        self._patiently(lambda: self.ledger.add(number))
        self._patiently(lambda: write_index(self.out_dir, index))
        self.status.num_ranges_made += 1
        self.status.finished_bytes = _finished_bytes(self.out_dir)
        self.status.write()

    def _await_room(self) -> None:
        """Wait while the finished files take too much."""
        waits, since = False, time.monotonic()
        while (num_bytes := _finished_bytes(self.out_dir)) > self.max_bytes:
            if num_bytes != self.status.finished_bytes:
                since = time.monotonic()
            if (waited := time.monotonic() - since) > self.patience_seconds:
                raise ServiceError(
                    f"for {waited:,.0f} s nobody has fetched any of the {num_bytes:,} bytes in {self.out_dir}",
                    "look at the syncer; or allow more with max_bytes",
                )
            self.status.finished_bytes = num_bytes
            if not waits:
                waits = True
                logger.info("paused: %d bytes of finished files wait to be fetched", num_bytes)
                self.status.change("paused")
            self._wait()
        self.status.finished_bytes = num_bytes
        if waits:
            logger.info("going on")
            self.status.change("running")

    def _patiently(self, write: Callable[[], T]) -> T:
        """Write something; while the disk is full, say so and try again."""
        waits = False
        while True:
            try:
                result = write()
            except NoRoomError as error:
                if not waits:
                    waits = True
                    logger.warning("paused: %s", error.message)
                    self.status.change("paused", error.message)
                self._wait()
                continue
            if waits:
                logger.info("going on")
                self.status.change("running")
            return result

    def _wait(self) -> None:
        deadline = time.monotonic() + self.poll_seconds
        while time.monotonic() < deadline:
            self._check_stop()
            time.sleep(min(_SLICE_SECONDS, self.poll_seconds))

    def _check_stop(self) -> None:
        if self.stop.signal is not None:
            raise self.stop.error("generating samples", f"after {self.status.num_ranges_made} finished files")


def _following(ranges: Sequence[range]) -> Callable[[int], int | None]:
    """Return which step is read after those before a given one: where a range ends, the start of the next one."""
    starts = {one.stop: other.start for one, other in itertools.pairwise(ranges)}
    end = ranges[-1].stop
    return lambda step: None if step >= end else starts.get(step, step)


def _finished_bytes(out_dir: Path) -> int:
    total = 0
    for name in finished_files(out_dir):
        for each in (name.file_name, name.index_name):
            with suppress(FileNotFoundError):  # fetched and deleted since
                total += (out_dir / each).stat().st_size
    return total
