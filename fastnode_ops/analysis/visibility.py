"""Which variables a task may choose from, or looks at (specification 6.6)."""

from __future__ import annotations

from typing import Literal

from fastnode_ops.analysis.analysis import Analysis
from fastnode_ops.analysis.nodes import Node
from fastnode_ops.analysis.scopes import Variable
from fastnode_ops.analysis.values import ValueKind

ScopeFilter = Literal["call", "attribute", "attribute_base"]


def variables_in_scope(analysis: Analysis, at: Node, which: ScopeFilter) -> list[Variable]:
    """Return the variables that are visible at a node and pass a task's filter, in the order of their origins.

    The filters: "call" keeps what is inside the function and is no module and no function; "attribute" keeps all inside
    the function; "attribute_base" looks beyond it. A variable whose every value is local to the file, e.g. a class
    defined in it, passes "attribute" only.
    """
    variables = _not_shadowed(analysis.scopes.in_scope(at, stop_at_function=which != "attribute_base"))
    if which == "attribute":
        return variables
    return [variable for variable in variables if _passes(analysis, variable, is_call=which == "call")]


def _not_shadowed(variables: list[Variable]) -> list[Variable]:
    """Keep the innermost of several variables of one name: the others cannot be written at the place."""
    shown: dict[str, Variable] = {}
    for variable in variables:
        other = shown.get(variable.name)
        if other is None or _depth(variable) >= _depth(other):
            shown[variable.name] = variable
    return [variable for variable in variables if shown[variable.name] is variable]


def _depth(variable: Variable) -> int:
    depth, table = 0, variable.scope.parent
    while table is not None:
        depth, table = depth + 1, table.parent
    return depth


def _passes(analysis: Analysis, variable: Variable, *, is_call: bool) -> bool:
    values = analysis.values(variable.origin)
    if not values:
        return True
    kinds = [value.kind for value in values if not value.is_local]
    if not kinds:
        return False
    return not is_call or not any(kind in (ValueKind.MODULE, ValueKind.FUNCTION) for kind in kinds)
