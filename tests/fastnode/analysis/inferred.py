"""What the tests of the inference share: the values of the last expression of a program, as texts."""

from __future__ import annotations

import textwrap

from fastnode_ops.analysis.analysis import Analysis, analyse
from fastnode_ops.analysis.nodes import Node
from fastnode_ops.analysis.values import Value, ValueKind
from fastnode_ops.symbols.store import SymbolStore


def text_of(value: Value) -> str:
    """Return `path.INSTANCE` and so on; what the file defines has a `<` before and a `>` behind its path."""
    if value.is_local:
        return f"<{value.path}>" + (".INSTANCE" if value.kind is ValueKind.INSTANCE else "")
    return value.type_string() or value.canonical


def analysed(program: str, symbols: SymbolStore) -> Analysis:
    return analyse(textwrap.dedent(program).strip().encode(), symbols)


def last_expression(analysis: Analysis) -> Node:
    statement = max((n for n in analysis.tree.nodes if n.kind == "ExprStmt"), key=lambda node: node.start)
    node = statement.parts["value"]
    assert isinstance(node, Node)
    return node


def inferred(program: str, symbols: SymbolStore) -> list[str]:
    """Return the union of the expression that a program ends with."""
    analysis = analysed(program, symbols)
    return [text_of(value) for value in analysis.values(last_expression(analysis))]
