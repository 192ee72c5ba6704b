"""Read sample files: find those that are finished, check them, take single batches out of them."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NoReturn, Self

import orjson
import zstandard
from pydantic import ValidationError

from fastnode_ops.sample_files.header import SampleFileHeader, SampleFileIndex
from fastnode_ops.sample_files.names import FILE_SUFFIX, INDEX_SUFFIX, SampleFileName, parse_name
from fastnode_ops.sample_files.writing import encode_header
from fastnode_ops.samples.batch import TrainingBatch
from ops_common.artifacts import check_file
from ops_common.errors import ArtifactError, DataError
from ops_common.tfrecord import FRAME_BYTES, read_record_at

MAX_BATCH_BYTES = 256 * 1024 * 1024
"""The longest JSON text of a batch; a larger one is not made, and nobody should have to allocate it."""

MAX_INDEX_BYTES = 4 * 1024 * 1024

_AGAIN = "remove it and fetch or make it again"


def finished_files(folder: Path) -> list[SampleFileName]:
    """Return the finished sample files of a folder, by their steps; none when there is no such folder.

    Other files are passed over: those in the making, and those whose index is missing.
    """
    if not folder.is_dir():
        return []
    present = {path.name for path in folder.iterdir()}
    found = []
    for name in present:
        stem = name.removesuffix(INDEX_SUFFIX)
        if stem == name or stem + FILE_SUFFIX not in present:
            continue
        try:
            found.append(parse_name(stem + FILE_SUFFIX))
        except DataError:
            continue
    return sorted(found)


def check_sample_file(path: Path, *, metainfo_digest: str = "", request_digest: str = "") -> SampleFileHeader:
    """Compare a sample file with its index and its name, byte for byte, and with what it has to be made from.

    Args:
        path: The `.samples` file; its index stands beside it.
        metainfo_digest: The metainfo that it must be of; empty: any.
        request_digest: The request that it must be of; empty: any.

    Returns:
        Its header.

    Raises:
        ArtifactError: It is missing, torn or damaged, has another name than it was written under, or its index is.
        DataError: It is whole, but made from another metainfo or for another request; or the name is not one of a
            sample file.
    """
    index = read_index(path)
    check_file(path, index.sha256, index.num_bytes, f"by {_index_path(path).name}")
    with SampleFile(path, metainfo_digest=metainfo_digest, request_digest=request_digest) as file:
        file.check_offsets()
        return file.header


def read_index(path: Path) -> SampleFileIndex:
    """Read the index of a `.samples` file.

    Raises:
        ArtifactError: It is missing, damaged, or of a file of another name.
        DataError: The name is not one of a sample file.
    """
    name, index_path = parse_name(path.name), _index_path(path)
    try:
        with index_path.open("rb") as file:
            text = file.read(MAX_INDEX_BYTES + 1)
    except FileNotFoundError:
        raise ArtifactError(
            f"{path} is not finished: {index_path.name} is missing", "wait for it, or make it again"
        ) from None
    except OSError as error:
        raise ArtifactError(f"{index_path} cannot be read: {error.strerror}") from error
    if len(text) > MAX_INDEX_BYTES:
        raise ArtifactError(f"{index_path} is no index: it is larger than {MAX_INDEX_BYTES:,} bytes", _AGAIN)
    try:
        index = SampleFileIndex.model_validate(orjson.loads(text))
    except (orjson.JSONDecodeError, ValidationError) as error:
        raise ArtifactError(f"{index_path} is no index: {_first_problem(error)}", _AGAIN) from None
    if index.header.name != name:
        raise ArtifactError(f"{path.name} was written as {index.header.name.file_name}", "give it its name back")
    return index


class SampleFile:
    """An open sample file. Its size and every record that is read are checked; `check_sample_file` checks all of it.

    Args:
        path: The `.samples` file; its index stands beside it.
        metainfo_digest: The metainfo that it must be of; empty: any.
        request_digest: The request that it must be of; empty: any.

    Raises:
        ArtifactError: It is missing, torn or damaged, or its index is.
        DataError: It was made from another metainfo or for another request.
    """

    def __init__(self, path: Path, *, metainfo_digest: str = "", request_digest: str = "") -> None:
        self.path = path
        self._index = read_index(path)
        _check_digest(path, "metainfo", self.header.metainfo_digest, metainfo_digest)
        _check_digest(path, "request", self.header.request_digest, request_digest)
        if len(self._index.offsets) != self.header.num_batches + 1:
            raise ArtifactError(
                f"{_index_path(path)} has {len(self._index.offsets)} offsets for {self.header.num_batches} batches",
                _AGAIN,
            )
        self._file = _open(path)
        try:
            self._check_start()
        except BaseException:
            self._file.close()
            raise

    @property
    def header(self) -> SampleFileHeader:
        """What the batches are."""
        return self._index.header

    @property
    def sha256(self) -> str:
        """The digest of the file by its index; `check_sample_file` compares it with the bytes."""
        return self._index.sha256

    def batch(self, step: int) -> TrainingBatch:
        """Return the batch of a step.

        Raises:
            ArtifactError: Its record is damaged.
            DataError: The step is not in this file.
        """
        try:
            return TrainingBatch.from_json(orjson.loads(self.json_text(step)))
        except orjson.JSONDecodeError as error:
            self._damaged(step, f"it is not JSON: {error}")

    def json_text(self, step: int) -> bytes:
        """Return the batch of a step as the server sends it; errors as of `batch`."""
        record_index = step - self.header.first_step + 1
        if not 1 <= record_index <= self.header.num_batches:
            raise DataError(f"{self.path.name} has no step {step}")
        payload = self._record(record_index)
        try:
            size = zstandard.frame_content_size(payload)
            if not 0 <= size <= MAX_BATCH_BYTES:
                self._damaged(step, f"its size of {size} bytes is unreasonable")
            return zstandard.ZstdDecompressor().decompress(payload)
        except zstandard.ZstdError as error:
            self._damaged(step, str(error))

    def check_offsets(self) -> None:
        """Raise ArtifactError unless the index says of every record where it begins, and nothing else is there."""
        ends = [*self._index.offsets[1:], self._index.num_bytes]
        for start, end in zip(self._index.offsets, ends):
            self._file.seek(start)
            length = int.from_bytes(self._file.read(8), "little")
            if start + length + FRAME_BYTES != end:
                raise ArtifactError(f"{_index_path(self.path)}: no record begins at {start} and ends at {end}", _AGAIN)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _check_start(self) -> None:
        size = self._file.seek(0, 2)
        if size != self._index.num_bytes:
            raise ArtifactError(f"{self.path} has {size} bytes, not {self._index.num_bytes} by its index", _AGAIN)
        if self._index.offsets[0] != 0 or self._record(0) != encode_header(self.header):
            raise ArtifactError(f"{self.path} does not begin with the header that its index has", _AGAIN)

    def _record(self, record_index: int) -> bytes:
        try:
            return read_record_at(self._file, self.path, record_index, self._index.offsets[record_index])
        except DataError as error:
            raise ArtifactError(error.message, _AGAIN) from None

    def _damaged(self, step: int, what: str) -> NoReturn:
        raise ArtifactError(f"{self.path}: the batch of step {step} is damaged: {what}", _AGAIN) from None


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist", "fetch it again, or make it again") from None
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from error


def _check_digest(path: Path, what: str, actual: str, wanted: str) -> None:
    if wanted and actual != wanted:
        raise DataError(
            f"{path.name} is of another {what} ({actual[:12]}, not {wanted[:12]})",
            f"its rows mean something else: make samples for this {what}, in an empty folder",
        )


def _first_problem(error: orjson.JSONDecodeError | ValidationError) -> str:
    if isinstance(error, orjson.JSONDecodeError):
        return f"it is not JSON: {error}"
    problem = error.errors(include_url=False)[0]
    return f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"


def _index_path(path: Path) -> Path:
    return path.with_suffix(INDEX_SUFFIX)
