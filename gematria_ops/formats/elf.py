"""ELF files for x86-64, little-endian: segments, sections, and the relocations that fill in addresses.

Nothing here trusts the file: counts are limited by what fits into it, and the sections that are read may not hold more
bytes than the file together, so that time and memory follow its size. Only the names that are asked for are read.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

from gematria_ops.formats.binary_input import BinaryInput, Content

# Identification, type, machine, version, entry, program headers, section headers, flags, header size, and for both
# kinds of headers size and number; last the section that holds the names of sections.
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QQq")

_RELOCATABLE = 1
_X86_64 = 62
_LOAD = 1  # type of a segment
_EXECUTABLE_SEGMENT, _READABLE_SEGMENT = 1, 4
_PROGRAM_BITS, _RELOCATIONS = 1, 4  # types of sections
_EXECUTABLE_SECTION, _COMPRESSED_SECTION = 4, 0x800
_ABSOLUTE_64 = 1  # type of a relocation
_FIRST_RESERVED_SECTION = 0xFF00
# A number that does not fit into the header stands in the first section header instead.
_MANY_SEGMENTS, _MANY_SECTIONS, _LATE_NAMES = 0xFFFF, 0, 0xFFFF

_MAX_NAME_BYTES = 1 << 10

HINT = "give an ELF object, executable or library for x86-64, as the compiler or linker wrote it"


class Segment(NamedTuple):
    """A part of the file that is loaded into memory.

    Attributes:
        flags: Access rights, see the properties.
        file_offset: Where its bytes begin in the file.
        address: Virtual address of its first byte.
        file_size: Bytes in the file.
    """

    flags: int
    file_offset: int
    address: int
    file_size: int

    @property
    def is_code(self) -> bool:
        """Whether it can be read and executed."""
        return self.flags & _READABLE_SEGMENT != 0 and self.flags & _EXECUTABLE_SEGMENT != 0


class Section(NamedTuple):
    """A section header.

    Attributes:
        number: Its place in the table, from 0.
        name_offset: Where its name begins among the names.
        kind: Its type, a number.
        flags: Its flags.
        address: Virtual address; 0 in a relocatable object.
        offset: Where its content begins in the file.
        size: Bytes.
        link: The section that it belongs to; what that means depends on the type.
        info: Of relocations, the section that they are for.
    """

    number: int
    name_offset: int
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int

    @property
    def is_text(self) -> bool:
        """Whether it holds instructions."""
        return self.kind == _PROGRAM_BITS and self.flags & _EXECUTABLE_SECTION != 0


@dataclass(frozen=True, slots=True)
class Place:
    """An address before linking.

    Attributes:
        section_index: The section.
        offset: Bytes from its beginning.
    """

    section_index: int
    offset: int


class ElfFile:
    """The headers of an ELF file, and its content on request.

    Args:
        content: The whole file.
        name: What messages call it.

    Raises:
        DataError: It is no ELF file for x86-64, or its headers are damaged. All methods raise it, too.
    """

    def __init__(self, content: Content, name: str = "the ELF file") -> None:
        self.file = BinaryInput(content, name, HINT)
        self._num_bytes_left = self.file.num_bytes
        header = self._read_header()
        _, kind, _, _, _, segment_offset, section_offset, _, _, _, num_segments, _, num_sections, names_index = header
        self.is_relocatable = kind == _RELOCATABLE
        if section_offset and (
            num_sections == _MANY_SECTIONS or num_segments == _MANY_SEGMENTS or names_index == _LATE_NAMES
        ):
            first = self._read_sections(section_offset, 1)[0]
            num_sections = first.size if num_sections == _MANY_SECTIONS else num_sections
            num_segments = first.info if num_segments == _MANY_SEGMENTS else num_segments
            names_index = first.link if names_index == _LATE_NAMES else names_index
        self.sections = self._read_sections(section_offset, num_sections) if section_offset else ()
        self.segments = self._read_segments(segment_offset, num_segments)
        self._names = self.sections[names_index] if names_index < len(self.sections) else None
        self._relocation_tables: dict[int, list[Section]] = {}
        for section in self.sections:
            if section.kind == _RELOCATIONS:
                self._relocation_tables.setdefault(section.info, []).append(section)

    def _read_header(self) -> tuple[int, ...]:
        if self.file.num_bytes < _HEADER.size or self.file.content[:4] != b"\x7fELF":
            raise self.file.error("this is not an ELF file")
        identification = self.file.content[:16]
        if identification[4] != 2 or identification[5] != 1:
            raise self.file.error("this is not a 64-bit little-endian ELF file")
        header = self.file.unpack(_HEADER, 0, "the header")
        if header[2] != _X86_64:
            raise self.file.error(f"this ELF file is for another machine than x86-64 (number {header[2]})")
        segment_size, num_segments, section_size = header[9], header[10], header[11]
        if (num_segments and segment_size != _SEGMENT.size) or (header[6] and section_size != _SECTION.size):
            raise self.file.error("the headers of segments or sections have a wrong size")
        return header

    def _read_segments(self, offset: int, count: int) -> tuple[Segment, ...]:
        table = self.file.unpack_table(_SEGMENT, offset, count, "the table of segments") if count else ()
        return tuple(Segment(row[1], row[2], row[3], row[5]) for row in table if row[0] == _LOAD)

    def _read_sections(self, offset: int, count: int) -> tuple[Section, ...]:
        table = self.file.unpack_table(_SECTION, offset, count, "the table of sections")
        return tuple(Section(number, *row[:8]) for number, row in enumerate(table))

    def section_name(self, section: Section) -> str:
        """Returns a section's name for messages; its number when it has none."""
        if self._names is not None and section.name_offset < self._names.size:
            start = self._names.offset + section.name_offset
            name = self.file.content[start : start + _MAX_NAME_BYTES].partition(b"\0")[0]
            text = name.decode("utf-8", "backslashreplace")
            if text.isprintable() and text:
                return text
        return f"number {section.number}"

    def section_content(self, section: Section) -> bytes:
        """Returns what a section holds; to be called once for each section."""
        what = f"section {self.section_name(section)}"
        if section.flags & _COMPRESSED_SECTION:
            raise self.file.error(f"{what} is compressed, which is not supported")
        content = self.file.bytes_at(section.offset, section.size, what)
        self._num_bytes_left -= len(content)
        if self._num_bytes_left < 0:
            raise self.file.error(f"{what} overlaps others")
        return content

    def relocated_addresses(self, section: Section) -> dict[int, Place]:
        """Reads the addresses that the linker would fill into a section of a relocatable object.

        Args:
            section: The section.

        Returns:
            Offset in the section to the place whose address belongs there, for 64-bit absolute addresses.
        """
        tables = self._relocation_tables.get(section.number, [])
        if len(tables) > 1:
            raise self.file.error(f"section {self.section_name(section)} has {len(tables)} tables of relocations")
        return self._read_relocations(tables[0]) if tables else {}

    def _read_relocations(self, table: Section) -> dict[int, Place]:
        what = f"section {self.section_name(table)}"
        content = self.section_content(table)
        if len(content) % _RELOCATION.size or table.link >= len(self.sections):
            raise self.file.error(f"{what} is not a table of relocations")
        symbols = self.sections[table.link]
        places: dict[int, Place] = {}
        for offset, info, addend in _RELOCATION.iter_unpack(content):
            symbol_index, kind = info >> 32, info & 0xFFFFFFFF
            if kind != _ABSOLUTE_64:
                continue
            if (symbol_index + 1) * _SYMBOL.size > symbols.size:
                raise self.file.error(f"{what} names symbol {symbol_index}, which does not exist")
            position = symbols.offset + symbol_index * _SYMBOL.size
            _, _, _, section_index, value, _ = self.file.unpack(_SYMBOL, position, f"symbol {symbol_index}")
            if not 0 < section_index < min(_FIRST_RESERVED_SECTION, len(self.sections)):
                raise self.file.error(f"symbol {symbol_index} is in no section of the file (number {section_index})")
            places[offset] = Place(section_index, value + addend)
        return places
