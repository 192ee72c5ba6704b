"""Sequences that share beginnings, as a forest of their common prefixes.

An LSTM that starts from zero is in the same state after the same symbols. So the state after each *distinct prefix* of
a batch needs to be computed once, however many sequences begin with it; it is exactly what computing every sequence
on its own gives. A random batch of 100 BHive blocks has about 7,000 tokens, but only 2,400 distinct prefixes.

The nodes of a forest stand level by level (level *l* holds the prefixes of *l* + 1 symbols), so that a network can
step through whole levels. Nothing is padded and nothing needs a mask.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]


class PrefixTrie(NamedTuple):
    """The distinct prefixes of some sequences, as a forest with one root for each first symbol.

    Attributes:
        symbols: [P] int32. The last symbol of each prefix; which table it indexes is up to the user.
        parents: [P] int32. The node of the prefix without its last symbol; -1 in the first level. Within a level,
            parents ascend.
        level_splits: [L + 1] int32. The nodes of level l are level_splits[l]:level_splits[l + 1].
    """

    symbols: Int32
    parents: Int32
    level_splits: Int32


def pad_rows(values: Int32, starts: Int64, lengths: Int64) -> Int32:
    """Cuts rows of different lengths out of a flat array, filled with -1 to equal length.

    Args:
        values: [S] int32, non-negative. All sequences, one behind the other.
        starts: [R] int64. Where each wanted sequence starts.
        lengths: [R] int64. How long it is.

    Returns:
        [R, L] int32 where L is the greatest length.
    """
    width = int(lengths.max(initial=0))
    columns = np.arange(width, dtype=np.int64)
    inside = columns < lengths[:, None]  # [R, L]
    positions = np.where(inside, starts[:, None] + columns, 0)
    return np.where(inside, values[positions] if len(values) else 0, -1).astype(np.int32, copy=False)


def build_prefix_trie(rows: Int32) -> tuple[PrefixTrie, Int32]:
    """Finds the prefixes that neighbouring rows share.

    Any order of the rows gives a correct forest. Sorted rows give the smallest one, because then all rows with a
    common prefix are neighbours.

    Args:
        rows: [R, L] int32. One sequence a row, -1 behind its end.

    Returns:
        The forest, and [R, L] int32: the node of each row's prefix that ends in that column, -1 behind the end.
    """
    num_rows, num_levels = rows.shape
    inside = rows >= 0
    # A prefix is new where it differs from that of the row above: in this symbol or in one before.
    is_new = np.ones((num_rows, num_levels), dtype=bool)
    if num_rows > 1:
        np.logical_or.accumulate(rows[1:] != rows[:-1], axis=1, out=is_new[1:])
    is_new &= inside
    level_sizes = is_new.sum(axis=0)  # [L]
    level_splits = np.zeros(num_levels + 1, dtype=np.int32)
    np.cumsum(level_sizes, out=level_splits[1:])
    nodes = (np.cumsum(is_new, axis=0) + (level_splits[:-1] - 1)).astype(np.int32)  # [R, L]
    nodes[~inside] = -1
    # Transposed, the new prefixes come out level by level and, within a level, from the first row to the last.
    above = np.full((num_rows, num_levels), -1, dtype=np.int32)
    above[:, 1:] = nodes[:, :-1]
    newest = is_new.T
    return PrefixTrie(rows.T[newest], above.T[newest], level_splits), nodes
