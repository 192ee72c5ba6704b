"""What was found out about a text, to be used again when an edited form of it is parsed.

Most of an edited text stands in the text before it. The parser is given its own tree of that, and looks at what has
changed only. And what a statement looks like as a tree of ours depends on its own text only: a statement before or
behind the change is not shaped again. The edited text's tree borrows its nodes, with positions and numbers changed, and
gives them back when it is let go of, or when the next edited form is parsed. So there is one edited form at a time, and
meanwhile the tree of the text before it must not be used. To copy the nodes would need no such rule; it took a tenth of
the time of all samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import tree_sitter

from fastnode_ops.analysis.nodes import Node, Token, Tree

_Place = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Statement:
    """The nodes and tokens of a statement.

    Args:
        nodes: It and all nodes below it, in pre-order.
        tokens: The tokens of its text, in order.
        others: Tokens of its nodes that are not in the text: what lacks in it.
        num_owned: How many tokens its nodes have.
        height: How deep the deepest node lies below it.
    """

    nodes: list[Node]
    tokens: list[Token]
    others: list[Token]
    num_owned: int
    height: int


@dataclass(frozen=True, slots=True)
class _Loan:
    """A statement that is lent, and what has to be undone."""

    statement: Statement
    shift: int
    index: int
    parent: Node | None
    role: str


class Statements:
    """The statements of one text by their place, and the parser's tree of it.

    Args:
        text: The text as it was parsed: with what repairs put in.
        parsed: The parser's tree of it.
    """

    def __init__(self, text: bytes, parsed: tree_sitter.Tree) -> None:
        self._text = text
        self._parsed = parsed
        self._added: dict[_Place, tuple[Node, int, int]] = {}
        self._found: dict[_Place, Statement] = {}
        self._source = b""
        self._nodes: Sequence[Node] = ()
        self._depths: Sequence[int] = ()
        self._tokens: Sequence[Token] = ()
        self._loans: list[_Loan] = []
        self._change = 0, 0, 0

    def add(self, kind: str, start: int, end: int, node: Node, first: int, last: int) -> None:
        """Keep a statement.

        Args:
            kind: The parser's name of its kind.
            start, end: Its place in the source; there is no error in it.
            node: Its node.
            first, last: Numbers of its first token, and of the one behind its last, among all that were made.
        """
        self._added[kind, start, end] = node, first, last

    def seal(self, tree: Tree, depths: Sequence[int], tokens: Sequence[Token]) -> None:
        """Complete the collection with the finished tree.

        Args:
            tree: The tree.
            depths: How deep each of its nodes lies.
            tokens: All tokens that were made.
        """
        self._source, self._nodes, self._depths, self._tokens = tree.source, tree.nodes, depths, tokens

    def edited(self, text: bytes) -> tree_sitter.Tree:
        """Return the parser's tree, told what is different in another text: where the parser has to look."""
        start, end, new_end = _change(self._text, text)
        points = _point(self._text, start), _point(self._text, end), _point(text, new_end)
        parsed = self._parsed.copy()
        parsed.edit(start, end, new_end, *points)
        return parsed

    def begin(self, source: bytes) -> None:
        """Begin with an edited form of the source; what was lent is taken back."""
        self.take_back()
        self._change = _change(self._source, source)

    def lend(self, kind: str, start: int, end: int) -> Statement | None:
        """Return what stands at a place of the edited source if it is a statement that did not change.

        Its nodes are those of the tree, with the positions that they have in the edited text. Numbers, and the parent
        and the role of the statement itself, are for the borrower to set.
        """
        first, last, new_last = self._change
        shift = 0 if end <= first else new_last - last
        if end > first and start < new_last:
            return None
        found = self._statement((kind, start - shift, end - shift))
        if found is None:
            return None
        root = found.nodes[0]
        self._loans.append(_Loan(found, shift, root.index, root.parent, root.role))
        _move(found, shift)
        return found

    def take_back(self, *, in_pieces: bool = False) -> None:
        """Undo what was done to the statements that are lent.

        Args:
            in_pieces: Whether the nodes of a statement may have been given to others than its root.
        """
        for loan in self._loans:
            nodes, root = loan.statement.nodes, loan.statement.nodes[0]
            _move(loan.statement, -loan.shift)
            root.parent, root.role = loan.parent, loan.role
            if root.index != loan.index or in_pieces:
                number(nodes, loan.index)
            if in_pieces:
                for node in nodes:
                    for child in node.children:
                        child.parent = node
                    for token in node.tokens:
                        token.node = node
        self._loans.clear()

    def _statement(self, place: _Place) -> Statement | None:
        found = self._found.get(place)
        if found is None and place in self._added:
            root, first, last = self._added[place]
            if self._nodes[root.index] is not root:  # a shape has put another node into its place
                return None
            deepest = root
            while deepest.children:
                deepest = deepest.children[-1]
            span = slice(root.index, deepest.index + 1)
            nodes, tokens = list(self._nodes[span]), list(self._tokens[first:last])
            owned = [token for node in nodes for token in node.tokens]
            others = set(owned).difference(tokens)
            height = max(self._depths[span]) - self._depths[root.index]
            found = self._found[place] = Statement(nodes, tokens, list(others), len(owned), height)
        return found


def number(nodes: Sequence[Node], first: int) -> None:
    """Number nodes from a first number on."""
    for index, node in enumerate(nodes, first):
        node.index = index


def _move(statement: Statement, shift: int) -> None:
    if not shift:
        return
    for items in (statement.nodes, statement.tokens, statement.others):
        for item in items:
            item.start += shift
            item.end += shift


def _change(old: bytes, new: bytes) -> tuple[int, int, int]:
    """Return where two texts begin to differ, and from where on the old and the new one are the same again."""
    start = _common_start(old, new)
    shortest = min(len(old), len(new)) - start
    same = min(_common_start(old[: -shortest - 1 : -1], new[: -shortest - 1 : -1]), shortest) if shortest else 0
    return start, len(old) - same, len(new) - same


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
