"""What names stand for: variables and their bindings, imports, builtins."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fastnode_ops.analysis.inference_bindings import Binding, BindingKind, binding_of
from fastnode_ops.analysis.inference_classes import is_accessor, receiver_name
from fastnode_ops.analysis.inference_definitions import class_term, function_term
from fastnode_ops.analysis.inference_engine import Engine
from fastnode_ops.analysis.inference_operators import CONSTANTS, STR, binary
from fastnode_ops.analysis.inference_terms import Term, Terms, instance, join, to_instances
from fastnode_ops.analysis.nodes import Node
from fastnode_ops.analysis.scopes import Variable
from fastnode_ops.symbols.forms import TUPLE

_MODULE_NAMES: dict[str, Terms] = {name: (STR,) for name in ("__name__", "__file__", "__doc__", "__package__")}
_NO_REFERENCES = frozenset({"DottedExpr", "ImportAsName", "Argument"})


class Names:
    """The names of one file, evaluated by its inference."""

    def __init__(self, inference: Engine) -> None:
        self._inference = inference
        self._stars: list[str] | None = None
        self._globals: dict[str, Variable] | None = None
        self._rules: dict[BindingKind, Callable[[Node], Terms]] = {
            BindingKind.VALUE: inference.terms,
            BindingKind.ELEMENT: self._element,
            BindingKind.ENTER: self._enter,
            BindingKind.CAUGHT: self._caught,
            BindingKind.ANNOTATED: inference.annotations.instances,
            BindingKind.AUGMENTED: self._augmented,
            BindingKind.MODULE: self._module,
            BindingKind.TOP_MODULE: self._top_module,
            BindingKind.IMPORTED: self._imported,
            BindingKind.FUNCTION: self._function,
            BindingKind.CLASS: lambda source: (class_term(source),),
            BindingKind.PARAMETER: self._parameter,
        }

    def value(self, node: Node) -> Terms:
        """Return what a `NameExpr` may be: its variable, a builtin, what a star import may have brought."""
        constant = CONSTANTS.get(node.text)
        if constant is not None:
            return constant
        variable = self._inference.scopes.variable_of(node)
        if variable is not None:
            return self.variable(variable)
        parent = node.parent
        if parent is not None and parent.kind in _NO_REFERENCES:
            return self._part(node, parent)
        return self._global(node.text)

    def variable(self, variable: Variable) -> Terms:
        """Return the union of what a variable is bound to anywhere."""
        return self._inference.cells.cell(variable.index, lambda: self.union(variable.references))

    def union(self, nodes: Iterable[Node]) -> Terms:
        """Return the union of what some names or attributes are bound to, each at its place."""
        bindings = [binding for binding in map(binding_of, nodes) if binding is not None]
        return join([self._bound(binding) for binding in bindings])

    def dotted(self, path: str) -> Terms:
        """Return what a dotted name that is quoted in the file may be: a global variable or a builtin."""
        first, *rest = path.split(".")
        variable = self._global_variables().get(first)
        terms = self._global(first) if variable is None else self.variable(variable)
        for name in rest:
            terms = self._inference.attribute(terms, name)
        return terms

    def _global_variables(self) -> dict[str, Variable]:
        if self._globals is None:
            self._globals = {}
            for statement in self._inference.tree.root.parts["body"]:
                is_definition = statement.kind in ("ClassDefStmt", "FunctionDefStmt")
                for node in [statement.parts["name"]] if is_definition else statement.walk():
                    variable = self._inference.scopes.variable_of(node) if node.kind == "NameExpr" else None
                    if variable is not None:
                        self._globals.setdefault(node.text, variable)
        return self._globals

    def _global(self, name: str) -> Terms:
        found = _MODULE_NAMES.get(name)
        if found is not None:
            return found
        symbol = self._inference.members.symbol
        for module in self._star_modules():
            if not name.startswith("_") and (terms := symbol(f"{module}.{name}")):
                return terms
        return symbol(f"builtins.{name}") if name else ()

    def _star_modules(self) -> list[str]:
        if self._stars is None:
            self._stars = [
                _path(node.parts["package"])
                for node in self._inference.tree.root.parts["body"]
                if node.kind == "ImportFromStmt" and node.parts["wildcard"] is not None
                if node.parts["package"] is not None and not node.parts["level"]
            ]
        return self._stars

    def _part(self, node: Node, parent: Node) -> Terms:
        """Return what a name in an import, or the keyword of an argument, stands for."""
        if parent.kind == "Argument":
            return () if parent.parts["name"] is node else self._global(node.text)
        if parent.kind == "ImportAsName":
            return self._imported(parent)
        statement = parent.parent
        if statement is not None and statement.kind == "ImportFromStmt" and statement.parts["level"]:
            return ()
        names = parent.parts["names"]
        at = next((index for index, name in enumerate(names) if name is node), -1)
        return self._inference.members.symbol(".".join(name.text for name in names[: at + 1]))

    def _bound(self, binding: Binding) -> Terms:
        terms = self._rules[binding.kind](binding.source)
        for index in binding.path:
            terms = join([self._unpacked(term, index) for term in terms])
        return terms

    def _unpacked(self, term: Term, index: int) -> Terms:
        if term.canonical == TUPLE and len(term.arguments) > 1:
            return term.arguments[index] if 0 <= index < len(term.arguments) else join(term.arguments)
        return self._inference.iterate((term,))

    def _element(self, source: Node) -> Terms:
        terms = self._inference.terms(source)
        if source.parent is not None and source.parent.parts.get("is_async"):
            iterators = self._inference.call_method(terms, "__aiter__")
            return self._inference.wait(self._inference.call_method(iterators, "__anext__"))
        return self._inference.iterate(terms)

    def _enter(self, source: Node) -> Terms:
        terms = self._inference.terms(source)
        statement = source.parent.parent if source.parent is not None else None
        if statement is not None and statement.parts.get("is_async"):
            return self._inference.wait(self._inference.call_method(terms, "__aenter__"))
        return self._inference.call_method(terms, "__enter__")

    def _caught(self, source: Node) -> Terms:
        types = source.parts["elements"] if source.kind == "TupleExpr" else [source]
        return join([to_instances(self._inference.terms(node)) for node in types])

    def _augmented(self, source: Node) -> Terms:
        operator = source.parts["operator"].text[:-1]
        left = self._inference.terms(source.parts["target"])
        right = self._inference.terms(source.parts["value"])
        return binary(self._inference.members, operator, left, right, self._inference.operate)

    def _module(self, source: Node) -> Terms:
        return self._inference.members.symbol(_path(source.parts["path"]))

    def _top_module(self, source: Node) -> Terms:
        return self._inference.members.symbol(source.parts["path"].parts["names"][0].text)

    def _imported(self, source: Node) -> Terms:
        statement = source.parent
        if statement is None or statement.kind != "ImportFromStmt" or statement.parts["level"]:
            return ()
        package = statement.parts["package"]
        if package is None:
            return ()
        return self._inference.members.symbol(f"{_path(package)}.{source.parts['name'].text}")

    def _function(self, source: Node) -> Terms:
        return () if is_accessor(source) else (function_term(source),)

    def _parameter(self, source: Node) -> Terms:
        inference = self._inference
        annotation = source.parts["annotation"]
        declared = inference.annotations.instances(annotation) if annotation is not None else ()
        if source.kind == "ArgsParameter":
            is_named = source.parts["star"] == "**"
            return (instance("builtins.dict", (STR,), declared) if is_named else instance(TUPLE, declared),)
        function = source.parent
        is_first = function is not None and function.parts["parameters"][0] is source
        if is_first and function is not None and function.kind == "FunctionDefStmt" and receiver_name(function):
            return inference.definitions.receiver(function)
        default = source.parts["default"]
        terms = inference.terms(default) if default is not None and not declared else declared
        return () if terms == CONSTANTS["None"] else terms


def _path(dotted: Node) -> str:
    return ".".join(name.text for name in dotted.parts["names"])
