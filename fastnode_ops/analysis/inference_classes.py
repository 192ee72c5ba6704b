"""Classes and functions that the file itself defines: members, bases, receivers, results."""

from __future__ import annotations

from collections.abc import Iterator

from fastnode_ops.analysis.inference_bindings import binding_of
from fastnode_ops.analysis.nodes import Node

FUNCTIONS = frozenset({"FunctionDefStmt", "LambdaExpr"})
SCOPES = frozenset({"FunctionDefStmt", "LambdaExpr", "ClassDefStmt"})
_COMPREHENSIONS = frozenset(
    {"ListComprehensionExpr", "SetComprehensionExpr", "DictComprehensionExpr", "ComprehensionExpr"}
)
_NOTHING_DONE = frozenset({"PassStmt", "RaiseStmt"})
_CLASS_METHODS = frozenset({"__new__", "__init_subclass__", "__class_getitem__"})


def decorator_names(definition: Node) -> list[str]:
    """Return the last parts of the decorators of a definition: `property`, `setter`, `lru_cache`."""
    found = []
    for decorator in definition.parts.get("decorators", ()):
        node = decorator.parts["function"] if decorator.kind == "CallExpr" else decorator
        if node.kind == "AttributeExpr":
            found.append(node.parts["attribute"].text)
        else:
            found.append(node.text)
    return found


def is_property(definition: Node) -> bool:
    """Whether a function is read like a variable."""
    return any(name.lower().endswith("property") for name in decorator_names(definition))


def is_accessor(definition: Node) -> bool:
    """Whether a function sets or deletes what a property of the same name reads."""
    return any(name in ("setter", "deleter") for name in decorator_names(definition))


def class_of_method(function: Node) -> Node | None:
    """Return the class in whose body a function stands; also in an `if` there, but not in a function."""
    node = function.parent
    while node is not None and node.kind not in SCOPES:
        node = node.parent
    return node if node is not None and node.kind == "ClassDefStmt" else None


def function_around(node: Node) -> Node | None:
    """Return the innermost function, not counting lambdas, that a node is in."""
    current = node.parent
    while current is not None and current.kind != "FunctionDefStmt":
        current = current.parent
    return current


def receiver_name(function: Node) -> str:
    """Return the name of a method's receiver; empty for a function or static method."""
    if class_of_method(function) is None or "staticmethod" in decorator_names(function):
        return ""
    parameters = function.parts["parameters"]
    return parameters[0].parts["name"].text if parameters and parameters[0].kind == "Parameter" else ""


def takes_class(function: Node) -> bool:
    """Whether a method's receiver is the class rather than an instance."""
    return function.parts["name"].text in _CLASS_METHODS or "classmethod" in decorator_names(function)


def own_nodes(scope: Node) -> Iterator[Node]:
    """Yield what is evaluated in the body of a function or class itself: nothing of nested functions and classes.

    The definitions are yielded, what they hold is not.
    """
    body = scope.parts["body"]
    stack = [body] if isinstance(body, Node) else list(reversed(body))
    while stack:
        node = stack.pop()
        yield node
        if node.kind not in SCOPES:
            stack.extend(reversed(node.children))


class ClassMembers:
    """Where the members of each class of a file get their values; found class by class when asked."""

    def __init__(self) -> None:
        self._members: dict[int, dict[str, list[Node]]] = {}

    def of(self, definition: Node) -> dict[str, list[Node]]:
        """Return for each member of a class the nodes that bind it: names in its body, definitions, `self.x`."""
        found = self._members.get(definition.index)
        if found is None:
            found = self._members[definition.index] = {}
            methods = []
            for node in own_nodes(definition):
                if node.kind == "NameExpr":
                    if not _is_in_comprehension(node, definition) and binding_of(node) is not None:
                        found.setdefault(node.text, []).append(node)
                elif node.kind in ("FunctionDefStmt", "ClassDefStmt"):
                    found.setdefault(node.parts["name"].text, []).append(node.parts["name"])
                    methods.append(node)
            for method in methods:
                if method.kind == "FunctionDefStmt" and (name := receiver_name(method)):
                    _collect_attributes(method, name, found)
        return found


def _is_in_comprehension(node: Node, stop: Node) -> bool:
    current = node.parent
    while current is not None and current is not stop:
        if current.kind in _COMPREHENSIONS:
            return True
        current = current.parent
    return False


def _collect_attributes(method: Node, receiver: str, found: dict[str, list[Node]]) -> None:
    for node in own_nodes(method):
        if node.kind != "AttributeExpr":
            continue
        value = node.parts["value"]
        if value.kind == "NameExpr" and value.text == receiver and binding_of(node) is not None:
            found.setdefault(node.parts["attribute"].text, []).append(node)


class FunctionResults:
    """What the functions of a file return and yield; found function by function when asked."""

    def __init__(self) -> None:
        self._found: dict[int, tuple[list[Node], list[Node]]] = {}

    def of(self, function: Node) -> tuple[list[Node], list[Node]]:
        """Return a function's `ReturnStmt` nodes and its `YieldStmt` and `YieldExpr` nodes."""
        found = self._found.get(function.index)
        if found is None:
            nodes = list(own_nodes(function))
            returns = [node for node in nodes if node.kind == "ReturnStmt"]
            yields = [node for node in nodes if node.kind in ("YieldStmt", "YieldExpr")]
            found = self._found[function.index] = (returns, yields)
        return found


def is_abstract(function: Node) -> bool:
    """Whether a function does nothing or only refuses: what overrides it may return anything."""
    statements = [s for s in function.parts["body"] if not (s.kind == "ExprStmt" and _is_constant(s.parts["value"]))]
    return all(statement.kind in _NOTHING_DONE for statement in statements)


def _is_constant(node: Node) -> bool:
    return node.kind in ("StringExpr", "EllipsisExpr")
