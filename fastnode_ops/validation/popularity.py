"""Completions without a model: what people use most, and the alphabet. The model has to be better than these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fastnode_ops.analysis.analysis import analyse
from fastnode_ops.analysis.nodes import Node, Tree
from fastnode_ops.analysis.values import Value, ValueKind
from fastnode_ops.inference.completions import Completion
from fastnode_ops.symbols.store import SymbolStore
from fastnode_ops.validation.failures import NoAnswer
from fastnode_ops.validation.providers import (
    ALPHABET_PROVIDER,
    POPULARITY_PROVIDER,
    Answer,
    Question,
    with_name,
)

# What a member of the base can be looked up in; a call whose type is unknown says nothing about its members.
_WITH_MEMBERS = frozenset({ValueKind.MODULE, ValueKind.TYPE, ValueKind.FUNCTION, ValueKind.INSTANCE})


class SymbolCounts(Protocol):
    """The part of `statistics.index.SymbolIndex` that is needed here."""

    def scores(self, symbols: Sequence[str], context: str, *, canonical: bool) -> Mapping[str, int]:
        """Return how often each symbol occurs in a context, over the training files."""


def attribute_at(tree: Tree, cursor: int) -> Node | None:
    """Return the attribute expression whose dot ends at a byte offset; None when there is none."""
    if cursor <= 0:
        return None
    node: Node | None = tree.node_at(cursor - 1)
    while node is not None and not (node.kind == "AttributeExpr" and node.parts["dot"].end == cursor):
        node = node.parent
    return node


def base_symbols(values: Sequence[Value]) -> list[str]:
    """Return the symbols whose members an expression of these non-local values has, without repetitions."""
    return list(dict.fromkeys(value.path for value in values if value.kind in _WITH_MEMBERS))


@dataclass
class Popularity:
    """Members of the base by how often the training files name them (`pop`).

    Score of a member: the largest number of imports and attributes over the values of the base, plus 1, divided by the
    sum over all members (specification 14.2). Names that begin with two underscores are left out.

    Args:
        symbols: What is a member of what.
        counts: How often each is named.
    """

    symbols: SymbolStore
    counts: SymbolCounts
    name: str = POPULARITY_PROVIDER
    has_probabilities: bool = True
    _members: dict[str, dict[str, int]] = field(default_factory=dict, repr=False)
    _last: tuple[Question, Answer] | None = field(default=None, repr=False)

    def answer(self, question: Question) -> Answer:
        """Complete; raises NoAnswer when the base is unknown, and DataError for a buffer that cannot be parsed."""
        analysis = analyse(with_name(question.source, question.cursor), self.symbols)
        node = attribute_at(analysis.tree, question.cursor)
        if node is None:
            raise NoAnswer("no attribute expression at the cursor")
        bases = base_symbols(analysis.symbols_of(node.parts["value"]))
        answer = Answer(self.rank(bases), question.source.decode())
        self._last = question, answer
        return answer

    def last_answer(self, question: Question) -> Answer:
        """Return the last answer when it was to this question, else a new one; raises what `answer` raises."""
        return self._last[1] if self._last is not None and self._last[0] == question else self.answer(question)

    def rank(self, bases: Sequence[str]) -> tuple[Completion, ...]:
        """Return the members of some symbols by popularity, then by name.

        Raises:
            NoAnswer: There is no symbol, or none of them has a member.
        """
        if not bases:
            raise NoAnswer("the base is no known symbol")
        weights: dict[str, int] = {}
        for base in bases:
            for name, count in self._members_of(base).items():
                weights[name] = max(count, weights.get(name, 0))
        if not weights:
            raise NoAnswer("the base has no known member")
        total = sum(count + 1 for count in weights.values())
        order = sorted(weights, key=lambda name: (-weights[name], name))
        return tuple(Completion(name, (weights[name] + 1) / total) for name in order)

    def _members_of(self, base: str) -> dict[str, int]:
        known = self._members.get(base)
        if known is None:
            names = [name for name in self.symbols.children(base) if not name.startswith("__")]
            known = self._members[base] = dict.fromkeys(names, 0)
            # the same member under its canonical path, whichever way a file spells it
            paths = {name: symbol.canonical for name in names if (symbol := self.symbols.child(base, name)) is not None}
            asked = sorted(set(paths.values()))
            for context in ("import", "attribute"):
                found = self.counts.scores(asked, context, canonical=True)
                for name, path in paths.items():
                    known[name] += found.get(path, 0)
        return known


@dataclass(frozen=True, slots=True)
class Alphabet:
    """The members that `pop` finds, sorted by name (`alpha`). Asked after `pop`, it sorts the same list again."""

    popularity: Popularity
    name: str = ALPHABET_PROVIDER
    has_probabilities: bool = False

    def answer(self, question: Question) -> Answer:
        """Complete; raises what `pop` raises."""
        found = self.popularity.last_answer(question)
        return Answer(tuple(sorted(found.completions, key=lambda one: one.identifier)), found.munged)
