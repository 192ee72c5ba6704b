"""One BHive CSV file to one TFRecord file, as a stream: the records stand in the order of the rows.

Several files that are to become one data set go through `merging.py` instead.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from gematria_ops.data.block_records import ChunkEncoder, EncodedBlock, in_chunks
from gematria_ops.data.block_table import Block, BlockTable, Label
from gematria_ops.data.import_report import ImportReport, RowCounter, check_share_limit, describe_lengths
from gematria_ops.data.ordered_pool import ordered_map
from gematria_ops.formats.bhive_csv import BhiveRow, CsvLayout, RejectedRow, RejectReason, read_rows
from ops_common.progress import Progress
from ops_common.tfrecord import RecordWriter


def import_bhive(
    csv_file: Path,
    source_name: str,
    output_file: Path,
    *,
    layout: CsvLayout | None = None,
    max_rejected_share: float = 0.01,
    num_workers: int = 2,
) -> ImportReport:
    """Imports one CSV file.

    A block that occurs again is left out and counted, whether its label is the same (harmless) or another one.

    Args:
        csv_file: `<machine code in hex>,<cycles>` per line; plain or compressed with gzip.
        source_name: The throughput source of its labels, for example "bhive: hsw".
        output_file: The TFRecord file to write.
        layout: Columns and unit of the file; by default BHive's, cycles per 100 iterations.
        max_rejected_share: Which share of the rows may be unusable, 0 to 1.
        num_workers: Processes that decode and canonicalise.

    Returns:
        What was used and what was not.

    Raises:
        ConfigError: An argument is wrong.
        DataError: The file cannot be read, or too many of its rows are unusable. Nothing is written then.
        ArtifactError: The output cannot be written.
    """
    from gematria_ops.blocks.decoding import CANONICALIZER_VERSION

    check_share_limit(max_rejected_share)
    layout = layout or CsvLayout()
    rows = RowCounter(csv_file)
    with BlockTable(num_sources=1) as table, RecordWriter(output_file) as writer:
        blocks = _new_blocks(csv_file, layout, table, rows)
        num_by_length = _write_blocks(blocks, source_name, table, rows, writer, num_workers)
        rows.check_share(max_rejected_share)
        source = rows.report(source_name, {}, table.statistics(0))
    return ImportReport(
        num_blocks=writer.num_records,
        blocks_by_split={},
        sources=(source,),
        block_lengths=describe_lengths(num_by_length),
        throughput_scaling=layout.throughput_scaling,
        canonicalizer_version=CANONICALIZER_VERSION,
    )


def _write_blocks(
    blocks: Iterator[Block],
    source_name: str,
    table: BlockTable,
    rows: RowCounter,
    writer: RecordWriter,
    num_workers: int,
) -> Counter[int]:
    """Encodes blocks and writes those that can be decoded; returns number of instructions to number of blocks."""
    num_by_length: Counter[int] = Counter()
    make_encoder = functools.partial(ChunkEncoder, [source_name])
    with (
        Progress(f"import {rows.path.name}", None, "blocks") as progress,
        closing(ordered_map(make_encoder, in_chunks(blocks), num_workers)) as encoded_chunks,
    ):
        for encoded_chunk in encoded_chunks:
            for encoded in encoded_chunk:
                if isinstance(encoded, EncodedBlock):
                    writer.write_framed(encoded.record)
                    num_by_length[encoded.num_instructions] += 1
                    continue
                table.reject(encoded.block.machine_code)
                for _, row in encoded.rejected_rows():
                    rows.reject(row)
            progress.advance(len(encoded_chunk))
    return num_by_length


def add_labels(
    csv_file: Path, source_index: int, layout: CsvLayout, table: BlockTable, rows: RowCounter
) -> Iterator[Block | None]:
    """Reads the rows of a file into the table.

    Args:
        csv_file: The file.
        source_index: The source that its labels belong to.
        layout: Its columns and unit.
        table: Where blocks and labels are kept.
        rows: Where rows are counted, and those rejected that cannot be used or repeat an earlier one of this file.

    Yields:
        For every row the block with this one label, or None when the row is not used.
    """
    for row in read_rows(csv_file, layout):
        rows.num_rows += 1
        if isinstance(row, RejectedRow):
            rows.reject(row)
            yield None
            continue
        label = Label(source_index, row.cycles_per_iteration, row.line_number)
        earlier = table.add(row.machine_code, label)
        if earlier is None:
            yield Block(row.machine_code, (label,))
        else:
            rows.reject(_duplicate(row, earlier))
            yield None


def _new_blocks(csv_file: Path, layout: CsvLayout, table: BlockTable, rows: RowCounter) -> Iterator[Block]:
    return (block for block in add_labels(csv_file, 0, layout, table, rows) if block is not None)


def _duplicate(row: BhiveRow, earlier: Label) -> RejectedRow:
    if row.cycles_per_iteration == earlier.cycles_per_iteration:
        return RejectedRow(row.line_number, RejectReason.EXACT_DUPLICATE, f"the same as line {earlier.line_number}")
    text = (
        f"{row.cycles_per_iteration:g} cycles per iteration, but {earlier.cycles_per_iteration:g} "
        f"for the same block in line {earlier.line_number}"
    )
    return RejectedRow(row.line_number, RejectReason.CONFLICTING_DUPLICATE, text)
