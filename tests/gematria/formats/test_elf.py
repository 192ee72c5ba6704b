"""ELF headers: real files are read, others are refused by name, and no count is believed."""

import struct
from pathlib import Path

import pytest

from gematria_ops.formats.elf import ElfFile, Segment
from ops_common.errors import DataError

ELF = Path(__file__).parents[2] / "data" / "elf"
EXECUTABLE = (ELF / "loop_own_segment").read_bytes()
OBJECT = (ELF / "clang19.o").read_bytes()


def patched(content, offset, layout, *values):
    changed = bytearray(content)
    struct.pack_into(layout, changed, offset, *values)
    return bytes(changed)


def test_segments_of_an_executable():
    # As `readelf -l` lists them.
    elf = ElfFile(EXECUTABLE)
    assert elf.segments == (Segment(4, 0, 0x400000, 0xB0), Segment(5, 0x1000, 0x401000, 0x20))
    assert [segment.is_code for segment in elf.segments] == [False, True]
    assert not elf.is_relocatable


def test_sections_of_an_object():
    elf = ElfFile(OBJECT)
    assert elf.is_relocatable
    assert elf.segments == ()
    text = [elf.section_name(section) for section in elf.sections if section.is_text]
    assert text == [".text", ".text.pick", ".text._start"]
    assert elf.section_name(elf.sections[0]) == "number 0"


def test_numbers_that_do_not_fit_into_the_header_are_in_the_first_section():
    section_offset = struct.unpack_from("<Q", OBJECT, 40)[0]
    num_sections, names = struct.unpack_from("<HH", OBJECT, 60)
    content = patched(OBJECT, 60, "<HH", 0, 0xFFFF)
    content = patched(content, section_offset + 32, "<QI", num_sections, names)
    elf = ElfFile(content)
    assert elf.sections[1:] == ElfFile(OBJECT).sections[1:]
    assert elf.section_name(elf.sections[names]) == ".strtab"


def test_a_section_is_read_once():
    elf = ElfFile(OBJECT)
    section = max(elf.sections, key=lambda section: section.size)
    with pytest.raises(DataError, match="overlaps others"):
        for _ in range(len(OBJECT)):
            elf.section_content(section)


BAD_FILES = {
    "empty": (b"", "this is not an ELF file"),
    "text": (b"int main(void) { return 0; }" * 10, "this is not an ELF file"),
    "torn header": (OBJECT[:63], "this is not an ELF file"),
    "32 bits": (patched(OBJECT, 4, "B", 1), "this is not a 64-bit little-endian ELF file"),
    "big-endian": (patched(OBJECT, 5, "B", 2), "this is not a 64-bit little-endian ELF file"),
    "ARM": (patched(OBJECT, 18, "<H", 183), r"for another machine than x86-64 \(number 183\)"),
    "section size": (patched(OBJECT, 58, "<H", 40), "headers of segments or sections have a wrong size"),
    "segment size": (patched(EXECUTABLE, 54, "<H", 32), "headers of segments or sections have a wrong size"),
    "sections far away": (patched(OBJECT, 40, "<Q", 2**63), r"the table of sections \(offset 9223372036854775808"),
    "segments far away": (patched(EXECUTABLE, 32, "<Q", 2**64 - 1), "the table of segments"),
    "too many sections": (patched(OBJECT, 60, "<H", 0xFFFE), "the table of sections .* is not within the file"),
    "too many segments": (patched(EXECUTABLE, 56, "<H", 0xFFFE), "the table of segments .* is not within the file"),
    "cut": (OBJECT[: len(OBJECT) - 1], "the table of sections .* is not within the file"),
}


@pytest.mark.parametrize("content, message", BAD_FILES.values(), ids=BAD_FILES.keys())
def test_bad_files(content, message):
    with pytest.raises(DataError, match=r"^bad\.elf: .*" + message) as caught:
        ElfFile(content, "bad.elf")
    assert caught.value.hint


def test_a_huge_number_of_sections_is_refused_before_anything_is_read():
    section_offset = struct.unpack_from("<Q", OBJECT, 40)[0]
    content = patched(patched(OBJECT, 60, "<H", 0), section_offset + 32, "<Q", 2**64 - 1)
    with pytest.raises(DataError, match="the table of sections"):
        ElfFile(content)
