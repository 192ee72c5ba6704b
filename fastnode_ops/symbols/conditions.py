"""Conditions of stubs and sources that are decided before anything runs: version, platform, type checking."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

VERSION = (3, 11)
"""The Python whose symbols are built."""

PLATFORM = "linux"

_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


def condition_holds(test: ast.expr) -> bool | None:
    """Return whether a condition holds for Python 3.11 on Linux; None when it does not depend on those alone."""
    if isinstance(test, ast.BoolOp):
        return _all_or_any(test)
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        inner = condition_holds(test.operand)
        return None if inner is None else not inner
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        return _comparison(test.left, test.ops[0], test.comparators[0])
    if isinstance(test, ast.Call):
        return _starts_with(test)
    if isinstance(test, ast.Constant):
        return bool(test.value)
    return True if _last_name(test) == "TYPE_CHECKING" else None


def _all_or_any(test: ast.BoolOp) -> bool | None:
    values = [condition_holds(value) for value in test.values]
    deciding = isinstance(test.op, ast.Or)
    if deciding in values:
        return deciding
    return None if None in values else not deciding


def _comparison(left: ast.expr, op: ast.cmpop, right: ast.expr) -> bool | None:
    compare = _COMPARISONS.get(type(op))
    try:
        wanted = ast.literal_eval(right)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
    if compare is None:
        return None
    if _last_name(left) == "platform" and isinstance(wanted, str):
        return compare(PLATFORM, wanted)
    if isinstance(left, ast.Subscript) and _last_name(left.value) == "version_info":
        return _version_part(left.slice, compare, wanted)
    if _last_name(left) == "version_info" and isinstance(wanted, tuple):
        return compare(VERSION, wanted[:2])
    return None


def _version_part(index: ast.expr, compare: Callable[[Any, Any], bool], wanted: object) -> bool | None:
    if isinstance(index, ast.Constant) and index.value == 0 and isinstance(wanted, int):
        return compare(VERSION[0], wanted)
    if isinstance(index, ast.Slice) and isinstance(wanted, tuple):
        return compare(VERSION[: len(wanted)], wanted[:2])
    return None


def _starts_with(test: ast.Call) -> bool | None:
    function = test.func
    if not (isinstance(function, ast.Attribute) and function.attr == "startswith" and len(test.args) == 1):
        return None
    prefix = test.args[0]
    if _last_name(function.value) == "platform" and isinstance(prefix, ast.Constant) and isinstance(prefix.value, str):
        return PLATFORM.startswith(prefix.value)
    return None


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
