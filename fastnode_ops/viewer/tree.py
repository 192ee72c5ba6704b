"""The syntax tree of a buffer as lines of text."""

from __future__ import annotations

MAX_LINES = 5_000
MAX_SHOWN_CHARACTERS = 60


def tree_lines(source: bytes, cursor: int | None) -> list[tuple[int, str, bool]]:
    """Return the nodes and tokens of a buffer in source order.

    Args:
        source: The buffer, UTF-8.
        cursor: BYTE offset; None: nothing is marked.

    Returns:
        (depth, text, whether the cursor stands in it or at its end) of each, at most `MAX_LINES` and one that says so.

    Raises:
        DataError: The buffer is too large or too deep for the parser.
    """
    from fastnode_ops.analysis.nodes import Node, Token
    from fastnode_ops.analysis.syntax import parse

    tree = parse(source)
    lines: list[tuple[int, str, bool]] = []
    stack: list[tuple[int, Node | Token]] = [(0, tree.root)]
    while stack:
        depth, item = stack.pop()
        if len(lines) == MAX_LINES:
            lines.append((0, f"… and more: only the first {MAX_LINES:,d} lines are shown", False))
            break
        is_marked = cursor is not None and item.start < cursor <= item.end
        if isinstance(item, Token):
            lines.append((depth, f"{item.kind.name.lower()} {_shortened(item.text)}", is_marked))
            continue
        name = f" {_shortened(item.text)}" if item.text else ""
        lines.append((depth, f"{item.kind}{name}  {item.start}–{item.end}", is_marked))
        stack += [(depth + 1, child) for child in reversed(item.items())]
    return lines


def _shortened(text: str) -> str:
    shown = text if len(text) <= MAX_SHOWN_CHARACTERS else text[: MAX_SHOWN_CHARACTERS - 1] + "…"
    return repr(shown)
