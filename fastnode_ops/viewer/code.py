"""A buffer as highlighted lines of HTML, with a mark at the cursor. Buffers are hostile: everything is escaped here."""

from __future__ import annotations

import re
from collections.abc import Iterator

from markupsafe import Markup, escape

MAX_HIGHLIGHTED_CHARACTERS = 200_000
CURSOR_MARK = Markup('<mark id="cursor" title="cursor"></mark>')

_CLASSES = re.compile(r"[a-z0-9]{1,4}")
# What a terminal or a browser obeys instead of showing, and what reorders text around it: shown as its code point.
_INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


def code_lines(text: str, cursor: int | None) -> list[Markup]:
    """Return one piece of HTML per line of Python code.

    Args:
        text: The code.
        cursor: BYTE offset of the cursor in the UTF-8 form; None: no mark.

    Returns:
        Lines without their ends. Spans carry pygments' short class names; a text of more than
        `MAX_HIGHLIGHTED_CHARACTERS` is not highlighted.
    """
    position = None if cursor is None else len(text.encode()[:cursor].decode(errors="ignore"))
    lines: list[Markup] = []
    line: list[Markup] = []
    start = 0
    for css, piece in _pieces(text):
        for part in _split(piece, None if position is None else position - start):
            if part is None:
                line.append(CURSOR_MARK)
                continue
            first, *others = part.split("\n")
            line.append(_span(css, first))
            for other in others:
                lines.append(Markup("").join(line))
                line = [_span(css, other)]
        start += len(piece)
    if position == len(text):
        line.append(CURSOR_MARK)
    lines.append(Markup("").join(line))
    return lines


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """Yield (class, text) so that the texts joined are the whole, which pygments' own formatters do not promise."""
    if len(text) > MAX_HIGHLIGHTED_CHARACTERS:
        yield "", text
        return
    from pygments.lexers.python import PythonLexer
    from pygments.token import STANDARD_TYPES

    # the unprocessed form: pygments would otherwise strip and add line ends, and the cursor would move
    for _, kind, piece in PythonLexer().get_tokens_unprocessed(text):
        css = STANDARD_TYPES.get(kind, "")
        yield css if _CLASSES.fullmatch(css) else "", piece


def _split(piece: str, at: int | None) -> list[str | None]:
    """Cut a piece at the cursor, where None stands for the mark; a piece it does not stand in stays whole."""
    if at is None or not 0 <= at < len(piece):
        return [piece]
    return [piece[:at], None, piece[at:]]


def _span(css: str, text: str) -> Markup:
    if not text:
        return Markup("")
    shown = _shown(text)
    return Markup('<span class="{}">{}</span>').format(css, shown) if css else shown


def _shown(text: str) -> Markup:
    """Escape a text and make visible what would not be."""
    parts: list[Markup] = []
    last = 0
    for match in _INVISIBLE.finditer(text):
        parts += [escape(text[last : match.start()]), Markup(f"<i>U+{ord(match.group()):04X}</i>")]
        last = match.end()
    return Markup("").join([*parts, escape(text[last:])])
