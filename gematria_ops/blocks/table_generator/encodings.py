"""Enumerates the encodings of x86-64: every opcode of every map, with varied registers, addresses and immediates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

from gematria_ops.blocks.prefixes import LEGACY_PREFIXES

_TAIL_BYTES = 12
_LEGACY_MAPS = (b"", b"\x0f", b"\x0f\x38", b"\x0f\x3a")
# 66 stands next to the opcode: LLVM reads it differently when another prefix divides it from REX.W; nobody does that.
_PREFIX_GROUPS = ("", "66", "f2", "f3", "67", "66f2", "66f3", "6766", "64", "6466", "6764")
# One-byte opcodes that begin another map, another encoding, or APX, which the disassembler does not know.
_NOT_OPCODES = LEGACY_PREFIXES | {0x0F, 0x62, 0xC4, 0xC5, 0xD5, *range(0x40, 0x50)}
# Opcodes of EVEX whose reg field belongs to the opcode, so that a code gets an eighth of the samples.
_EVEX_GROUPS = frozenset({0x71, 0x72, 0x73, 0xC6, 0xC7})


def _tail(random: Random) -> bytes:
    """Makes what follows the operands: most immediates negative, to tell whether LLVM extends the sign."""
    return bytes(byte | random.choice((0x80, 0x80, 0x80, 0)) for byte in random.randbytes(_TAIL_BYTES))


def _memory_operand(random: Random, reg: int) -> bytes:
    """Makes ModR/M, perhaps SIB and displacement, of a memory operand; every way of addressing."""
    way = random.randrange(9)
    plain_base = random.choice((0, 1, 2, 3, 6, 7))
    sib = random.randrange(4) << 6 | random.choice((0, 1, 2, 3, 5, 6, 7)) << 3 | random.randrange(8)
    if way == 0:
        return bytes([reg << 3 | plain_base])
    if way == 1:
        return bytes([0x40 | reg << 3 | plain_base]) + random.randbytes(1)
    if way == 2:
        return bytes([reg << 3 | 5]) + random.randbytes(4)
    if way == 3:
        return bytes([0x80 | reg << 3 | plain_base]) + random.randbytes(4)
    if way < 7:
        return bytes([0x40 | reg << 3 | 4, sib]) + random.randbytes(1)
    return bytes([0x80 | reg << 3 | 4, sib]) + random.randbytes(4)


def _modrm_operands(random: Random, num_memory: int, num_registers: int) -> Iterator[bytes]:
    for reg in range(8):
        for _ in range(num_memory):
            yield _memory_operand(random, reg)
        for rm in random.sample(range(8), num_registers):
            yield bytes([0xC0 | reg << 3 | rm])


def _legacy_opcodes(random: Random) -> Iterator[bytes]:
    """Gives opcode and operands without prefixes; of 3DNow! the suffix that selects the instruction too."""
    for escape in _LEGACY_MAPS:
        for opcode in range(256):
            if (not escape and opcode in _NOT_OPCODES) or (escape == b"\x0f" and opcode in (0x38, 0x3A)):
                continue
            if escape == b"\x0f" and opcode == 0x0F:
                for suffix in range(256):
                    yield b"\x0f\x0f" + bytes([0xC0 | random.randrange(64), suffix])
                    yield b"\x0f\x0f" + bytes([random.randrange(8) << 3 | random.choice((0, 1, 2, 3, 6, 7)), suffix])
                continue
            for operand in _modrm_operands(random, 5, 8):
                yield escape + bytes([opcode]) + operand


def legacy_encodings(random: Random) -> Iterator[bytes]:
    """Enumerates the maps without VEX, with the prefixes that select instructions."""
    for prefixes in _PREFIX_GROUPS:
        for rex in (0, 0x40, 0x48):
            for code in _legacy_opcodes(random):
                extension = bytes([rex | random.choice((0, 0, random.randrange(8)))]) if rex else b""
                yield bytes.fromhex(prefixes) + extension + code + _tail(random)


def _vex_like(random: Random, first: int, maps: tuple[int, ...]) -> Iterator[bytes]:
    for index in range(4 * 2 * 2 * 256):
        pp, w, length, opcode = index & 3, index >> 2 & 1, index >> 3 & 1, index >> 4
        for number in maps:
            for operand in _modrm_operands(random, 2, 4):
                for vvvv in (15, random.randrange(16)):
                    high = random.choice((0xE0, 0xE0, random.randrange(8) << 5)) | number
                    low = w << 7 | vvvv << 3 | length << 2 | pp
                    yield bytes([first, high, low, opcode]) + operand + _tail(random)


def vex_encodings(random: Random) -> Iterator[bytes]:
    """Enumerates VEX; the two-byte prefix encodes nothing that the three-byte one does not."""
    return _vex_like(random, 0xC4, (1, 2, 3))


def xop_encodings(random: Random) -> Iterator[bytes]:
    """Enumerates XOP."""
    return _vex_like(random, 0x8F, (8, 9, 10))


def evex_encodings(random: Random) -> Iterator[bytes]:
    """Enumerates EVEX: for each opcode, vector length, W and broadcast bit all kinds of masks and operands."""
    for index in range(4 * 2 * 4 * 2 * 256):
        pp, w, length, b = index & 3, index >> 2 & 1, index >> 3 & 3, index >> 5 & 1
        for number in (1, 2, 3, 5, 6):
            repetitions = 4 if index >> 6 in _EVEX_GROUPS else 1
            for choice in list(range(48)) * repetitions:
                mask = 0 if choice % 3 == 0 else random.randrange(1, 8)
                zeroing = int(choice % 3 == 2)
                operand = _evex_operand(random, choice // 3 % 4)
                # Instructions with fewer operands want all of these bits set.
                vvvvv, high = (31, 0xF) if choice < 24 else (31, random.randrange(16))
                if choice >= 36:
                    vvvvv = random.randrange(32)
                p1 = w << 7 | (vvvvv & 15) << 3 | 4 | pp
                p2 = zeroing << 7 | length << 5 | b << 4 | (vvvvv >> 4) << 3 | mask
                prefix = bytes([0x62, high << 4 | number, p1, p2, index >> 6])
                yield prefix + operand + _tail(random)


def _evex_operand(random: Random, kind: int) -> bytes:
    reg = random.randrange(8)
    if kind < 2:
        return bytes([0xC0 | reg << 3 | random.randrange(8)])
    if kind == 2:
        return _memory_operand(random, reg)
    return bytes([0x80 | reg << 3 | 4, random.randrange(256)]) + random.randbytes(4)


def lone_prefixes(random: Random) -> Iterator[bytes]:
    """Enumerates prefixes that are instructions: alone, behind REX, and before an exchange."""
    for byte in sorted(LEGACY_PREFIXES):
        yield bytes([byte])
        yield bytes([0x48, byte]) + _tail(random)
    yield b"\x48\x48"
    for hint in ("f287d8", "f387d8"):
        yield bytes.fromhex(hint)


SPACES: dict[str, Callable[[Random], Iterator[bytes]]] = {
    "legacy": legacy_encodings,
    "vex": vex_encodings,
    "xop": xop_encodings,
    "evex": evex_encodings,
    "lone": lone_prefixes,
}
