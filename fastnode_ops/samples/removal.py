"""What is cut away around the base of an attribute, by the kind of its statement (specification 7.8).

A large enclosing piece goes, so that nothing of what stood around the base tells which variable it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastnode_ops.analysis.nodes import Node, enclosing_statement
from fastnode_ops.samples.sample import Rejected

Span = tuple[int, int]


def removed_span(site: Node) -> Span:
    """Return the span (start, end) of the text that the dummy name replaces.

    Raises:
        Rejected: The statement is of a kind that has no such piece.
    """
    statement = enclosing_statement(site)
    rule = _RULES.get(statement.kind) if statement is not None else None
    span = rule(statement, site) if rule is not None and statement is not None else None
    if span is None:
        raise Rejected("statement_without_removable_part")
    return span


def _span(node: Node) -> Span:
    return node.start, node.end


def _from(node: Node, statement: Node) -> Span:
    return node.start, statement.end


def _nodes(value: Any) -> list[Node]:
    if isinstance(value, Node):
        return [value]
    return [item for item in value if isinstance(item, Node)] if isinstance(value, list) else []


def _containing(nodes: Sequence[Node], site: Node) -> Node | None:
    return next((node for node in nodes if node.start <= site.start and site.end <= node.end), None)


def _part(*names: str) -> Callable[[Node, Node], Span | None]:
    """Make the rule that removes the part which contains the site."""

    def rule(statement: Node, site: Node) -> Span | None:
        found = _containing([node for name in names for node in _nodes(statement.parts.get(name))], site)
        return _span(found) if found is not None else None

    return rule


def _expression(statement: Node, _site: Node) -> Span:
    return _span(statement)


def _annotation(statement: Node, site: Node) -> Span:
    inside = _containing(_nodes(statement.parts["annotation"]), site)
    return _span(inside or statement)


def _assignment(statement: Node, site: Node) -> Span:
    if found := _containing(_nodes(statement.parts["value"]), site):
        return _span(found)
    if found := _containing(_nodes(statement.parts["annotation"]), site):
        return _from(found, statement)
    return _span(statement)


def _augmented(statement: Node, site: Node) -> Span:
    return _span(_containing(_nodes(statement.parts["value"]), site) or statement)


def _class(statement: Node, site: Node) -> Span | None:
    if found := _containing(_nodes(statement.parts["decorators"]), site):
        return _span(found)
    argument = _containing(_nodes(statement.parts["arguments"]), site)
    return _span(argument.parts["value"]) if argument is not None else None


def _function(statement: Node, site: Node) -> Span | None:
    parts = statement.parts
    if found := _containing([*_nodes(parts["decorators"]), *_nodes(parts["returns"])], site):
        return _span(found)
    stars = [*_nodes(parts["vararg"]), *_nodes(parts["kwarg"])]
    parameter = _containing([*_nodes(parts["parameters"]), *stars], site)
    if parameter is None:
        return None
    pieces = [*_nodes(parameter.parts.get("annotation")), *_nodes(parameter.parts.get("default"))]
    piece = _containing(pieces, site)
    return _span(piece) if piece is not None else None


def _assert(statement: Node, site: Node) -> Span:
    message = _containing(_nodes(statement.parts["message"]), site)
    return _span(message) if message is not None else _from(statement.parts["condition"], statement)


def _delete(statement: Node, _site: Node) -> Span | None:
    targets = _nodes(statement.parts["targets"])
    return _from(targets[0], statement) if targets else None


def _print(statement: Node, site: Node) -> Span | None:
    if found := _containing(_nodes(statement.parts["destination"]), site):
        return _span(found)
    values = _nodes(statement.parts["values"])
    return (values[0].start, values[-1].end) if values else None


def _branch(statement: Node, site: Node) -> Span | None:
    branch = _containing(_nodes(statement.parts["branches"]), site)
    if branch is None:
        return None
    condition = _containing(_nodes(branch.parts["condition"]), site)
    return _span(condition) if condition is not None else None


def _loop(statement: Node, site: Node) -> Span | None:
    if found := _containing(_nodes(statement.parts["iterable"]), site):
        return _span(found)
    targets = _nodes(statement.parts["targets"])
    return (targets[0].start, targets[-1].end) if _containing(targets, site) else None


def _handler(statement: Node, site: Node) -> Span | None:
    clause = _containing(_nodes(statement.parts["handlers"]), site)
    if clause is None:
        return None
    found = _containing([*_nodes(clause.parts["type"]), *_nodes(clause.parts["target"])], site)
    return _span(found) if found is not None else None


_RULES: dict[str, Callable[[Node, Node], Span | None]] = {
    "ExprStmt": _expression,
    "AnnotationStmt": _annotation,
    "AssignStmt": _assignment,
    "AugAssignStmt": _augmented,
    "ClassDefStmt": _class,
    "FunctionDefStmt": _function,
    "AssertStmt": _assert,
    "DelStmt": _delete,
    "ExecStmt": _part("values"),
    "RaiseStmt": _part("exception", "cause"),
    "PrintStmt": _print,
    "ReturnStmt": _part("value"),
    "YieldStmt": _part("value"),
    "IfStmt": _branch,
    "WhileStmt": _part("condition"),
    "ForStmt": _loop,
    "TryStmt": _handler,
    "WithStmt": _part("items"),
}
