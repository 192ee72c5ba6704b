"""Drawing: which symbol and which file each graph sample of a step is made from (specification 5.4 and 20.5).

There is no generator with a state. Every draw has random numbers of its own, made from its key (seed, step, task, slot,
attempt); so a step is a pure function of the session's request and its number, whoever computes it and when.

To parse a file costs more than to make a sample of it. So the draws of neighbouring steps prefer the same files, by an
order of all files that is a function of the seed and the block of steps (`BlockOrder`).
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Protocol

import numpy as np
import numpy.typing as npt

from fastnode_ops.analysis.sites import Site
from fastnode_ops.config import Split, TaskName
from fastnode_ops.samples.metainfo import Distribution, Entry
from fastnode_ops.samples.request import Partition
from ops_common.errors import DataError

_SITES: Mapping[TaskName, Site] = {
    "call": Site.VARIABLE,
    "attr": Site.MEMBER,
    "attr_base": Site.BASE,
    "arg_type": Site.ARGUMENT,
    "kwarg_name": Site.KEYWORD,
}

FileNumbers = npt.NDArray[np.int32]
"""Files of a session by their numbers, in the order of their ids."""

MAX_SYMBOL_DRAWS = 1_000
"""Symbols without a file that are passed over, one after the other, before an attempt counts as failed."""

BLOCK_STEPS = 60
"""So many steps share an order of the files."""

PREFERRED_FILES = 100
"""So many files from the beginning of a block's order are preferred; parsed, they fit into `Originals`."""

_ID_CHARACTERS = 64
_MAX_CACHED_FILES = 16_000_000  # of all symbols together; 4 bytes each


def makes_placeholder(slot: int) -> bool:
    """Say which class of arg_placeholder a slot makes: they take turns, so that they are equally frequent (20.5)."""
    return slot % 2 == 0


def site_of(task: TaskName, slot: int) -> Site:
    """Return the place that a file must have for a symbol to be drawn for a slot of a task.

    The specification (5.4) asks only that the symbol stands in the file in some context; then a third of all draws
    gives no sample.
    """
    if task == "arg_placeholder":
        return Site.OPEN if makes_placeholder(slot) else Site.NAME
    return _SITES[task]


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

    def files_with_site(self, symbol: str, site: Site, *, canonical: bool, split: str) -> Sequence[str]:
        """Return the sorted ids of the files of a split that have a place of a kind of a symbol."""


class BlockOrder:
    """A pseudo-random order of the files for each block of steps; a pure function of the seed and the block.

    Of a symbol's files a draw takes one of those that are among the first `PREFERRED_FILES` of the order, any of them
    with the same probability; if there is none, the one that comes first. Over many blocks each file of a symbol is
    drawn equally often, because every order of the files is equally probable. Within a block, symbols share files:
    frequent ones those at the beginning, others the first that they have in common (min-wise hashing).

    Args:
        seed: The session's.
        num_files: How many files there are to put in order.
        block_steps: How many steps share an order.
        num_preferred: How many files at the beginning are preferred.
    """

    def __init__(
        self, seed: int, num_files: int, *, block_steps: int = BLOCK_STEPS, num_preferred: int = PREFERRED_FILES
    ) -> None:
        self._seed = seed
        self._num_files = num_files
        self._block_steps = block_steps
        self._num_preferred = num_preferred
        self._block = -1
        self._places: FileNumbers = np.zeros(0, np.int32)

    def choose(self, files: FileNumbers, step: int, generator: np.random.Generator) -> tuple[int, bool]:
        """Return one of the files of a symbol, and whether it is a preferred one. There must be a file.

        Args:
            files: Numbers of files, below `num_files`. int32 [F].
            step: The step that draws.
            generator: The draw's.
        """
        places = self._of_block(step // self._block_steps)[files]
        preferred = files[places < self._num_preferred]
        if len(preferred):
            return int(preferred[generator.integers(len(preferred))]), True
        return int(files[places.argmin()]), False

    def _of_block(self, block: int) -> FileNumbers:
        """Return the place of each file in the order of a block."""
        if block != self._block:  # the last one is kept: steps are mostly made one after the other
            order = rng(self._seed, "block", block).permutation(self._num_files)
            self._places = np.empty(self._num_files, np.int32)
            self._places[order] = np.arange(self._num_files, dtype=np.int32)
            self._block = block
        return self._places


class SymbolFiles:
    """The files of a symbol that a session may use: permuted by its seed, its partition of them, at most 5,000.

    The permutation depends on the seed, the symbol and the kind of place only, so sessions of one seed with disjoint
    partitions use disjoint files of each symbol.

    Args:
        index: Knows the files of each symbol.
        canonical_path: Gives the canonical path of a symbol, for entries that are drawn in their canonical form.
        seed: The session's.
        partition: Which share of the permuted files to use.
        split: Files of which split.
        usable: The ids of the files of that split that may be used, sorted. Others are never drawn: they are too large.
        limit: How many files of the permuted list are looked at.
    """

    def __init__(
        self,
        index: FileIndex,
        canonical_path: Callable[[str], str],
        *,
        seed: int,
        partition: Partition,
        split: Split,
        usable: Sequence[str],
        limit: int,
    ) -> None:
        self._index = index
        self._canonical_path = canonical_path
        self._seed = seed
        self._partition = partition
        self._split = split
        self._limit = limit
        self._usable = np.array(usable, f"S{_ID_CHARACTERS}")  # hexadecimal, so their numbers keep their order
        self._order = BlockOrder(seed, len(usable))
        self._cache: OrderedDict[tuple[str, bool, Site], FileNumbers] = OrderedDict()
        self._num_cached = 0

    def all(self, entry: Entry, site: Site) -> list[str]:
        """Return the ids of a symbol's files."""
        return [self._id(number) for number in self._files(entry, site)]

    def draw(self, entry: Entry, site: Site, step: int, generator: np.random.Generator) -> tuple[str, bool] | None:
        """Return the id of one of a symbol's files, and whether it is preferred; None without files.

        The order of the step's block decides.
        """
        files = self._files(entry, site)
        if not len(files):
            return None
        number, is_preferred = self._order.choose(files, step, generator)
        return self._id(number), is_preferred

    def _id(self, number: int) -> str:
        return bytes(self._usable[number]).decode()

    def _files(self, entry: Entry, site: Site) -> FileNumbers:
        key = (entry.symbol, entry.canonicalize, site)
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        files = self._cache[key] = self._look_up(entry, site)
        self._num_cached += len(files)
        while self._num_cached > _MAX_CACHED_FILES and len(self._cache) > 1:
            _, oldest = self._cache.popitem(last=False)
            self._num_cached -= len(oldest)
        return files

    def _look_up(self, entry: Entry, site: Site) -> FileNumbers:
        symbol = self._canonical_path(entry.symbol) if entry.canonicalize else entry.symbol
        found = self._index.files_with_site(symbol, site, canonical=entry.canonicalize, split=self._split)
        files = self._numbers(found)
        order = rng(self._seed, "files", symbol, int(site)).permutation(len(files))[: self._limit]
        low, high = (int(len(order) * bound) for bound in (self._partition.low, self._partition.high))
        return files[order[low:high]]

    def _numbers(self, ids: Sequence[str]) -> FileNumbers:
        """Return the numbers of those files that are usable."""
        if not len(self._usable):
            return np.zeros(0, np.int32)
        wanted = np.array(ids, f"S{_ID_CHARACTERS}")
        places: FileNumbers = np.searchsorted(self._usable, wanted).astype(np.int32)
        places = np.minimum(places, np.int32(len(self._usable) - 1))
        found: FileNumbers = places[self._usable[places] == wanted]
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """One attempt at a graph sample.

    Args:
        entry: The symbol.
        file_id: The file.
        is_preferred: Whether many draws of the same block of steps are of this file.
        rng: For every further choice of this attempt.
        num_passed_over: Symbols without files that were drawn before.
    """

    entry: Entry
    file_id: str
    is_preferred: bool
    rng: np.random.Generator = field(repr=False)
    num_passed_over: int = 0


class Feeder:
    """Draws symbols and files for one task of one session.

    Raises:
        DataError: The task has no symbol to draw, or none of them has a file.
    """

    def __init__(self, task: TaskName, entries: Distribution, files: SymbolFiles, seed: int) -> None:
        self.task = task
        self._distribution = SymbolDistribution(entries, f"task {task}")
        self._files = files
        self._seed = seed
        sites = {site_of(task, slot) for slot in (0, 1)}
        if not any(files.all(entry, site) for entry in self._distribution.entries for site in sites):
            raise DataError(
                f"task {task}: none of its {len(self._distribution.names)} symbols has a usable file",
                "use a larger corpus, a wider partition, or the corpus that metainfo.json was made from",
            )

    def draw(self, step: int, slot: int, attempt: int) -> Draw | None:
        """Return the symbol and the file of one attempt: a pure function of the seed and the arguments.

        None when no symbol with a file was hit in 1,000 draws.
        """
        generator = rng(self._seed, step, self.task, slot, attempt)
        site = site_of(self.task, slot)
        for passed_over in range(MAX_SYMBOL_DRAWS):
            entry = self._distribution.at(generator.random())
            found = self._files.draw(entry, site, step, generator)
            if found is not None:
                return Draw(entry, *found, generator, passed_over)
        return None
