"""The string literals of a Go file, found exactly: not those in comments, and not quotes within other literals.

Only what is needed to change one string and leave every other byte alone: the lexical rules of comments, runes, raw
and interpreted strings (The Go Programming Language Specification, "Lexical elements").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ops_common.errors import DataError

MAX_CHARACTERS = 10_000_000

_OPENING = re.compile(r"//|/\*|[\"`']")
_WHOLE = {
    "//": re.compile(r"//[^\n]*"),
    "/*": re.compile(r"/\*.*?\*/", re.DOTALL),
    '"': re.compile(r'"(?:[^"\\\n]|\\[^\n])*"'),
    "`": re.compile(r"`[^`]*`"),
    "'": re.compile(r"'(?:[^'\\\n]|\\[^\n])+'"),
}
_NAMES = {"/*": "comment", '"': "string", "`": "raw string", "'": "rune"}


@dataclass(frozen=True, slots=True)
class Literal:
    """One string literal.

    Attributes:
        start: Where its text begins, behind the quote, in characters.
        end: Where its text ends, before the quote.
        text: What stands between the quotes, escapes as they are written.
        line: Its line, from 1.
    """

    start: int
    end: int
    text: str
    line: int


def string_literals(source: str, where: str) -> Iterator[Literal]:
    """The string literals of a Go file in order.

    Args:
        source: The file.
        where: Begins the error messages.

    Raises:
        DataError: The file is too large, or a literal or comment does not end.
    """
    if len(source) > MAX_CHARACTERS:
        raise DataError(f"{where} has {len(source):,} characters, at most {MAX_CHARACTERS:,} are read")
    position = 0
    while opening := _OPENING.search(source, position):
        kind = opening[0]
        whole = _WHOLE[kind].match(source, opening.start())
        line = source.count("\n", 0, opening.start()) + 1
        if whole is None:
            raise DataError(f"{where}, line {line}: this {_NAMES[kind]} does not end", "see what `gofmt -l` says")
        if kind in '"`':
            yield Literal(whole.start() + 1, whole.end() - 1, whole[0][1:-1], line)
        position = whole.end()
