"""A plain scanner: where words, brackets and lines of a text begin and end, whatever their order."""

from __future__ import annotations

import re
from enum import IntEnum


class WordKind(IntEnum):
    """What a word is."""

    NAME = 0  # also keywords
    NUMBER = 1
    STRING = 2
    OPERATOR = 3
    NEWLINE = 4


class Word:
    """A word of a text.

    Args:
        kind: What it is.
        text: Its text; "" for strings and line ends.
        start: Position of its first byte.
        end: Position after its last byte.
        column: Its column when it is the first of its line, else -1. A tab counts to the next multiple of 8.
        is_open: Whether it is a string on one line that does not end.
    """

    __slots__ = ("column", "end", "is_open", "kind", "start", "text")

    def __init__(self, kind: WordKind, text: str, start: int, end: int, column: int, is_open: bool = False) -> None:
        self.kind = kind
        self.text = text
        self.start = start
        self.end = end
        self.column = column
        self.is_open = is_open


_PATTERN = re.compile(
    rb"""
    (?P<STRING> [rRbBuUfFtT]{0,2} (?:
        "{3} (?:[^"\\]|\\.|"(?!""))*+ (?:"{3}|\Z)
      | '{3} (?:[^'\\]|\\.|'(?!''))*+ (?:'{3}|\Z)
      | " (?:[^"\\\r\n]|\\.)*+ "?
      | ' (?:[^'\\\r\n]|\\.)*+ '? ) )
  | (?P<NAME> [A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]* )
  | (?P<NUMBER> \.?[0-9](?:[eE][+-]|[A-Za-z0-9_.])* )
  | (?P<NEWLINE> \r?\n | \r )
  | (?P<SKIP> [ \t\f]+ | \#[^\r\n]* | \\\r?\n )
  | (?P<OPERATOR> \.\.\. | \*\*= | //= | >>= | <<= | [-+*/%@&|^=<>!:]= | -> | \*\* | // | >> | << | <> | [^\s\w] )
    """,
    re.VERBOSE | re.DOTALL,
)


def scan(source: bytes) -> list[Word]:
    """Return the words of a text; comments, blanks and continued line ends are none."""
    words: list[Word] = []
    is_first = True
    for match in _PATTERN.finditer(source):
        group = match.lastgroup
        if group == "SKIP" or group is None:
            continue
        start, end = match.span()
        if group == "NEWLINE":
            words.append(Word(WordKind.NEWLINE, "", start, end, -1))
            is_first = True
            continue
        column = _column(source, start) if is_first else -1
        is_first = False
        if group == "STRING":
            words.append(Word(WordKind.STRING, "", start, end, column, _is_open(match.group())))
        else:
            words.append(Word(WordKind[group], match.group().decode(), start, end, column))
    return words


def _column(source: bytes, start: int) -> int:
    line = source[max(source.rfind(b"\n", 0, start), source.rfind(b"\r", 0, start)) + 1 : start]
    return len(line.replace(b"\f", b"").expandtabs(8))


def _is_open(literal: bytes) -> bool:
    body = literal.lstrip(b"rRbBuUfFtT")
    return len(body) < 2 or (body[-1:] != body[:1]) or (len(body) > 2 and _ends_escaped(body))


def _ends_escaped(body: bytes) -> bool:
    inner = body[1:-1]
    return (len(inner) - len(inner.rstrip(b"\\"))) % 2 == 1
