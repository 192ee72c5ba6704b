"""A collection as the pages use it: an index of ranks in memory, the buffers on the disk.

Definitions of specification 15.1. *Total*: examples in which a provider is present. *Correct*: its rank is 0. *Best*:
it has the lowest rank among the providers that found the answer; when several have it, all of them are best.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from fastnode_ops.validation.examples import Example, Place, Problem, check_not_empty, read_example, walk_collection

NOT_FOUND = -1


@dataclass(frozen=True, slots=True)
class Entry:
    """One example in the index.

    Args:
        index: Its number in the collection, from 0.
        symbol: Symbol of its base.
        expected: The identifier that was really there.
        ranks: Rank of that per provider, -1 not found; an absent provider is not in it.
        key: Equal for the same place in the same buffer, whatever was provided.
        place: Where to read it again.
    """

    index: int
    symbol: str
    expected: str
    ranks: dict[str, int]
    key: bytes
    place: Place

    @property
    def best_rank(self) -> int | None:
        """The lowest rank of a provider that found the answer; None when none did."""
        return min((rank for rank in self.ranks.values() if rank >= 0), default=None)

    def is_best(self, provider: str) -> bool:
        """Say whether a provider found the answer and none found it at a lower rank."""
        rank = self.ranks.get(provider, NOT_FOUND)
        return rank >= 0 and rank == self.best_rank

    def sort_class(self, provider: str) -> int:
        """Return the class that the list is sorted by.

        0 sole best and correct, 1 sole best, 2 tied and correct, 3 tied best, 4 found but not best, 5 not found, 6 the
        provider is absent.
        """
        rank = self.ranks.get(provider)
        if rank is None:
            return 6
        if rank == NOT_FOUND:
            return 5
        if not self.is_best(provider):
            return 4
        is_tied = any(other == rank for name, other in self.ranks.items() if name != provider)
        return (2 if is_tied else 0) + (0 if rank == 0 else 1)


@dataclass(slots=True)
class Figures:
    """How a provider did on some examples."""

    best: int = 0
    correct: int = 0
    total: int = 0

    def share(self, number: int) -> float | None:
        """Return a number of examples as a share of those in which the provider is present."""
        return number / self.total if self.total else None


@dataclass(frozen=True, slots=True)
class SymbolRow:
    """One symbol of the overview."""

    symbol: str
    num_examples: int
    figures: dict[str, Figures]

    def is_best(self, provider: str) -> bool:
        """Say whether no provider is best in more of the symbol's examples, and this one is in some."""
        best = {name: one.best for name, one in self.figures.items()}
        return best.get(provider, 0) > 0 and best[provider] == max(best.values())


@dataclass(frozen=True)
class Collection:
    """The index of a collection.

    Args:
        path: Its file or folder.
        entries: Its examples in order.
        problems: What could not be used.
    """

    path: Path
    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...] = field(default=())

    @cached_property
    def providers(self) -> list[str]:
        """All providers, sorted by name."""
        return sorted({name for entry in self.entries for name in entry.ranks})

    @cached_property
    def overview(self) -> dict[str, Figures]:
        """Figures of every provider over all examples."""
        return figures_of(self.entries, self.providers)

    def selection(self, symbol: str = "", sort: str = "") -> list[Entry]:
        """Return the examples of a symbol (all when it is empty), by the sorting class of a provider, then by index."""
        chosen = [entry for entry in self.entries if not symbol or entry.symbol == symbol]
        if sort:
            chosen.sort(key=lambda entry: (entry.sort_class(sort), entry.index))
        return chosen

    def symbol_rows(self, sort: str = "") -> list[SymbolRow]:
        """Return a row per symbol: where a provider is best first, then those with most examples, then by name."""
        groups: dict[str, list[Entry]] = {}
        for entry in self.entries:
            groups.setdefault(entry.symbol, []).append(entry)
        rows = [SymbolRow(name, len(some), figures_of(some, self.providers)) for name, some in groups.items()]
        return sorted(rows, key=lambda row: (bool(sort) and not row.is_best(sort), -row.num_examples, row.symbol))

    def example(self, index: int) -> Example:
        """Read one example; DataError when it has changed on the disk."""
        return read_example(self.entries[index].place)


def figures_of(entries: Iterable[Entry], providers: Sequence[str]) -> dict[str, Figures]:
    """Count best, correct and total of every provider."""
    figures = {name: Figures() for name in providers}
    for entry in entries:
        best = entry.best_rank
        for name, rank in entry.ranks.items():
            one = figures[name]
            one.total += 1
            one.correct += rank == 0
            one.best += rank >= 0 and rank == best
    return figures


def open_collection(path: Path) -> Collection:
    """Read the index of a collection.

    Raises:
        ArtifactError: There is no such file or folder.
        DataError: It holds no example that can be used.
    """
    entries: list[Entry] = []
    problems: list[Problem] = []
    for found in walk_collection(path):
        if isinstance(found, Problem):
            problems.append(found)
        else:
            entries.append(_entry(len(entries), *found))
    check_not_empty(path, len(entries), problems)
    return Collection(Path(path), tuple(entries), tuple(problems))


def _entry(index: int, place: Place, example: Example) -> Entry:
    ranks = {
        name: NOT_FOUND if rank is None else rank for name in example.Provided or () for rank in [example.rank(name)]
    }
    digest = hashlib.sha256(example.source)
    digest.update(f"\0{example.Cursor}\0{example.Symbol}\0{example.Expected}".encode())
    return Entry(index, example.Symbol, example.Expected, ranks, digest.digest(), place)
