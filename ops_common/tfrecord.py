"""TFRecord files: framed records with checksums, read and written without TensorFlow.

A record is, little-endian (section 1.10 of the specification of the throughput models):

    uint64  length of the payload
    uint32  masked CRC-32C of those eight bytes
    bytes   the payload
    uint32  masked CRC-32C of the payload

There is no header and no compression, so an empty file is a valid file without records.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self

import google_crc32c

from ops_common.artifacts import atomic_path
from ops_common.errors import ArtifactError, DataError

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

# Protocol buffers end at 2 GiB; a longer record cannot be one of ours, and nobody should have to allocate it.
MAX_RECORD_BYTES = (1 << 31) - 1

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
_LENGTH = struct.Struct("<Q")
_MASK_DELTA = 0xA282EAD8
_BUFFER_BYTES = 1 << 20

FRAME_BYTES = _HEADER.size + _FOOTER.size
"""What a record takes beside its payload."""


class Record(NamedTuple):
    """A record and where it stands.

    Attributes:
        path: The file.
        record_index: Position in that file, from 0.
        payload: The content.
    """

    path: Path
    record_index: int
    payload: bytes


def masked_crc32c(data: bytes) -> int:
    """Returns the CRC-32C (Castagnoli) of some bytes, rotated by 15 bits and shifted by a constant."""
    crc: int = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def frame_record(payload: bytes) -> bytes:
    """Returns a payload with its length and checksums, ready to be appended to a file."""
    length = _LENGTH.pack(len(payload))
    return b"".join((length, _FOOTER.pack(masked_crc32c(length)), payload, _FOOTER.pack(masked_crc32c(payload))))


def read_records(paths: Paths) -> Iterator[bytes]:
    """Reads the payloads of one file or of several, in order, one at a time.

    Args:
        paths: A file name or a sequence of them.

    Yields:
        The payloads.

    Raises:
        DataError: A file is missing or cannot be read, or a record is torn or damaged; file and record are named.
            Raised when the iteration gets there, not before.
    """
    for record in read_located_records(paths):
        yield record.payload


def read_located_records(paths: Paths) -> Iterator[Record]:
    """Reads records together with the file and the position of each; see `read_records`."""
    for path in as_paths(paths):
        yield from _read_file(path)


def read_record_at(file: BinaryIO, path: Path, record_index: int, offset: int) -> bytes:
    """Reads one record whose place is known.

    Args:
        file: The open file.
        path: Its name, for messages.
        record_index: Which record that is, for messages.
        offset: Where its length stands, in bytes from the start of the file.

    Raises:
        DataError: What stands there is no whole record.
    """
    file.seek(offset)
    return _read_payload(file, _read(file, _HEADER.size, path), path, record_index)


def as_paths(paths: Paths) -> list[Path]:
    """Returns one file name or several as a list of paths."""
    if isinstance(paths, str | os.PathLike):
        return [Path(paths)]
    return [Path(path) for path in paths]


def is_record_file(path: Path) -> bool:
    """Tells whether a file is a TFRecord file as far as its first bytes tell; an empty file is one.

    Raises:
        DataError: The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER.size)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}", "check the file name") from error
    return not header or (len(header) == _HEADER.size and masked_crc32c(header[:8]) == _HEADER.unpack(header)[1])


def _read_file(path: Path) -> Iterator[Record]:
    try:
        file = path.open("rb", buffering=_BUFFER_BYTES)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist", "check the file name, or run the step that writes it") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}", "give the name of a TFRecord file") from error
    with file:
        record_index = 0
        while header := _read(file, _HEADER.size, path):
            yield Record(path, record_index, _read_payload(file, header, path, record_index))
            record_index += 1


def _read_payload(file: BinaryIO, header: bytes, path: Path, record_index: int) -> bytes:
    """Reads what follows a record's header, checking everything before it is trusted."""
    if len(header) < _HEADER.size:
        raise _damaged(path, record_index, f"the file ends within its header ({len(header)} of {_HEADER.size} bytes)")
    length, length_crc = _HEADER.unpack(header)
    if masked_crc32c(header[:8]) != length_crc:
        raise _damaged(path, record_index, "the checksum of its length is wrong")
    if length > MAX_RECORD_BYTES:
        raise _damaged(path, record_index, f"its length of {length} bytes is unreasonable")
    _check_remaining(file, length + _FOOTER.size, path, record_index)
    payload = _read(file, length, path)
    footer = _read(file, _FOOTER.size, path)
    if len(payload) < length or len(footer) < _FOOTER.size:
        raise _damaged(path, record_index, f"the file ends within its content of {length} bytes")
    if masked_crc32c(payload) != _FOOTER.unpack(footer)[0]:
        raise _damaged(path, record_index, "the checksum of its content is wrong")
    return payload


def _check_remaining(file: BinaryIO, num_bytes: int, path: Path, record_index: int) -> None:
    """Finds a length beyond the end of the file before anything of that length is allocated."""
    # Asking costs two system calls, so short records are left to the read itself.
    if num_bytes <= _BUFFER_BYTES or not file.seekable():
        return
    remaining = os.fstat(file.fileno()).st_size - file.tell()
    if num_bytes > remaining:
        raise _damaged(path, record_index, f"the file ends within its content ({remaining} of {num_bytes} bytes left)")


def _read(file: BinaryIO, num_bytes: int, path: Path) -> bytes:
    try:
        return file.read(num_bytes)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}", "give the name of a TFRecord file") from error


def _damaged(path: Path, record_index: int, what: str) -> DataError:
    return DataError(
        f"{path}: record {record_index} is damaged: {what}",
        "the file is torn or is not a TFRecord file; copy it again or run the step that writes it",
    )


class RecordWriter:
    """Writes a TFRecord file that stands under its name only once it is whole. Use as a context manager.

        with RecordWriter("blocks.tfrecord") as writer:
            for block in blocks:
                writer.write(block.SerializeToString())

    When the body ends with an error, nothing is left behind and a file that stood there before stays as it was.

    Args:
        path: The file to write. Missing parent folders are made.

    Raises:
        ArtifactError: The disk is full, the folder cannot be written, or `path` is a folder itself.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.num_records = 0
        self._file: BinaryIO | None = None
        self._exit_stack = ExitStack()

    def __enter__(self) -> Self:
        if self.path.is_dir():
            raise ArtifactError(f"{self.path} is a folder, not a TFRecord file", "give the name of the file to write")
        with ExitStack() as stack:
            temporary = stack.enter_context(atomic_path(self.path))
            self._file = stack.enter_context(temporary.open("wb", buffering=_BUFFER_BYTES))
            self._exit_stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file = None
        self._exit_stack.__exit__(kind, error, traceback)

    def write(self, payload: bytes) -> None:
        """Appends one record."""
        self.write_framed(frame_record(payload))

    def write_framed(self, framed: bytes) -> None:
        """Appends one record that `frame_record` has framed, possibly in another process."""
        self._open_file().write(framed)
        self.num_records += 1

    def flush(self) -> None:
        """Hands over to the system what is still in memory, so that a full disk shows now and not at the end."""
        self._open_file().flush()

    def _open_file(self) -> BinaryIO:
        if self._file is None:
            raise ValueError(f"the writer of {self.path} is used outside of its with block")
        return self._file


def write_records(path: str | os.PathLike[str], payloads: Iterable[bytes]) -> int:
    """Writes a TFRecord file; no payloads make an empty, valid file.

    Args:
        path: The file to write. Missing parent folders are made.
        payloads: The content of each record.

    Returns:
        The number of records.

    Raises:
        ArtifactError: The disk is full, or the folder cannot be written.
    """
    with RecordWriter(path) as writer:
        for payload in payloads:
            writer.write(payload)
    return writer.num_records
