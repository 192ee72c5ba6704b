"""Operators: constants, numbers and strings by rule, everything else by the methods that the operators call."""

from __future__ import annotations

from collections.abc import Callable

from fastnode_ops.analysis.inference_members import Members
from fastnode_ops.analysis.inference_terms import Term, Terms, instance, join
from fastnode_ops.analysis.values import ValueKind
from fastnode_ops.symbols.forms import RECEIVER, Form

BOOL = instance("builtins.bool")
INT = instance("builtins.int")
FLOAT = instance("builtins.float")
COMPLEX = instance("builtins.complex")
STR = instance("builtins.str")
BYTES = instance("builtins.bytes")
NONE_VALUE = instance("types.NoneType")
ELLIPSIS = instance("types.EllipsisType")

CONSTANTS: dict[str, Terms] = {"True": (BOOL,), "False": (BOOL,), "None": (NONE_VALUE,)}

_RANKS = {"builtins.bool": 0, "builtins.int": 1, "builtins.float": 2, "builtins.complex": 3}
_NUMBERS = (INT, INT, FLOAT, COMPLEX)
_ARITHMETIC = frozenset(("+", "-", "*", "/", "//", "%", "**"))
_BITWISE = frozenset(("&", "|", "^", "<<", ">>"))
_MAX_PAIRS = 16

ALWAYS_BOOL = frozenset(("in", "not in", "is", "is not"))
COMPARISONS = {"==": "eq", "!=": "ne", "<>": "ne", "<": "lt", ">": "gt", "<=": "le", ">=": "ge"}
METHODS = {
    "+": "add",
    "-": "sub",
    "*": "mul",
    "/": "truediv",
    "//": "floordiv",
    "%": "mod",
    "**": "pow",
    "@": "matmul",
    "&": "and",
    "|": "or",
    "^": "xor",
    "<<": "lshift",
    ">>": "rshift",
}
UNARY_METHODS = {"-": "neg", "+": "pos", "~": "invert"}

CallMethod = Callable[[Term, str, Terms], Terms]
"""Calls a method of an instance with one argument; gives nothing if there is none or its result is unknown."""


def binary(members: Members, operator: str, left: Terms, right: Terms, call: CallMethod) -> Terms:
    """Return the result of an arithmetic operator."""
    name = METHODS.get(operator)
    if name is None:
        return ()
    pairs = [(a, b) for a in left for b in right] if right else [(a, None) for a in left]
    return join(_pair(members, operator, name, a, b, call) for a, b in pairs[:_MAX_PAIRS])


def _pair(members: Members, operator: str, name: str, left: Term, right: Term | None, call: CallMethod) -> Terms:
    if left.kind is not ValueKind.INSTANCE or (right is not None and right.kind is not ValueKind.INSTANCE):
        return ()
    if left.canonical == "builtins.str" and operator == "%":
        return (STR,)
    if right is None:
        return ()
    if left.canonical in _RANKS and right.canonical in _RANKS:
        return _numeric(operator, left.canonical, right.canonical)
    if _takes(members, left, f"__{name}__", right):
        found = call(left, f"__{name}__", (right,))
        if found:
            return found
    return call(right, f"__r{name}__", (left,)) if _takes(members, right, f"__r{name}__", left) else ()


def _numeric(operator: str, left: str, right: str) -> Terms:
    rank = max(_RANKS[left], _RANKS[right])
    if operator in _BITWISE:
        both_bool = rank == 0 and operator in ("&", "|", "^")
        return (BOOL,) if both_bool else (INT,) if rank <= 1 else ()
    if operator not in _ARITHMETIC:
        return ()
    if operator == "/" and rank < 3:
        return (FLOAT,)
    return (_NUMBERS[rank],)


def _takes(members: Members, left: Term, method: str, right: Term) -> bool:
    """Whether a stored method can take the other operand; methods of the file are taken to."""
    if left.node is not None or right.node is not None:
        return True
    found = members.store.member(left.canonical, method)
    entry = None if found is None else members.store.entry(found[1])
    if entry is None or not entry.signatures:
        return False
    for signature in entry.signatures:
        forms = signature.parameters[0].forms if signature.parameters else ()
        if not forms or any(_is_taken(members, form, left, right) for form in forms):
            return True
    return False


def _is_taken(members: Members, form: Form, left: Term, right: Term) -> bool:
    if form.path == RECEIVER:
        return members.is_a(right.canonical, left.canonical)
    return form.is_variable or members.is_a(right.canonical, form.path)


def unary(operator: str, value: Terms, call: CallMethod) -> Terms:
    """Return the result of an operator with one operand."""
    if operator == "not":
        return (BOOL,)
    name = UNARY_METHODS.get(operator)
    if name is None:
        return ()
    found: list[Terms] = []
    for term in value:
        if term.canonical in _RANKS and term.kind is ValueKind.INSTANCE:
            found.append((_NUMBERS[_RANKS[term.canonical]],))
        else:
            found.append(call(term, f"__{name}__", ()))
    return join(found)


def number(text: str) -> Terms:
    """Return the type of a number as written."""
    lower = text.lower()
    if lower.startswith(("0x", "0b", "0o")):
        return (INT,)
    if lower.endswith("j"):
        return (COMPLEX,)
    return (FLOAT,) if "." in lower or "e" in lower else (INT,)


def string(text: str) -> Terms:
    """Return the type of a string as written."""
    prefix = text[: min((at for at in (text.find("'"), text.find('"')) if at >= 0), default=0)]
    return (BYTES,) if "b" in prefix.lower() else (STR,)
