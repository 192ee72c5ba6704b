"""Several TFRecord files, each with labels of its own, to one: a record per block with the labels of all sources.

What `merging.py` does with CSV files, for data that is in Gematria's format already. Two records are of one block when
their machine code is equal; without machine code, when their canonical instructions are. Blocks wait on disk, so
memory stays flat.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from gematria_ops.data.block_table import named_table_errors
from gematria_ops.data.dataset import read_blocks
from gematria_ops.formats.protos.basic_block_pb2 import BasicBlockProto
from gematria_ops.formats.protos.throughput_pb2 import BasicBlockWithThroughputProto, ThroughputWithSourceProto
from ops_common.progress import Progress
from ops_common.tfrecord import RecordWriter

_CACHE_KIBIBYTES = 32 * 1024


@dataclass(slots=True)
class MergeReport:
    """What a merge did.

    Attributes:
        num_records: Records read.
        num_blocks: Records written.
        num_sources: Different sources.
        num_labels: Entries written.
        num_repeated_labels: Left out: the block had the same label from the same source already.
        num_conflicting_labels: Left out: the block had another label from the same source already.
        num_differing_blocks: Records whose canonical instructions differ from those of an earlier record with the
            same machine code, which are kept: the files come from different editions of the instruction tables.
    """

    num_records: int = 0
    num_blocks: int = 0
    num_sources: int = 0
    num_labels: int = 0
    num_repeated_labels: int = 0
    num_conflicting_labels: int = 0
    num_differing_blocks: int = 0


def merge_record_files(input_files: Sequence[Path], output_file: Path) -> MergeReport:
    """Merges TFRecord files.

    Args:
        input_files: In order; blocks and labels keep the order of first appearance.
        output_file: The file to write; may be one of the input files.

    Returns:
        What was written and what was left out.

    Raises:
        DataError: An input file is missing, torn, or holds something else than blocks.
        ArtifactError: The output cannot be written.
        ServiceError: The folder for temporary files is full.
    """
    report = MergeReport()
    with _LabelTable() as table:
        with Progress("read", None, "records") as progress:
            for message in read_blocks(input_files):
                table.add(message, report)
                progress.advance()
        with RecordWriter(output_file) as writer, Progress("write", report.num_blocks, "blocks") as progress:
            for message in table.merged():
                writer.write(message.SerializeToString())
                progress.advance()
    return report


def block_key(block: BasicBlockProto) -> bytes:
    """Returns what two records of one block have in common."""
    if block.machine_instructions:
        return b"machine:" + b"".join(instruction.machine_code for instruction in block.machine_instructions)
    canonical = BasicBlockProto(canonicalized_instructions=block.canonicalized_instructions)
    return b"canonical:" + canonical.SerializeToString(deterministic=True)


class _LabelTable:
    """Blocks and their labels in a private SQLite database without a name; see `BlockTable`."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect("", isolation_level=None)

    def __enter__(self) -> Self:
        with named_table_errors():
            for pragma in (f"cache_size = -{_CACHE_KIBIBYTES}", "temp_store = FILE", "journal_mode = OFF"):
                self._connection.execute(f"PRAGMA {pragma}")
            self._connection.execute("CREATE TABLE blocks (id INTEGER PRIMARY KEY, key BLOB UNIQUE, block BLOB)")
            self._connection.execute("CREATE TABLE sources (id INTEGER PRIMARY KEY, name TEXT UNIQUE)")
            self._connection.execute(
                "CREATE TABLE labels (id INTEGER PRIMARY KEY, block_id INTEGER, source_id INTEGER, label BLOB, "
                "UNIQUE (block_id, source_id))"
            )
            self._connection.execute("BEGIN")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection.close()

    def add(self, message: BasicBlockWithThroughputProto, report: MergeReport) -> None:
        """Adds a record: its block if it is new, and the labels of sources that the block has none of yet."""
        report.num_records += 1
        with named_table_errors():
            block_id = self._block_id(message.basic_block, report)
            for entry in message.inverse_throughputs:
                self._add_label(block_id, entry, report)

    def _block_id(self, block: BasicBlockProto, report: MergeReport) -> int:
        key, content = block_key(block), block.SerializeToString(deterministic=True)
        row = self._connection.execute("SELECT id, block FROM blocks WHERE key = ?", (key,)).fetchone()
        if row is None:
            report.num_blocks += 1
            inserted = self._connection.execute("INSERT INTO blocks (key, block) VALUES (?, ?)", (key, content))
            return int(inserted.lastrowid or 0)
        block_id, earlier = row
        if earlier != content:
            instructions = BasicBlockProto.FromString(earlier).canonicalized_instructions
            report.num_differing_blocks += list(instructions) != list(block.canonicalized_instructions)
        return int(block_id)

    def _add_label(self, block_id: int, entry: ThroughputWithSourceProto, report: MergeReport) -> None:
        added = self._connection.execute("INSERT OR IGNORE INTO sources (name) VALUES (?)", (entry.source,))
        report.num_sources += added.rowcount
        find_source = "SELECT id FROM sources WHERE name = ?"
        (source_id,) = self._connection.execute(find_source, (entry.source,)).fetchone()
        label = entry.SerializeToString(deterministic=True)
        added = self._connection.execute(
            "INSERT OR IGNORE INTO labels (block_id, source_id, label) VALUES (?, ?, ?)", (block_id, source_id, label)
        )
        report.num_labels += added.rowcount
        if not added.rowcount:
            (earlier,) = self._connection.execute(
                "SELECT label FROM labels WHERE block_id = ? AND source_id = ?", (block_id, source_id)
            ).fetchone()
            report.num_repeated_labels += earlier == label
            report.num_conflicting_labels += earlier != label

    def merged(self) -> Iterator[BasicBlockWithThroughputProto]:
        """Yields the blocks with all their labels, both in the order of first appearance."""
        with named_table_errors():
            for block_id, block in self._connection.execute("SELECT id, block FROM blocks ORDER BY id"):
                message = BasicBlockWithThroughputProto(basic_block=BasicBlockProto.FromString(block))
                for (label,) in self._connection.execute(
                    "SELECT label FROM labels WHERE block_id = ? ORDER BY id", (block_id,)
                ):
                    message.inverse_throughputs.add().ParseFromString(label)
                yield message
