"""What the parts of the inference need of each other: each knows the others by what they can do, not by their files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from fastnode_ops.analysis.inference_cells import Cells
from fastnode_ops.analysis.inference_members import Members
from fastnode_ops.analysis.inference_signatures import NO_ARGUMENTS, Arguments
from fastnode_ops.analysis.inference_terms import Term, Terms
from fastnode_ops.analysis.nodes import Node, Tree
from fastnode_ops.analysis.scopes import Scopes


class NameRules(Protocol):
    """What names stand for."""

    def value(self, node: Node) -> Terms:
        """Return what a `NameExpr` may be."""

    def union(self, nodes: Iterable[Node]) -> Terms:
        """Return the union of what some names or attributes are bound to, each at its place."""

    def dotted(self, path: str) -> Terms:
        """Return what a dotted name that is quoted in the file may be."""


class DefinitionRules(Protocol):
    """What the classes and functions of the file give."""

    def receiver(self, method: Node) -> Terms:
        """Return what the first parameter of a method is."""

    def instance_around(self, node: Node) -> Terms:
        """Return the instance of the class whose method a node is in."""

    def parents_around(self, node: Node) -> Terms:
        """Return what `super()` gives in a method."""


class AnnotationRules(Protocol):
    """What annotations say."""

    def instances(self, node: Node) -> Terms:
        """Return what a value with this annotation may be."""


class Engine(Protocol):
    """The inference of one file."""

    tree: Tree
    scopes: Scopes
    members: Members
    cells: Cells

    @property
    def names(self) -> NameRules:
        """Names and bindings."""

    @property
    def definitions(self) -> DefinitionRules:
        """Classes and functions."""

    @property
    def annotations(self) -> AnnotationRules:
        """Annotations."""

    def terms(self, node: Node) -> Terms:
        """Return what an expression may be."""

    def attribute(self, terms: Terms, name: str) -> Terms:
        """Return an attribute of what may be several things."""

    def call(self, terms: Terms, arguments: Arguments) -> Terms:
        """Return what calling gives."""

    def call_method(self, terms: Terms, name: str, arguments: Arguments = NO_ARGUMENTS) -> Terms:
        """Return the known results of a method of instances."""

    def operate(self, term: Term, name: str, others: Terms) -> Terms:
        """Return the result of a method that an operator calls."""

    def iterate(self, terms: Terms) -> Terms:
        """Return what iterating gives."""

    def wait(self, terms: Terms) -> Terms:
        """Return what `await` gives."""
