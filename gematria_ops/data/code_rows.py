"""Machine code to block messages for a prediction, as a stream: several processes decode, every row stays in its place.

Unlike an import this keeps the order and the duplicates of its input, and a row may do without a label: each row gets
an answer, or a reason why there is none.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from gematria_ops.data.ordered_pool import ordered_map
from gematria_ops.formats.bhive_csv import CsvLayout, RejectReason, parse_line, read_lines, shortened
from gematria_ops.formats.block_encoding import BlockEncoder, encode_block_with_throughputs, encode_source

_ROWS_IN_CHUNK = 256
_BYTES_IN_CHUNK = 1 << 16

_REASONS = {
    "truncated": RejectReason.TRUNCATED_INSTRUCTION,
    "undecodable": RejectReason.UNDECODABLE_INSTRUCTION,
}


class CodeRow(NamedTuple):
    """A block as it came in.

    Attributes:
        text: The machine code in lower-case hex; of a row that cannot be used its beginning, as it stands there.
        machine_code: The block.
        cycles_per_iteration: Its label; None without one.
        reason: Why the row cannot be used; empty when it can.
    """

    text: str
    machine_code: bytes = b""
    cycles_per_iteration: float | None = None
    reason: str = ""


class DecodedRow(NamedTuple):
    """A row with its block.

    Attributes:
        row: The row; its reason tells why there is no message.
        message: A serialised `BasicBlockWithThroughputProto`; empty when there is no block.
    """

    row: CodeRow
    message: bytes


def row_of_hex(text: str) -> CodeRow:
    """Reads a block that somebody typed: hex digits, with white space wherever they like."""
    row = _row_of_line("".join(text.split()).encode("utf-8"), CsvLayout())
    return CodeRow(shortened(text), reason=RejectReason.NOT_HEX) if "," in text else row


def read_code_rows(path: Path, throughput_scaling: float = 0.01) -> Iterator[CodeRow]:
    """Reads a CSV file: machine code in hex in the first column, a label in the second, if there is one.

    Args:
        path: The file, plain or compressed with gzip.
        throughput_scaling: Multiplies the labels; 0.01 turns BHive's cycles per 100 iterations into cycles.

    Yields:
        Every row in order. A label that is no usable number makes the row unusable, as in an import.

    Raises:
        ConfigError: The scaling is not a positive number.
        DataError: The file is missing, cannot be read, or its compressed data is torn.
    """
    layout = CsvLayout(throughput_scaling=throughput_scaling)
    for line in read_lines(path):
        yield CodeRow("", reason=RejectReason.LINE_TOO_LONG) if line is None else _row_of_line(line, layout)


def _row_of_line(line: bytes, layout: CsvLayout) -> CodeRow:
    bare = line.rstrip(b"\r\n")
    has_label = b"," in bare
    # A line of nothing but machine code is read as one with a label, which is then forgotten.
    parsed = parse_line(bare if has_label or not bare.strip() else bare + b",1", layout)
    if isinstance(parsed, RejectReason):
        return CodeRow(shortened(line), reason=parsed)
    machine_code, cycles = parsed
    return CodeRow(machine_code.hex(), machine_code, cycles if has_label else None)


def decode_rows(rows: Iterable[CodeRow], label_source: str, num_workers: int) -> Iterator[DecodedRow]:
    """Decodes rows, in order; a window of some thousand is in memory.

    Args:
        rows: The rows; read once.
        label_source: The throughput source of their labels in the messages.
        num_workers: Processes that decode; 1: this one.

    Raises:
        ConfigError: `num_workers` is not positive.
    """
    make_decoder = functools.partial(_RowDecoder, label_source)
    with closing(ordered_map(make_decoder, _in_chunks(rows), num_workers)) as chunks:
        for chunk in chunks:
            yield from chunk


class _RowDecoder:
    """Decodes chunks of rows; keeps what it learnt of instructions for the next chunk."""

    def __init__(self, label_source: str) -> None:
        # Here and not at the top: the disassembler is heavy, and only the processes that decode need it.
        from gematria_ops.blocks.decoding import UndecodableError, decode_block

        self._decode_block, self._undecodable = decode_block, UndecodableError
        self._source = encode_source(label_source)
        self._encoder = BlockEncoder()

    def __call__(self, chunk: Sequence[CodeRow]) -> list[DecodedRow]:
        return [DecodedRow(row, b"") if row.reason else self._decode(row) for row in chunk]

    def _decode(self, row: CodeRow) -> DecodedRow:
        try:
            decoded = self._decode_block(row.machine_code)
        except self._undecodable as error:
            return DecodedRow(row._replace(reason=_REASONS[error.reason]), b"")
        labels = [] if row.cycles_per_iteration is None else [(self._source, row.cycles_per_iteration)]
        return DecodedRow(row, encode_block_with_throughputs(self._encoder.encode_block(decoded), labels))


def _in_chunks(rows: Iterable[CodeRow]) -> Iterator[list[CodeRow]]:
    chunk: list[CodeRow] = []
    num_bytes = 0
    for row in rows:
        chunk.append(row)
        num_bytes += len(row.machine_code)
        if len(chunk) >= _ROWS_IN_CHUNK or num_bytes >= _BYTES_IN_CHUNK:
            yield chunk
            chunk, num_bytes = [], 0
    if chunk:
        yield chunk
