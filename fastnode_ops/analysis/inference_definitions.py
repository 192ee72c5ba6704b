"""What the classes and functions of the file give: members, bases, results."""

from __future__ import annotations

from fastnode_ops.analysis.inference_bindings import BindingKind, binding_of
from fastnode_ops.analysis.inference_classes import (
    ClassMembers,
    FunctionResults,
    class_of_method,
    decorator_names,
    function_around,
    is_abstract,
    is_property,
    takes_class,
)
from fastnode_ops.analysis.inference_engine import Engine
from fastnode_ops.analysis.inference_operators import CONSTANTS
from fastnode_ops.analysis.inference_terms import Term, Terms, instance, join, to_instances
from fastnode_ops.analysis.nodes import Node
from fastnode_ops.analysis.values import ValueKind

_MAX_CLASSES = 64
_OBJECT = Term(ValueKind.TYPE, "builtins.object", "builtins.object")
_FUNCTION = instance("types.FunctionType")
_CONTEXT_MANAGERS = {
    "contextmanager": "contextlib._GeneratorContextManager",
    "asynccontextmanager": "contextlib._AsyncGeneratorContextManager",
}


def function_term(definition: Node) -> Term:
    """Return a function of the file."""
    path = _qualified(definition)
    return Term(ValueKind.FUNCTION, path, path, (), definition)


def class_term(definition: Node) -> Term:
    """Return a class of the file."""
    path = _qualified(definition)
    return Term(ValueKind.TYPE, path, path, (), definition)


def _qualified(definition: Node) -> str:
    names = []
    node: Node | None = definition
    while node is not None:
        if node.kind in ("ClassDefStmt", "FunctionDefStmt"):
            names.append(node.parts["name"].text)
        elif node.kind == "LambdaExpr":
            names.append("<lambda>")
        node = node.parent
    return ".".join(reversed(names))


class Definitions:
    """The definitions of one file, evaluated by its inference."""

    def __init__(self, inference: Engine) -> None:
        self._inference = inference
        self._members = ClassMembers()
        self._results = FunctionResults()
        self._orders: dict[int, list[Term]] = {}

    def receiver(self, method: Node) -> Terms:
        """Return what the first parameter of a method is."""
        definition = class_of_method(method)
        if definition is None:
            return ()
        types = (class_term(definition),)
        return types if takes_class(method) else to_instances(types)

    def instance_around(self, node: Node) -> Terms:
        """Return the instance of the class whose method a node is in."""
        function = function_around(node)
        definition = class_of_method(function) if function is not None else None
        return () if definition is None else to_instances((class_term(definition),))

    def parents_around(self, node: Node) -> Terms:
        """Return what `super()` gives in a method: instances of the bases, or the bases in a class method."""
        function = function_around(node)
        definition = class_of_method(function) if function is not None else None
        if definition is None or function is None:
            return ()
        bases = tuple(self.bases(definition))
        if not bases and not self._is_partial(definition):
            bases = (_OBJECT,)
        return bases if takes_class(function) else to_instances(bases)

    def attribute(self, term: Term, name: str) -> Terms:
        """Return an attribute of a class, instance or function of the file."""
        inference = self._inference
        if term.node is None or not name:
            return ()
        if term.kind not in (ValueKind.TYPE, ValueKind.INSTANCE):
            return inference.members.member(_FUNCTION, _FUNCTION.canonical, name)
        for base in self.order(term.node):
            if base.node is None:
                found = inference.members.member(term, base.canonical, name, base.arguments)
            else:
                found = self._own_attribute(base.node, term, name)
            if found:
                return found
        return ()

    def _own_attribute(self, definition: Node, receiver: Term, name: str) -> Terms:
        nodes = self._members.of(definition).get(name)
        if not nodes:
            return ()
        inference = self._inference
        terms = inference.cells.cell((definition.index, name), lambda: inference.names.union(nodes))
        if receiver.kind is ValueKind.TYPE and _is_assigned(nodes[0]) and self.is_enumeration(definition):
            return to_instances((class_term(definition),))
        return join(self._read(term, receiver) for term in terms)

    def _read(self, term: Term, receiver: Term) -> Terms:
        """Return what reading a member gives: of a property its result."""
        is_method = term.kind is ValueKind.FUNCTION and term.node is not None and term.node.kind == "FunctionDefStmt"
        if is_method and receiver.kind is ValueKind.INSTANCE and term.node is not None and is_property(term.node):
            return self.result(term.node)
        return (term,)

    def is_enumeration(self, definition: Node) -> bool:
        """Whether a class of the file is an `Enum`."""
        return any(base.canonical == "enum.Enum" for base in self.order(definition))

    def order(self, definition: Node) -> list[Term]:
        """Return a class of the file and its bases, as types, in the order in which members are searched."""
        found = self._orders.get(definition.index)
        if found is None:
            self._orders[definition.index] = [class_term(definition)]  # while they are found, it has no bases
            found = self._orders[definition.index] = self._find_order(definition)
        return found

    def _find_order(self, definition: Node) -> list[Term]:
        order: dict[int | str, Term] = {}
        waiting = [class_term(definition)]
        while waiting and len(order) < _MAX_CLASSES:
            term = waiting.pop()
            order.setdefault(term.canonical if term.node is None else term.node.index, term)
            if term.node is not None:
                new = [
                    b for b in self.bases(term.node) if (b.canonical if b.node is None else b.node.index) not in order
                ]
                waiting.extend(reversed(new))
        stored = [term for term in order.values() if term.node is None]
        search = self._inference.members.store.order
        above = dict.fromkeys(path for term in stored for path in search(term.canonical)[1:])
        rest = [Term(ValueKind.TYPE, path, path) for path in above if path not in order and path != _OBJECT.path]
        is_partial = any(term.node is not None and self._is_partial(term.node) for term in order.values())
        return [*order.values(), *rest, *([] if is_partial else [_OBJECT])]

    def _is_partial(self, definition: Node) -> bool:
        """Whether a class has a base that is not known, which may define what `object` does, too."""
        given = [a for a in definition.parts["arguments"] if a.parts["name"] is None]
        return len(given) > len(self.bases(definition))

    def bases(self, definition: Node) -> list[Term]:
        """Return the known direct bases of a class of the file."""
        found: list[Term] = []
        for argument in definition.parts["arguments"]:
            if argument.parts["name"] is None and not argument.parts["star"]:
                terms = self._inference.terms(argument.parts["value"])
                found += [term for term in terms if term.kind is ValueKind.TYPE]
        return found

    def result(self, function: Node) -> Terms:
        """Return what calling a function of the file gives."""
        return self._inference.cells.cell(("result", function.index), lambda: self._result(function))

    def _result(self, function: Node) -> Terms:
        inference = self._inference
        if function.kind == "LambdaExpr":
            return inference.terms(function.parts["body"])
        returns = function.parts["returns"]
        terms = self._returned(function) if returns is None else inference.annotations.instances(returns)
        for name in decorator_names(function):
            if name in _CONTEXT_MANAGERS:
                return (instance(_CONTEXT_MANAGERS[name], inference.iterate(terms)),)
        if function.parts["is_async"] and not self._results.of(function)[1]:
            return (instance("types.CoroutineType", (), (), terms),)
        return terms

    def _returned(self, function: Node) -> Terms:
        inference = self._inference
        returns, yields = self._results.of(function)
        if yields:
            given = [
                node.parts["value"] for node in yields if node.parts["value"] is not None and not node.parts["is_from"]
            ]
            return (instance("typing.Generator", join(inference.terms(node) for node in given)),)
        values = [node.parts["value"] for node in returns if node.parts["value"] is not None]
        if not values:
            return () if is_abstract(function) else CONSTANTS["None"]
        return join(inference.terms(value) for value in values)


def _is_assigned(node: Node) -> bool:
    binding = binding_of(node)
    return binding is not None and binding.kind is BindingKind.VALUE
