"""Legacy prefixes of an x86-64 instruction, read as LLVM's decoder reads them.

LLVM differs from a processor, and from other disassemblers, in what it takes as a prefix: a leading LOCK is an
instruction of its own, F2 or F3 before an exchange is the instruction `xacquire` or `xrelease`, and a prefix that has
nothing after it, or that stands after a REX prefix, is an instruction too. Specification section 3.3; what it leaves
open was found by trying LLVM 19.1.7.
"""

from __future__ import annotations

from typing import NamedTuple

LOCK = 0xF0
REPNE = 0xF2
REP = 0xF3
OPERAND_SIZE = 0x66
ADDRESS_SIZE = 0x67

_SEGMENTS = {0x2E: "CS", 0x36: "SS", 0x3E: "DS", 0x26: "ES", 0x64: "FS", 0x65: "GS"}
LEGACY_PREFIXES = frozenset({LOCK, REPNE, REP, OPERAND_SIZE, ADDRESS_SIZE, *_SEGMENTS})

_ESCAPE = 0x0F
_EVEX = 0x62
_VEX = frozenset({0xC4, 0xC5, _EVEX})
_XOP = 0x8F
_NOP = 0x90

# Moves of control and debug registers; a processor ignores the mode bits of ModR/M, LLVM wants a register there.
CONTROL_MOVES = frozenset({b"\x0f\x20", b"\x0f\x21", b"\x0f\x22", b"\x0f\x23"})

# Instructions that F2 or F3 selects and that have a 16-bit form besides: popcnt, tzcnt, lzcnt, crc32.
_OPERAND_SIZE_BESIDES_REPEAT = frozenset(
    {(REP, b"\x0f\xb8"), (REP, b"\x0f\xbc"), (REP, b"\x0f\xbd"), (REPNE, b"\x0f\x38\xf1")}
)


class PrefixReading(NamedTuple):
    """What the legacy prefixes of one instruction say.

    Attributes:
        num_bytes: Number of prefix bytes; the REX prefix or the opcode follows.
        repeat: The last of F2 and F3, or 0.
        mandatory: The prefix that belongs to the opcode (66, F2 or F3), or 0.
        segment: Name of the last segment override, or empty.
        has_lock: A LOCK stands among the prefixes, but not first.
        has_operand_size: 66 is there.
        has_address_size: 67 is there.
        is_exchange_hint: The next byte is an F2 or F3 that is an instruction, `xacquire` or `xrelease`.
    """

    num_bytes: int
    repeat: int = 0
    mandatory: int = 0
    segment: str = ""
    has_lock: bool = False
    has_operand_size: bool = False
    has_address_size: bool = False
    is_exchange_hint: bool = False


NO_PREFIXES = PrefixReading(0)


def read_prefixes(code: bytes) -> PrefixReading:
    """Reads the legacy prefixes at the start of some machine code.

    Args:
        code: At least one byte; what follows the first instruction does not matter.

    Returns:
        The reading. When only prefixes are left, the last of them is not read: it is an instruction.
    """
    if code[0] not in LEGACY_PREFIXES or code[0] == LOCK:
        return NO_PREFIXES
    index = 0
    repeat = mandatory = 0
    segment = ""
    seen: set[int] = set()
    while index < len(code) - 1 and code[index] in LEGACY_PREFIXES:
        byte, following = code[index], code[index + 1]
        if byte in (REP, REPNE):
            if _is_exchange_hint(byte, following):
                return PrefixReading(index, repeat, mandatory, segment, *_flags(seen), is_exchange_hint=True)
            if following in (_ESCAPE, OPERAND_SIZE) or is_rex(following):
                mandatory = byte
            repeat = byte
        elif byte == OPERAND_SIZE and not mandatory and (following == _ESCAPE or is_rex(following)):
            mandatory = byte
        segment = _SEGMENTS.get(byte, segment)
        seen.add(byte)
        index += 1
    if index == len(code) - 1 and code[index] in (ADDRESS_SIZE, LOCK):
        # Though taken for the opcode in the end, these two have left their mark.
        seen.add(code[index])
    return PrefixReading(index, repeat, mandatory, segment, *_flags(seen))


def _flags(seen: set[int]) -> tuple[bool, bool, bool]:
    return LOCK in seen, OPERAND_SIZE in seen, ADDRESS_SIZE in seen


def is_rex(byte: int) -> bool:
    """Tells whether a byte is a REX prefix."""
    return byte & 0xF0 == 0x40


def _is_exchange_hint(byte: int, following: int) -> bool:
    """F2 or F3 before LOCK or an exchange, F3 before a store; F3 90 is the instruction `pause`."""
    if following == LOCK or following & 0xFE == 0x86 or following & 0xF8 == _NOP:
        return (byte, following) != (REP, _NOP)
    return byte == REP and following in (0x88, 0x89, 0xC6, 0xC7)


def lone_prefix_name(byte: int, reading: PrefixReading) -> str:
    """Names a prefix that is an instruction of its own, for the opcode table: `PREFIX_F2`, `HINT_F2`.

    Args:
        byte: The prefix.
        reading: What `read_prefixes` has found before it.
    """
    if reading.is_exchange_hint:
        return f"HINT_{byte:02X}"
    return f"PREFIX_{byte:02X}"


class OpcodePosition(NamedTuple):
    """Where the parts of an instruction without its legacy prefixes are.

    Attributes:
        opcode: Escape bytes and opcode as they select the instruction; of VEX, XOP and EVEX the last byte only.
        modrm_index: Index of the byte after the opcode.
        rex: The REX prefix, or 0.
        is_vector: The instruction has a VEX, EVEX or XOP prefix.
    """

    opcode: bytes
    modrm_index: int
    rex: int
    is_vector: bool


def lone_prefix_index(code: bytes, reading: PrefixReading) -> int | None:
    """Finds a prefix that LLVM decodes as an instruction of its own.

    Args:
        code: What `read_prefixes` has read.
        reading: What it found.

    Returns:
        The index of that prefix, which is the last byte of the instruction; None when an opcode follows.
    """
    index = reading.num_bytes
    if code[index] in LEGACY_PREFIXES:
        return index
    # A REX prefix belongs to the very next byte, so a prefix there is taken for the opcode.
    if is_rex(code[index]) and index + 1 < len(code):
        following = code[index + 1]
        if following in LEGACY_PREFIXES or is_rex(following):
            return index + 1
    return None


def find_opcode(code: bytes) -> OpcodePosition:
    """Finds opcode and ModR/M byte of an instruction without legacy prefixes.

    Args:
        code: The instruction, perhaps cut short; then the opcode is shorter or empty.
    """
    first = code[0]
    if first in _VEX or (first == _XOP and len(code) > 1 and code[1] & 0x1F >= 8):
        index = {0xC5: 2, _EVEX: 4}.get(first, 3)
        return OpcodePosition(code[index : index + 1], index + 1, 0, True)
    index = 1 if is_rex(first) else 0
    start = index
    if code[index : index + 1] == b"\x0f":
        index += 2 if code[index + 1 : index + 2] in (b"\x38", b"\x3a") else 1
    return OpcodePosition(code[start : index + 1], index + 1, first if start else 0, False)


def selecting_prefixes(reading: PrefixReading, position: OpcodePosition) -> bytes:
    """Chooses the prefixes that select the instruction and its addresses, and leaves all others out.

    Args:
        reading: All prefixes.
        position: The opcode after them.

    Returns:
        At most three prefix bytes; a disassembler of any make reads them as LLVM reads the original ones.
    """
    address_size = b"\x67" if reading.has_address_size else b""
    operand_size = b"\x66" if reading.has_operand_size else b""
    if position.is_vector:
        return address_size
    if len(position.opcode) == 1:
        is_pause = position.opcode[0] == _NOP and reading.repeat == REP and not position.rex & 1
        return address_size + (b"\xf3" if is_pause else operand_size)
    # An F2 or F3 that another prefix divides from the opcode still selects it; a 66 next to the opcode goes before.
    selecting = reading.repeat if reading.mandatory != OPERAND_SIZE else 0
    if not selecting:
        return address_size + operand_size
    if (selecting, position.opcode) not in _OPERAND_SIZE_BESIDES_REPEAT:
        operand_size = b""
    return address_size + operand_size + bytes([selecting])


def printed_prefixes(reading: PrefixReading, position: OpcodePosition) -> tuple[str, ...]:
    """Names the prefixes that LLVM prints in front of the mnemonic.

    Args:
        reading: All prefixes.
        position: The opcode after them.

    Returns:
        Upper-case names. A prefix that belongs to the opcode hides all others.
    """
    if reading.mandatory and (position.is_vector or len(position.opcode) > 1):
        return ()
    names = ["LOCK"] if reading.has_lock else []
    if reading.repeat == REPNE:
        names.append("REPNE")
    elif reading.repeat == REP and position.opcode[-1:] != b"\x90":
        names.append("REP")
    return tuple(names)


def is_address_size_opcode(position: OpcodePosition) -> bool:
    """Tells whether 67 selects another opcode (an absolute move or JECXZ) instead of another width of registers."""
    return position.opcode in (b"\xa0", b"\xa1", b"\xa2", b"\xa3", b"\xe3") and not position.is_vector


def has_short_displacement(reading: PrefixReading, position: OpcodePosition) -> bool:
    """Tells whether a near jump has a displacement of 16 bits instead of 32, as with processors of AMD.

    LLVM reads 66 0F 8x and 66 E9 so, but not 66 E8, nor 66 E9 with REX.W.
    """
    if not reading.has_operand_size or position.is_vector:
        return False
    if position.opcode == b"\xe9":
        return not position.rex & 8
    return len(position.opcode) == 2 and position.opcode[1] & 0xF0 == 0x80
