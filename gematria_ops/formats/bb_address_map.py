"""LLVM's basic block address map: which bytes of a function are which block.

Compilers of the LLVM family write it into a section of its own. What one function has there, numbers being ULEB128
unless something else is said:

    byte     version, byte (2 bytes from version 5 on) features   -- not in version 0
    number   of ranges, 1 if it is not there                      -- feature MULTI_RANGE
    for each range:
        8 bytes  address of its first byte
        number   of blocks
        for each block, unless the feature OMIT_BLOCKS is on:
            number  of the block, its ID                          -- from version 2 on
            offset  from the end of the block before; in version 0 from the beginning of the range
            number  of calls, and for each its distance from the end of the one before -- feature CALL_SITES
            size    of what comes after the last call
            flags
            8 bytes hash                                          -- feature HASH
    number   how often the function was entered                   -- feature ENTRY_COUNT
    for each block:
        frequency                                                 -- feature BLOCK_FREQUENCY
        frequency after linking                                   -- feature POST_LINK
        number of successors, and for each its ID, its probability
            and, with POST_LINK, its frequency                    -- feature BRANCH_PROBABILITY

Source: LLVM's documentation "Extensions", and files as clang 14 and 19 write them.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import NamedTuple

from ops_common.errors import DataError

# Types of the section: without a version (clang 13 and 14), with one (since clang 15).
UNVERSIONED_SECTION = 0x6FFF4C08
VERSIONED_SECTION = 0x6FFF4C0A

_MAX_VERSION = 5
_MAX_NUMBER_BYTES = 10
_HINT = "compile again, with clang 14 or newer"


class _Feature(enum.IntFlag):
    ENTRY_COUNT = 1
    BLOCK_FREQUENCY = 2
    BRANCH_PROBABILITY = 4
    MULTI_RANGE = 8
    OMIT_BLOCKS = 16
    CALL_SITES = 32
    HASH = 64
    POST_LINK = 128


_ALL_FEATURES = 0xFF
_FIRST_VERSIONS = {_Feature.CALL_SITES: 3, _Feature.HASH: 4, _Feature.POST_LINK: 5}


class BlockRange(NamedTuple):
    """Blocks whose offsets count from one address.

    Attributes:
        address_position: Where in the map the address stands; a relocatable object has a relocation for it.
        address: The address as it stands there.
        blocks: Offset and size of each block, in bytes.
    """

    address_position: int
    address: int
    blocks: list[tuple[int, int]]


def decode_bb_address_map(content: bytes, is_versioned: bool, where: str) -> Iterator[BlockRange]:
    """Reads a map.

    Args:
        content: The section.
        is_versioned: Whether functions begin with a version, which the type of the section tells.
        where: File and section, for messages.

    Yields:
        The ranges of all functions, in order.

    Raises:
        DataError: The map is damaged, or of a version or with features that are not known.
    """
    reader = _Reader(content, where)
    while not reader.is_at_end():
        version, features = _read_version(reader) if is_versioned else (0, _Feature(0))
        num_ranges = reader.number() if _Feature.MULTI_RANGE in features else 1
        num_blocks = 0
        for _ in range(num_ranges):
            block_range = _read_range(reader, version, features)
            num_blocks += len(block_range.blocks)
            yield block_range
        _skip_analysis(reader, features, num_blocks)


def _read_version(reader: _Reader) -> tuple[int, _Feature]:
    version = reader.fixed(1)
    if not 1 <= version <= _MAX_VERSION:
        raise reader.error(f"version {version} is not known")
    bits = reader.fixed(1 if version < 5 else 2)
    if bits & ~_ALL_FEATURES:
        raise reader.error(f"features 0x{bits:x} are not known")
    features = _Feature(bits)
    for feature in features:
        if version < _FIRST_VERSIONS.get(feature, 2):
            raise reader.error(f"version {version} cannot have the feature {feature.name}")
    return version, features


def _read_range(reader: _Reader, version: int, features: _Feature) -> BlockRange:
    position = reader.position
    address = reader.fixed(8)
    num_blocks = reader.number()
    blocks: list[tuple[int, int]] = []
    end = 0
    for _ in range(0 if _Feature.OMIT_BLOCKS in features else num_blocks):
        if version >= 2:
            reader.number()
        start = reader.number() + (end if version >= 1 else 0)
        size_of_calls = 0
        if _Feature.CALL_SITES in features:
            size_of_calls = sum(reader.number() for _ in range(reader.number()))
        end = start + size_of_calls + reader.number()
        reader.number()  # flags
        if _Feature.HASH in features:
            reader.fixed(8)
        blocks.append((start, end - start))
    return BlockRange(position, address, blocks)


def _skip_analysis(reader: _Reader, features: _Feature, num_blocks: int) -> None:
    """Reads over what the compiler knew of frequencies."""
    if _Feature.ENTRY_COUNT in features:
        reader.number()
    if not features & (_Feature.BLOCK_FREQUENCY | _Feature.BRANCH_PROBABILITY):
        return
    numbers_of_block = (_Feature.BLOCK_FREQUENCY in features) + (_Feature.POST_LINK in features)
    numbers_of_successor = 3 if _Feature.POST_LINK in features else 2
    for _ in range(num_blocks):
        for _ in range(numbers_of_block):
            reader.number()
        if _Feature.BRANCH_PROBABILITY in features:
            for _ in range(reader.number() * numbers_of_successor):
                reader.number()


class _Reader:
    """Reads numbers one after the other and never beyond the end: a count that is too high ends in an error."""

    def __init__(self, content: bytes, where: str) -> None:
        self._content = content
        self._where = where
        self.position = 0

    def is_at_end(self) -> bool:
        """Tells whether everything was read."""
        return self.position >= len(self._content)

    def fixed(self, num_bytes: int) -> int:
        """Reads a number of fixed length."""
        end = self.position + num_bytes
        if end > len(self._content):
            raise self.error("the map ends too early")
        value = int.from_bytes(self._content[self.position : end], "little")
        self.position = end
        return value

    def number(self) -> int:
        """Reads a ULEB128: groups of seven bits, the lowest first; every byte but the last has its top bit set."""
        value = 0
        for shift in range(0, 7 * _MAX_NUMBER_BYTES, 7):
            byte = self.fixed(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise self.error("a number is too long")

    def error(self, what: str) -> DataError:
        """Makes an error that says where."""
        return DataError(f"{self._where}: damaged basic block address map at byte {self.position}: {what}", _HINT)
