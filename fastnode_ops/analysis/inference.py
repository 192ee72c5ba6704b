"""Light type inference (specification 20.4): what each expression of a file may be.

Nothing is evaluated before it is asked for, and nothing twice. A name is the union of what its variable is assigned
anywhere, in whatever order the program runs; unions have at most eight members; what is not known stays unknown.
"""

from __future__ import annotations

from fastnode_ops.analysis.inference_annotations import Annotations
from fastnode_ops.analysis.inference_calls import call_function, call_type
from fastnode_ops.analysis.inference_cells import MAX_STEPS, Cells
from fastnode_ops.analysis.inference_definitions import Definitions
from fastnode_ops.analysis.inference_expressions import RULES, WEIGHTS
from fastnode_ops.analysis.inference_members import members_of
from fastnode_ops.analysis.inference_names import Names
from fastnode_ops.analysis.inference_signatures import NO_ARGUMENTS, Arguments, known_arguments
from fastnode_ops.analysis.inference_terms import Term, Terms, join, to_instances
from fastnode_ops.analysis.nodes import Node, Tree
from fastnode_ops.analysis.scopes import Scopes
from fastnode_ops.analysis.values import ValueKind
from fastnode_ops.symbols.forms import CALLABLE
from fastnode_ops.symbols.store import SymbolStore


class Inference:
    """Evaluates the expressions of one file.

    Args:
        tree: Its syntax tree.
        scopes: Its variables.
        store: What is known about modules.
        max_steps: Expressions to evaluate at most; later ones are unknown.
    """

    def __init__(self, tree: Tree, scopes: Scopes, store: SymbolStore, max_steps: int = MAX_STEPS) -> None:
        self.tree = tree
        self.scopes = scopes
        self.members = members_of(store)
        self.cells = Cells(max_steps)
        self.definitions = Definitions(self)
        self.annotations = Annotations(self)
        self.names = Names(self)
        self._memory: dict[int, Terms] = {}

    def close(self) -> None:
        """Let go of all it knows. Its parts know it in turn, so it would stay in memory until a garbage collection."""
        vars(self).clear()

    def terms(self, node: Node) -> Terms:
        """Return what an expression may be."""
        found = self._memory.get(node.index)
        if found is not None:
            return found
        rule = RULES.get(node.kind)
        if rule is None:
            return ()
        weight = WEIGHTS.get(node.kind, 1)
        return self.cells.expression(node.index, lambda: rule(self, node), self._memory, weight)

    def attribute(self, terms: Terms, name: str) -> Terms:
        """Return an attribute of what may be several things."""
        return join([self._attribute(term, name) for term in terms])

    def _attribute(self, term: Term, name: str) -> Terms:
        if term.node is not None:
            return self.definitions.attribute(term, name)
        return self.members.attribute(term, name) if name else ()

    def call(self, terms: Terms, arguments: Arguments) -> Terms:
        """Return what calling gives."""
        return join([self._call(term, arguments) for term in terms])

    def _call(self, term: Term, arguments: Arguments) -> Terms:
        if term.kind is ValueKind.FUNCTION:
            return call_function(self, term, arguments) if term.node is None else self.definitions.result(term.node)
        if term.kind is ValueKind.TYPE:
            return call_type(self, term, arguments) if term.node is None else to_instances((term,))
        if term.kind is not ValueKind.INSTANCE:
            return ()
        if term.canonical == CALLABLE:
            return term.arguments[0] if term.arguments else ()
        return self.call_method((term,), "__call__", arguments)

    def call_method(self, terms: Terms, name: str, arguments: Arguments = NO_ARGUMENTS) -> Terms:
        """Return the known results of a method of instances."""
        instances = tuple(term for term in terms if term.kind is ValueKind.INSTANCE)
        methods = tuple(term for term in self.attribute(instances, name) if term.kind is ValueKind.FUNCTION)
        return tuple(term for term in self.call(methods, arguments) if term.kind is not ValueKind.RETURN)

    def operate(self, term: Term, name: str, others: Terms) -> Terms:
        """Return the result of a method that an operator calls with the other operand, if there is one."""
        return self.call_method((term,), name, known_arguments(others))

    def iterate(self, terms: Terms) -> Terms:
        """Return what iterating gives."""
        return join([self._iterate(term) for term in terms])

    def _iterate(self, term: Term) -> Terms:
        if term.kind is ValueKind.TYPE and self._is_enumeration(term):
            return to_instances((term,))
        if term.kind is not ValueKind.INSTANCE:
            return ()
        if term.node is None and (found := self.members.element_argument(term)) is not None:
            return found
        given = []
        for iterator in self.call_method((term,), "__iter__"):
            element = self.members.element_argument(iterator) if iterator.node is None else None
            given.append(self.call_method((iterator,), "__next__") if element is None else element)
        return join(given)

    def _is_enumeration(self, term: Term) -> bool:
        if term.node is not None:
            return self.definitions.is_enumeration(term.node)
        return "enum.Enum" in self.members.store.order(term.canonical)

    def wait(self, terms: Terms) -> Terms:
        """Return what `await` gives."""
        iterators = self.call_method(terms, "__await__")
        return join([iterator.arguments[2] for iterator in iterators if len(iterator.arguments) == 3])
