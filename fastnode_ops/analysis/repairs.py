"""What a text that does not parse most likely lacks.

A buffer in which somebody types, and each buffer that the sampling cuts (specification 7.1), lacks closing brackets,
operands or the colon of a header. Left to itself, the parser takes the lines below for the rest of the open bracket.
So we put in what lacks, at the end of the logical line: closing brackets, a name after a dot or an operator, `else`,
`in`, a colon, a definition under a lone decorator. What is inserted has no length in the tree: an inserted name is an
empty `BadExpr` or an empty attribute identifier, everything else leaves no trace.

A line inside of brackets begins a new statement when it begins with a keyword that no expression has; and, when it is
not indented deeper than the statement of the bracket (or that is a header), when it cannot follow what stands before
it, or when the bracket is never closed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

from fastnode_ops.analysis.nodes import Token
from fastnode_ops.analysis.words import Word, WordKind, scan

Insertion = tuple[int, bytes]

_NEEDS_OPERAND = (
    ". = + - * ** / // % @ & | ^ ~ << >> < > <= >= == != <> := += -= *= /= //= %= @= &= |= ^= >>= <<= **= ->"
    " in not and or is if elif while import from del for with as class def assert await global nonlocal"
)
NEEDS_OPERAND = frozenset([*_NEEDS_OPERAND.split(), "not in", "is not"])
"""Tokens after which a logical line cannot end."""
_LINE_STATE = dict.fromkeys("([{", 1) | dict.fromkeys(")]}", -1) | dict.fromkeys(NEEDS_OPERAND, 0)

_HEADER_WORDS = "if elif else for while with try except finally def class"
_HEADERS = frozenset(_HEADER_WORDS.split())
_START_WORDS = (
    "def class return import while try except finally del pass break continue global nonlocal raise assert elif"
)
_ALWAYS_STARTS = frozenset(_START_WORDS.split())
_MAYBE_STARTS = frozenset(("for", "if", "else", "async", "with"))  # statements when their line ends with a colon
_EXPRESSION_WORDS = frozenset(("and", "or", "in", "is", "not", "if", "else", "for", "as", "async"))
_KEYWORDS = _HEADERS | _ALWAYS_STARTS | _EXPRESSION_WORDS | {"from", "lambda", "yield", "await"}
_CLOSERS = {"(": ")", "[": "]", "{": "}"}
_NAME = b" _ "
MAX_PASSES = 4
"""How often each word is looked at on average, at most; then the first doubtful line ends the bracket."""


@dataclass(slots=True)
class _Level:
    """An open bracket, or the logical line itself: what is still to come."""

    opener: str = ""
    ifs: int = 0  # `if` of a conditional expression without its `else`
    ins: int = 0  # `for` without its `in`
    lambdas: int = 0  # `lambda` without its colon
    is_comprehension: bool = False

    def missing(self) -> bytes:
        """Return what the expression on this level lacks."""
        text = b""
        if self.lambdas:
            text += b": _ " * self.lambdas
        if self.ins:
            text += b" in _ "
        if self.ifs:
            text += b" else _ " * self.ifs
        self.ifs = self.ins = self.lambdas = 0
        return text


@dataclass(slots=True)
class _State:
    """One logical line, as far as it has been read."""

    column: int
    levels: list[_Level] = field(default_factory=lambda: [_Level()])
    first: str = ""
    keyword: str = ""  # the keyword of a header
    has_colon: bool = False
    words: int = 0

    def copy(self) -> _State:
        """Return a copy that further words do not change."""
        return replace(self, levels=[replace(level) for level in self.levels])


class _Repairer:
    def __init__(self, source: bytes) -> None:
        self.source = source
        self.words = scan(source)
        self.insertions: list[Insertion] = []
        self._line_ends = self._last_words()
        self._budget = MAX_PASSES * len(self.words) + 1000
        self._state = _State(0)
        self._last: Word | None = None
        self._decorator: tuple[int, int] | None = None  # where a decorator ends, and its column
        self._doubt: tuple[int, _State, int, Word] | None = None  # where a bracket may end: place, state, insertions

    def _last_words(self) -> list[str]:
        """Return, for each word, the text of the last word of its line."""
        ends = [""] * len(self.words)
        last = ""
        for at in range(len(self.words) - 1, -1, -1):
            word = self.words[at]
            if word.kind is WordKind.NEWLINE:
                last = ""
            elif not last:
                last = word.text or "string"
            ends[at] = last
        return ends

    def run(self) -> list[Insertion]:
        """Return what is to be inserted where, in order."""
        at = 0
        while True:
            if at >= len(self.words):
                if self._doubt is None:
                    break
                at = self._go_back()
                continue
            word = self.words[at]
            self._budget -= 1
            if word.column >= 0 and len(self._state.levels) > 1 and self._last is not None:
                answer = self._begins_statement(at, self._last)
                if answer and self._doubt is not None:
                    at = self._go_back()
                    continue
                if answer:
                    self._end_line()
            self._read(at, word)
            at += 1
        self._end_line()
        if self._decorator is not None:
            self._define(*self._decorator)
        return self.insertions

    def _begins_statement(self, at: int, last: Word) -> bool:
        """Say whether a line inside of brackets begins a statement; note the place when that is in doubt."""
        word = self.words[at]
        if word.text in (")", "]", "}"):
            return False
        is_new_operand = _ends_operand(last) and _begins_operand(word, last)
        if word.text in _ALWAYS_STARTS or (is_new_operand and self._state.keyword):
            return True
        if word.text == "async" and at + 1 < len(self.words) and self.words[at + 1].text == "def":
            return True
        if word.column > self._state.column:
            return False
        if is_new_operand or word.text == "@" or (word.text in _MAYBE_STARTS and self._line_ends[at] == ":"):
            return True
        if self._doubt is None:
            if self._budget < 0:
                return True
            self._doubt = (at, self._state.copy(), len(self.insertions), last)
        return False

    def _go_back(self) -> int:
        """End the bracket at the line that was in doubt; return the place of its first word, which has been read."""
        assert self._doubt is not None
        at, self._state, kept, self._last = self._doubt
        self._doubt = None
        del self.insertions[kept:]
        self._end_line()
        self._read(at, self.words[at])
        return at + 1

    def _read(self, at: int, word: Word) -> None:
        state = self._state
        is_last = at + 1 == len(self.words) or self.words[at + 1].kind is WordKind.NEWLINE
        if word.text == ":" and is_last and state.keyword and self._last is not None:
            self._end_brackets(self._last)
        if word.kind is WordKind.NEWLINE:
            if len(state.levels) == 1:
                self._end_line()
            return
        if state.words == 0:
            self._begin_line(word)
        state.words += 1
        last = self._last
        if last is not None and self._lacks_operand(last, word):
            self._insert(last.end, _NAME)
        if word.is_open:
            self._insert(word.end, _string_end(self.source[word.start : word.end]))
        self._follow(word)
        self._last = word

    def _begin_line(self, word: Word) -> None:
        state = self._state
        if word.column >= 0:
            state.column = word.column
        state.first = word.text
        if self._decorator is not None and word.text not in ("def", "class", "async", "@"):
            self._define(*self._decorator)
        self._decorator = None

    def _define(self, position: int, column: int) -> None:
        self._insert(position, b"\n" + b" " * column + b"def _(): pass")

    def _lacks_operand(self, last: Word, word: Word) -> bool:
        """Say whether a name lacks between two words."""
        if last.kind is WordKind.STRING or last.text not in NEEDS_OPERAND:
            return False
        if self._state.first in ("from", "import") and last.text in (".", "import", "from"):
            return False
        if last.text == ".":
            return word.kind is not WordKind.NAME or word.text in _KEYWORDS
        if last.text in ("*", "/") and word.text in (",", ")", ":"):
            return False
        return word.text in (")", "]", "}", ",", "=", ";") or (word.text == ":" and last.text != "=")

    def _follow(self, word: Word) -> None:
        """Bring the state of the line up to date."""
        state, text = self._state, word.text
        level = state.levels[-1]
        if word.kind is WordKind.OPERATOR:
            self._follow_operator(state, level, text)
        elif word.kind is WordKind.NAME:
            _follow_name(state, level, text)

    def _follow_operator(self, state: _State, level: _Level, text: str) -> None:
        if text in _CLOSERS:
            state.levels.append(_Level(text))
        elif text in (")", "]", "}"):
            self._close(text)
        elif text == ":":
            if level.lambdas:
                level.lambdas -= 1
            else:
                state.has_colon = state.has_colon or not level.opener
        elif text in (",", "=") and level.ifs and not level.is_comprehension and self._last is not None:
            self._insert(self._last.end, level.missing())
        elif text == ";" and not level.opener:
            state.first = state.keyword = ""

    def _close(self, text: str) -> None:
        """Close the innermost bracket of a kind, and those inside of it that were left open."""
        levels = self._state.levels
        if not any(_CLOSERS.get(level.opener) == text for level in levels) or self._last is None:
            return
        while True:
            level = levels.pop()
            self._insert(self._last.end, level.missing())
            if _CLOSERS[level.opener] == text:
                break
            self._insert(self._last.end, _CLOSERS[level.opener].encode())
        if len(levels) == 1:
            self._doubt = None

    def _end_brackets(self, last: Word) -> None:
        """Close the round brackets that are open where the colon ends a header."""
        levels = self._state.levels
        while levels[-1].opener == "(" and not levels[-1].lambdas:
            self._insert(last.end, _NAME if self._is_dangling(last) else b"")
            self._insert(last.end, levels.pop().missing() + b")")
            last = Word(WordKind.OPERATOR, ")", last.end, last.end, -1)
        self._last = last
        if len(levels) == 1:
            self._doubt = None

    def _end_line(self) -> None:
        """Insert what the logical line lacks at its end, and begin a new one."""
        state, last = self._state, self._last
        if state.words and last is not None:
            if last.kind is not WordKind.STRING and self._is_dangling(last):
                self._insert(last.end, _NAME)
            for level in reversed(state.levels):
                self._insert(last.end, level.missing())
                if level.opener:
                    self._insert(last.end, _CLOSERS[level.opener].encode())
            if state.keyword and not state.has_colon:
                self._insert(last.end, b"():" if self._is_bare_definition() else b":")
            if state.first == "@":
                self._decorator = (last.end, state.column)
        self._doubt = None
        self._state = _State(state.column)
        self._last = None

    def _is_dangling(self, last: Word) -> bool:
        """Say whether a line cannot end with a word."""
        return last.text in NEEDS_OPERAND and not (last.text == "*" and self._state.first == "from")

    def _is_bare_definition(self) -> bool:
        return self._state.keyword == "def" and self._last is not None and self._state.words <= 2

    def _insert(self, position: int, text: bytes) -> None:
        if text:
            self.insertions.append((position, text))


def _follow_name(state: _State, level: _Level, text: str) -> None:
    is_first = state.words == 1 or (state.words == 2 and state.first == "async")
    if is_first and text in _HEADERS:
        state.keyword = text
    elif state.words == 2 and state.first in ("match", "case") and text not in _EXPRESSION_WORDS:
        state.keyword = state.first
    if text == "for":
        level.ins += 1
        level.is_comprehension = bool(level.opener)
    elif text == "in" and level.ins:
        level.ins -= 1
    elif text == "if" and not is_first and not level.is_comprehension:
        level.ifs += 1
    elif text == "else" and level.ifs:
        level.ifs -= 1
    elif text == "lambda":
        level.lambdas += 1


def _string_end(literal: bytes) -> bytes:
    """Return what ends a string on one line; in an f-string an expression may be open."""
    body = literal.lstrip(b"rRbBuUfFtT")
    braces = body.replace(b"{{", b"").replace(b"}}", b"")
    is_formatted = b"f" in literal[: len(literal) - len(body)].lower()
    num_open = braces.count(b"{") - braces.count(b"}") if is_formatted else 0
    return b"}" * num_open + body[:1]


def _ends_operand(word: Word) -> bool:
    if word.kind is WordKind.NAME:
        return word.text not in _KEYWORDS
    return word.kind in (WordKind.NUMBER, WordKind.STRING) or word.text in (")", "]", "}", "...")


def _begins_operand(word: Word, last: Word) -> bool:
    if word.kind is WordKind.NAME:
        return word.text not in _EXPRESSION_WORDS
    if word.kind is WordKind.STRING:
        return last.kind is not WordKind.STRING
    return word.kind is WordKind.NUMBER


def has_open_lines(source: bytes, tokens: list[Token]) -> bool:
    """Say whether a line outside of brackets ends with a token after which it cannot end.

    The parser takes the next line for the rest of it and reports no error: in `os.path.` with `y = 3` below it, it
    finds the attribute `y`.
    """
    depth = 0
    for token, following in pairwise(tokens):
        change = _LINE_STATE.get(token.text)
        if change is None:
            continue
        depth += change
        if change == 0 and depth <= 0:
            gap = source[token.end : following.start]
            if b"\n" in gap and b"\\" not in gap:
                return True
    return False


def repair(source: bytes) -> tuple[bytes, list[Insertion]]:
    """Return the text with what it lacks, and what was inserted where.

    Returns:
        The new text, and the insertions: position in the source and inserted text, in order of the positions.
    """
    insertions: list[Insertion] = []
    for position, text in _Repairer(source).run():
        if insertions and insertions[-1][0] == position:
            insertions[-1] = (position, insertions[-1][1] + text)
        else:
            insertions.append((position, text))
    pieces, copied = [], 0
    for position, text in insertions:
        pieces += [source[copied:position], text]
        copied = position
    return b"".join([*pieces, source[copied:]]), insertions
