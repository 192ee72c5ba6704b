"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a bar or a line end within a cell is kept from ending it."""
    return "\n".join(_line(row) for row in (columns, ["---"] * len(columns), *rows)) + "\n"


def code(text: str) -> str:
    """Text as it is, in a cell; nothing when there is none."""
    return f"`{text}`" if text else ""


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def _cell(text: str) -> str:
    """One line; what looks like markup is text, as it is between backticks anyway."""
    parts = " ".join(text.split()).replace("|", "\\|").split("`")
    return "`".join(part if index % 2 else part.replace("<", "&lt;") for index, part in enumerate(parts))
