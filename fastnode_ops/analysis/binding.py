"""Which names a text refers to, in the order of their evaluation, and where each is looked up (specification 6.1, 6.6).

The scopes are those of Python's `symtable`: module, functions, classes, lambdas and comprehensions. The order is that
of running the module: the right side of an assignment before its targets, the iterable of a loop before its targets,
and the bodies of functions after all that stands outside of functions.
"""

from __future__ import annotations

import unicodedata
from collections import deque
from collections.abc import Callable

from fastnode_ops.analysis.nodes import Node, Tree


class Scope:
    """One symbol table.

    Args:
        node: The node that opens it.
        parent: The scope around it; None for the module.
        private: Name of the innermost class around it, which spells names like `__x`; "" outside of classes.

    Attributes:
        bound: Names that are assigned in it, as Python spells them.
        globals: Names declared as global.
        nonlocals: Names declared as nonlocal.
    """

    __slots__ = ("bound", "globals", "node", "nonlocals", "parent", "private")

    def __init__(self, node: Node, parent: Scope | None, private: str) -> None:
        self.node = node
        self.parent = parent
        self.private = private
        self.bound: set[str] = set()
        self.globals: set[str] = set()
        self.nonlocals: set[str] = set()

    def spell(self, name: str) -> str:
        """Return the name as Python spells it here: in normal form, names like `__x` with the name of the class."""
        if not name.isascii():
            name = unicodedata.normalize("NFKC", name)
        if not self.private or not name.startswith("__") or name.endswith("__"):
            return name
        owner = self.private.lstrip("_")
        return f"_{owner}{name}" if owner else name

    def find(self, name: str) -> Scope | None:
        """Return the scope that binds a name as seen from here; None for names of nowhere (builtins, star imports)."""
        scope: Scope | None = self
        while scope is not None:
            is_seen = scope is self or scope.node.kind != "ClassDefStmt"
            if is_seen and name in scope.globals:
                module = scope.module()
                return module if name in module.bound else None
            if is_seen and name in scope.bound and name not in scope.nonlocals:
                return None if scope.parent is None and name in self.nonlocals else scope
            scope = scope.parent
        return None

    def module(self) -> Scope:
        """Return the outermost scope."""
        scope = self
        while scope.parent is not None:
            scope = scope.parent
        return scope


_LOAD, _STORE, _PATTERN = 0, 1, 2
_CONSTANTS = frozenset(("None", "True", "False"))
COMPREHENSIONS = frozenset(
    ("ComprehensionExpr", "ListComprehensionExpr", "SetComprehensionExpr", "DictComprehensionExpr")
)

Work = tuple[Node, Scope, int]


class Binder:
    """Walks a tree in the order of evaluation.

    Attributes:
        references: Names that are evaluated or assigned, each with the scope in which it stands, in that order.
        scopes: All scopes, in the order in which they are opened.
    """

    def __init__(self, tree: Tree) -> None:
        self.references: list[tuple[Node, Scope]] = []
        self.scopes: list[Scope] = []
        self._later: deque[list[Work]] = deque()
        module = self._open(tree.root, None, "")
        self._run([(node, module, _LOAD) for node in tree.root.children])
        while self._later:
            self._run(self._later.popleft())

    def _open(self, node: Node, parent: Scope | None, private: str) -> Scope:
        scope = Scope(node, parent, private)
        self.scopes.append(scope)
        return scope

    def _run(self, work: list[Work]) -> None:
        stack = work[::-1]
        while stack:
            node, scope, mode = stack.pop()
            if node.kind == "NameExpr":
                self._refer(node, scope, mode)
            elif (visit := _VISITS.get(node.kind)) is not None:
                stack += reversed(visit(self, node, scope, mode))
            elif mode == _PATTERN:
                stack += [(child, scope, _PATTERN) for child in reversed(node.children)]
            elif node.children:
                stack += [(child, scope, _LOAD) for child in reversed(node.children)]

    def _refer(self, node: Node, scope: Scope, mode: int) -> None:
        name = node.text
        if name in _CONSTANTS or (mode == _PATTERN and name == "_"):
            return
        if mode != _LOAD:
            self._bind(name, scope)
        self.references.append((node, scope))

    def _bind(self, name: str, scope: Scope) -> None:
        name = scope.spell(name)
        (scope.module() if name in scope.globals else scope).bound.add(name)

    # each of the following returns what to do next for a node, in the order of evaluation

    def _display(self, node: Node, scope: Scope, mode: int) -> list[Work]:
        """A tuple, list or starred expression: a target when it stands in a target."""
        return [(child, scope, mode) for child in node.children]

    def _primary(self, node: Node, scope: Scope, _: int) -> list[Work]:
        """An attribute or subscription reads its base, also in targets and patterns."""
        return [(child, scope, _LOAD) for child in node.children]

    def _call(self, node: Node, scope: Scope, mode: int) -> list[Work]:
        function = node.parts["function"]
        rest = _PATTERN if mode == _PATTERN else _LOAD
        return [(child, scope, _LOAD if child is function else rest) for child in node.children]

    def _argument(self, node: Node, scope: Scope, mode: int) -> list[Work]:
        return [(child, scope, mode) for child in node.children if child is not node.parts["name"]]

    def _entry(self, node: Node, scope: Scope, mode: int) -> list[Work]:
        key = node.parts["key"]
        return [(child, scope, _LOAD if child is key else mode) for child in node.children]

    def _binary(self, node: Node, scope: Scope, mode: int) -> list[Work]:
        operator = node.parts["operator"].text
        left, right = node.parts["left"], node.parts["right"]
        if operator == ":=":
            return [(right, scope, _LOAD), *self._walrus(left, scope)]
        if operator == "as":
            return [(left, scope, mode), (right, scope, _STORE)]
        return [(child, scope, mode if operator == "|" else _LOAD) for child in node.children]

    def _walrus(self, target: Node, scope: Scope) -> list[Work]:
        """`:=` binds in the scope around all comprehensions."""
        owner = scope
        while owner.node.kind in COMPREHENSIONS and owner.parent is not None:
            owner = owner.parent
        if target.kind == "NameExpr":
            self._bind(target.text, owner)
        return [(target, scope, _LOAD)]

    def _assign(self, node: Node, scope: Scope, _: int) -> list[Work]:
        targets = set(node.parts["targets"])
        values = [(child, scope, _LOAD) for child in node.children if child not in targets]
        if node.parts["annotation"] is not None:
            values.reverse()
        return [*values, *((child, scope, _STORE) for child in node.children if child in targets)]

    def _assign_to_one(self, node: Node, scope: Scope, _: int) -> list[Work]:
        target = node.parts["target"]
        return [*((c, scope, _LOAD) for c in node.children if c is not target), (target, scope, _STORE)]

    def _stored_targets(self, node: Node, scope: Scope, _: int) -> list[Work]:
        targets = set(node.parts["targets"])
        return [(child, scope, _STORE if child in targets else _LOAD) for child in node.children]

    def _for(self, node: Node, scope: Scope, _: int) -> list[Work]:
        targets, iterable = node.parts["targets"], node.parts["iterable"]
        head = {*targets, iterable}
        rest = [(child, scope, _LOAD) for child in node.children if child not in head]
        return [(iterable, scope, _LOAD), *((target, scope, _STORE) for target in targets), *rest]

    def _with_target(self, node: Node, scope: Scope, _: int) -> list[Work]:
        target = node.parts["target"]
        return [(child, scope, _STORE if child is target else _LOAD) for child in node.children]

    def _branch(self, node: Node, scope: Scope, _: int) -> list[Work]:
        pattern = node.parts["condition"] if node.parts["is_case"] else None
        return [(child, scope, _PATTERN if child is pattern else _LOAD) for child in node.children]

    def _if_expression(self, node: Node, scope: Scope, _: int) -> list[Work]:
        first = node.parts["condition"]
        return [(first, scope, _LOAD), *((child, scope, _LOAD) for child in node.children if child is not first)]

    def _import(self, node: Node, scope: Scope, _: int) -> list[Work]:
        """Only the name that an import binds counts: the alias, else the (first) name."""
        bound = node.parts["alias"] or (node.parts["path"].parts["names"] if "path" in node.parts else [node])[0]
        if bound is node:
            bound = node.parts["name"]
        return [(bound, scope, _STORE)]

    def _import_from(self, node: Node, scope: Scope, _: int) -> list[Work]:
        return [(name, scope, _LOAD) for name in node.parts["names"]]

    def _global(self, node: Node, scope: Scope, _: int) -> list[Work]:
        scope.globals.update(scope.spell(name.text) for name in node.parts["names"] if name.kind == "NameExpr")
        return []

    def _nonlocal(self, node: Node, scope: Scope, _: int) -> list[Work]:
        scope.nonlocals.update(scope.spell(name.text) for name in node.parts["names"] if name.kind == "NameExpr")
        return []

    def _function(self, node: Node, scope: Scope, _: int) -> list[Work]:
        parts = node.parts
        head = self._type_scope(node, scope)
        inner = self._open(node, head, scope.private)
        starred = [part for part in (parts["vararg"], parts["kwarg"]) if part is not None]
        parameters = sorted([*parts["parameters"], *starred], key=_start)
        now = [(decorator, scope, _LOAD) for decorator in parts["decorators"]]
        now += [(default, scope, _LOAD) for part in parameters if (default := part.parts.get("default")) is not None]
        now += [(hint, head, _LOAD) for part in parameters if (hint := part.parts["annotation"]) is not None]
        if parts["returns"] is not None:
            now.append((parts["returns"], head, _LOAD))
        now.append((parts["name"], scope, _STORE))
        later = [(part.parts["name"], inner, _STORE) for part in parameters]
        seen = {node for node, _, _ in now} | set(parameters) | set(parts["type_parameters"])
        self._later.append([*later, *((child, inner, _LOAD) for child in node.children if child not in seen)])
        return now

    def _type_scope(self, node: Node, scope: Scope) -> Scope:
        """Return the scope of the header of a definition, which has the type parameters if there are some."""
        if not node.parts["type_parameters"]:
            return scope
        head = self._open(node, scope, scope.private)
        work: list[Work] = []
        for part in node.parts["type_parameters"]:
            work.append((part.parts["name"], head, _STORE))
            if part.kind == "Parameter" and part.parts["annotation"] is not None:
                work.append((part.parts["annotation"], head, _LOAD))
        self._run(work)
        return head

    def _lambda(self, node: Node, scope: Scope, _: int) -> list[Work]:
        parts = node.parts
        inner = self._open(node, scope, scope.private)
        starred = [part for part in (parts["vararg"], parts["kwarg"]) if part is not None]
        parameters = sorted([*parts["parameters"], *starred], key=_start)
        later = [(part.parts["name"], inner, _STORE) for part in parameters]
        self._later.append([*later, *((child, inner, _LOAD) for child in node.children if child not in parameters)])
        return [(value, scope, _LOAD) for part in parameters if (value := part.parts.get("default")) is not None]

    def _class(self, node: Node, scope: Scope, _: int) -> list[Work]:
        parts = node.parts
        head = self._type_scope(node, scope)
        name = parts["name"]
        inner = self._open(node, head, name.text or scope.private)
        now = [(decorator, scope, _LOAD) for decorator in parts["decorators"]]
        now += [(argument, head, _LOAD) for argument in parts["arguments"]]
        seen = {node for node, _, _ in now} | {name} | set(parts["type_parameters"])
        return [*now, (name, scope, _STORE), *((child, inner, _LOAD) for child in node.children if child not in seen)]

    def _comprehension(self, node: Node, scope: Scope, _: int) -> list[Work]:
        """The first iterable is evaluated outside, everything else inside; the element comes last."""
        inner = self._open(node, scope, scope.private)
        work: list[Work] = []
        for number, generator in enumerate(node.parts["generators"]):
            targets, iterable = generator.parts["targets"], generator.parts["iterable"]
            head = {*targets, iterable}
            work.append((iterable, scope if number == 0 else inner, _LOAD))
            work += [(target, inner, _STORE) for target in targets]
            work += [(child, inner, _LOAD) for child in generator.children if child not in head]
        return [*work, *((child, inner, _LOAD) for child in node.children if child.kind != "Generator")]


def _start(node: Node) -> int:
    return node.start


_VISITS: dict[str, Callable[[Binder, Node, Scope, int], list[Work]]] = {
    "AnnotationStmt": Binder._assign_to_one,
    "Argument": Binder._argument,
    "AssignStmt": Binder._assign,
    "AttributeExpr": Binder._primary,
    "AugAssignStmt": Binder._assign_to_one,
    "BinaryExpr": Binder._binary,
    "Branch": Binder._branch,
    "CallExpr": Binder._call,
    "ClassDefStmt": Binder._class,
    **dict.fromkeys(COMPREHENSIONS, Binder._comprehension),
    "DelStmt": Binder._stored_targets,
    "DottedAsName": Binder._import,
    "ExceptClause": Binder._with_target,
    "ForStmt": Binder._for,
    "FunctionDefStmt": Binder._function,
    "GlobalStmt": Binder._global,
    "IfExpr": Binder._if_expression,
    "ImportAsName": Binder._import,
    "ImportFromStmt": Binder._import_from,
    "IndexExpr": Binder._primary,
    "KeyValuePair": Binder._entry,
    "LambdaExpr": Binder._lambda,
    "ListExpr": Binder._display,
    "NonLocalStmt": Binder._nonlocal,
    "TupleExpr": Binder._display,
    "UnaryExpr": Binder._display,
    "WithItem": Binder._with_target,
}
