"""The words that names are made of, and the rows of the most frequent ones (specification 3.7)."""

from __future__ import annotations

from collections import Counter

from fastnode_ops.analysis.nodes import TokenKind, Tree
from fastnode_ops.analysis.subtokens import split_name

MAX_SUBTOKENS = 30_000
MAX_FILE_BYTES = 30_000
"""Words of longer files are not counted."""

_MAX_CHARACTERS = 100  # what is longer is no word, and a table of such would have no bound


def count_subtokens(tree: Tree) -> Counter[str]:
    """Return how often each word stands in the identifiers of a file; of a long file, none."""
    if len(tree.source) > MAX_FILE_BYTES:
        return Counter()
    names = Counter(token.text for token in tree.tokens if token.kind is TokenKind.IDENT)
    counts: Counter[str] = Counter()
    for name, count in names.items():
        for word in split_name(name):
            if len(word) <= _MAX_CHARACTERS:
                counts[word] += count
    return counts


def number_subtokens(counts: Counter[str], limit: int = MAX_SUBTOKENS) -> list[str]:
    """Return the most frequent words, most frequent first, in alphabetical order where equal; the index is the row."""
    return sorted(counts, key=lambda word: (-counts[word], word))[:limit]
