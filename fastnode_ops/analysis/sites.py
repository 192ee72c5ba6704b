"""Where a sample of a symbol can be made: one rule for the index, which tells the files that have such a place, and for
the tasks, which look for it in a file (specification 7.4 to 7.9)."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntFlag

from fastnode_ops.analysis.analysis import Analysis
from fastnode_ops.analysis.calls import CallSite, has_parenthesis, keyword_of
from fastnode_ops.analysis.nodes import Node
from fastnode_ops.analysis.scopes import Variable
from fastnode_ops.analysis.visibility import variables_in_scope


class Site(IntFlag):
    """The kinds of places; several of them, or none, may be found where a symbol stands."""

    MEMBER = 1  # an attribute expression names it, as a member of its base
    BASE = 2  # an attribute is taken of a variable that is, or is an instance of, it
    ARGUMENT = 4  # a call of it has an argument, or an end, to be asked for
    KEYWORD = 8  # a call of it has an argument by keyword
    VARIABLE = 16  # a call of it has an argument that is one of several variables in scope
    NAME = 32  # a call of it has an argument that is a plain name
    OPEN = 64  # a call of it has an argument that is something else


NO_SITE = Site(0)


def is_variable_base(analysis: Analysis, name: Node) -> bool:
    """Say whether a name is a variable that an attribute is taken of."""
    if name.kind != "NameExpr" or name.parent is None or name.parent.kind != "AttributeExpr":
        return False
    return name.parent.parts["value"] is name and analysis.scopes.variable_of(name) is not None


def sites_of_call(analysis: Analysis, call: Node) -> Site:
    """Return which places a call has; none where there is no variable in scope, for those are what a sample shows."""
    if not has_parenthesis(call):
        return NO_SITE
    variables = variables_in_scope(analysis, call, "call")
    if not variables:
        return NO_SITE
    found = Site.ARGUMENT if call.parts["right_paren"] is not None else NO_SITE
    for argument in call.parts["arguments"]:
        if keyword_of(argument):
            found |= Site.KEYWORD
        if not argument.parts["star"]:
            found |= Site.NAME if argument.parts["value"].kind == "NameExpr" else Site.OPEN
    if found & Site.NAME and _among(analysis, call, variables):
        found |= Site.VARIABLE
    return found


def variable_arguments(analysis: Analysis, call: Node) -> list[CallSite]:
    """Return the arguments of a call whose value is one of several variables in scope, so that it can be guessed."""
    if not any(argument.parts["value"].kind == "NameExpr" for argument in call.parts["arguments"]):
        return []
    return _among(analysis, call, variables_in_scope(analysis, call, "call"))


def _among(analysis: Analysis, call: Node, variables: Sequence[Variable]) -> list[CallSite]:
    if len(variables) < 2:
        return []
    return [
        CallSite(call, index)
        for index, argument in enumerate(call.parts["arguments"])
        if argument.parts["value"].kind == "NameExpr"
        and not argument.parts["star"]
        and any(analysis.scopes.variable_of(argument.parts["value"]) is variable for variable in variables)
    ]
