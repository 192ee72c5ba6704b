"""Lists of different lengths in flat arrays: the items of list *n* are ``values[splits[n]:splits[n + 1]]``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]


def splits_of(sizes: Sequence[int] | Int64) -> Int64:
    """Returns where each list begins and ends, [N + 1] int64, from the N lengths."""
    splits = np.zeros(len(sizes) + 1, dtype=np.int64)
    np.cumsum(np.asarray(sizes, dtype=np.int64), out=splits[1:])
    return splits


def flat_positions(starts: Int64, sizes: Int64) -> Int64:
    """Lists the positions of several ranges, one range behind the other; their sizes sum up to the result's length."""
    own_starts = np.cumsum(sizes) - sizes
    positions: Int64 = np.arange(int(sizes.sum())) + np.repeat(starts - own_starts, sizes)
    return positions
