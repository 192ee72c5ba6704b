"""Sample files of any size for tests of the syncer, which does not look into batches."""

import random
from pathlib import Path
from typing import Any

from fastnode_ops.sample_files.names import SampleFileName
from fastnode_ops.sample_files.writing import write_index, write_records
from tests.fastnode.sample_files.files import sample_header

BATCHES = 2


def make_file(folder: Path, index: int = 0, *, num_bytes: int = 2_000, content: int = 0, **more: Any) -> SampleFileName:
    """Write the finished file of a range of two steps; its bytes depend on the index and `content` alone."""
    folder.mkdir(parents=True, exist_ok=True)
    header = sample_header(index * BATCHES, BATCHES, **more)
    draw = random.Random(f"{index} {content}")
    written = write_records(folder, header, [draw.randbytes(num_bytes // BATCHES) for _ in range(BATCHES)])
    write_index(folder, written)
    return header.name


def file_name(index: int) -> str:
    return sample_header(index * BATCHES, BATCHES).name.file_name


def size_of(folder: Path, index: int) -> int:
    """The bytes of a file and its index."""
    name = sample_header(index * BATCHES, BATCHES).name
    return sum((folder / part).stat().st_size for part in (name.file_name, name.index_name))
