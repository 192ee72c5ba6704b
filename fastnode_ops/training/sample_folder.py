"""A folder of sample files, read by step; files may come and go meanwhile."""

from __future__ import annotations

from pathlib import Path

from fastnode_ops.config import ExpressionConfig, Split
from fastnode_ops.sample_files.header import request_digest
from fastnode_ops.sample_files.names import SampleFileName
from fastnode_ops.sample_files.reading import SampleFile, check_sample_file, finished_files
from fastnode_ops.samples.metainfo import MetaInfo
from fastnode_ops.samples.request import session_request
from ops_common.errors import ArtifactError


class SampleFolder:
    """Finds the file that a step is in; only finished files, each compared byte for byte before it is read.

    Args:
        path: The folder; it need not exist yet.
        metainfo: What the files must be made with.
        config: The settings that they must be made for.
        split: Which split they must be of.
    """

    def __init__(self, path: Path, metainfo: MetaInfo, config: ExpressionConfig, split: Split = "train") -> None:
        self.path = path
        self._seed = config.train.seed
        request = session_request(metainfo, config, num_batches=1, split=split)
        self._digests = {"metainfo_digest": metainfo.digest, "request_digest": request_digest(request)}
        self._file: SampleFile | None = None

    def names(self) -> list[SampleFileName]:
        """Return the files that are finished, by their steps."""
        return finished_files(self.path)

    def open(self, step: int) -> SampleFile | None:
        """Return the file that has a step, open until the next one is; None when there is none yet.

        Raises:
            ArtifactError: The file is damaged.
            DataError: It was made with another metainfo or for other settings.
        """
        if self._file is not None and self._file.header.first_step <= step < self._file.header.name.end_step:
            return self._file
        self.close()
        names = [name for name in self.names() if name.first_step <= step < name.end_step]
        if not names:
            return None
        # of another seed is of another request: refused, unless ours is there as well
        name = min(names, key=lambda name: (name.seed != self._seed, name))
        path = self.path / name.file_name
        try:
            check_sample_file(path, **self._digests)
            self._file = SampleFile(path, **self._digests)
        except ArtifactError:
            if name in self.names():
                raise
            return None  # taken away between two looks
        return self._file

    def close(self) -> None:
        """Close the open file."""
        if self._file is not None:
            self._file.close()
            self._file = None
