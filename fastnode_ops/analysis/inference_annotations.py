"""What an annotation says about the values of a name."""

from __future__ import annotations

from fastnode_ops.analysis.inference_engine import Engine
from fastnode_ops.analysis.inference_operators import CONSTANTS
from fastnode_ops.analysis.inference_terms import Term, Terms, instance, join, to_types
from fastnode_ops.analysis.nodes import Node
from fastnode_ops.analysis.values import ValueKind
from fastnode_ops.symbols.forms import CALLABLE, RECEIVER, TUPLE, TYPE
from fastnode_ops.symbols.special_types import NOTHING, RENAMED, TYPING, WRAPPERS

_MAX_DEPTH = 8
_EXPRESSIONS = frozenset({"NameExpr", "AttributeExpr"})


class Annotations:
    """The annotations of one file, evaluated by its inference."""

    def __init__(self, inference: Engine) -> None:
        self._inference = inference

    def instances(self, node: Node, depth: int = 0) -> Terms:
        """Return what a value with this annotation may be."""
        if depth > _MAX_DEPTH:
            return ()
        if node.kind == "NameExpr" and node.text == "None":
            return CONSTANTS["None"]
        if node.kind in _EXPRESSIONS:
            return self._plain(self._inference.terms(node), node)
        if node.kind == "BinaryExpr" and node.parts["operator"].text == "|":
            return join([self.instances(node.parts["left"], depth + 1), self.instances(node.parts["right"], depth + 1)])
        if node.kind == "IndexExpr":
            return self._subscripted(node, depth)
        if node.kind == "StringExpr" and not node.children:
            return self._quoted(node)
        return ()

    def _plain(self, terms: Terms, node: Node) -> Terms:
        return join(self._plain_term(term, node) for term in terms)

    def _plain_term(self, term: Term, node: Node) -> Terms:
        if term.canonical in ("typing.Any", "builtins.object"):
            return ()
        if term.kind is ValueKind.TYPE:
            return (Term(ValueKind.INSTANCE, term.path, term.canonical, term.arguments, term.node),)
        name = _special_name(term)
        if name in RENAMED:
            return (
                self._inference.definitions.instance_around(node)
                if RENAMED[name] == RECEIVER
                else (instance(RENAMED[name]),)
            )
        return ()

    def _subscripted(self, node: Node, depth: int) -> Terms:
        parts: list[Node] = []
        for subscript in node.parts["subscripts"]:
            value = subscript.parts.get("value")
            if value is not None:
                parts += value.parts["elements"] if value.kind == "TupleExpr" else [value]
        base = self._inference.terms(node.parts["value"])
        return join(self._with_arguments(term, parts, depth + 1) for term in base) if parts else ()

    def _with_arguments(self, term: Term, parts: list[Node], depth: int) -> Terms:
        if term.kind is ValueKind.TYPE:
            made = (term.path, term.canonical, term.node)
        else:
            name = _special_name(term)
            if name in ("Optional", "Union"):
                return join(self.instances(part, depth) for part in parts)
            if name in WRAPPERS:
                return self.instances(parts[0], depth)
            if name not in RENAMED or name in NOTHING:
                return ()
            made = (RENAMED[name], RENAMED[name], None)
        if made[1] == TYPE:
            return to_types(self.instances(parts[0], depth))
        if made[1] == CALLABLE:
            parts = parts[-1:]
        if made[1] == TUPLE and len(parts) == 2 and parts[1].kind == "EllipsisExpr":
            parts = parts[:1]
        arguments = tuple(self.instances(part, depth) for part in parts)
        path, canonical, definition = made
        if definition is not None:
            return (Term(ValueKind.INSTANCE, path, canonical, (), definition),)
        return (instance(path, *arguments, canonical=canonical),)

    def _quoted(self, node: Node) -> Terms:
        text = self._inference.tree.text(node).strip("\"'").strip()
        found = []
        for part in text.split("|"):
            name = part.partition("[")[0].strip()
            if name == "None":
                found.append(CONSTANTS["None"])
            elif name and all(word.isidentifier() for word in name.split(".")):
                found.append(self._plain(self._inference.names.dotted(name), node))
        return join(found) if text.count("[") == 0 or "|" not in text else ()


def _special_name(term: Term) -> str:
    """Return the name of a special form of `typing`; empty for other terms."""
    module, _, name = term.canonical.rpartition(".")
    return name if term.kind is ValueKind.OBJECT and module in TYPING else ""
