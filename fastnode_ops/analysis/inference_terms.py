"""Values as the inference handles them: what `Value` says, and what it takes to go on from there.

A term also has its type's arguments (what a list holds), the definition if the file has it, and the receiver of a
method. Terms are compared by content, definitions by identity.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from fastnode_ops.analysis.nodes import Node
from fastnode_ops.analysis.values import MAX_UNION, Value, ValueKind, Values

MAX_ARGUMENT_DEPTH = 3
"""Types within types that are kept; what a list of lists of lists of lists holds is unknown."""

NONE = "types.NoneType"


@dataclass(frozen=True, slots=True)
class Term:
    """One thing that an expression may be.

    Args:
        kind, path, canonical: As in `Value`.
        arguments: Type arguments of an instance or type, each a union.
        node: The `ClassDefStmt`, `FunctionDefStmt` or `LambdaExpr` that defines it (its type, for an instance); None
            unless this file does.
        receiver: The instance or type that a method was taken from.
    """

    kind: ValueKind
    path: str
    canonical: str
    arguments: tuple[Terms, ...] = ()
    node: Node | None = None
    receiver: Term | None = None


Terms: TypeAlias = tuple[Term, ...]
"""A union in the order in which its members were found; empty when unknown."""


def join(unions: Iterable[Terms]) -> Terms:
    """Return one union of several: no repetitions, `None` only when it is alone, at most `MAX_UNION` members."""
    known = [union for union in unions if union]
    if len(known) <= 1:
        return known[0] if known else ()
    distinct = dict.fromkeys(term for union in known for term in union)
    if len(distinct) > 1:
        return tuple([term for term in distinct if term.canonical != NONE][:MAX_UNION])
    return tuple(distinct)


def instance(path: str, *arguments: Terms, canonical: str = "") -> Term:
    """Return an instance of a class of the symbol store."""
    kept = tuple(trim(union, 1) for union in arguments)
    return Term(ValueKind.INSTANCE, path, canonical or path, kept if any(kept) else ())


def trim(terms: Terms, depth: int) -> Terms:
    """Return terms without the type arguments that lie too deep; `depth` is that of the terms themselves."""
    if not any(term.arguments for term in terms):
        return terms
    if depth >= MAX_ARGUMENT_DEPTH:
        return tuple(dict.fromkeys(Term(t.kind, t.path, t.canonical, (), t.node, t.receiver) for t in terms))
    return tuple(
        Term(t.kind, t.path, t.canonical, tuple(trim(a, depth + 1) for a in t.arguments), t.node, t.receiver)
        for t in terms
    )


def to_instances(terms: Terms) -> Terms:
    """Return instances of the types among terms."""
    return tuple(
        Term(ValueKind.INSTANCE, term.path, term.canonical, term.arguments, term.node)
        for term in terms
        if term.kind is ValueKind.TYPE
    )


def to_types(terms: Terms) -> Terms:
    """Return the types of the instances among terms."""
    return tuple(
        Term(ValueKind.TYPE, term.path, term.canonical, term.arguments, term.node)
        for term in terms
        if term.kind is ValueKind.INSTANCE
    )


def to_values(terms: Terms) -> Values:
    """Return the union as others see it: sorted, without what only the inference needs."""
    if len(terms) <= 1:
        return tuple([Value(term.kind, term.path, term.canonical, term.node is not None) for term in terms])
    values = {Value(term.kind, term.path, term.canonical, term.node is not None) for term in terms}
    return tuple(sorted(values)[:MAX_UNION])
