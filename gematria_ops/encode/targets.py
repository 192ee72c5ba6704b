"""What a model should answer for a batch: labels, where there are any, and what each instruction adds to them."""

from __future__ import annotations

import numpy as np

from gematria_ops.encode.encoded_blocks import Bool, EncodedBlocks, Float32
from gematria_ops.encode.tries import Int64


def draw_labels(
    encoded: EncodedBlocks, block_indices: Int64, random: np.random.Generator | None
) -> tuple[Float32, Bool]:
    """Returns the labels of some blocks.

    Args:
        encoded: The data set.
        block_indices: [B] int64. Which blocks.
        random: Draws one of each label's samples, uniformly. None: the first sample.

    Returns:
        [B, K] float32 in cycles per iteration, -1 where there is no label; and [B, K] bool where there is one.
    """
    mask = encoded.mask[block_indices]
    if random is None:
        return encoded.labels[block_indices], mask
    numbers = (block_indices[:, None] * encoded.num_tasks + np.arange(encoded.num_tasks)).ravel()
    drawn = _draw(encoded.samples, encoded.sample_splits, numbers, random, missing=-1.0)
    return drawn.reshape(mask.shape), mask


def draw_deltas(
    encoded: EncodedBlocks, instructions: Int64, splits: Int64, random: np.random.Generator | None
) -> Float32:
    """Returns what each instruction adds to the cycles of the instructions before it.

    Args:
        encoded: The data set, with cumulative values for prefixes. Missing ones count as 0.
        instructions: [I] int64. Positions in the data set of the instructions of the batch, block by block.
        splits: [B + 1] int64. Where each block of the batch begins and ends in ``instructions``.
        random: Draws one sample for each prefix, independently. None: the first sample.

    Returns:
        [I, K] float32. In each block, d[0] = p[0] and d[i] = p[i] - p[i - 1], in cycles per iteration.
    """
    numbers = (instructions[:, None] * encoded.num_tasks + np.arange(encoded.num_tasks)).ravel()
    drawn = _draw(encoded.prefix_samples, encoded.prefix_splits, numbers, random, missing=0.0)
    cumulative = drawn.reshape(len(instructions), encoded.num_tasks)
    deltas = cumulative.copy()
    deltas[1:] -= cumulative[:-1]
    first = splits[:-1]
    deltas[first] = cumulative[first]
    return deltas


def _draw(
    samples: Float32, splits: Int64, numbers: Int64, random: np.random.Generator | None, missing: float
) -> Float32:
    """Takes one sample of each numbered list: the first, or any; ``missing`` where the list is empty."""
    starts = splits[numbers]
    counts = splits[numbers + 1] - starts
    if random is not None:
        starts = starts + (random.random(len(starts)) * counts).astype(np.int64)
    values = np.full(len(numbers), missing, dtype=np.float32)
    present = counts > 0
    values[present] = samples[starts[present]]
    return values
