"""Nodes and tokens of a syntax tree. Positions are byte offsets into the UTF-8 source, ends are exclusive."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Any

from fastnode_ops.analysis.kinds import EXPRESSIONS, STATEMENTS, TERMINALS


class TokenKind(IntEnum):
    """What a token is."""

    IDENT = 0
    KEYWORD = 1
    OPERATOR = 2  # also punctuation
    NUMBER = 3
    STRING = 4
    EOF = 5
    BAD = 6  # text that is no Python


class Token:
    """A word of the source.

    Args:
        kind: What it is.
        text: Its text; "not in" and "is not" are one token, spelt with one space. "" for an identifier that lacks.
        start: Position of its first byte.
        end: Position after its last byte.
    """

    __slots__ = ("end", "kind", "node", "role", "start", "text")

    node: Node

    def __init__(self, kind: TokenKind, text: str, start: int, end: int, role: str = "") -> None:
        self.kind = kind
        self.text = text
        self.start = start
        self.end = end
        self.role = role

    def __repr__(self) -> str:
        return f"Token({self.kind.name}, {self.text!r}, {self.start}, {self.end})"


class Node:
    """A node of a syntax tree.

    Args:
        kind: One of the 63 kinds of `kinds.py`.
        items: Its child nodes and its own tokens in source order, at least one; they give its span.
        parts: The named parts that `kinds.PARTS` lists for the kind.

    Attributes:
        text: The identifier of a `NameExpr`; "" for all other kinds.
        index: Its number in pre-order.
        role: What the parser calls its place in its parent; of use while the tree is built only.
    """

    __slots__ = ("children", "end", "index", "kind", "parent", "parts", "role", "start", "text", "tokens")

    def __init__(self, kind: str, items: Sequence[Item], parts: dict[str, Any], text: str = "") -> None:
        self.kind = kind
        self.start: int = items[0].start
        self.end: int = items[-1].end
        self.parts = parts
        self.text = text
        self.role = ""
        self.index = -1
        self.parent: Node | None = None
        self.children = [item for item in items if type(item) is Node]
        self.tokens = [item for item in items if type(item) is Token]

    @classmethod
    def of_token(cls, kind: str, token: Token, parts: dict[str, Any], text: str = "") -> Node:
        """Return the node of one token that has its place in the parent; most nodes are such."""
        node = cls.__new__(cls)
        node.kind = kind
        node.start = token.start
        node.end = token.end
        node.parts = parts
        node.text = text
        node.role = token.role
        node.index = -1
        node.parent = None
        node.children = []
        node.tokens = [token]
        return node

    def __repr__(self) -> str:
        return f"Node({self.kind}, {self.start}, {self.end})"

    def items(self) -> list[Item]:
        """Return child nodes and own tokens in source order."""
        if not self.children:
            return list(self.tokens)
        return sorted([*self.children, *self.tokens], key=_by_span)

    def walk(self) -> Iterator[Node]:
        """Yield the node and all below it in pre-order."""
        stack = [self]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed(node.children))

    def encloses(self, other: Node) -> bool:
        """Say whether the other node is this one or below it."""
        node: Node | None = other
        while node is not None and node is not self:
            node = node.parent
        return node is self


Item = Node | Token


def _by_span(item: Item) -> tuple[int, int]:
    return item.start, item.end


class Tree:
    """A syntax tree.

    Args:
        source: The text.
        root: The `Module` node, from the first byte to the last.
        nodes: All nodes in pre-order.
        tokens: All tokens in order; the last is the end of file.
        statements: What the parser can use again for an edited text, a `reuse.Statements`; None if it was not kept.
    """

    __slots__ = ("_lender", "_own", "nodes", "root", "source", "statements", "tokens")

    def __init__(self, source: bytes, root: Node, nodes: list[Node], tokens: list[Token]) -> None:
        self.source = source
        self.root = root
        self.nodes = nodes
        self.tokens = tokens
        self.statements: Any = None
        self._lender: Any = None
        self._own = nodes

    def borrow(self, lender: Any, own: list[Node]) -> None:
        """Note that all nodes but its own ones are borrowed from a `reuse.Statements`."""
        self._lender, self._own = lender, own

    def reclaim(self) -> None:
        """Take back what the tree of an edited form of the text has borrowed; that one must not be used after this."""
        if self.statements is not None:
            self.statements.take_back()

    def unlink(self) -> None:
        """Cut the links upwards: a tree that nobody uses any more is gone without a garbage collection.

        What is borrowed is given back.
        """
        if self._lender is not None:
            self._lender.take_back()
        for node in self._own:
            node.parent = None
            for token in node.tokens:
                if token.node is node:
                    del token.node

    def text(self, item: Item) -> str:
        """Return the source text of a node or token."""
        return self.source[item.start : item.end].decode(errors="replace")

    def node_at(self, position: int) -> Node:
        """Return the deepest node with `start <= position < end`; the module when none has."""
        node = self.root
        while True:
            after = bisect_right(node.children, position, key=_start)
            for child in reversed(node.children[:after]):
                if child.end > position:
                    break
                if child.end > child.start:
                    return node
            else:
                return node
            node = child

    def token_at(self, position: int) -> Token | None:
        """Return the token with `start <= position < end`, or one of length 0 that starts there; None without."""
        after = bisect_right(self.tokens, position, key=_start)
        for token in reversed(self.tokens[max(after - 2, 0) : after]):
            if token.end > position or token.start == position:
                return token
        return None


def _start(item: Item) -> int:
    return item.start


def is_expression(node: Node) -> bool:
    """Say whether it is an expression; patterns, type annotations and targets are too."""
    return node.kind in EXPRESSIONS


def is_statement(node: Node) -> bool:
    """Say whether it is a statement. A `Module` is none."""
    return node.kind in STATEMENTS


def is_terminal(node: Node) -> bool:
    """Say whether it is a terminal syntax node (specification 6.2); an f-string with expressions is none."""
    return node.kind in TERMINALS and not node.children


def enclosing_statement(node: Node) -> Node | None:
    """Return the innermost statement that is the node or encloses it; None for the module."""
    current: Node | None = node
    while current is not None and current.kind not in STATEMENTS:
        current = current.parent
    return current
