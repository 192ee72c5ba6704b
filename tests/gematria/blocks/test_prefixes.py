"""Reading of legacy prefixes as LLVM reads them."""

import pytest

from gematria_ops.blocks.prefixes import (
    REP,
    REPNE,
    PrefixReading,
    find_opcode,
    has_short_displacement,
    lone_prefix_index,
    lone_prefix_name,
    printed_prefixes,
    read_prefixes,
    selecting_prefixes,
)


@pytest.mark.parametrize(
    ("code", "reading"),
    [
        ("4801d8", PrefixReading(0)),
        ("f00103", PrefixReading(0)),
        ("660fefc0", PrefixReading(1, mandatory=0x66, has_operand_size=True)),
        ("6690", PrefixReading(1, has_operand_size=True)),
        ("f348ab", PrefixReading(1, repeat=REP, mandatory=REP)),
        ("f3a4", PrefixReading(1, repeat=REP)),
        ("f2f3a4", PrefixReading(2, repeat=REP)),
        ("66f20f38f1c1", PrefixReading(2, repeat=REPNE, mandatory=REPNE, has_operand_size=True)),
        ("2e64678b00", PrefixReading(3, segment="FS", has_address_size=True)),
        ("66f00103", PrefixReading(2, has_lock=True, has_operand_size=True)),
        ("f287d8", PrefixReading(0, is_exchange_hint=True)),
        ("66f387d8", PrefixReading(1, has_operand_size=True, is_exchange_hint=True)),
        ("f390", PrefixReading(1, repeat=REP)),
        ("67", PrefixReading(0, has_address_size=True)),
        ("6666", PrefixReading(1, has_operand_size=True)),
    ],
)
def test_readings(code: str, reading: PrefixReading) -> None:
    assert read_prefixes(bytes.fromhex(code)) == reading


@pytest.mark.parametrize(
    ("code", "index", "name"),
    [
        ("66", 0, "PREFIX_66"),
        ("f3f3", 1, "PREFIX_F3"),
        ("4866", 1, "PREFIX_66"),
        ("4848", 1, "PREFIX_48"),
        ("f287d8", 0, "HINT_F2"),
        ("f00103", 0, "PREFIX_F0"),
    ],
)
def test_lone_prefixes(code: str, index: int, name: str) -> None:
    data = bytes.fromhex(code)
    reading = read_prefixes(data)
    assert lone_prefix_index(data, reading) == index
    assert lone_prefix_name(data[index], reading) == name


@pytest.mark.parametrize("code", ["90", "f390", "48", "6689c0", "660fefc0"])
def test_other_instructions_are_no_lone_prefixes(code: str) -> None:
    data = bytes.fromhex(code)
    assert lone_prefix_index(data, read_prefixes(data)) is None


@pytest.mark.parametrize(
    ("code", "opcode", "modrm_index", "rex", "is_vector"),
    [
        ("01d8", "01", 1, 0, False),
        ("4801d8", "01", 2, 0x48, False),
        ("480fafc1", "0faf", 3, 0x48, False),
        ("0f38f1c1", "0f38f1", 3, 0, False),
        ("c5f877", "77", 3, 0, True),
        ("c4e27d1800", "18", 4, 0, True),
        ("62f1744858c2", "58", 5, 0, True),
        ("8fe878cc4452cdcf", "cc", 4, 0, True),
        ("8f00", "8f", 1, 0, False),
        ("48", "", 2, 0x48, False),
    ],
)
def test_the_opcode_is_found(code: str, opcode: str, modrm_index: int, rex: int, is_vector: bool) -> None:
    position = find_opcode(bytes.fromhex(code))
    assert (position.opcode.hex(), position.modrm_index) == (opcode, modrm_index)
    assert (position.rex, position.is_vector) == (rex, is_vector)


@pytest.mark.parametrize(
    ("code", "selecting", "printed", "is_short"),
    [
        ("6689c0", "66", (), False),
        ("f348ab", "", ("REP",), False),
        ("f2c3", "", ("REPNE",), False),
        ("f390", "f3", (), False),
        ("f34190", "", (), False),
        ("66f30fb8c1", "66f3", (), False),
        ("66f30f58c0", "f3", (), False),
        ("f3660f58c0", "f3", (), False),
        ("f32e660f58c0", "66", (), False),
        ("f3670f58c0", "67f3", ("REP",), False),
        ("64f00fb103", "", ("LOCK",), False),
        ("6664c5f877", "", (), False),
        ("f3c5f877", "", ("REP",), False),
        ("660f84", "66", (), True),
        ("66e9", "66", (), True),
        ("6648e9", "66", (), False),
        ("66e8", "66", (), False),
    ],
)
def test_prefixes_by_use(code: str, selecting: str, printed: tuple[str, ...], is_short: bool) -> None:
    data = bytes.fromhex(code)
    reading = read_prefixes(data)
    position = find_opcode(data[reading.num_bytes :])
    assert selecting_prefixes(reading, position).hex() == selecting
    assert printed_prefixes(reading, position) == printed
    assert has_short_displacement(reading, position) is is_short
