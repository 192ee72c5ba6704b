"""One BHive line: every way in which it can be wrong has its reason, and the unit is converted once."""

import gzip
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gematria_ops.formats import bhive_csv
from gematria_ops.formats.bhive_csv import (
    BhiveRow,
    CsvLayout,
    RejectedRow,
    RejectReason,
    parse_line,
    read_rows,
    shortened,
)
from ops_common.errors import ConfigError, DataError

LAYOUT = CsvLayout()

GOOD_LINES = {
    "plain": b"4929d2,100\n",
    "no line end": b"4929d2,100",
    "CRLF": b"4929d2,100\r\n",
    "upper case": b"4929D2,100.000000\n",
    "mixed case": b"4929dD,100\n",
    "spaces around the number": b"4929d2,  100 \n",
    "exponent": b"4929d2,1e2\n",
    "more columns": b"4929d2,100,what,ever\n",
    "UTF-8 in another column": "4929d2,100,größer\n".encode(),
}


@pytest.mark.parametrize("line", GOOD_LINES.values(), ids=GOOD_LINES.keys())
def test_good_lines(line):
    parsed = parse_line(line, LAYOUT)
    assert not isinstance(parsed, RejectReason)
    machine_code, cycles_per_iteration = parsed
    assert machine_code.hex() in ("4929d2", "4929dd")
    assert cycles_per_iteration == 1.0


BAD_LINES = [
    (b"\n", "blank_line"),
    (b"  \r\n", "blank_line"),
    (b"4929d2\n", "missing_column"),
    (b"4929d2;100\n", "missing_column"),
    (b",100\n", "empty_block"),
    (b",0\n", "empty_block"),
    (b"4929d,100\n", "odd_hex"),
    (b"F,100\n", "odd_hex"),
    (b"4929dg,100\n", "not_hex"),
    (b"4929dg7,100\n", "not_hex"),
    (b"49 29 d2,100\n", "not_hex"),
    (b" 4929d2,100\n", "not_hex"),
    (b"0x4929d2,100\n", "not_hex"),
    (b'"4929d2",100\n', "not_hex"),
    (b"49\x0029,100\n", "not_hex"),
    (b"machine_code,cycles\n", "not_hex"),
    ("４９,100\n".encode(), "not_hex"),
    (b"4929d2,\n", "not_a_number"),
    (b"4929d2, \n", "not_a_number"),
    (b"4929d2,fast\n", "not_a_number"),
    (b"4929d2,1_000\n", "not_a_number"),
    (b"4929d2,1 000\n", "not_a_number"),
    (b"4929d2,12.5.1\n", "not_a_number"),
    (b"4929d2,0x10\n", "not_a_number"),
    (b"4929d2,100\x00\n", "not_a_number"),
    ("4929d2,１００\n".encode(), "not_a_number"),
    (b"4929d2,nan\n", "nan"),
    (b"4929d2,-NaN\n", "nan"),
    (b"4929d2,inf\n", "infinite"),
    (b"4929d2,-Infinity\n", "infinite"),
    (b"4929d2,1e999\n", "infinite"),
    (b"4929d2,-1\n", "negative"),
    (b"4929d2,-1e-300\n", "negative"),
    (b"4929d2,0\n", "zero"),
    (b"4929d2,-0.0\n", "zero"),
    (b"4929d2,1e-999\n", "zero"),
    (b"4929d2,100,\xff\n", "not_utf8"),
    (b"\xff\xfe4\x009\x00,\x001\x00\n", "not_utf8"),
]


@pytest.mark.parametrize("line, reason", BAD_LINES, ids=[repr(line)[2:-1] for line, _ in BAD_LINES])
def test_bad_lines(line, reason):
    assert parse_line(line, LAYOUT) == RejectReason(reason)


@given(st.binary(max_size=60))
def test_no_line_raises(line):
    parsed = parse_line(line, LAYOUT)
    if not isinstance(parsed, RejectReason):
        assert parsed[0]
        assert 0 < parsed[1] < math.inf


def test_the_unit_is_converted():
    assert parse_line(b"90,207.000000", CsvLayout(throughput_scaling=0.01)) == (b"\x90", pytest.approx(2.07))
    assert parse_line(b"90,100.000000", CsvLayout(throughput_scaling=0.5)) == (b"\x90", 50.0)
    # Scaled to nothing, or beyond all numbers: checked behind the scaling.
    assert parse_line(b"90,1e-300", CsvLayout(throughput_scaling=1e-300)) == RejectReason.ZERO
    assert parse_line(b"90,1e300", CsvLayout(throughput_scaling=1e300)) == RejectReason.INFINITE


def test_other_columns():
    assert parse_line(b"a,b,90,100", CsvLayout(2, 3)) == (b"\x90", 1.0)
    assert parse_line(b"100,90\r\n", CsvLayout(1, 0)) == (b"\x90", 1.0)
    assert parse_line(b"a,b,90", CsvLayout(2, 3)) == RejectReason.MISSING_COLUMN


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((1, 1), "must be two columns"),
        ((-1, 1), "must be two columns"),
        ((0, 1, 0.0), "scaling of 0.0"),
        ((0, 1, -1.0), "scaling of -1.0"),
        ((0, 1, math.nan), "scaling of nan"),
        ((0, 1, math.inf), "scaling of inf"),
    ],
)
def test_bad_layouts(arguments, message):
    with pytest.raises(ConfigError, match=message):
        CsvLayout(*arguments)


def test_a_file_is_read_in_order_with_line_numbers(tmp_path):
    path = tmp_path / "blocks.csv"
    path.write_bytes(b"90,100\r\nzz,1\r\n\r\nc3,200")
    assert list(read_rows(path, LAYOUT)) == [
        BhiveRow(1, b"\x90", 1.0),
        RejectedRow(2, RejectReason.NOT_HEX, "zz,1"),
        RejectedRow(3, RejectReason.BLANK_LINE, ""),
        BhiveRow(4, b"\xc3", 2.0),
    ]


@pytest.mark.parametrize("content", [b"", bhive_csv.BYTE_ORDER_MARK])
def test_an_empty_file_has_no_rows(tmp_path, content):
    path = tmp_path / "blocks.csv"
    path.write_bytes(content)
    assert list(read_rows(path, LAYOUT)) == []


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_a_byte_order_mark_is_skipped_at_the_beginning_only(tmp_path, compress):
    path = tmp_path / "blocks.csv"
    mark = bhive_csv.BYTE_ORDER_MARK
    path.write_bytes(compress(mark + b"90,100\n" + mark + b"90,100\n"))
    first, second = read_rows(path, LAYOUT)
    assert first == BhiveRow(1, b"\x90", 1.0)
    assert (second.line_number, second.reason) == (2, RejectReason.NOT_HEX)


def test_compression_is_told_by_content_not_by_name(tmp_path):
    path = tmp_path / "blocks.csv"
    path.write_bytes(gzip.compress(b"90,100\nc3,200\n") + gzip.compress(b"cc,300\n"))
    assert [row.line_number for row in read_rows(path, LAYOUT)] == [1, 2, 3]
    plain = tmp_path / "blocks.csv.gz"
    plain.write_bytes(b"90,100\n")
    assert len(list(read_rows(plain, LAYOUT))) == 1


@pytest.mark.parametrize("size", [bhive_csv.MAX_LINE_BYTES + 1, 10 << 20])
def test_a_line_that_is_too_long_is_one_rejected_row(tmp_path, size):
    path = tmp_path / "blocks.csv"
    path.write_bytes(b"90,100\n" + b"90" * (size // 2) + b",1\nc3,200\n")
    first, long, last = read_rows(path, LAYOUT)
    assert (first.line_number, last) == (1, BhiveRow(3, b"\xc3", 2.0))
    assert long == RejectedRow(2, RejectReason.LINE_TOO_LONG, f"more than {bhive_csv.MAX_LINE_BYTES} bytes")


def test_a_long_last_line_without_end(tmp_path):
    path = tmp_path / "blocks.csv"
    path.write_bytes(b"9" * (3 * bhive_csv.MAX_LINE_BYTES))
    assert [row.reason for row in read_rows(path, LAYOUT)] == [RejectReason.LINE_TOO_LONG]


def test_the_longest_line_is_read(tmp_path):
    path = tmp_path / "blocks.csv"
    line = b"90" * ((bhive_csv.MAX_LINE_BYTES - 5) // 2) + b",100\n"
    path.write_bytes(line + b"c3,200\n")
    assert [type(row) for row in read_rows(path, LAYOUT)] == [BhiveRow, BhiveRow]


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match=r"missing\.csv does not exist"):
        list(read_rows(tmp_path / "missing.csv", LAYOUT))
    with pytest.raises(DataError, match="cannot be read beyond line 0: Is a directory"):
        list(read_rows(tmp_path, LAYOUT))


@pytest.mark.parametrize("damage", [lambda c: c[:-6], lambda c: c[:200] + b"\x00" * 50 + c[250:]])
def test_torn_compression_names_the_file(tmp_path, damage):
    path = tmp_path / "torn.csv.gz"
    lines = b"".join(f"{number:08x},100\n".encode() for number in range(1000))
    path.write_bytes(damage(gzip.compress(lines)))
    with pytest.raises(DataError, match=r"torn.csv.gz cannot be read beyond line \d+") as caught:
        list(read_rows(path, LAYOUT))
    assert caught.value.hint


def test_shown_text_is_short_and_printable():
    assert shortened(b"4929d2,100\r\n") == "4929d2,100"
    assert shortened(b"a\x00b\x1b[31m") == "a\\x00b\\x1b[31m"
    assert shortened(b"\xff,1") == "\\xff,1"
    assert shortened("x" * 5000) == "x" * 79 + "…"
    assert len(shortened(b"\x00" * 5000)) == 80
