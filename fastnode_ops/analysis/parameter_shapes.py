"""Shapes of parameters and of what has them; see `shaping.py`."""

from __future__ import annotations

from typing import Any

from fastnode_ops.analysis.nodes import Node
from fastnode_ops.analysis.shaping import (
    Items,
    Shape,
    inside_brackets,
    is_token,
    nodes_of,
    operand,
    operand_after,
    single,
    widened,
    wrap_groups,
)


def _parameter(_: str, items: Items) -> Node:
    """Shape `name: annotation = default`; the name may have stars."""
    first = nodes_of(items)
    target = first[0] if first else operand(items)
    annotation = default = None
    for at, item in enumerate(list(items)):
        if is_token(item, ":"):
            annotation = operand_after(items, at + 1)
        elif is_token(item, "="):
            default = operand_after(items, items.index(item) + 1)
    if target.kind == "UnaryExpr" and target.parts["operator"].text in ("*", "**"):
        at = items.index(target)
        items[at : at + 1] = target.items()
        star = target.parts["operator"].text
        return Node("ArgsParameter", items, {"name": target.parts["value"], "annotation": annotation, "star": star})
    return Node("Parameter", items, {"name": target, "annotation": annotation, "default": default, "passing": "either"})


def parameter(items: Items) -> Node:
    """Make a parameter of what stands between two commas of a parameter list."""
    found = nodes_of(items)
    if len(found) == 1 and found[0].kind in ("Parameter", "ArgsParameter"):
        return widened(items, found[0])
    if len(found) > 1:
        single(items)
    return _parameter("", items)


def parameters(_: str, items: Items) -> Items:
    """Shape a parameter list, with or without brackets."""
    return inside_brackets(items, parameter)


def parameter_parts(items: Items) -> dict[str, Any]:
    """Return the parts `parameters`, `vararg`, `kwarg` of a function, and say how each parameter is passed."""
    result: list[Node] = []
    parts: dict[str, Any] = {"parameters": result, "vararg": None, "kwarg": None}
    passing = "either"
    for item in items:
        if item.role != "parameters":
            continue
        if is_token(item, "/"):
            for node in result:
                node.parts["passing"] = "positional"
        elif is_token(item, "*"):
            passing = "keyword"
        elif type(item) is Node and item.kind == "Parameter":
            item.parts["passing"] = passing
            result.append(item)
        elif type(item) is Node and item.kind == "ArgsParameter":
            parts["vararg" if item.parts["star"] == "*" else "kwarg"] = item
            passing = "keyword"
    return parts


def _lambda(_: str, items: Items) -> Node:
    parts = parameter_parts(items)
    colon = next((at for at, item in enumerate(items) if is_token(item, ":") and item.role == ""), len(items) - 1)
    parts["body"] = operand_after(items, colon + 1)
    return Node("LambdaExpr", items, parts)


def _lambda_parameters(_: str, items: Items) -> Items:
    return wrap_groups(items, parameter)


PARAMETER_SHAPES: dict[str, Shape] = {
    "constrained_type": _parameter,
    "default_parameter": _parameter,
    "lambda": _lambda,
    "lambda_parameters": _lambda_parameters,
    "parameters": parameters,
    "typed_default_parameter": _parameter,
    "typed_parameter": _parameter,
}
