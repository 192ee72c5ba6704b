"""Which blocks a batch holds: the splitter, and the batch of every step as a pure function of seed and step.

A trainer that resumes at step k asks for the batch of step k; there is no shuffler whose state would have to be saved.
Specification section 6.6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np

from gematria_ops.encode.tries import Int64
from ops_common.errors import DataError
from ops_common.seeding import stream

T = TypeVar("T")


def batches(
    items: Iterable[T],
    num_instructions: Callable[[T], int],
    max_blocks_in_batch: int | None = None,
    max_instructions_in_batch: int | None = None,
    on_skipped: Callable[[T], None] | None = None,
) -> Iterator[list[T]]:
    """Cuts a stream of blocks into batches; the order is kept.

    Args:
        items: Blocks, or whatever stands for them. Read once.
        num_instructions: Says how many instructions an item has.
        max_blocks_in_batch: Most blocks in a batch; None or 0: no limit.
        max_instructions_in_batch: Most instructions in a batch; None or 0: no limit.
        on_skipped: Told of every item that alone is over the instruction limit and therefore in no batch.

    Yields:
        Non-empty batches.
    """
    batch: list[T] = []
    size = 0
    for item in items:
        added = num_instructions(item)
        if max_instructions_in_batch and added > max_instructions_in_batch:
            if on_skipped:
                on_skipped(item)
            continue
        is_full = bool(max_blocks_in_batch) and len(batch) == max_blocks_in_batch
        if batch and (is_full or (max_instructions_in_batch and size + added > max_instructions_in_batch)):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += added
    if batch:
        yield batch


def take_fitting(
    candidates: Int64, block_sizes: Int64, max_blocks_in_batch: int | None, max_instructions_in_batch: int | None
) -> Int64:
    """Fills one batch from candidates in order; those that do not fit are skipped, later ones may still enter.

    Args:
        candidates: [C] int64. Block indices.
        block_sizes: [B] int64. Instructions of every block of the data set.
        max_blocks_in_batch: Most blocks in the batch; None or 0: no limit.
        max_instructions_in_batch: Most instructions in the batch; None or 0: no limit.

    Returns:
        The block indices of the batch, in the candidates' order.
    """
    max_blocks = max_blocks_in_batch or len(candidates)
    sizes = block_sizes[candidates]
    if not max_instructions_in_batch or sizes[:max_blocks].sum() <= max_instructions_in_batch:
        return candidates[:max_blocks]
    taken = []
    room = max_instructions_in_batch
    for candidate, size in zip(candidates.tolist(), sizes.tolist()):
        if size <= room:
            taken.append(candidate)
            room -= size
            if len(taken) == max_blocks:
                break
    return np.array(taken, dtype=np.int64)


class BatchSchedule:
    """Says which blocks each step sees.

    Randomised: each step samples without replacement from the whole data set, whatever the other steps saw. Sequential:
    an endless cycle over the data is cut by the splitter; a batch may span the end of the data.

    Args:
        block_sizes: [B] int64. Instructions of every block.
        max_blocks_in_batch: Most blocks in a batch; None or 0: all.
        max_instructions_in_batch: Most instructions in a batch; None or 0: no limit.
        randomize: Random batches instead of the cycle.
        seed: Of the random batches; negative: different every time.

    Attributes:
        num_skipped: Blocks that are in no batch because they alone are over the instruction limit.

    Raises:
        DataError: There is no block, or every block is over the instruction limit.
    """

    def __init__(
        self,
        block_sizes: Int64,
        max_blocks_in_batch: int | None = None,
        max_instructions_in_batch: int | None = None,
        randomize: bool = True,
        seed: int = 0,
    ) -> None:
        if not len(block_sizes):
            raise DataError("there is no block to make a batch of", "Look at the filters, and at what was dropped.")
        self._sizes = block_sizes
        self._max_blocks = max_blocks_in_batch or len(block_sizes)
        self._max_instructions = max_instructions_in_batch or None
        self._seed = seed
        limit = self._max_instructions or int(block_sizes.max())
        self._usable = np.flatnonzero(block_sizes <= limit)
        self.num_skipped = len(block_sizes) - len(self._usable)
        if not len(self._usable):
            raise DataError(
                f"every block has more than max_instructions_in_batch={limit} instructions, "
                f"the shortest {block_sizes.min()}",
                "Raise the limit.",
            )
        self._ends = np.concatenate([[0], np.cumsum(block_sizes[self._usable])])
        self._starts = None if randomize else _Orbit(len(self._usable), self._num_from)

    def block_indices(self, step: int) -> Int64:
        """Returns the blocks of a step.

        Args:
            step: The optimiser updates done before this one, from 0.

        Returns:
            [b] int64. Block indices in the order of the batch.
        """
        if self._starts is not None:
            first = self._starts.at(step)
            count = self._num_from(first)
            return self._usable[(first + np.arange(count)) % len(self._usable)]
        num_usable = len(self._usable)
        wanted = min(self._max_blocks, num_usable)
        # More than are wanted, because with an instruction limit some may not fit.
        num_drawn = min(3 * self._max_blocks // 2, num_usable) if self._max_instructions else wanted
        drawn = stream(self._seed, "batch", step).choice(num_usable, size=max(num_drawn, 1), replace=False)
        return take_fitting(self._usable[drawn], self._sizes, wanted, self._max_instructions)

    def _num_from(self, first: int) -> int:
        """Counts the blocks of the batch that begins at a position of the endless cycle."""
        if not self._max_instructions:
            return self._max_blocks
        laps, rest = divmod(int(self._ends[first]) + self._max_instructions, int(self._ends[-1]))
        end = laps * len(self._usable) + int(np.searchsorted(self._ends, rest, side="right")) - 1
        return min(end - first, self._max_blocks)


class _Orbit:
    """The positions 0, f(0), f(f(0)), ... in a cycle of n places, where f goes on by a count that depends on the place.

    Such a sequence repeats after at most n steps, so any member can be told without walking there.
    """

    def __init__(self, num_places: int, advance: Callable[[int], int]) -> None:
        self._num_places = num_places
        self._advance = advance
        self._seen: dict[int, int] = {}
        self._places: list[int] = [0]

    def at(self, index: int) -> int:
        while len(self._places) <= index:
            place = self._places[-1]
            if place in self._seen:
                start = self._seen[place]
                return self._places[start + (index - start) % (len(self._places) - 1 - start)]
            self._seen[place] = len(self._places) - 1
            self._places.append((place + self._advance(place)) % self._num_places)
        return self._places[index]
