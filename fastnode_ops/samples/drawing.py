"""Drawing: which symbol and which file each graph sample of a step is made from (specification 5.4 and 20.5).

There is no generator with a state. Every draw has random numbers of its own, made from its key (seed, step, task, slot,
attempt); so a step is a pure function of the session's request and its number, whoever computes it and when.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Protocol

import numpy as np

from fastnode_ops.config import Split, TaskName
from fastnode_ops.samples.metainfo import Distribution, Entry
from fastnode_ops.samples.request import Partition
from ops_common.errors import DataError

FILE_CONTEXTS: Mapping[TaskName, str] = {
    "call": "call_func",
    "attr": "attribute",
    "attr_base": "name",
    "arg_type": "call_func",
    "kwarg_name": "call_func",
    "arg_placeholder": "call_func",
}
"""In which symbol context a file must hold the symbol to be drawn for a task (specification 5.4)."""

MAX_SYMBOL_DRAWS = 1_000
"""Symbols without a file that are passed over, one after the other, before an attempt counts as failed."""

_ID_BYTES = 32
_MAX_CACHED_IDS = 2_000_000


def rng(*key: int | str) -> np.random.Generator:
    """Return a generator of its own for a key: PCG64, seeded with the SHA-256 of the key.

    Numbers and texts are told apart (`1` is not `"1"`), and no two keys are written alike.
    """
    text = "".join(f"{type(part).__name__}:{len(str(part))}:{part};" for part in key)
    return np.random.Generator(np.random.PCG64(int.from_bytes(hashlib.sha256(text.encode()).digest(), "little")))


class SymbolDistribution:
    """Symbols in alphabetical order with their cumulative probabilities (specification B.5).

    Raises:
        DataError: There is no symbol, or all weights are zero.
    """

    def __init__(self, entries: Distribution, what: str) -> None:
        # an entry of weight zero must not be hit by a draw of exactly 0
        self.names = sorted(name for name, entry in entries.items() if entry.weight > 0)
        if not self.names:
            raise DataError(f"{what}: there is no symbol with a weight above 0", "draw from another metainfo.json")
        self.entries = [entries[name] for name in self.names]
        total = math.fsum(entry.weight for entry in self.entries)
        self.cumulative = [weight / total for weight in accumulate(entry.weight for entry in self.entries)]
        self.cumulative[-1] = 1.0  # against rounding: every draw in [0, 1) finds a symbol

    def at(self, uniform: float) -> Entry:
        """Return the first symbol whose cumulative probability is not smaller than a number in [0, 1)."""
        return self.entries[bisect_left(self.cumulative, uniform)]


class FileIndex(Protocol):
    """What is needed of `statistics.index.SymbolIndex`."""

    def files(self, symbol: str, context: str, *, canonical: bool, split: str) -> Sequence[str]:
        """Return the sorted ids of the files of a split that hold a symbol in a context."""


class SymbolFiles:
    """The files of a symbol that a session may use: permuted by its seed, its partition of them, at most 5,000.

    The permutation depends on the seed, the symbol and the context only, so sessions of one seed with disjoint
    partitions use disjoint files of each symbol.

    Args:
        index: Knows the files of each symbol.
        canonical_path: Gives the canonical path of a symbol, for entries that are drawn in their canonical form.
        seed: The session's.
        partition: Which share of the permuted files to use.
        split: Files of which split.
        limit: How many files of the permuted list are looked at.
        unusable: Files that are never used, because they are too large.
    """

    def __init__(
        self,
        index: FileIndex,
        canonical_path: Callable[[str], str],
        *,
        seed: int,
        partition: Partition,
        split: Split,
        limit: int,
        unusable: Collection[str] = (),
    ) -> None:
        self._index = index
        self._canonical_path = canonical_path
        self._seed = seed
        self._partition = partition
        self._split = split
        self._limit = limit
        self._unusable = frozenset(unusable)
        self._cache: OrderedDict[tuple[str, bool, str], bytes] = OrderedDict()
        self._num_cached = 0

    def count(self, entry: Entry, context: str) -> int:
        """Return how many files of a symbol there are to draw from."""
        return len(self._ids(entry, context)) // _ID_BYTES

    def file(self, entry: Entry, context: str, position: int) -> str:
        """Return the id of one of the symbol's files."""
        ids = self._ids(entry, context)
        return ids[position * _ID_BYTES : (position + 1) * _ID_BYTES].hex()

    def _ids(self, entry: Entry, context: str) -> bytes:
        key = (entry.symbol, entry.canonicalize, context)
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        ids = self._cache[key] = self._look_up(entry, context)
        self._num_cached += len(ids) // _ID_BYTES
        while self._num_cached > _MAX_CACHED_IDS and len(self._cache) > 1:
            _, oldest = self._cache.popitem(last=False)
            self._num_cached -= len(oldest) // _ID_BYTES
        return ids

    def _look_up(self, entry: Entry, context: str) -> bytes:
        symbol = self._canonical_path(entry.symbol) if entry.canonicalize else entry.symbol
        found = self._index.files(symbol, context, canonical=entry.canonicalize, split=self._split)
        files = [file_id for file_id in found if file_id not in self._unusable]
        order = rng(self._seed, "files", symbol, context).permutation(len(files))[: self._limit]
        low, high = (int(len(order) * bound) for bound in (self._partition.low, self._partition.high))
        return b"".join(bytes.fromhex(files[place]) for place in order[low:high])


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """One attempt at a graph sample.

    Args:
        entry: The symbol.
        file_id: The file.
        rng: For every further choice of this attempt.
        num_passed_over: Symbols without files that were drawn before.
    """

    entry: Entry
    file_id: str
    rng: np.random.Generator = field(repr=False)
    num_passed_over: int = 0


class Feeder:
    """Draws symbols and files for one task of one session.

    Raises:
        DataError: The task has no symbol to draw, or none of them has a file.
    """

    def __init__(self, task: TaskName, entries: Distribution, files: SymbolFiles, seed: int) -> None:
        self.task = task
        self._context = FILE_CONTEXTS[task]
        self._distribution = SymbolDistribution(entries, f"task {task}")
        self._files = files
        self._seed = seed
        if not any(files.count(entry, self._context) for entry in self._distribution.entries):
            raise DataError(
                f"task {task}: none of its {len(self._distribution.names)} symbols has a usable file",
                "use a larger corpus, a wider partition, or the corpus that metainfo.json was made from",
            )

    def draw(self, step: int, slot: int, attempt: int) -> Draw | None:
        """Return the symbol and the file of one attempt: a pure function of the seed and the arguments.

        None when no symbol with a file was hit in 1,000 draws.
        """
        generator = rng(self._seed, step, self.task, slot, attempt)
        for passed_over in range(MAX_SYMBOL_DRAWS):
            entry = self._distribution.at(generator.random())
            if count := self._files.count(entry, self._context):
                file_id = self._files.file(entry, self._context, int(generator.integers(count)))
                return Draw(entry, file_id, generator, passed_over)
        return None
