"""What was found out about a text, to be used again when an edited form of it is parsed.

Most of an edited text stands in the text before it. The parser is given its own tree of that, and looks at what has
changed only. And what a statement looks like as a tree of ours depends on its own text only: where the parser finds the
same kind of statement with the same text, the nodes are copied, with their positions shifted, instead of being shaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
        self._added: dict[tuple[str, bytes], tuple[Node, list[Token]]] = {}
        self._found: dict[tuple[str, bytes], Statement] = {}

    def add(self, kind: str, text: bytes, node: Node, tokens: list[Token]) -> None:
        """Keep a statement; the first of several equal ones counts.

        Args:
            kind: The parser's name of its kind.
            text: Its text, without error.
            node: Its node.
            tokens: The tokens of its text, in order.
        """
        self._added.setdefault((kind, text), (node, tokens))

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

    def seal(self, tree: Tree, depths: Sequence[int]) -> None:
        """Complete the collection with the finished tree; what is not in it as it was added is left out.

        Args:
            tree: The tree.
            depths: How deep each of its nodes lies.
        """
        for key, (root, tokens) in self._added.items():
            if tree.nodes[root.index] is root:
                last = root
                while last.children:
                    last = last.children[-1]
                span = slice(root.index, last.index + 1)
                self._found[key] = Statement(tree.nodes[span], tokens, max(depths[span]) - depths[root.index])
        self._added.clear()

    def copy(self, kind: str, text: bytes, start: int) -> Statement | None:
        """Return a copy of a statement at another position; None if there is none.

        Parents and owners are set in it, numbers are not.
        """
        found = self._found.get((kind, text))
        return None if found is None else _copied(found, start - found.nodes[0].start)


@dataclass(frozen=True, slots=True)
class Statement:
    """The nodes and tokens of a statement.

    Args:
        nodes: It and all nodes below it, in pre-order.
        tokens: The tokens of its text, in order.
        height: How deep the deepest node lies below it.
    """

    nodes: list[Node]
    tokens: list[Token]
    height: int


def _copied(statement: Statement, shift: int) -> Statement:
    """Copy all nodes and tokens. Most of the time of an edited text is spent here, so nothing is called in it."""
    new: dict[Any, Any] = {}
    nodes: list[Node] = []
    make_token, make_node = Token.__new__, Node.__new__
    for token in statement.tokens:
        new[token] = made = make_token(Token)
        made.kind, made.text, made.role = token.kind, token.text, token.role
        made.start, made.end = token.start + shift, token.end + shift
    tokens = list(new.values())
    for node in reversed(statement.nodes):  # children before their parents
        new[node] = copy = make_node(Node)
        copy.kind, copy.text, copy.role = node.kind, node.text, node.role
        copy.start, copy.end = node.start + shift, node.end + shift
        copy.index, copy.parent = -1, None
        copy.tokens = [new[token] if token in new else _put_in(token, shift, new) for token in node.tokens]
        for made in copy.tokens:
            made.node = copy
        if node.children:
            copy.children = [new[child] for child in node.children]
            for child in copy.children:
                child.parent = copy
            copy.parts = {name: _copied_part(part, new) for name, part in node.parts.items()}
        else:
            copy.children = []
            copy.parts = node.parts  # there is no part without a child
        nodes.append(copy)
    nodes.reverse()
    return Statement(nodes, tokens, statement.height)


def _put_in(token: Token, shift: int, new: dict[Any, Any]) -> Token:
    """Copy a token that is not in the text: an identifier that lacks."""
    made = new[token] = Token(token.kind, token.text, token.start + shift, token.end + shift, token.role)
    return made


def _copied_part(part: Any, new: dict[Any, Any]) -> Any:
    kind = type(part)
    if kind is Node or kind is Token:
        return new[part]
    return [new[item] for item in part] if kind is list else part


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
