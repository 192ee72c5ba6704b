"""Two collections side by side: the same examples before and after a change, what got better and what got worse."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from fastnode_ops.viewer.collection import NOT_FOUND, Collection, Entry, Figures, figures_of

Change = Literal["better", "worse", "same", "appeared", "vanished"]
CHANGES: tuple[Change, ...] = ("better", "worse", "same", "appeared", "vanished")


@dataclass(frozen=True, slots=True)
class Pair:
    """An example that stands in both collections."""

    before: Entry
    after: Entry

    def change(self, provider: str) -> Change | None:
        """Say what became of a provider's answer; None when neither collection has one.

        Found beats not found, and a lower rank a higher one. `appeared` and `vanished`: only one of them has an answer.
        """
        old, new = self.before.ranks.get(provider), self.after.ranks.get(provider)
        if old is None or new is None:
            return None if old is new else "appeared" if old is None else "vanished"
        if old == new:
            return "same"
        return "better" if old == NOT_FOUND or 0 <= new < old else "worse"


@dataclass(frozen=True)
class Comparison:
    """What two collections have in common, and what they do not.

    Args:
        pairs: Examples in both, in the order of the second.
        only_before: How many stand in the first only.
        only_after: How many stand in the second only.
        providers: Those of either, sorted by name.
    """

    pairs: tuple[Pair, ...]
    only_before: int
    only_after: int
    providers: tuple[str, ...]

    def counts(self, provider: str) -> Counter[Change]:
        """Count the changes of a provider."""
        return Counter(change for pair in self.pairs if (change := pair.change(provider)) is not None)

    def figures(self) -> dict[str, tuple[Figures, Figures]]:
        """Return every provider's figures over the common examples, before and after."""
        before = figures_of((pair.before for pair in self.pairs), self.providers)
        after = figures_of((pair.after for pair in self.pairs), self.providers)
        return {name: (before[name], after[name]) for name in self.providers}

    def changed(self, provider: str, change: Change) -> list[Pair]:
        """Return the pairs with this change of a provider's answer, the largest step first, then by index."""
        chosen = [pair for pair in self.pairs if pair.change(provider) == change]
        return sorted(chosen, key=lambda pair: (-_step(pair, provider), pair.after.index))


def compare(before: Collection, after: Collection) -> Comparison:
    """Pair the examples of two collections by buffer, cursor, symbol and expected identifier.

    One that stands several times in a collection is paired as often as it stands in both.
    """
    waiting: dict[bytes, list[Entry]] = {}
    for entry in reversed(before.entries):
        waiting.setdefault(entry.key, []).append(entry)
    pairs = [Pair(same.pop(), entry) for entry in after.entries if (same := waiting.get(entry.key))]
    providers = tuple(sorted({*before.providers, *after.providers}))
    return Comparison(tuple(pairs), len(before.entries) - len(pairs), len(after.entries) - len(pairs), providers)


def _step(pair: Pair, provider: str) -> int:
    """Return how many ranks the answer moved; appearing in a list or leaving it is the largest move."""
    old, new = pair.before.ranks.get(provider, NOT_FOUND), pair.after.ranks.get(provider, NOT_FOUND)
    if (old == NOT_FOUND) != (new == NOT_FOUND):
        return 1 << 30
    return abs(old - new)
