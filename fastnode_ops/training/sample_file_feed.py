"""Batches from a folder of sample files that other machines fill while the training runs (specification 10.3, 10.4).

The order is that of the steps, whichever host made a file, so the batches are those that a server would have given. A
file that is not there yet is waited for, with an end to the patience (defect D33).

A file is reported to the syncer, which then deletes it, when a checkpoint holds all its batches and this training will
not read it again. Files that a later epoch reads stay where they are. Only when the syncer's disk budget is used up
while a file is waited for, they make room; the epoch that needs them asks the syncer to fetch them again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from fastnode_ops.config import ExpressionConfig
from fastnode_ops.sample_files.names import SampleFileName
from fastnode_ops.sample_files.reading import SampleFile
from fastnode_ops.samples.batch import TrainingBatch
from fastnode_ops.samples.metainfo import MetaInfo
from fastnode_ops.training.feeds import Feed
from fastnode_ops.training.file_steps import files_to_give_up, is_used_up, missing_steps
from fastnode_ops.training.reading_record import ReadingRecord
from fastnode_ops.training.sample_folder import SampleFolder
from fastnode_ops.training.syncer_client import SyncerClient, SyncerRefusal
from ops_common.errors import ConfigError, DataError, ServiceError

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 3600.0
POLL_SECONDS = 1.0
_SECONDS_PER_LOG = 60.0


class SampleFileFeed(Feed):
    """A feed that reads sample files.

    Args:
        folder: Where finished files appear; it need not exist yet.
        metainfo: What they must be made with.
        config: The settings that they must be made for.
        data_steps: How many steps there are files for; a longer training reads them again.
        syncer_url: The syncer that fills the folder; empty: nobody is told which files are done with.
        patience_seconds: How long to wait for a file.
        poll_seconds: Time between two looks into the folder.
        record: Where to note which files were read; None: nowhere.

    Raises:
        ConfigError: `data_steps` is not positive, or the URL is none.
    """

    def __init__(
        self,
        folder: Path,
        metainfo: MetaInfo,
        config: ExpressionConfig,
        *,
        data_steps: int,
        syncer_url: str = "",
        patience_seconds: float = PATIENCE_SECONDS,
        poll_seconds: float = POLL_SECONDS,
        record: ReadingRecord | None = None,
    ) -> None:
        if data_steps < 1:
            raise ConfigError(f"the number of data steps must be at least 1 (given: {data_steps})")
        self._metainfo_digest = metainfo.digest
        self._folder = SampleFolder(folder, metainfo, config)
        self._data_steps = data_steps
        self._syncer = SyncerClient(syncer_url) if syncer_url else None
        self._patience_seconds, self._poll_seconds = patience_seconds, poll_seconds
        self._record = record
        self._saved_step = 0
        self._stopped = threading.Event()

    @property
    def metainfo_digest(self) -> str:
        """See `Feed`; every file is compared with it."""
        return self._metainfo_digest

    def batch(self, step: int) -> TrainingBatch:
        """Return the batch of the update after `step` updates, when its file is there.

        Raises:
            DataError: The file did not come in time, or is of another metainfo or other settings.
            ArtifactError: It is damaged.
            SyncerRefusal: It was used and cannot be fetched again.
        """
        epoch, data_step = divmod(step, self._data_steps)
        file = self._folder.open(data_step) or self._wait_for(data_step, epoch)
        batch = file.batch(data_step)
        if self._record is not None:
            self._record.read(step, file.path.name, file.sha256)
        return batch

    def saved(self, step: int, last_step: int) -> None:
        """See `Feed`: report the files that this training is done with."""
        self._saved_step = step
        if self._record is not None:
            self._record.saved(step)
        if self._syncer is None:
            return
        done = [name for name in self._folder.names() if is_used_up(name, self._data_steps, step, last_step)]
        try:
            self._report_used(self._syncer, done)
        except ServiceError as error:  # the next checkpoint reports them again
            logger.warning("files that are done with could not be reported: %s", error.message)

    def stop(self) -> None:
        """See `Feed`."""
        self._stopped.set()

    def close(self) -> None:
        """Close file and connections."""
        self.stop()
        self._folder.close()
        if self._syncer is not None:
            self._syncer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _wait_for(self, data_step: int, epoch: int) -> SampleFile:
        started, told = time.monotonic(), -_SECONDS_PER_LOG
        while True:
            waited = time.monotonic() - started
            trouble = self._ask_syncer(self._syncer, data_step, epoch) if self._syncer is not None else ""
            if waited >= self._patience_seconds:
                raise self._out_of_patience(data_step, trouble)
            if waited - told >= _SECONDS_PER_LOG:
                told = waited
                logger.info(
                    "waiting for a sample file: %s%s", self._describe_gap(data_step), trouble and f"; {trouble}"
                )
            if self._stopped.wait(self._poll_seconds):
                raise ServiceError("the reading of sample files was stopped")
            file = self._folder.open(data_step)
            if file is not None:
                return file

    def _ask_syncer(self, syncer: SyncerClient, data_step: int, epoch: int) -> str:
        """Do what helps a file to come; return what stands in its way, as far as the syncer can tell."""
        try:
            state = syncer.state()
            if state.paused:
                names = self._folder.names()
                self._report_used(syncer, files_to_give_up(names, self._data_steps, self._saved_step, data_step))
                return "the syncer fetches nothing, because its disk budget is used up"
            # in the first epoch of this training, marks can only be those of a training before it
            if state.num_used and (epoch or not self._saved_step):
                logger.info("%s: fetch the %d used files again, for epoch %d", syncer.url, state.num_used, epoch)
                syncer.reset()
        except SyncerRefusal as error:
            if epoch:
                raise
            return error.message
        except ServiceError as error:
            return error.message
        return ""

    def _report_used(self, syncer: SyncerClient, names: Sequence[SampleFileName]) -> None:
        if names:
            syncer.report_used([name.file_name for name in names])

    def _describe_gap(self, data_step: int) -> str:
        names = self._folder.names()
        first, last = missing_steps(names, self._data_steps, data_step)
        return f"steps {first} to {last} are in none of the {len(names)} files in {self._folder.path}"

    def _out_of_patience(self, data_step: int, trouble: str) -> DataError:
        waited = f"{self._describe_gap(data_step)}, and none came in {self._patience_seconds:.0f} s"
        where = f"GET {self._syncer.url}/state, " if self._syncer is not None else ""
        return DataError(
            f"{waited}; step {data_step} is the next{trouble and '; ' + trouble}",
            f"look at {where}`make datagen_status`, DATA_DIR and DATA_STEPS; then start the training again, "
            "which goes on from its checkpoint",
        )
