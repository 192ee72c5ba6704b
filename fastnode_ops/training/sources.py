"""Where a training takes its samples from: a graph data server, or sample files that were made before.

Either gives the training batches and the held-out batches, which are always the same and of files that are never
trained on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, Self

from fastnode_ops.config import ExpressionConfig
from fastnode_ops.samples.batch import TrainingBatch
from fastnode_ops.samples.metainfo import MetaInfo
from fastnode_ops.server.local import is_serving, serving
from fastnode_ops.training.feeds import Feed
from fastnode_ops.training.reading_record import ReadingRecord
from fastnode_ops.training.sample_file_feed import PATIENCE_SECONDS, SampleFileFeed
from fastnode_ops.training.sample_folder import SampleFolder
from fastnode_ops.training.session_feed import SessionFeed, held_out_batches
from ops_common.artifacts import MANIFEST_NAME
from ops_common.errors import ConfigError, DataError

logger = logging.getLogger(__name__)

HELD_OUT_FOLDER = "validation"
"""In a folder of sample files, the folder with those of the held-out batches."""


class SampleSource(Protocol):
    """A place that samples come from."""

    @property
    def data_steps(self) -> int:
        """How many steps have samples of their own before they come again; 0: any number."""

    def with_data_steps(self, default: int) -> Self:
        """Return the same with `data_steps` settled, where it can be and is not yet."""

    def opened(
        self, metainfo: MetaInfo, config: ExpressionConfig, first_step: int
    ) -> AbstractContextManager[tuple[Feed, list[TrainingBatch]]]:
        """Give the training batches from a step on, and the held-out batches; there may be none of the latter."""


@dataclass(frozen=True, slots=True)
class ServedSamples:
    """Samples that a graph data server draws while the training runs.

    Args:
        corpus_dir: The corpus, for a private server and to compare with.
        server: Base URL of a server that may be running; empty: a private one.
    """

    corpus_dir: Path
    server: str = ""

    @property
    def data_steps(self) -> int:
        """See `SampleSource`."""
        return 0

    def with_data_steps(self, default: int) -> Self:
        """See `SampleSource`."""
        del default
        return self

    @contextmanager
    def opened(
        self, metainfo: MetaInfo, config: ExpressionConfig, first_step: int
    ) -> Iterator[tuple[Feed, list[TrainingBatch]]]:
        """See `SampleSource`."""
        with serving(self.server, self.corpus_dir) as url, SessionFeed(url, metainfo, config, first_step) as feed:
            yield feed, held_out_batches(url, metainfo, config)


@dataclass(frozen=True, slots=True)
class SampleFiles:
    """Samples in files, which may still be coming.

    The held-out batches are read from files of the split `validation` in the folder `validation` beside the others.
    Where there are none, a graph data server is asked for them once, a private one where the corpus is.

    Args:
        folder: Where finished files appear.
        data_steps: How many steps there are files for; 0: not said yet.
        syncer: Base URL of the syncer that fills the folder; empty: none does.
        patience_seconds: How long to wait for a file.
        corpus_dir: The corpus, where there is one.
        server: Base URL of a graph data server that may be running.
        record_path: Where to write which files were read; None: nowhere.
    """

    folder: Path
    data_steps: int = 0
    syncer: str = ""
    patience_seconds: float = PATIENCE_SECONDS
    corpus_dir: Path | None = None
    server: str = ""
    record_path: Path | None = None

    def with_data_steps(self, default: int) -> Self:
        """See `SampleSource`."""
        return self if self.data_steps else replace(self, data_steps=default)

    @contextmanager
    def opened(
        self, metainfo: MetaInfo, config: ExpressionConfig, first_step: int
    ) -> Iterator[tuple[Feed, list[TrainingBatch]]]:
        """See `SampleSource`."""
        del first_step  # files are read from any step on
        if not self.data_steps:
            raise ConfigError("it is not known for how many steps there are sample files", "give --data-steps")
        feed = SampleFileFeed(
            self.folder,
            metainfo,
            config,
            data_steps=self.data_steps,
            syncer_url=self.syncer,
            patience_seconds=self.patience_seconds,
            record=ReadingRecord(self.record_path, self.data_steps) if self.record_path else None,
        )
        with feed:
            yield feed, self._held_out(metainfo, config)

    def _held_out(self, metainfo: MetaInfo, config: ExpressionConfig) -> list[TrainingBatch]:
        files = SampleFolder(self.folder / HELD_OUT_FOLDER, metainfo, config, "validation")
        if files.names():
            return _read_held_out(files, config.train.num_validation_batches)
        if self.corpus_dir is not None and (self.corpus_dir / MANIFEST_NAME).exists():
            with serving(self.server, self.corpus_dir) as url:
                return held_out_batches(url, metainfo, config)
        if self.server and is_serving(self.server, None):
            return held_out_batches(self.server, metainfo, config)
        if not config.train.validation_steps:
            logger.warning("there is no validation: train.validation_steps is 0, and there are no held-out batches")
            return []
        raise ConfigError(
            f"there are no held-out batches: no sample file in {files.path}, no corpus, and no graph data server",
            f"make {config.train.num_validation_batches} steps of the split validation into that folder, "
            "give a corpus or a server, or set train.validation_steps=0 to do without",
        )


def _read_held_out(files: SampleFolder, num_batches: int) -> list[TrainingBatch]:
    batches = []
    try:
        for step in range(num_batches):
            file = files.open(step)
            if file is None:
                raise DataError(
                    f"held-out step {step} is in no sample file in {files.path}",
                    f"steps 0 to {num_batches - 1} are needed (train.num_validation_batches)",
                )
            batches.append(file.batch(step))
    finally:
        files.close()
    return batches
