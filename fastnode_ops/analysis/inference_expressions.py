"""The rule of each kind of expression."""

from __future__ import annotations

import ast
from collections.abc import Callable

from fastnode_ops.analysis.inference_definitions import function_term
from fastnode_ops.analysis.inference_engine import Engine
from fastnode_ops.analysis.inference_operators import (
    ALWAYS_BOOL,
    BOOL,
    COMPARISONS,
    ELLIPSIS,
    binary,
    number,
    string,
    unary,
)
from fastnode_ops.analysis.inference_signatures import Argument, Arguments, KnownArgument
from fastnode_ops.analysis.inference_terms import NONE, Term, Terms, instance, join, to_types
from fastnode_ops.analysis.nodes import Node
from fastnode_ops.analysis.values import ValueKind
from fastnode_ops.symbols.forms import TUPLE

_MAX_ELEMENTS = 16
_MAX_LITERAL_BYTES = 64
_CONSTANT_KINDS = frozenset({"StringExpr", "NumberExpr", "NameExpr"})


class NodeArgument:
    """An argument that stands in the file."""

    __slots__ = ("_inference", "_node")

    def __init__(self, inference: Engine, node: Node) -> None:
        self._inference = inference
        self._node = node

    def terms(self) -> Terms:
        """Return what it may be."""
        return self._inference.terms(self._node)

    def literal(self) -> str:
        """Return the constant that it is, as Python writes it; empty if it is none."""
        node = self._node
        if node.kind not in _CONSTANT_KINDS or node.children or node.end - node.start > _MAX_LITERAL_BYTES:
            return ""
        if node.kind == "NameExpr":
            return node.text if node.text in ("True", "False", "None") else ""
        text = self._inference.tree.text(node)
        if "\\" in text:
            return ""  # none of the constants that overloads tell apart is written with an escape
        try:
            return repr(ast.literal_eval(text))
        except (ValueError, SyntaxError):
            return ""


def _name(inference: Engine, node: Node) -> Terms:
    return inference.names.value(node)


def _dotted(inference: Engine, node: Node) -> Terms:
    names = node.parts["names"]
    return inference.names.value(names[-1]) if len(names) > 1 else inference.terms(names[0])


def _attribute(inference: Engine, node: Node) -> Terms:
    name = node.parts["attribute"].text
    if _is_super(node.parts["value"]):
        found = (inference.attribute((parent,), name) for parent in inference.definitions.parents_around(node))
        return next((terms for terms in found if terms), ())
    return inference.attribute(inference.terms(node.parts["value"]), name)


def _call(inference: Engine, node: Node) -> Terms:
    function = node.parts["function"]
    if _is_super(node):
        return inference.definitions.parents_around(node)[:1]
    terms = inference.terms(function)
    return inference.call(terms, _arguments(inference, node)) if terms else ()


def _is_super(node: Node) -> bool:
    if node.kind != "CallExpr" or node.parts["arguments"]:
        return False
    function = node.parts["function"]
    return bool(function.kind == "NameExpr" and function.text == "super")


def _arguments(inference: Engine, node: Node) -> Arguments:
    positional: list[Argument] = []
    keywords: dict[str, Argument] = {}
    is_open = False
    for argument in node.parts["arguments"]:
        if argument.parts["star"]:
            is_open = True
        elif argument.parts["name"] is not None:
            keywords[argument.parts["name"].text] = NodeArgument(inference, argument.parts["value"])
        elif not is_open:
            positional.append(NodeArgument(inference, argument.parts["value"]))
    return Arguments(positional, keywords, is_open)


def _binary(inference: Engine, node: Node) -> Terms:
    operator = node.parts["operator"].text
    if operator in ALWAYS_BOOL:
        return (BOOL,)
    left = inference.terms(node.parts["left"])
    if operator in COMPARISONS:
        return _compared(inference, left, COMPARISONS[operator])
    right = inference.terms(node.parts["right"])
    if operator == "or":
        return join([tuple(term for term in left if term.canonical != NONE), right])
    if operator == "and":
        return join([left, right])
    if operator == ":=":
        return right
    if operator == "|" and all(term.kind is ValueKind.TYPE for term in (*left, *right)):
        return ()  # a union of types
    return binary(inference.members, operator, left, right, inference.operate)


def _compared(inference: Engine, left: Terms, name: str) -> Terms:
    """Return what a comparison gives: arrays and columns compare element by element, all else gives a `bool`."""
    instances = [term for term in left if term.kind is ValueKind.INSTANCE]
    if not instances:
        return (BOOL,)
    return join([inference.operate(term, f"__{name}__", ()) for term in instances])


def _unary(inference: Engine, node: Node) -> Terms:
    operator = node.parts["operator"].text
    if operator == "not":
        return (BOOL,)
    return unary(operator, inference.terms(node.parts["value"]), inference.operate)


def _conditional(inference: Engine, node: Node) -> Terms:
    return join([inference.terms(node.parts["body"]), inference.terms(node.parts["else_value"])])


def _await(inference: Engine, node: Node) -> Terms:
    return inference.wait(inference.terms(node.parts["value"]))


def _index(inference: Engine, node: Node) -> Terms:
    subscripts = node.parts["subscripts"]
    if not subscripts:
        return ()
    found = [_subscripted(inference, term, node, subscripts) for term in inference.terms(node.parts["value"])]
    return join(found)


def _subscripted(inference: Engine, term: Term, node: Node, subscripts: list[Node]) -> Terms:
    if term.kind is ValueKind.TYPE:
        made = inference.annotations.instances(node) if term.node is None else ()
        return to_types(made) or (term,)
    if term.kind is not ValueKind.INSTANCE:
        return ()
    first = subscripts[0]
    if len(subscripts) > 1:
        index: NodeArgument | KnownArgument = KnownArgument((instance(TUPLE),))
    elif first.kind == "SliceSubscript":
        index = KnownArgument((instance("builtins.slice"),))
    else:
        if term.canonical == TUPLE and len(term.arguments) > 1:
            return _tuple_item(inference, term, first.parts["value"])
        index = NodeArgument(inference, first.parts["value"])
    return inference.call_method((term,), "__getitem__", Arguments([index]))


def _tuple_item(inference: Engine, term: Term, index: Node) -> Terms:
    try:
        return term.arguments[int(inference.tree.text(index).replace(" ", ""), 0)]
    except (ValueError, IndexError):
        return join(term.arguments)


def _tuple(inference: Engine, node: Node) -> Terms:
    elements = node.parts["elements"]
    if len(elements) > _MAX_ELEMENTS or any(
        element.kind == "UnaryExpr" and element.tokens[0].text == "*" for element in elements
    ):
        return (instance(TUPLE),)
    return (instance(TUPLE, *(inference.terms(element) for element in elements)),)


def _list(inference: Engine, node: Node) -> Terms:
    path = "builtins.list" if node.kind == "ListExpr" else "builtins.set"
    return (instance(path, join([inference.terms(element) for element in node.parts["elements"][:_MAX_ELEMENTS]])),)


def _dict(inference: Engine, node: Node) -> Terms:
    entries = [
        entry for entry in node.parts["entries"] if entry.kind == "KeyValuePair" and entry.parts["key"] is not None
    ]
    return (_dict_of(inference, entries[:_MAX_ELEMENTS]),)


def _dict_of(inference: Engine, entries: list[Node]) -> Term:
    keys = join([inference.terms(entry.parts["key"]) for entry in entries])
    return instance("builtins.dict", keys, join([inference.terms(entry.parts["value"]) for entry in entries]))


def _comprehension(inference: Engine, node: Node) -> Terms:
    element = node.parts["element"]
    if node.kind == "DictComprehensionExpr":
        entries = [element] if element.kind == "KeyValuePair" and element.parts["key"] is not None else []
        return (_dict_of(inference, entries),)
    return (instance(_COMPREHENDED[node.kind], inference.terms(element)),)


_COMPREHENDED = {
    "ListComprehensionExpr": "builtins.list",
    "SetComprehensionExpr": "builtins.set",
    "ComprehensionExpr": "types.GeneratorType",
}


def _lambda(_: Engine, node: Node) -> Terms:
    return (function_term(node),)


def _number(inference: Engine, node: Node) -> Terms:
    return number(inference.tree.text(node))


def _string(inference: Engine, node: Node) -> Terms:
    source = inference.tree.source
    return string(source[node.start : min(node.end, node.start + 4)].decode("utf-8", "replace"))


def _ellipsis(_: Engine, __: Node) -> Terms:
    return (ELLIPSIS,)


RULES: dict[str, Callable[[Engine, Node], Terms]] = {
    "NameExpr": _name,
    "DottedExpr": _dotted,
    "AttributeExpr": _attribute,
    "CallExpr": _call,
    "BinaryExpr": _binary,
    "UnaryExpr": _unary,
    "IfExpr": _conditional,
    "AwaitExpr": _await,
    "IndexExpr": _index,
    "TupleExpr": _tuple,
    "ListExpr": _list,
    "SetExpr": _list,
    "DictExpr": _dict,
    "ListComprehensionExpr": _comprehension,
    "SetComprehensionExpr": _comprehension,
    "DictComprehensionExpr": _comprehension,
    "ComprehensionExpr": _comprehension,
    "LambdaExpr": _lambda,
    "NumberExpr": _number,
    "StringExpr": _string,
    "EllipsisExpr": _ellipsis,
}

WEIGHTS = {"CallExpr": 3, "IndexExpr": 2, "AwaitExpr": 2}
"""How deep the evaluation of a kind of expression goes by itself, in the units of `MAX_DEPTH`; others: 1."""
