"""Files that are nearly the same: MinHash over runs of five tokens, locality-sensitive hashing."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

SIMILAR = 0.85
"""Files whose sets of token runs overlap this much (estimated Jaccard index) are taken as the same."""

_RUN = 5
_NUM_HASHES = 64
_TOKEN = re.compile(rb"\w+|[^\w\s]")

Signature = npt.NDArray[np.uint64]


def signature(source: bytes) -> bytes:
    """Return the MinHash of a file's runs of five tokens, as 64 little-endian uint64; empty below five tokens."""
    from datasketch import MinHash

    words: dict[bytes, int] = {}
    tokens = [words.get(word) or words.setdefault(word, _hash(word)) for word in _TOKEN.findall(source)]
    if len(tokens) < _RUN:
        return b""
    hashes = np.array(tokens, np.uint64)
    runs = np.zeros(len(tokens) - _RUN + 1, np.uint64)
    for offset in range(_RUN):
        runs = runs * np.uint64(0x9E3779B97F4A7C15) + hashes[offset : offset + len(runs)]
    minimum = MinHash(_NUM_HASHES, hashfunc=_same, hashobj=None, permutations=_permutations(), scheme="affine64")
    distinct = np.unique(runs)
    for start in range(0, len(distinct), 4096):
        minimum.update_batch(distinct[start : start + 4096])
    return np.asarray(minimum.hashvalues).astype("<u8").tobytes()


def _hash(word: bytes) -> int:
    return xxhash.xxh3_64_intdigest(word)


def _same(value: Any) -> Any:
    return value


@cache
def _permutations() -> Any:
    from datasketch import MinHash

    return MinHash(_NUM_HASHES, seed=1, scheme="affine64").permutations


class NearDuplicates:
    """The files that were kept so far. The answers depend on the order of the questions: ask in the order of the ids.

    It holds 0.5 kB per file besides the tables of the hashing.
    """

    def __init__(self, similar: float = SIMILAR) -> None:
        from datasketch import MinHashLSH

        self._similar = similar
        self._index = MinHashLSH(threshold=similar, num_perm=_NUM_HASHES)
        self._kept: dict[str, Signature] = {}

    def add(self, file_id: str, signed: bytes) -> str:
        """Keep a file unless it is nearly the same as one that was kept; return that one's id, else ""."""
        from datasketch import MinHash

        if not signed:
            return ""
        values = np.frombuffer(signed, "<u8").astype(np.uint64)
        minimum = MinHash(
            _NUM_HASHES, hashfunc=_same, hashvalues=values, permutations=_permutations(), scheme="affine64"
        )
        for other in sorted(self._index.query(minimum)):
            if np.count_nonzero(self._kept[other] == values) >= self._similar * _NUM_HASHES:
                return str(other)
        self._index.insert(file_id, minimum)
        self._kept[file_id] = values
        return ""
