"""Damage to files: what a fuzzer does, without its feedback."""

import random
import struct

# Values that break what counts, multiplies or compares.
_NUMBERS = [0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1]
_MAX_DAMAGES = 6


def mutate(seeds: tuple[bytes, ...], source: random.Random) -> bytes:
    """Damages one of some files in up to six places.

    Args:
        seeds: Files that are right.
        source: Where chance comes from.
    """
    content = bytearray(source.choice(seeds))
    for _ in range(source.randint(1, _MAX_DAMAGES)):
        if content:
            source.choice(_DAMAGES)(content, source)
    return bytes(content)


def _flip_bit(content: bytearray, source: random.Random) -> None:
    content[source.randrange(len(content))] ^= 1 << source.randrange(8)


def _set_byte(content: bytearray, source: random.Random) -> None:
    content[source.randrange(len(content))] = source.randrange(256)


def _set_number(content: bytearray, source: random.Random) -> None:
    size, letter = source.choice([(2, "H"), (4, "I"), (8, "Q")])
    if len(content) >= size:
        # Fields are aligned more often than not.
        offset = source.randrange(len(content) - size + 1)
        offset -= offset % size if source.random() < 0.8 else 0
        number = source.choice([*_NUMBERS, len(content), source.randrange(len(content))])
        struct.pack_into(f"<{letter}", content, offset, number % 256**size)


def _cut(content: bytearray, source: random.Random) -> None:
    del content[source.randrange(len(content)) :]


def _remove(content: bytearray, source: random.Random) -> None:
    start = source.randrange(len(content))
    del content[start : start + source.randint(1, 16)]


def _copy(content: bytearray, source: random.Random) -> None:
    start, target = source.randrange(len(content)), source.randrange(len(content))
    part = content[start : start + source.randint(1, 64)]
    content[target : target + (len(part) if source.random() < 0.5 else 0)] = part


_DAMAGES = [_flip_bit, _set_byte, _set_number, _set_number, _set_number, _cut, _remove, _copy]
