"""The last step of parsing: nodes get their numbers, tokens and nodes are told where they belong."""

from __future__ import annotations

from dataclasses import dataclass

from fastnode_ops.analysis.expression_shapes import JOINED
from fastnode_ops.analysis.nodes import Node, Token, Tree
from fastnode_ops.analysis.reuse import Statement, Statements, number


class InPiecesError(Exception):
    """A borrowed statement was not put into the tree as it is."""


@dataclass(frozen=True, slots=True)
class Built:
    """What was built of a text.

    Args:
        root: The module node.
        tokens: All tokens that were made, in order.
        statements: Where the statements are kept; None if they are not.
        known: Where statements were borrowed from.
        borrowed: Those statements, by their root.
    """

    root: Node
    tokens: list[Token]
    statements: Statements | None
    known: Statements | None
    borrowed: dict[Node, Statement]


def finish(source: bytes, built: Built) -> tuple[Tree, int]:
    """Return the finished tree and how deep its deepest node lies.

    Raises:
        InPiecesError: A borrowed statement was not put into the tree as it is.
    """
    nodes: list[Node] = []
    own: list[Node] = []
    depths: list[int] = []
    stack = [built.root]
    num_tokens = num_borrowed = 0
    while stack:
        node = stack.pop()
        depth = depths[node.parent.index] + 1 if node.parent is not None else 0
        if node in built.borrowed:
            statement = built.borrowed[node]
            if node.index != len(nodes):
                number(statement.nodes, len(nodes))
            nodes += statement.nodes
            depths += [depth + statement.height] * len(statement.nodes)
            num_tokens += statement.num_owned
            num_borrowed += 1
            continue
        own.append(node)
        node.index = len(nodes)
        nodes.append(node)
        depths.append(depth)
        for token in node.tokens:
            token.node = node
        num_tokens += len(node.tokens)
        if node.children:
            for child in node.children:
                child.parent = node
            stack += reversed(node.children)
    if num_borrowed != len(built.borrowed):
        raise InPiecesError
    tokens = built.tokens if num_tokens == len(built.tokens) else _owned_tokens(built.tokens, nodes, num_tokens)
    tree = Tree(source, built.root, nodes, tokens)
    tree.borrow(built.known, own if built.borrowed else nodes)
    if built.statements is not None:
        built.statements.seal(tree, depths, built.tokens)
        tree.statements = built.statements
    return tree, max(depths)


def _owned_tokens(tokens: list[Token], nodes: list[Node], num_owned: int) -> list[Token]:
    """Return the tokens that belong to nodes, in order: some were joined to others, or added by a shape."""
    tokens = [token for token in tokens if token.role != JOINED]
    if num_owned != len(tokens):
        tokens = sorted((token for node in nodes for token in node.tokens), key=lambda token: (token.start, token.end))
    return tokens
