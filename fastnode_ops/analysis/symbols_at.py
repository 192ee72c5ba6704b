"""Which symbols an expression is an occurrence of (specification 3.3, 7.1).

One rule for counting symbols in the corpus and for finding sites of a symbol. An attribute is an occurrence of the
member that its base has under that name, also when the member is a variable: `os.environ` is `os.environ`, not just an
instance of some type.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastnode_ops.analysis.analysis import Analysis
from fastnode_ops.analysis.nodes import Node


@dataclass(frozen=True, slots=True, order=True)
class Occurrence:
    """A symbol at a place.

    Args:
        path: The symbol as written.
        canonical: Path of its definition.
    """

    path: str
    canonical: str


def symbols_at(analysis: Analysis, node: Node) -> list[Occurrence]:
    """Return the symbols that an expression is an occurrence of, sorted, each once."""
    if node.kind == "AttributeExpr" and (members := members_at(analysis, node)):
        return members
    return sorted({Occurrence(value.path, value.canonical) for value in analysis.symbols_of(node)})


def members_at(analysis: Analysis, attribute: Node) -> list[Occurrence]:
    """Return the members of its base that an attribute expression may name, sorted, each once."""
    name = attribute.parts["attribute"].text
    found = set()
    for owner in analysis.symbols_of(attribute.parts["value"]) if name else ():
        member = analysis.symbols.child(owner.canonical, name)
        if member is not None:
            found.add(Occurrence(f"{owner.path}.{name}", member.canonical))
    return sorted(found)


def is_occurrence(analysis: Analysis, node: Node, canonical: str) -> bool:
    """Say whether an expression is an occurrence of the symbol with this canonical path."""
    return any(occurrence.canonical == canonical for occurrence in symbols_at(analysis, node))
