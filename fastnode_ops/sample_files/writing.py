"""Write sample files: the batches first, the index that makes them a finished file last.

The bytes depend on the header and the batches alone: hosts that make the same steps make the same file.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

import orjson
import zstandard

from fastnode_ops.sample_files.header import COMPRESSION_LEVEL, SampleFileHeader, SampleFileIndex
from fastnode_ops.samples.batch import TrainingBatch
from ops_common.artifacts import write_bytes
from ops_common.errors import DataError
from ops_common.tfrecord import frame_record


def encode_batch(batch: TrainingBatch) -> bytes:
    """Return a batch as a record's payload: its JSON text as the server sends it, compressed."""
    # one thread, no check sum (the record has one): the bytes must not depend on the machine
    return zstandard.ZstdCompressor(level=COMPRESSION_LEVEL).compress(batch.to_json_text())


def write_sample_file(folder: Path, header: SampleFileHeader, batches: Iterable[TrainingBatch]) -> Path:
    """Write a sample file and its index; a file of the same name is replaced.

    Args:
        folder: Where to; made when it is missing.
        header: What the batches are; it names the file.
        batches: Those of the steps of the header, in order. They are held in memory, compressed, until all are there.

    Returns:
        The file with the batches.

    Raises:
        NoRoomError: The disk is full; nothing half is left.
        ArtifactError: The folder cannot be written.
        DataError: There are more or fewer batches than the header says.
    """
    index = write_records(folder, header, [encode_batch(batch) for batch in batches])
    write_index(folder, index)
    return folder / header.name.file_name


def write_records(folder: Path, header: SampleFileHeader, records: Sequence[bytes]) -> SampleFileIndex:
    """Write the file with the batches, of which `encode_batch` has made records; without an index it is not finished.

    Returns:
        Its index, for `write_index`. Errors are those of `write_sample_file`.
    """
    if len(records) != header.num_batches:
        raise DataError(f"{header.name.file_name} has {header.num_batches} batches by its header, not {len(records)}")
    framed = [frame_record(record) for record in (encode_header(header), *records)]
    content = b"".join(framed)
    starts = itertools.accumulate(map(len, framed[:-1]), initial=0)
    (folder / header.name.index_name).unlink(missing_ok=True)  # what it says is not true of the new file
    write_bytes(folder / header.name.file_name, content)
    return SampleFileIndex(
        sha256=hashlib.sha256(content).hexdigest(), num_bytes=len(content), header=header, offsets=list(starts)
    )


def write_index(folder: Path, index: SampleFileIndex) -> None:
    """Write the index of a sample file that stands there: that finishes it."""
    write_bytes(folder / index.header.name.index_name, _plain_json(index) + b"\n")


def encode_header(header: SampleFileHeader) -> bytes:
    """Return the payload of a file's first record."""
    return _plain_json(header)


def _plain_json(part: SampleFileHeader | SampleFileIndex) -> bytes:
    return orjson.dumps(part.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS)
