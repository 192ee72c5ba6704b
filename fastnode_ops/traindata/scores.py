"""How often symbols occur: asked of the index itself, or of a server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fastnode_ops.statistics.resources import Resources


class Scores(Protocol):
    """Says how often symbols occur; `server.client.ServerClient.scores` and `index_scores` do."""

    def __call__(self, symbols: Sequence[str], context: str, *, canonicalize: bool) -> dict[str, int]:
        """Return the count of each symbol in a context over the training files, by the path that was asked for.

        Args:
            symbols: Paths that the symbol store knows.
            context: "attribute", "name" or "call_func".
            canonicalize: Whether to count the canonical form of each.
        """


def index_scores(resources: Resources) -> Scores:
    """Return scores from the index of open resources."""

    def scores(symbols: Sequence[str], context: str, *, canonicalize: bool) -> dict[str, int]:
        counted = {symbol: symbol for symbol in symbols}
        if canonicalize:
            for symbol in symbols:
                found = resources.symbols.find(symbol)
                counted[symbol] = symbol if found is None else found.canonical
        counts = resources.index.scores(sorted(set(counted.values())), context, canonical=canonicalize)
        return {symbol: counts[path] for symbol, path in counted.items()}

    return scores
