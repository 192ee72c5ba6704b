"""The basic blocks of an object file, as the compiler's own map of them says. Specification section 4.4."""

from __future__ import annotations

import bisect
from collections.abc import Callable
from dataclasses import dataclass

from gematria_ops.formats.bb_address_map import (
    UNVERSIONED_SECTION,
    VERSIONED_SECTION,
    BlockRange,
    decode_bb_address_map,
)
from gematria_ops.formats.binary_input import Content
from gematria_ops.formats.elf import ElfFile, Place, Section

# Blocks do not overlap, except where the linker has merged equal functions. A map that covers its section more often
# than this is damaged, and what it describes need not fit into the memory.
_MAX_COVERAGE = 16


@dataclass(frozen=True, slots=True)
class ExtractedBlocks:
    """The blocks of an object file.

    Attributes:
        hex_values: Machine code of each block in upper-case hex; section by section, by address in a section.
        num_empty: Blocks without a byte, which are left out.
        sections_without_map: Names of the text sections of which no block is known.
    """

    hex_values: list[str]
    num_empty: int
    sections_without_map: list[str]


def get_basic_block_hex_values(content: bytes) -> list[str]:
    """Returns the basic blocks of an ELF object as upper-case hex.

    Args:
        content: An ELF file for x86-64, executable or relocatable, compiled with basic block address maps.

    Returns:
        The machine code of each block; section by section, by address within a section.

    Raises:
        DataError: It is no such file, or a map in it is damaged.
    """
    return extract_blocks(content).hex_values


def extract_blocks(content: Content, name: str = "the ELF file") -> ExtractedBlocks:
    """Reads the basic blocks of an ELF object.

    Args:
        content: The whole file.
        name: What messages call it.

    Returns:
        The blocks, and what has none.

    Raises:
        DataError: It is no ELF file for x86-64, or a map in it is damaged.
    """
    elf = ElfFile(content, name)
    blocks_by_section = _read_maps(elf)
    hex_values: list[str] = []
    num_empty = 0
    sections_without_map = []
    for section in elf.sections:
        blocks = blocks_by_section.pop(section.number, None)
        if blocks is not None:
            _check_blocks(elf, section, blocks)
            code = elf.section_content(section)
            hex_values += [code[start : start + size].hex().upper() for start, size in sorted(blocks) if size]
            num_empty += sum(size == 0 for _, size in blocks)
        elif section.is_text and section.size:
            sections_without_map.append(elf.section_name(section))
    return ExtractedBlocks(hex_values, num_empty, sections_without_map)


def _read_maps(elf: ElfFile) -> dict[int, list[tuple[int, int]]]:
    """Returns section index to offset and size of the blocks in that section, in the order of the maps."""
    found: dict[int, list[tuple[int, int]]] = {}
    find_by_address = _address_finder(elf)
    for section in elf.sections:
        if section.kind not in (UNVERSIONED_SECTION, VERSIONED_SECTION):
            continue
        where = f"{elf.file.name}: section {elf.section_name(section)}"
        relocated = elf.relocated_addresses(section) if elf.is_relocatable else {}
        content = elf.section_content(section)
        for block_range in decode_bb_address_map(content, section.kind == VERSIONED_SECTION, where):
            place = relocated.get(block_range.address_position) if elf.is_relocatable else find_by_address(block_range)
            if place is None:
                raise elf.file.error(
                    f"section {elf.section_name(section)}: the function at byte {block_range.address_position} of the "
                    f"map (address 0x{block_range.address:x}) is in no text section"
                )
            blocks = found.setdefault(place.section_index, [])
            blocks += [(place.offset + start, size) for start, size in block_range.blocks]
    return found


def _address_finder(elf: ElfFile) -> Callable[[BlockRange], Place | None]:
    """Returns a function that finds where the address of a range is in a linked file."""
    sections = sorted((section for section in elf.sections if section.is_text), key=lambda section: section.address)
    addresses = [section.address for section in sections]

    def find(block_range: BlockRange) -> Place | None:
        index = bisect.bisect_right(addresses, block_range.address) - 1
        if index < 0 or block_range.address > addresses[index] + sections[index].size:
            return None
        return Place(sections[index].number, block_range.address - addresses[index])

    return find


def _check_blocks(elf: ElfFile, section: Section, blocks: list[tuple[int, int]]) -> None:
    what = f"section {elf.section_name(section)}"
    if not section.is_text:
        raise elf.file.error(f"{what} holds no instructions, but the map has blocks in it")
    for start, size in blocks:
        if start < 0 or start + size > section.size:
            raise elf.file.error(
                f"{what} has {section.size} bytes, but the map has a block of {size} bytes at offset {start} in it"
            )
    if sum(size for _, size in blocks) > _MAX_COVERAGE * section.size:
        raise elf.file.error(f"{what}: the blocks of the map overlap")
