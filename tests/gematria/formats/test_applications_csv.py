"""Which application a block is from, and every way in which a row can be wrong."""

import gzip
from pathlib import Path

import pytest

from gematria_ops.formats.applications_csv import MAX_APPLICATIONS, read_applications
from ops_common.errors import DataError


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "applications.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_applications_of_the_blocks_asked_for(tmp_path: Path) -> None:
    path = written(tmp_path, "90,sqlite\r\n4889D8,gzip\n90, embree ,0.5\n90,sqlite\nc3,redis\n")
    found = read_applications(path, ["4889d8", "90", "", "50"])
    assert found.names == ("embree", "gzip", "sqlite")
    assert found.of_block == [{"gzip"}, {"sqlite", "embree"}, set(), set()]
    assert (found.num_rows, found.unusable) == (5, {})


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"\n", "blank line"),
        (b"90\n", "missing column"),
        (b"9z,sqlite\n", "not hex"),
        (b"9,sqlite\n", "not hex"),
        (b"9 0,sqlite\n", "not hex"),
        (b",sqlite\n", "empty block"),
        (b"90,\n", "not a name"),
        (b"90,a\x07b\n", "not a name"),
        (b"90," + b"a" * 61 + b"\n", "not a name"),
        (b"90,\xff\n", "not UTF-8"),
        (b"90" * (1 << 17) + b",sqlite\n", "line too long"),
    ],
)
def test_unusable_rows_are_counted_by_reason(line: bytes, reason: str, tmp_path: Path) -> None:
    found = read_applications(written(tmp_path, line + b"90,sqlite\n"), ["90"])
    assert (found.num_rows, found.unusable) == (2, {reason: 1})
    assert found.of_block == [{"sqlite"}]


def test_a_compressed_file_is_read_and_a_torn_one_named(tmp_path: Path) -> None:
    content = gzip.compress(b"90,sqlite\n")
    assert read_applications(written(tmp_path, content), ["90"]).names == ("sqlite",)
    with pytest.raises(DataError, match=r"applications\.csv cannot be read beyond line"):
        read_applications(written(tmp_path, content[:-4]), ["90"])
    with pytest.raises(DataError, match=r"nowhere\.csv does not exist"):
        read_applications(tmp_path / "nowhere.csv", ["90"])


def test_a_file_of_other_blocks_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "50,sqlite\nxx,sqlite\n")
    expected = r"none of its 2 rows names a block of the held-out part \(1 not hex\)"
    with pytest.raises(DataError, match=expected):
        read_applications(path, ["90"])


def test_a_column_of_numbers_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "".join(f"90,0.{index}\n" for index in range(MAX_APPLICATIONS + 1)))
    with pytest.raises(DataError, match=r"line 201: more than 200 different applications"):
        read_applications(path, ["90"])
