"""Where a name or an attribute gets its value: the statement that binds it, and which part of what is bound."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from fastnode_ops.analysis.nodes import Node


class BindingKind(Enum):
    """How the source of a binding becomes the value."""

    VALUE = auto()  # assigned: the value itself
    ELEMENT = auto()  # iterated: an element
    ENTER = auto()  # `with`: what entering gives
    CAUGHT = auto()  # `except`: an instance of the type
    ANNOTATED = auto()  # declared: an instance of the annotation
    AUGMENTED = auto()  # `+=`
    MODULE = auto()  # `import a.b as c`
    TOP_MODULE = auto()  # `import a.b`
    IMPORTED = auto()  # `from a import b`
    FUNCTION = auto()
    CLASS = auto()
    PARAMETER = auto()


@dataclass(frozen=True, slots=True)
class Binding:
    """A place where a name is bound.

    Args:
        kind: How.
        source: The node that the value comes from: an expression, definition, import name or parameter.
        path: For `a, (b, *c) = ...`: index within each nested target, outermost first; -1 for a starred one.
    """

    kind: BindingKind
    source: Node
    path: tuple[int, ...] = ()


_SEQUENCES = ("TupleExpr", "ListExpr")


def binding_of(target: Node) -> Binding | None:
    """Return how a `NameExpr` or `AttributeExpr` is bound at its place; None if it is only read there."""
    path: list[int] = []
    node, parent = target, target.parent
    while parent is not None:
        if parent.kind in _SEQUENCES:
            path.append(_position(node, parent.parts["elements"]))
        elif not (parent.kind == "UnaryExpr" and parent.parts["operator"].text == "*"):
            break
        node, parent = parent, parent.parent
    rule = None if parent is None else _RULES.get(parent.kind)
    if rule is None or parent is None:
        return None
    return rule(node, parent, tuple(reversed(path)))


def _position(node: Node, elements: list[Node]) -> int:
    """Return a target's index among its neighbours; -1 from the first starred one on, whose length is not known."""
    for index, element in enumerate(elements):
        if element.kind == "UnaryExpr":
            return -1
        if element is node:
            return index
    return -1


def _assigned(node: Node, parent: Node, path: tuple[int, ...]) -> Binding | None:
    if not any(target is node for target in parent.parts["targets"]):
        return None
    if parent.parts.get("annotation") is not None:
        return Binding(BindingKind.ANNOTATED, parent.parts["annotation"])
    return Binding(BindingKind.VALUE, parent.parts["value"], path)


def _iterated(node: Node, parent: Node, path: tuple[int, ...]) -> Binding | None:
    targets = parent.parts["targets"]
    if not any(target is node for target in targets):
        return None
    if len(targets) > 1:
        path = (_position(node, targets), *path)
    return Binding(BindingKind.ELEMENT, parent.parts["iterable"], path)


def _entered(node: Node, parent: Node, path: tuple[int, ...]) -> Binding | None:
    return Binding(BindingKind.ENTER, parent.parts["value"], path) if parent.parts["target"] is node else None


def _caught(node: Node, parent: Node, _: tuple[int, ...]) -> Binding | None:
    is_target = parent.parts["target"] is node and parent.parts["type"] is not None
    return Binding(BindingKind.CAUGHT, parent.parts["type"]) if is_target else None


def _annotated(node: Node, parent: Node, _: tuple[int, ...]) -> Binding | None:
    is_target = parent.parts["target"] is node
    return Binding(BindingKind.ANNOTATED, parent.parts["annotation"]) if is_target else None


def _augmented(node: Node, parent: Node, _: tuple[int, ...]) -> Binding | None:
    return Binding(BindingKind.AUGMENTED, parent) if parent.parts["target"] is node else None


def _named(node: Node, parent: Node, _: tuple[int, ...]) -> Binding | None:
    if parent.parts["operator"].text != ":=" or parent.parts["left"] is not node:
        return None
    return Binding(BindingKind.VALUE, parent.parts["right"])


def _module(node: Node, parent: Node, _: tuple[int, ...]) -> Binding | None:
    return Binding(BindingKind.MODULE, parent) if parent.parts["alias"] is node else None


def _dotted(node: Node, parent: Node, _: tuple[int, ...]) -> Binding | None:
    import_name = parent.parent
    if import_name is None or import_name.kind != "DottedAsName" or import_name.parts["alias"] is not None:
        return None
    return Binding(BindingKind.TOP_MODULE, import_name) if parent.parts["names"][0] is node else None


def _imported(node: Node, parent: Node, _: tuple[int, ...]) -> Binding | None:
    bound = parent.parts["alias"] or parent.parts["name"]
    return Binding(BindingKind.IMPORTED, parent) if bound is node else None


def _function(node: Node, parent: Node, _: tuple[int, ...]) -> Binding | None:
    return Binding(BindingKind.FUNCTION, parent) if parent.parts["name"] is node else None


def _class(node: Node, parent: Node, _: tuple[int, ...]) -> Binding | None:
    return Binding(BindingKind.CLASS, parent) if parent.parts["name"] is node else None


def _parameter(node: Node, parent: Node, _: tuple[int, ...]) -> Binding | None:
    return Binding(BindingKind.PARAMETER, parent) if parent.parts["name"] is node else None


_RULES = {
    "AssignStmt": _assigned,
    "ForStmt": _iterated,
    "Generator": _iterated,
    "WithItem": _entered,
    "ExceptClause": _caught,
    "AnnotationStmt": _annotated,
    "AugAssignStmt": _augmented,
    "BinaryExpr": _named,
    "DottedAsName": _module,
    "DottedExpr": _dotted,
    "ImportAsName": _imported,
    "FunctionDefStmt": _function,
    "ClassDefStmt": _class,
    "Parameter": _parameter,
    "ArgsParameter": _parameter,
}
