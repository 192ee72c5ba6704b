"""What the network sees of a node: its literal's words and its types' words (specification 6.3 and 6.4)."""

from __future__ import annotations

from fastnode_ops.analysis.analysis import Analysis
from fastnode_ops.analysis.markers import (
    EOF,
    NA_TYPE,
    NA_TYPE_TOKEN,
    SOF,
    TERMINAL_LITERALS,
    UNKNOWN_TOKEN,
    UNKNOWN_TYPE_TOKEN,
    kind_marker,
    token_marker,
)
from fastnode_ops.analysis.nodes import Node, Token, TokenKind, is_expression, is_terminal
from fastnode_ops.graphs.program import GraphNode

_LITERAL_TOKENS = {TokenKind.STRING: TERMINAL_LITERALS["StringExpr"], TokenKind.NUMBER: TERMINAL_LITERALS["NumberExpr"]}
_NOT_APPLICABLE = (NA_TYPE_TOKEN,)
_OF_TOKENS = (NA_TYPE,)
_UNKNOWN = (UNKNOWN_TYPE_TOKEN,)


def literal_of(node: GraphNode) -> str:
    """Return the literal of a node, or its kind string when it has none.

    A scope or usage node has that of the first reference of its variable.
    """
    if isinstance(node, Node):
        if node.kind == "NameExpr":
            return node.text or UNKNOWN_TOKEN
        if node.kind in TERMINAL_LITERALS and is_terminal(node):
            return TERMINAL_LITERALS[node.kind]
        return kind_marker(node.kind)
    if isinstance(node, Token):
        if node.kind is TokenKind.IDENT:
            return node.text or UNKNOWN_TOKEN
        if node.kind is TokenKind.EOF:
            return EOF
        return _LITERAL_TOKENS.get(node.kind) or token_marker(node.text)
    return SOF if node.variable is None else literal_of(node.variable.origin)


def types_of(node: GraphNode, analysis: Analysis) -> tuple[str, ...]:
    """Return the type strings of a node, sorted: its global values, or a marker."""
    if isinstance(node, Token):
        return _OF_TOKENS
    if isinstance(node, Node):
        if not is_expression(node) or node.kind == "EllipsisExpr":
            return _NOT_APPLICABLE
        strings = {string for value in analysis.values(node) if (string := value.type_string())}
        return tuple(sorted(strings)) or _UNKNOWN
    return _OF_TOKENS if node.variable is None else types_of(node.variable.origin, analysis)
