"""The batch of every step of a training: a pure function of the data set, the settings, the seed and the step."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from gematria_ops.encode.batch import Batch, BatchOptions, grown_to_cover, roomy_shape
from gematria_ops.encode.batching import BatchSchedule
from gematria_ops.encode.encoded_blocks import EncodedBlocks
from gematria_ops.encode.layouts import BatchLayout
from gematria_ops.encode.tries import Int64
from ops_common.errors import DataError
from ops_common.seeding import stream

NUM_MEASURED_BATCHES = 32


class TrainingBatches:
    """Makes the batch of any step.

    Batches that are filled up have mostly one and the same shape, so that a training step is compiled once. The shape
    comes from the batches of the first steps, whatever step a training begins at: a resumed training sees the very
    arrays it would have seen.

    Args:
        encoded: The data set.
        schedule: Says which blocks each step sees.
        layout: How batches are made.
        options: What a batch has to hold.
        seed: Of random labels and injected tokens; negative: different every time.
        rank: Which worker this is.
        num_workers: How many share each batch; a worker takes every n-th block.
    """

    def __init__(
        self,
        encoded: EncodedBlocks,
        schedule: BatchSchedule,
        layout: BatchLayout,
        options: BatchOptions,
        seed: int,
        rank: int = 0,
        num_workers: int = 1,
    ) -> None:
        self._encoded = encoded
        self._schedule = schedule
        self._layout = layout
        self._options = options
        self._seed = seed
        self._rank, self._num_workers = rank, num_workers

    def block_indices(self, step: int) -> Int64:
        """Returns the blocks of a step, of all workers: [B] int64, positions in the encoded data set."""
        return self._schedule.block_indices(step)

    def batch(self, step: int) -> Batch[Any]:
        """Makes the batch of a step.

        Args:
            step: The optimiser updates done before this one, from 0.

        Returns:
            The batch, filled up if its layout says so.
        """
        batch = self._measured(step)
        if self._layout.shape_of is None or self._layout.fill_up is None:
            return batch
        return self._layout.fill_up(batch, grown_to_cover(self.shape, self._layout.shape_of(batch)))

    @cached_property
    def shape(self) -> Any:
        """The usual shape of a batch that is filled up."""
        assert self._layout.shape_of is not None
        return roomy_shape(self._layout.shape_of(self._measured(step)) for step in range(NUM_MEASURED_BATCHES))

    def _measured(self, step: int) -> Batch[Any]:
        if self._num_workers == 1:
            random = stream(self._seed, "batch contents", step)
            return self._layout.make(self._encoded, self.block_indices(step), self._options, random)
        return self._share(step)

    def _share(self, step: int) -> Batch[Any]:
        """Makes this worker's part of a batch; it knows how many labels the whole one has."""
        indices = self.block_indices(step)
        mine = indices[self._rank :: self._num_workers]
        if not len(mine):
            raise DataError(
                f"the batch of step {step} has {len(indices)} blocks for {self._num_workers} workers",
                "train with fewer workers, or larger batches",
            )
        random = stream(self._seed, "batch contents", step, self._rank)
        batch = self._layout.make(self._encoded, mine, self._options, random)
        mask = self._encoded.mask[indices]
        of_instructions = (mask * self._encoded.block_sizes[indices][:, None]).sum(axis=0)
        counts = np.stack([mask.sum(axis=0), of_instructions]).astype(np.float32)
        return batch._replace(targets=batch.targets._replace(label_counts=counts))
