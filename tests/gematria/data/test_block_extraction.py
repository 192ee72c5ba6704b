"""Blocks out of objects that clang 14 and 19 have built (tests/data/elf/README.md), and out of objects made here."""

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from gematria_ops.data.block_extraction import extract_blocks, get_basic_block_hex_values
from gematria_ops.formats.elf import ElfFile
from ops_common.errors import DataError

ELF = Path(__file__).parents[2] / "data" / "elf"

PICK = ["85FF740B", "83FF01750C", "B80B000000C3", "B807000000C3", "8D047FC3"]
# What llvm-readobj --bb-addr-map and objdump -d say, see the README.
EXPECTED = {
    "clang14.o": [
        *PICK,
        "5331DB83FF017509",
        "E80000000001D85BC3",
        "31DB89F8EB1C",
        "89C1C1E91F01C1D1F989C8",
        "83C30183F80174D5",
        "A80174E9",
        "8D044083C001EBEC",
    ],
    "clang14": [
        *PICK,
        "5331DB83FF017509",
        "E8D3FFFFFF01D85BC3",
        "31DB89F8EB1C",
        "89C1C1E91F01C1D1F989C8",
        "83C30183F80174D5",
        "A80174E9",
        "8D044083C001EBEC",
    ],
    "clang19.o": [
        *PICK,
        "5331DB83FF01741C",
        "31DB89F8",
        "89C1D1F9A8018D4440010F44C1FFC383F80175EC",
        "E80000000001D85BC3",
    ],
    "clang19": [
        "85FF0F8419000000E900000000",
        "83FF010F8511000000E900000000",
        "B80B000000C3",
        "B807000000C3",
        "8D047FC3",
        "5331DB83FF010F842D000000E900000000",
        "31DB89F8E906000000",
        "89C1D1F9A8018D4440010F44C1FFC383F80175ECE900000000",
        "E892FFFFFF01D85BC3",
    ],
}


@pytest.mark.parametrize("name, blocks", EXPECTED.items(), ids=EXPECTED.keys())
def test_blocks_of_real_objects(name, blocks):
    assert get_basic_block_hex_values((ELF / name).read_bytes()) == blocks


@pytest.mark.parametrize("name", ["loop_one_segment", "loop_own_segment"])
def test_an_object_without_a_map(name):
    extracted = extract_blocks((ELF / name).read_bytes(), name)
    assert (extracted.hex_values, extracted.sections_without_map) == ([], [".text"])


def _compiler():
    for compiler, flag in (
        ("clang", "-fbasic-block-address-map"),
        ("clang-19", "-fbasic-block-address-map"),
        ("clang", "-fbasic-block-sections=labels"),
        ("clang-14", "-fbasic-block-sections=labels"),
    ):
        if shutil.which(compiler):
            command = [compiler, flag, "-ffreestanding", "-O2", "-c", "-x", "c"]
            if (
                subprocess.run([*command, "/dev/null", "-o", "/dev/null"], check=False, capture_output=True).returncode
                == 0
            ):
                return command
    return None


def test_the_blocks_of_a_fresh_object_cover_its_functions(tmp_path):
    command = _compiler()
    if command is None:
        pytest.skip("no clang that writes basic block address maps")
    subprocess.run([*command, ELF / "blocks.c", "-o", tmp_path / "fresh.o"], check=True)
    content = (tmp_path / "fresh.o").read_bytes()
    blocks = get_basic_block_hex_values(content)
    elf = ElfFile(content)
    code = b"".join(elf.section_content(section) for section in elf.sections if section.is_text).hex().upper()
    # Between blocks is nothing but padding. What the compiler makes of the source is its own affair.
    position = 0
    for block in blocks:
        found = code.index(block, position)
        assert set(code[position:found]) <= set("01246890EF")
        position = found + len(block)
    assert position == len(code)
    assert len(blocks) >= 6


# A relocatable object written by hand: one text section of 16 bytes, one map of its one function, its relocation.
CODE = bytes(range(0x40, 0x50))
TEXT, MAP, RELOCATIONS, SYMBOLS, NAMES = 1, 2, 3, 4, 5


def make_object(entries=b"\x02\x04\x08", *, count=1, relocation=(0, 1, 1, 0), symbol=(TEXT, 0), kind=1, flags=6):
    """An object with the given fields; `relocation` is offset, symbol, type, addend, `symbol` is section, value."""
    offset, symbol_index, relocation_type, addend = relocation
    block_map = struct.pack("<Q", 0) + bytes([count]) + entries
    contents = [
        b"",
        CODE,
        block_map,
        struct.pack("<QQq", offset, symbol_index << 32 | relocation_type, addend),
        bytes(24) + struct.pack("<IBBHQQ", 0, 3, 0, *symbol[:1], symbol[1], 0),
        b"\0.text\0.map\0",
    ]
    headers = [
        (0, 0, 0, 0, 0),
        (1, kind, flags, 0, 0),
        (7, 0x6FFF4C08, 0, TEXT, 0),
        (0, 4, 0, SYMBOLS, MAP),
        (0, 2, 0, NAMES, 0),
        (0, 3, 0, 0, 0),
    ]
    table = body = b""
    for (name, section_kind, section_flags, link, info), content in zip(headers, contents, strict=True):
        offset = 64 + 64 * len(headers) + len(body)
        table += struct.pack(
            "<IIQQQQIIQQ", name, section_kind, section_flags, 0, offset, len(content), link, info, 1, 0
        )
        body += content
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 1, 62, 1, 0, 0, 64, 0, 64, 0, 0, 64, len(headers), NAMES)
    return header + table + body


def test_an_object_by_hand():
    extracted = extract_blocks(make_object())
    assert (extracted.hex_values, extracted.num_empty, extracted.sections_without_map) == (["42434445"], 0, [])


def test_the_relocation_gives_the_address():
    assert extract_blocks(make_object(relocation=(0, 1, 1, 5), symbol=(TEXT, 3))).hex_values == ["4A4B4C4D"]


def test_blocks_are_sorted_by_address_and_empty_ones_left_out():
    # Offset, size, flags: 8 at 6; 2 at 0; none at 3; 16 bytes from 0.
    extracted = extract_blocks(make_object(b"\x06\x08\0\x00\x02\0\x03\x00\0\x00\x10\0", count=4))
    assert extracted.hex_values == ["4041", CODE.hex().upper(), "464748494A4B4C4D"]
    assert extracted.num_empty == 1


BAD_OBJECTS = {
    "no relocation": (make_object(relocation=(1, 1, 1, 0)), r"section \.map: the function at byte 0 of the map"),
    "relative": (make_object(relocation=(0, 1, 2, 0)), "is in no text section"),
    "no symbol": (make_object(relocation=(0, 2, 1, 0)), "names symbol 2, which does not exist"),
    "undefined symbol": (make_object(symbol=(0, 0)), r"symbol 1 is in no section of the file \(number 0\)"),
    "absolute symbol": (make_object(symbol=(0xFFF1, 0)), r"symbol 1 is in no section of the file \(number 65521\)"),
    "too long": (
        make_object(b"\x02\x0f\0"),
        r"section \.text has 16 bytes, but the map has a block of 15 bytes at off",
    ),
    "before": (make_object(relocation=(0, 1, 1, -3)), "a block of 4 bytes at offset -1"),
    "no code": (make_object(flags=2), r"section \.text holds no instructions, but the map has blocks in it"),
    "compressed": (make_object(flags=0x806), r"section \.text is compressed, which is not supported"),
    "overlapping": (make_object(b"\x00\x10\0" * 17, count=17), r"section \.text: the blocks of the map overlap"),
    "torn map": (make_object(b"\x02", count=1), r"section \.map: damaged basic block address map at byte 10"),
}


@pytest.mark.parametrize("content, message", BAD_OBJECTS.values(), ids=BAD_OBJECTS.keys())
def test_bad_objects(content, message):
    with pytest.raises(DataError, match=r"^bad\.o: .*" + message):
        extract_blocks(content, "bad.o")


def test_an_address_outside_of_every_section_of_an_executable():
    content = bytearray((ELF / "clang14").read_bytes())
    elf = ElfFile(bytes(content))
    (section,) = [section for section in elf.sections if section.kind == 0x6FFF4C08]
    content[section.offset : section.offset + 8] = struct.pack("<Q", 0x1234)
    with pytest.raises(DataError, match=r"\(address 0x1234\) is in no text section"):
        extract_blocks(bytes(content))
