"""Variables, and which of them are in scope where (specification 6.6)."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

from fastnode_ops.analysis.binding import COMPREHENSIONS, Binder, Scope
from fastnode_ops.analysis.nodes import Node, Tree


@dataclass(slots=True, eq=False)
class Variable:
    """One entry of one symbol table with all names that resolve to it.

    Args:
        name: Its name.
        references: The `NameExpr` nodes, in the order of evaluation.
        index: Its number: variables are in the order of their origins.
        scope: The symbol table.
    """

    name: str
    references: list[Node]
    index: int
    scope: Scope

    @property
    def origin(self) -> Node:
        """The reference that is evaluated first."""
        return self.references[0]


_INNER_OWNERS = COMPREHENSIONS | {"LambdaExpr"}
_OWNERS = _INNER_OWNERS | {"FunctionDefStmt", "ClassDefStmt", "Module"}


class Scopes:
    """The variables of a text.

    Args:
        tree: Its tree.

    Attributes:
        variables: All variables, by number.
        names: All names that are evaluated or assigned, in that order, also those that are no variables. Import paths,
            keywords of arguments and names in `global` statements are not among them.
        tables: All symbol tables.
    """

    def __init__(self, tree: Tree) -> None:
        binder = Binder(tree)
        self.tables = binder.scopes
        self.names = [node for node, _ in binder.references]
        self.variables: list[Variable] = []
        self._of_node: dict[Node, Variable] = {}
        of_entry: dict[tuple[Scope, str], Variable] = {}
        found: dict[tuple[Scope, str], Scope | None] = {}
        for node, scope in binder.references:
            place = (scope, node.text)
            if place not in found:
                found[place] = scope.find(scope.spell(node.text))
            owner = found[place]
            if owner is None:
                continue
            entry = (owner, scope.spell(node.text))
            variable = of_entry.get(entry)
            if variable is None:
                variable = of_entry[entry] = Variable(node.text, [], len(self.variables), owner)
                self.variables.append(variable)
            variable.references.append(node)
            self._of_node[node] = variable
        self._origins = self._by_owner()

    def _by_owner(self) -> dict[Node, tuple[list[int], list[Variable]]]:
        """Return, per node that can own variables, the variables that come to be in it, by position of their origin."""
        groups: dict[Node, list[Variable]] = {}
        for variable in self.variables:
            groups.setdefault(_owner(variable.origin), []).append(variable)
        result = {}
        for owner, group in groups.items():
            group.sort(key=lambda variable: variable.origin.start)
            result[owner] = ([variable.origin.start for variable in group], group)
        return result

    def variable_of(self, name: Node) -> Variable | None:
        """Return the variable that a `NameExpr` refers to; None when it is in no symbol table, or no reference."""
        return self._of_node.get(name)

    def in_scope(self, node: Node, stop_at_function: bool) -> list[Variable]:
        """Return the variables that can be used at a node, by number.

        A variable is visible after the statement that its origin lies in, inside the block of that statement; the
        variables of a function's parameters, of loop, `with`, `except` and pattern targets in the whole block below.
        Variables of lambdas and comprehensions are visible in them only. `try` opens no block, but what one handler
        assigns is not visible in the others.

        Args:
            node: Any node.
            stop_at_function: Whether what stands outside of the innermost function is left out.
        """
        visible: list[Variable] = []
        child, parent = node, node.parent
        while parent is not None:
            if parent.kind in _INNER_OWNERS:
                visible += self._origins.get(parent, ((), ()))[1]
            elif ranges := _visible_ranges(parent, child):
                owner = parent
                while owner.kind not in _OWNERS and owner.parent is not None:
                    owner = owner.parent
                for start, end in ranges:
                    visible += self._between(owner, start, end)
            if stop_at_function and parent.kind == "FunctionDefStmt" and child in parent.parts["body"]:
                break
            child, parent = parent, parent.parent
        return sorted(visible, key=lambda variable: variable.index)

    def _between(self, owner: Node, start: int, end: int) -> list[Variable]:
        starts, group = self._origins.get(owner, ([], []))
        return group[bisect_left(starts, start) : bisect_left(starts, end)]


def _owner(origin: Node) -> Node:
    """Return the innermost node that owns what comes to be at an origin; a definition's name is outside of it."""
    node = origin
    owner = origin.parent
    assert owner is not None
    while owner.kind not in _OWNERS or owner.parts.get("name") is node:
        node = owner
        parent = owner.parent
        assert parent is not None
        owner = parent
    return owner


def _visible_ranges(block: Node, child: Node) -> list[tuple[int, int]]:
    """Return where, in the block that a node opens, the origins of variables lie that are visible in a child of it."""
    kind, parts = block.kind, block.parts
    if kind == "Module":
        return [(0, child.start)]
    if kind in ("FunctionDefStmt", "Branch", "WithStmt", "ExceptClause"):
        return [(block.start, child.start)] if child in parts["body"] else []
    if kind in ("ForStmt", "WhileStmt"):
        return [(block.start, child.start)] if child in parts["body"] or child in parts["else_body"] else []
    if kind == "IfStmt":
        return [(parts["else_body"][0].start, child.start)] if child in parts["else_body"] else []
    if kind == "TryStmt":
        return _visible_in_try(parts["body"], parts["else_body"], block, child)
    return []


def _visible_in_try(body: list[Node], else_body: list[Node], block: Node, child: Node) -> list[tuple[int, int]]:
    if child in body:
        return [(block.start, child.start)]
    tried = [(block.start, body[-1].end)] if body else []
    if child in else_body:
        return [*tried, (else_body[0].start, child.start)]
    if child.kind == "ExceptClause":
        return tried
    return [(block.start, child.start)]


def resolve_scopes(tree: Tree) -> Scopes:
    """Return the variables of a text."""
    return Scopes(tree)
