"""x"""

from __future__ import annotations

Insertion = tuple[int, bytes]
NEEDS_OPERAND = frozenset(
    ". = + - * ** / // % @ & | ^ ~ << >> < > <= >= == != <> := += -= *= /= //= %= @= &= |= ^= >>= <<= **= ->"
    " in not and or is if elif while import from del for with as class def assert await global nonlocal"
    " not_in is_not".replace("_in", " in").split(" ")
)


def repair(source: bytes) -> tuple[bytes, list[Insertion]]:
    """Return the text with insertions."""
    return source, []
