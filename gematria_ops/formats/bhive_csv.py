"""BHive CSV files: machine code and cycles, one block a line, read as a stream.

A line is `<machine code in hex>,<cycles>`, without header and without quoting; other columns may stand around the two.
BHive counts the cycles of 100 iterations. The unit is converted here and nowhere else: from here on every name says
`cycles_per_iteration`.

A row that cannot be used has a reason. Nothing here raises for a bad row, whatever bytes it is made of.
"""

from __future__ import annotations

import binascii
import enum
import gzip
import io
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ops_common.errors import ConfigError, DataError

# Room for a block of 128 KiB of machine code, some thirty times the longest of BHive. A longer line is never held.
MAX_LINE_BYTES = 1 << 18

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_SHOWN_CHARACTERS = 80
_BUFFER_BYTES = 1 << 20


class RejectReason(enum.StrEnum):
    """Why a row of a CSV file was not used, in the order in which it is checked."""

    LINE_TOO_LONG = "line_too_long"
    BLANK_LINE = "blank_line"
    NOT_UTF8 = "not_utf8"
    MISSING_COLUMN = "missing_column"
    EMPTY_BLOCK = "empty_block"
    NOT_HEX = "not_hex"
    ODD_HEX = "odd_hex"
    NOT_A_NUMBER = "not_a_number"
    NAN = "nan"
    INFINITE = "infinite"
    NEGATIVE = "negative"
    ZERO = "zero"
    EXACT_DUPLICATE = "exact_duplicate"
    CONFLICTING_DUPLICATE = "conflicting_duplicate"
    TRUNCATED_INSTRUCTION = "truncated_instruction"
    UNDECODABLE_INSTRUCTION = "undecodable_instruction"

    @property
    def is_harmless(self) -> bool:
        """Whether such a row loses nothing, so that it does not count against the allowed share of rejected rows."""
        return self in (RejectReason.BLANK_LINE, RejectReason.EXACT_DUPLICATE)


@dataclass(frozen=True, slots=True)
class CsvLayout:
    """Where a file keeps what, and in which unit.

    Attributes:
        machine_code_column_index: Column of the machine code, from 0.
        throughput_column_index: Column of the cycles, from 0.
        throughput_scaling: Cycles per iteration = value in the file * throughput_scaling; 0.01 for BHive.

    Raises:
        ConfigError: The columns are equal or negative, or the scaling is not a positive number.
    """

    machine_code_column_index: int = 0
    throughput_column_index: int = 1
    throughput_scaling: float = 0.01

    def __post_init__(self) -> None:
        columns = (self.machine_code_column_index, self.throughput_column_index)
        if columns[0] == columns[1] or min(columns) < 0:
            raise ConfigError(
                f"machine code in column {columns[0]} and throughput in column {columns[1]}: they must be two columns",
                "columns are counted from 0",
            )
        if not (math.isfinite(self.throughput_scaling) and self.throughput_scaling > 0):
            raise ConfigError(
                f"a throughput scaling of {self.throughput_scaling} makes no cycles per iteration",
                "use 0.01 for cycles per 100 iterations (BHive), 1 for cycles per iteration",
            )


class BhiveRow(NamedTuple):
    """A usable row.

    Attributes:
        line_number: From 1.
        machine_code: The block, not decoded yet.
        cycles_per_iteration: Finite and positive.
    """

    line_number: int
    machine_code: bytes
    cycles_per_iteration: float


class RejectedRow(NamedTuple):
    """A row that cannot be used.

    Attributes:
        line_number: From 1.
        reason: Why.
        text: The beginning of the line, or what else shows what was wrong.
    """

    line_number: int
    reason: RejectReason
    text: str


def read_rows(path: Path, layout: CsvLayout) -> Iterator[BhiveRow | RejectedRow]:
    """Reads a CSV file row by row; it may be plain or compressed with gzip, which its first bytes tell.

    Args:
        path: The file.
        layout: Its columns and unit.

    Yields:
        Every row of the file in order, usable or not.

    Raises:
        DataError: The file is missing, cannot be read, or its compressed data is torn; the message says from which
            line on.
    """
    for line_number, line in enumerate(read_lines(path), start=1):
        if line is None:
            yield RejectedRow(line_number, RejectReason.LINE_TOO_LONG, f"more than {MAX_LINE_BYTES} bytes")
            continue
        parsed = parse_line(line, layout)
        if isinstance(parsed, RejectReason):
            yield RejectedRow(line_number, parsed, shortened(line))
        else:
            yield BhiveRow(line_number, *parsed)


def read_lines(path: Path) -> Iterator[bytes | None]:
    """Reads the lines of a CSV file, plain or compressed with gzip; None stands for one that is too long.

    Raises:
        DataError: As `read_rows`.
    """
    line_number = 0
    try:
        with path.open("rb") as raw, _decompressed(raw) as file:
            for line in _read_lines(file):
                line_number += 1
                yield line
    except FileNotFoundError:
        raise DataError(f"{path} does not exist", "check the name of the CSV file") from None
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise DataError(
            f"{path} cannot be read beyond line {line_number}: {why}", "copy the file again, or check the name"
        ) from error


def parse_line(line: bytes, layout: CsvLayout) -> tuple[bytes, float] | RejectReason:
    """Reads one line.

    Args:
        line: The line with or without its line end (LF or CRLF), without a byte-order mark.
        layout: Columns and unit.

    Returns:
        Machine code and cycles per iteration; or why the line cannot be used.
    """
    if not line.isascii() and not _is_utf8(line):
        return RejectReason.NOT_UTF8
    columns = line.rstrip(b"\r\n").split(b",")
    try:
        code_text = columns[layout.machine_code_column_index]
        cycles_text = columns[layout.throughput_column_index]
    except IndexError:
        return RejectReason.MISSING_COLUMN if line.strip() else RejectReason.BLANK_LINE
    if not code_text:
        return RejectReason.EMPTY_BLOCK
    try:
        # Not bytes.fromhex: that one takes white space between the digits.
        machine_code = binascii.unhexlify(code_text)
    except binascii.Error:
        return RejectReason.ODD_HEX if _is_hex(code_text) else RejectReason.NOT_HEX
    cycles = _parse_cycles(cycles_text, layout.throughput_scaling)
    return cycles if isinstance(cycles, RejectReason) else (machine_code, cycles)


def shortened(line: bytes | str) -> str:
    """Returns the beginning of a line for a message: one line of printable text, whatever it held."""
    # Bytes of a line are cut before they are decoded: it may be long.
    head = line[: 2 * _SHOWN_CHARACTERS]
    text = head.decode("utf-8", "backslashreplace") if isinstance(head, bytes) else head
    text = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text.rstrip("\r\n"))
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"


def _parse_cycles(text: bytes, scaling: float) -> float | RejectReason:
    if b"_" in text:  # float() takes 1_000 for 1000; no CSV file means that.
        return RejectReason.NOT_A_NUMBER
    try:
        cycles = float(text) * scaling
    except ValueError:
        return RejectReason.NOT_A_NUMBER
    # Checked after the scaling, which may overflow or underflow.
    if 0 < cycles < math.inf:
        return cycles
    if math.isnan(cycles):
        return RejectReason.NAN
    if math.isinf(cycles):
        return RejectReason.INFINITE
    return RejectReason.NEGATIVE if cycles < 0 else RejectReason.ZERO


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _is_hex(text: bytes) -> bool:
    return not text.translate(None, b"0123456789abcdefABCDEF")


def _decompressed(raw: io.BufferedReader) -> io.BufferedReader:
    if raw.peek(2)[:2] != b"\x1f\x8b":
        return raw
    # A buffer around it, since a line at a time from GzipFile itself costs three times as much.
    return io.BufferedReader(gzip.GzipFile(fileobj=raw), _BUFFER_BYTES)


def _read_lines(file: io.BufferedReader) -> Iterator[bytes | None]:
    """Yields the lines of a file, None for a line that is too long; a byte-order mark at the beginning is skipped."""
    if file.peek(len(BYTE_ORDER_MARK)).startswith(BYTE_ORDER_MARK):
        file.read(len(BYTE_ORDER_MARK))
    while line := file.readline(MAX_LINE_BYTES + 1):
        if len(line) <= MAX_LINE_BYTES:
            yield line
            continue
        piece = line
        while piece and not piece.endswith(b"\n"):
            piece = file.readline(MAX_LINE_BYTES)
        yield None
