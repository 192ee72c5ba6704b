"""Calls and their arguments, as several tasks and the counting of calls look at them."""

from __future__ import annotations

from dataclasses import dataclass

from fastnode_ops.analysis.analysis import Analysis
from fastnode_ops.analysis.nodes import Node, is_expression
from fastnode_ops.analysis.symbols_at import symbols_at


@dataclass(frozen=True, slots=True)
class CallSite:
    """An argument of a call; or the place after the last one.

    Args:
        call: The call.
        index: Number of the argument; that of the last one plus 1 for the place after it.
    """

    call: Node
    index: int

    @property
    def argument(self) -> Node | None:
        """The argument; None for the place after the last one."""
        arguments = self.call.parts["arguments"]
        return arguments[self.index] if self.index < len(arguments) else None

    @property
    def is_after_keyword(self) -> bool:
        """Whether an argument before this one is passed by keyword (or is `**x`)."""
        return any(is_keyword(argument) for argument in self.call.parts["arguments"][: self.index])


def is_keyword(argument: Node) -> bool:
    """Say whether an argument is passed by keyword."""
    return argument.parts["name"] is not None or argument.parts["star"] == "**"


def keyword_of(argument: Node) -> str:
    """Return the keyword of an argument; "" without one."""
    name = argument.parts["name"]
    return name.text if name is not None else ""


def has_parenthesis(call: Node) -> bool:
    """Say whether the parenthesis of a call's arguments stands in the text; a parser may have put it in."""
    paren = call.parts["left_paren"]
    return bool(paren.end > paren.start)


def calls_of(analysis: Analysis, function: str) -> list[Node]:
    """Return the calls of the function with this canonical path, in source order.

    The calls of all functions are found when it is asked for first, and kept for all analyses of the file.
    """
    if not analysis.calls:
        for node in analysis.tree.nodes:
            if node.kind == "CallExpr" and has_parenthesis(node):
                called = node.parts["function"]
                symbols = symbols_at(analysis, called) if is_expression(called) else ()
                for canonical in {occurrence.canonical for occurrence in symbols}:
                    analysis.calls.setdefault(canonical, []).append(node)
    return analysis.calls.get(function, [])


def find_call(analysis: Analysis, paren_start: int) -> Node | None:
    """Return the call whose opening parenthesis is at a position."""
    token = analysis.tree.token_at(paren_start)
    if token is None or token.text != "(" or token.start != paren_start:
        return None
    node = token.node
    return node if node.kind == "CallExpr" and node.parts["left_paren"] is token else None
