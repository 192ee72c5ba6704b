"""From text to a syntax tree, however broken the text is (specification 6.2, 20.1).

tree-sitter parses; this file walks its tree with a cursor and builds ours bottom-up: leaves become tokens and terminal
nodes here, everything else is shaped by `expression_shapes.py` and `statement_shapes.py`. Text that does not parse is
repaired first (`repairs.py`). Nothing here recurses, so no input can exhaust the stack.
"""

from __future__ import annotations

import re
import sys
import threading
from bisect import bisect_left

import tree_sitter
import tree_sitter_python

from fastnode_ops.analysis.display_shapes import DISPLAY_SHAPES
from fastnode_ops.analysis.expression_shapes import EXPRESSION_SHAPES
from fastnode_ops.analysis.finishing import Built, InPiecesError, finish
from fastnode_ops.analysis.import_shapes import IMPORT_SHAPES
from fastnode_ops.analysis.nodes import (
    Item,
    Node,
    Token,
    TokenKind,
    Tree,
    enclosing_statement,
    is_expression,
    is_statement,
    is_terminal,
)
from fastnode_ops.analysis.parameter_shapes import PARAMETER_SHAPES
from fastnode_ops.analysis.repairs import Insertion, has_open_lines, repair
from fastnode_ops.analysis.reuse import Statement, Statements
from fastnode_ops.analysis.shaping import Items, Shape, empty_expression, error, splice
from fastnode_ops.analysis.statement_shapes import STATEMENT_SHAPES
from ops_common.errors import DataError

__all__ = [
    "Node",
    "SourceError",
    "Token",
    "TokenKind",
    "Tree",
    "enclosing_statement",
    "is_expression",
    "is_statement",
    "is_terminal",
    "parse",
]

MAX_BYTES = 1_000_000
MAX_DEPTH = 400
MAX_BLOCKS = 100  # as in Python itself

_CONTINUATIONS = re.compile(rb"(?:\\\r?\n[ \t\f]*){200}")
_LANGUAGE = tree_sitter.Language(tree_sitter_python.language())
_local = threading.local()  # a parser must not be used by two threads at once

# one text for each kind and role: the parser's own accessors make a new one for every node
_KINDS = {number: _LANGUAGE.node_kind_for_id(number) or "" for number in (*range(_LANGUAGE.node_kind_count), 0xFFFF)}
_ROLES = {
    number: _LANGUAGE.field_name_for_id(number or 0) or "" for number in (None, *range(_LANGUAGE.field_count + 1))
}

_SHAPES: dict[str, Shape] = EXPRESSION_SHAPES | DISPLAY_SHAPES | PARAMETER_SHAPES | IMPORT_SHAPES | STATEMENT_SHAPES

_NAMES = frozenset(("identifier", "true", "false", "none", "_", "__future__", "keyword_identifier"))
_TERMINAL_KINDS = {
    "integer": ("NumberExpr", TokenKind.NUMBER),
    "float": ("NumberExpr", TokenKind.NUMBER),
    "ellipsis": ("EllipsisExpr", TokenKind.OPERATOR),
    "string": ("StringExpr", TokenKind.STRING),
}
_STRING_PIECES = frozenset(("string_start", "string_content", "string_end", "type_conversion"))
_IN_STRING = frozenset(("string", "format_specifier"))
_SKIPPED = frozenset(("comment", "line_continuation"))
_ANONYMOUS: dict[str, TokenKind] = {
    name: TokenKind.KEYWORD if name.isalpha() else TokenKind.OPERATOR
    for number in range(_LANGUAGE.node_kind_count)
    if (name := _LANGUAGE.node_kind_for_id(number)) and not _LANGUAGE.node_kind_is_named(number) and name not in _NAMES
} | dict.fromkeys(("not in", "is not"), TokenKind.KEYWORD)
_KEPT = frozenset(kind for kind in STATEMENT_SHAPES if kind.endswith(("_statement", "_definition")))
_LEAVES = _NAMES | _TERMINAL_KINDS.keys() | _STRING_PIECES | _SKIPPED | {"not in", "is not"}


class SourceError(DataError):
    """A text that is not analysed: it is no text, or larger or deeper than the limits.

    Attributes:
        reason: One of "not_utf8", "null_byte", "too_large", "too_deep": the name under which it is counted.
    """

    reason = ""


def _refuse(reason: str, message: str, hint: str) -> SourceError:
    problem = SourceError(message, hint)
    problem.reason = reason
    return problem


def check_source(source: bytes) -> None:
    """Check that bytes are Python text of a size that is analysed.

    Raises:
        SourceError: They are not.
    """
    if len(source) > MAX_BYTES:
        raise _refuse("too_large", f"the source has {len(source)} bytes, more than {MAX_BYTES}", "leave the file out")
    at = source.find(b"\0")
    if at >= 0:
        raise _refuse("null_byte", f"the source has a null byte at byte {at}", "is it a binary file?")
    if _CONTINUATIONS.search(source):  # the parser needs quadratic time
        raise _refuse("too_deep", "the source continues a line more than 200 times without text", "leave the file out")
    try:
        source.decode()
    except UnicodeDecodeError as exc:
        raise _refuse("not_utf8", f"the source is no UTF-8 at byte {exc.start}", "convert the file to UTF-8") from exc


def parse(source: bytes, *, keep: bool = False, edited: Tree | None = None) -> Tree:
    """Return the syntax tree of a text, which may be incomplete or wrong.

    Args:
        source: The text.
        keep: Whether edited forms of the text will be parsed.
        edited: The tree of a text that this one is an edited form of, kept for that; it saves time and nothing else.
            The tree borrows from it: it must not be used until the new one is unlinked, or it is told to `reclaim`.

    Raises:
        SourceError: It is no UTF-8 text without null bytes, has more than `MAX_BYTES` bytes, or is nested deeper than
            `MAX_DEPTH` levels or `MAX_BLOCKS` indented blocks.
    """
    check_source(source)
    known: Statements | None = edited.statements if edited is not None and not keep else None
    if known is None:
        return _parse(source, keep, None)
    try:
        return _parse(source, keep, known)
    except InPiecesError:
        known.take_back(in_pieces=True)
        return _parse(source, keep, None)
    except SourceError:
        known.take_back(in_pieces=True)
        raise


def _parse(source: bytes, keep: bool, known: Statements | None) -> Tree:
    parser = getattr(_local, "parser", None)
    if parser is None:
        parser = _local.parser = tree_sitter.Parser(_LANGUAGE)
    parsed = parser.parse(source) if known is None else parser.parse(source, known.edited(source))
    if not parsed.root_node.has_error:
        if known is not None:
            known.begin(source)
        builder = _Builder(source, [], keep, known)
        root = builder.build(parsed)
        if not has_open_lines(source, builder.tokens):
            return _finish(source, root, builder)
    text, insertions = repair(source)
    if insertions:
        parsed = parser.parse(text) if known is None else parser.parse(text, known.edited(text))
    if known is not None and parsed.root_node.has_error:
        parsed = parser.parse(text)  # how it gets over an error depends on what it knew
    if known is not None:
        known.begin(source)
    builder = _Builder(text, insertions, keep, known)
    return _finish(source, builder.build(parsed), builder)


class _Builder:
    """Builds the module node of one parser tree.

    Args:
        text: The text that was parsed.
        insertions: What was inserted into the source to get it. An inserted byte has the position of the insertion.
        keep: Whether to keep the statements.
        known: Statements that need not be shaped.

    Attributes:
        borrowed: Those that were found there.
    """

    def __init__(self, text: bytes, insertions: list[Insertion], keep: bool, known: Statements | None) -> None:
        self.text = text
        self._keep = keep
        self.statements: Statements | None = None
        self.known = known
        self.borrowed: dict[Node, Statement] = {}
        self.tokens: list[Token] = []
        self._covered = 0  # up to where the text is in tokens, comments or white space
        self._positions = [position for position, _ in insertions]
        self._starts: list[int] = []
        self._shifts: list[int] = []
        shift = 0
        for position, inserted in insertions:
            self._starts.append(position + shift)
            shift += len(inserted)
            self._shifts.append(shift)

    def build(self, parsed: tree_sitter.Tree) -> Node:
        """Walk the parser's tree and return the module node."""
        self.statements = Statements(self.text, parsed) if self._keep else None
        cursor = parsed.walk()
        open_nodes: list[tuple[str, str, Items]] = []  # type of the parser's node, its role, the items before it
        items: Items = []
        num_blocks = 0
        while True:
            node = cursor.node
            assert node is not None
            kind = _KINDS[node.kind_id]
            role = _ROLES[cursor.field_id]
            if kind in _KEPT and self._is_known(items, kind, role, node, open_nodes[-1][0]):
                pass
            elif self._is_inner(kind, node) and cursor.goto_first_child():
                open_nodes.append((kind, role, items))
                items = []
                num_blocks += kind == "block"
                if len(open_nodes) > MAX_DEPTH or num_blocks > MAX_BLOCKS:
                    raise _too_deep()
                continue
            else:
                self._add_leaf(items, kind, role, node, open_nodes[-1][0] if open_nodes else "")
            while open_nodes and not cursor.goto_next_sibling():
                cursor.goto_parent()
                kind, role, outer = open_nodes.pop()
                num_blocks -= kind == "block"
                if not open_nodes:
                    return self._module(items)
                if items:
                    _close(kind, role, items, outer, open_nodes[-1][0])
                    if self.statements is not None and kind in _KEPT:
                        self._add_statement(kind, outer[-1], cursor.node)
                items = outer
            if not open_nodes:
                return self._module(items)

    def _is_known(self, items: Items, kind: str, role: str, node: tree_sitter.Node, parent: str) -> bool:
        """Borrow a statement if it is known. A definition with decorators becomes part of another node."""
        if self.known is None or node.has_error or parent == "decorated_definition":
            return False
        start, end = node.start_byte, node.end_byte
        if not self._is_plain(start, end) or self.text[self._covered : start].strip():
            return False
        found = self.known.lend(kind, self._original(start), self._original(end))
        if found is None:
            return False
        root = found.nodes[0]
        root.role = role
        items.append(root)
        self.borrowed[root] = found
        self.tokens += found.tokens
        self._covered = end
        return True

    def _add_statement(self, kind: str, item: Item, node: tree_sitter.Node | None) -> None:
        """Keep a statement that was closed as the last item."""
        assert node is not None and self.statements is not None
        start, end = node.start_byte, node.end_byte
        if type(item) is Node and not node.has_error and self._is_plain(start, end):
            first = bisect_left(self.tokens, item.start, key=_start)
            place = self._original(start), self._original(end)
            self.statements.add(kind, *place, item, first, len(self.tokens))

    def _is_plain(self, start: int, end: int) -> bool:
        """Say whether nothing was inserted into a span of the text."""
        return not self._starts or self._original(end) - self._original(start) == end - start

    def _module(self, items: Items) -> Node:
        self._add_gap(items, len(self.text), "")
        size = self._original(len(self.text))
        end = Token(TokenKind.EOF, "", size, size)
        self.tokens.append(end)
        module = STATEMENT_SHAPES["module"]("module", items) if items else Node("Module", [end], {"body": []})
        assert type(module) is Node
        if items:
            module.tokens.append(end)
        module.start, module.end = 0, size
        return module

    def _is_inner(self, kind: str, node: tree_sitter.Node) -> bool:
        """Say whether what is below a node is looked at; of strings, that of f-strings (and templates)."""
        if kind not in _LEAVES:
            return True
        if kind != "string":
            return False
        start = node.start_byte
        first = self.text[start : start + 1]
        if first in (b'"', b"'"):
            return False
        prefix = (first + self.text[start + 1 : start + 2]).lower()
        return b"f" in prefix or b"t" in prefix

    def _add_leaf(self, items: Items, kind: str, role: str, node: tree_sitter.Node, parent: str) -> None:
        start, end = node.start_byte, node.end_byte
        if start > self._covered:
            self._add_gap(items, start, parent)
        if end > self._covered:
            self._covered = end
        if kind in _SKIPPED:
            return
        if self._starts:
            token_start, token_end = self._original(start), self._original(end)
        else:
            token_start, token_end = start, end
        if token_start == token_end:
            self._add_missing(items, kind, role, token_start)
        elif kind in _ANONYMOUS:
            token = Token(_ANONYMOUS[kind], kind, token_start, token_end, role)
            self.tokens.append(token)
            items.append(token)
        elif kind in _NAMES:
            name = sys.intern(self.text[start:end].decode())
            token = Token(TokenKind.IDENT, name, token_start, token_end, role)
            self.tokens.append(token)
            items.append(token if role == "attribute" else Node.of_token("NameExpr", token, {}, token.text))
        elif kind in _TERMINAL_KINDS:
            node_kind, token_kind = _TERMINAL_KINDS[kind]
            token = self._add_token(items, token_kind, self.text[start:end].decode(), token_start, token_end, role)
            parts: dict[str, list[Node]] = {"expressions": []} if node_kind == "StringExpr" else {}
            items[-1] = Node.of_token(node_kind, token, parts)
        else:
            token_kind = TokenKind.STRING if kind in _STRING_PIECES else TokenKind.BAD
            self._add_token(items, token_kind, self.text[start:end].decode(), token_start, token_end, role)

    def _add_token(self, items: Items, kind: TokenKind, text: str, start: int, end: int, role: str) -> Token:
        token = Token(kind, text, start, end, role)
        self.tokens.append(token)
        items.append(token)
        return token

    def _add_missing(self, items: Items, kind: str, role: str, position: int) -> None:
        """Add what stands for an identifier that the text lacks; other tokens that it lacks are just not there."""
        if role == "attribute" and kind in _NAMES:
            self._add_token(items, TokenKind.IDENT, "", position, position, role)
        elif kind in _NAMES:
            items.append(empty_expression(position))
            items[-1].role = role

    def _add_gap(self, items: Items, end: int, parent: str) -> None:
        """Add a token for text that the parser skipped."""
        gap = self.text[self._covered : end]
        text = gap.strip()
        if text and text != b"\xef\xbb\xbf":  # the byte order mark
            start = self._covered + gap.index(text)
            kind = TokenKind.STRING if parent in _IN_STRING else TokenKind.BAD
            first, last = self._original(start), self._original(start + len(text))
            self._add_token(items, kind, text.decode(errors="replace"), first, last, "")
        self._covered = end

    def _original(self, position: int) -> int:
        """Return the position in the source of a position in the parsed text."""
        before = bisect_left(self._starts, position)
        if not before:
            return position
        return max(position - self._shifts[before - 1], self._positions[before - 1])


def _close(kind: str, role: str, items: Items, outer: Items, parent: str) -> None:
    """Shape the items of a finished parser node and add what they become to those of the node around it."""
    result = error(parent, items) if kind == "ERROR" else _SHAPES.get(kind, splice)(kind, items)
    if type(result) is Node:
        result.role = role
        outer.append(result)
        return
    assert isinstance(result, list)
    if role:
        for item in result:
            item.role = item.role or role
    outer += result


def _finish(source: bytes, root: Node, builder: _Builder) -> Tree:
    built = Built(root, builder.tokens, builder.statements, builder.known, builder.borrowed)
    tree, depth = finish(source, built)
    if depth > MAX_DEPTH:
        raise _too_deep()
    return tree


def _start(token: Token) -> int:
    return token.start


def _too_deep() -> SourceError:
    return _refuse(
        "too_deep", f"the source is nested deeper than {MAX_DEPTH} levels or {MAX_BLOCKS} blocks", "leave the file out"
    )
