"""What was found out about a text, to be used again when an edited form of it is parsed.

Most of an edited text stands in the text before it. The parser is given its own tree of that, and looks at what has
changed only. And what a statement looks like as a tree of ours depends on its own text only: where the parser finds the
same kind of statement with the same text, the nodes are copied, with their positions shifted, instead of being shaped.
"""

from __future__ import annotations

from typing import Any

import tree_sitter

from fastnode_ops.analysis.nodes import Node, Token, Tree


class Statements:
    """The statements of one text by the parser's name of their kind and by their text.

    Args:
        text: The text.
        parsed: The parser's tree of it.
    """

    def __init__(self, text: bytes, parsed: tree_sitter.Tree) -> None:
        self._text = text
        self._parsed = parsed
        self._found: dict[tuple[str, bytes], tuple[Node, list[Token]]] = {}
        self._nodes: list[Node] = []

    def add(self, kind: str, text: bytes, node: Node, tokens: list[Token]) -> None:
        """Keep a statement; the first of several equal ones counts.

        Args:
            kind: The parser's name of its kind.
            text: Its text, without error.
            node: Its node.
            tokens: The tokens of its text, in order.
        """
        self._found.setdefault((kind, text), (node, tokens))

    def edited(self, text: bytes) -> tree_sitter.Tree:
        """Return the parser's tree, told what is different in another text: where the parser has to look."""
        old = self._text
        start = _common_start(old, text)
        shortest = min(len(old), len(text)) - start
        same = min(_common_start(old[: -shortest - 1 : -1], text[: -shortest - 1 : -1]), shortest) if shortest else 0
        ends = len(old) - same, len(text) - same
        parsed = self._parsed.copy()
        parsed.edit(start, *ends, _point(old, start), _point(old, ends[0]), _point(text, ends[1]))
        return parsed

    def seal(self, tree: Tree) -> None:
        """Complete the collection with the finished tree; what is not in it as it was added is left out."""
        self._nodes = nodes = tree.nodes
        self._found = {key: found for key, found in self._found.items() if nodes[found[0].index] is found[0]}

    def copy(self, kind: str, text: bytes, start: int) -> tuple[Node, list[Token]] | None:
        """Return a copy of the nodes and the tokens of a statement, at another position; None if there is none.

        Parents, owners of tokens and numbers are not set.
        """
        found = self._found.get((kind, text))
        if found is None:
            return None
        root, tokens = found
        shift = start - root.start
        new: dict[Any, Any] = {}
        copied = [_copy_token(token, shift, new) for token in tokens]
        last = root
        while last.children:
            last = last.children[-1]
        for node in reversed(self._nodes[root.index : last.index + 1]):
            new[node] = _copy_node(node, shift, new)
        return new[root], copied


def _common_start(first: bytes, second: bytes) -> int:
    """Return how many bytes two texts begin with in common."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _point(text: bytes, position: int) -> tuple[int, int]:
    """Return line and column of a position, both from 0."""
    return text.count(b"\n", 0, position), position - (text.rfind(b"\n", 0, position) + 1)


def _copy_token(token: Token, shift: int, new: dict[Any, Any]) -> Token:
    copied = new[token] = Token(token.kind, token.text, token.start + shift, token.end + shift, token.role)
    return copied


def _copy_node(node: Node, shift: int, new: dict[Any, Any]) -> Node:
    """Copy a node whose children were copied before."""
    copied = Node.__new__(Node)
    copied.kind = node.kind
    copied.start = node.start + shift
    copied.end = node.end + shift
    copied.text = node.text
    copied.role = node.role
    copied.index = -1
    copied.parent = None
    copied.tokens = [new[token] if token in new else _copy_token(token, shift, new) for token in node.tokens]
    if node.children:
        copied.children = [new[child] for child in node.children]
    else:
        copied.children = []
    copied.parts = {name: _copy_part(part, new) for name, part in node.parts.items()} if node.parts else {}
    return copied


def _copy_part(part: Any, new: dict[Any, Any]) -> Any:
    kind = type(part)
    if kind is Node or kind is Token:
        return new[part]
    return [new[item] for item in part] if kind is list else part
