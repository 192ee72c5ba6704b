"""Block maps written byte by byte, for every version and feature; what compilers write is in test_block_extraction."""

import struct

import pytest

from gematria_ops.formats.bb_address_map import BlockRange, decode_bb_address_map
from ops_common.errors import DataError


def numbers(*values):
    """ULEB128, by the definition: seven bits a byte, the lowest first."""
    content = bytearray()
    for value in values:
        while value >= 0x80:
            content.append(value % 0x80 + 0x80)
            value //= 0x80
        content.append(value)
    return bytes(content)


def address(value):
    return struct.pack("<Q", value)


def decode(content, is_versioned=True):
    return list(decode_bb_address_map(content, is_versioned, "file: section"))


# Two blocks, of 300 bytes at 0 and of 5 bytes at 304.
EXPECTED = [(0, 300), (304, 5)]
MAPS = {
    "no version": (False, address(0x1000) + numbers(2, 0, 300, 8, 304, 5, 1), 0),
    "version 1": (True, b"\x01\x00" + address(0x1000) + numbers(2, 0, 300, 8, 4, 5, 1), 2),
    "version 2": (True, b"\x02\x00" + address(0x1000) + numbers(2, 0, 0, 300, 8, 7, 4, 5, 1), 2),
    "version 3, calls": (
        True,
        # Block 0 has calls that end at 100 and 250, block 1 has none.
        b"\x03\x20" + address(0x1000) + numbers(2, 0, 0, 2, 100, 150, 50, 8, 1, 4, 0, 5, 1),
        2,
    ),
    "version 4, hash": (
        True,
        b"\x04\x40" + address(0x1000) + numbers(2, 0, 0, 300, 8) + address(2**63) + numbers(1, 4, 5, 1) + address(1),
        2,
    ),
    "version 5": (True, b"\x05\x00\x00" + address(0x1000) + numbers(2, 0, 0, 300, 8, 1, 4, 5, 1), 3),
    "entry count": (True, b"\x02\x01" + address(0x1000) + numbers(2, 0, 0, 300, 8, 1, 4, 5, 1, 2**63), 2),
    "frequencies": (True, b"\x02\x02" + address(0x1000) + numbers(2, 0, 0, 300, 8, 1, 4, 5, 1, 1000, 2000), 2),
    "probabilities": (
        True,
        b"\x02\x04" + address(0x1000) + numbers(2, 0, 0, 300, 8, 1, 4, 5, 1) + numbers(2, 1, 2**30, 0, 2**31) + b"\x00",
        2,
    ),
    "all analyses, after linking": (
        True,
        b"\x05\x87\x00"
        + address(0x1000)
        + numbers(2, 0, 0, 300, 8, 1, 4, 5, 1)
        + numbers(9)
        + numbers(1000, 7, 1, 1, 2**31, 6)
        + numbers(2000, 8, 0),
        3,
    ),
}


@pytest.mark.parametrize("is_versioned, content, position", MAPS.values(), ids=MAPS.keys())
def test_every_version_and_feature(is_versioned, content, position):
    assert decode(content, is_versioned) == [BlockRange(position, 0x1000, EXPECTED)]


@pytest.mark.parametrize("is_versioned, content, position", MAPS.values(), ids=MAPS.keys())
def test_functions_follow_one_another(is_versioned, content, position):
    first, second = decode(content * 2, is_versioned)
    assert second == BlockRange(len(content) + position, 0x1000, first.blocks)


@pytest.mark.parametrize("is_versioned, content, position", MAPS.values(), ids=MAPS.keys())
def test_a_map_that_ends_too_early(is_versioned, content, position):
    for length in range(1, len(content)):
        with pytest.raises(DataError, match="the map ends too early"):
            decode(content[:length], is_versioned)


def test_several_ranges():
    content = b"\x02\x0a" + numbers(2)
    content += address(0x1000) + numbers(1, 0, 0, 7, 0)
    content += address(0x2000) + numbers(2, 1, 0, 3, 0, 2, 1, 2, 0)
    content += numbers(10, 20, 30)
    assert decode(content) == [
        BlockRange(3, 0x1000, [(0, 7)]),
        BlockRange(16, 0x2000, [(0, 3), (4, 2)]),
    ]


def test_a_function_without_blocks_in_the_map():
    content = b"\x03\x11" + address(0x1000) + numbers(5, 77)
    assert decode(content * 2) == [BlockRange(2, 0x1000, []), BlockRange(14, 0x1000, [])]


def test_an_empty_section_is_a_map():
    assert decode(b"") == decode(b"", is_versioned=False) == []


BAD_MAPS = {
    "version 0": (b"\x00\x00", "at byte 1: version 0 is not known"),
    "version 6": (b"\x06\x00", "at byte 1: version 6 is not known"),
    "feature": (b"\x05\x00\x01", "at byte 3: features 0x100 are not known"),
    "calls too early": (b"\x02\x20", "version 2 cannot have the feature CALL_SITES"),
    "hash too early": (b"\x03\x40", "version 3 cannot have the feature HASH"),
    "linking too early": (b"\x04\x80", "version 4 cannot have the feature POST_LINK"),
    "ranges too early": (b"\x01\x08", "version 1 cannot have the feature MULTI_RANGE"),
    "long number": (b"\x02\x00" + address(0) + b"\x80" * 10 + b"\x00", "at byte 20: a number is too long"),
    "huge count": (b"\x02\x00" + address(0) + b"\xff" * 9 + b"\x7f", "at byte 20: the map ends too early"),
    "huge number of ranges": (b"\x02\x08" + b"\xff" * 9 + b"\x7f", "at byte 12: the map ends too early"),
    "huge number of calls": (
        b"\x03\x20" + address(0) + numbers(1, 0, 0) + b"\xff" * 9 + b"\x7f",
        "the map ends too early",
    ),
}


@pytest.mark.parametrize("content, message", BAD_MAPS.values(), ids=BAD_MAPS.keys())
def test_bad_maps(content, message):
    with pytest.raises(DataError, match=r"^file: section: damaged basic block address map .*" + message):
        decode(content)
