"""Checked reading of binary files: nothing beyond the end, and every message names the file and the part."""

import os
import struct

import pytest

from gematria_ops.formats.binary_input import BinaryInput, open_content
from ops_common.errors import DataError

PAIR = struct.Struct("<HH")
FILE = BinaryInput(bytes(range(10)), "ten.bin", "count again")


def test_reading_within_the_file():
    assert FILE.bytes_at(8, 2, "the end") == b"\x08\x09"
    assert FILE.bytes_at(10, 0, "nothing") == b""
    assert FILE.unpack(PAIR, 6, "a pair") == (0x0706, 0x0908)
    assert list(FILE.unpack_table(PAIR, 2, 2, "pairs")) == [(0x0302, 0x0504), (0x0706, 0x0908)]


@pytest.mark.parametrize(
    "read",
    [
        lambda: FILE.bytes_at(9, 2, "a part"),
        lambda: FILE.bytes_at(-1, 1, "a part"),
        lambda: FILE.bytes_at(0, -1, "a part"),
        lambda: FILE.bytes_at(2**70, 1, "a part"),
        lambda: FILE.unpack(PAIR, 7, "a part"),
        lambda: FILE.unpack_table(PAIR, 0, 3, "a part"),
        lambda: FILE.unpack_table(PAIR, 0, 2**70, "a part"),
    ],
)
def test_reading_beyond_the_file(read):
    with pytest.raises(
        DataError, match=r"^ten\.bin: a part \(offset .*\) is not within the file of 10 bytes"
    ) as caught:
        read()
    assert caught.value.hint == "count again"


@pytest.mark.parametrize("content", [b"", b"abc"])
def test_content_of_a_file(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    with open_content(path) as opened:
        assert opened[:] == content


def test_what_cannot_be_mapped_is_read(tmp_path):
    reading, writing = os.pipe()
    os.write(writing, b"through a pipe")
    os.close(writing)
    with open_content(type(tmp_path)(f"/dev/fd/{reading}")) as opened:
        assert opened[:] == b"through a pipe"
    os.close(reading)


def test_files_that_cannot_be_opened(tmp_path):
    with pytest.raises(DataError, match="missing does not exist"), open_content(tmp_path / "missing"):
        pass
    with pytest.raises(DataError, match="cannot be read: Is a directory"), open_content(tmp_path):
        pass
