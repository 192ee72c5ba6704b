"""One batch of the sequence models: blocks as forests of prefixes, and what the model should answer.

Everything that occurs more than once is worked out once: a token's projection, an instruction's prefix of tokens, a
block's prefix of instructions (``tries.py``).

A batch is filled up (``batch.py``) with symbols that no node reads, with nodes behind the chunks in use, and with rows
without labels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gematria_ops.encode.batch import Batch, BatchOptions, Targets, fill, fill_optional, needed
from gematria_ops.encode.encoded_blocks import EncodedBlocks
from gematria_ops.encode.ragged import flat_positions, splits_of
from gematria_ops.encode.targets import draw_deltas, draw_labels
from gematria_ops.encode.tries import Int32, Int64, PrefixTrie, build_prefix_trie

# Nodes that a network works on together. Many, because levels of tokens are wide: a matrix product of 16 rows runs at
# nearly full speed. Few, because most levels of blocks are narrow: of a hundred blocks one or two have 60 instructions.
TOKEN_CHUNK = 16
BLOCK_CHUNK = 4

DEFAULT_OPTIONS = BatchOptions()


class Direction(NamedTuple):
    """The blocks, read from their first instructions on or from their last ones.

    Attributes:
        trie: Distinct prefixes of the blocks; symbols index the distinct instructions.
        output_nodes: int32. Nodes that are decoded: [B] the one of each whole block, or for seq2seq [I] the one that
            ends with each instruction. Filled up with node 0.
    """

    trie: PrefixTrie
    output_nodes: Int32


class SequenceInputs(NamedTuple):
    """What a sequence model reads. T distinct tokens, U distinct instructions, I instructions, B blocks.

    Attributes:
        tokens: [T] int32. Vocabulary indices of the distinct tokens. Filled up with the first one.
        token_trie: Distinct prefixes of the instructions' tokens; symbols index ``tokens``.
        instruction_nodes: [U] int32. Where each distinct instruction ends in ``token_trie``. Filled up with node 0.
        directions: The blocks read forwards; if bidirectional, also backwards.
        instruction_blocks: [I] int32. The block of each instruction, filled up with -1; None unless seq2seq.
        block_sizes: [B] int32. Instructions of each block, filled up with 0.
    """

    tokens: Int32
    token_trie: PrefixTrie
    instruction_nodes: Int32
    directions: tuple[Direction, ...]
    instruction_blocks: Int32 | None
    block_sizes: Int32


class SequenceShape(NamedTuple):
    """How many of each the arrays of a batch hold, filled-up ones included."""

    tokens: int
    token_nodes: int
    instructions: int
    block_nodes: int
    blocks: int
    occurrences: int


SequenceBatch = Batch[SequenceInputs]

# Covers a block of BHive alone in 99 of 100 cases, so that one program answers for nearly all of them.
SMALL_SHAPE = SequenceShape(tokens=48, token_nodes=320, instructions=48, block_nodes=192, blocks=16, occurrences=64)


def shape_of(batch: SequenceBatch) -> SequenceShape:
    """Returns the shape of a batch."""
    inputs = batch.inputs
    return SequenceShape(
        tokens=len(inputs.tokens),
        token_nodes=len(inputs.token_trie.parents),
        instructions=len(inputs.instruction_nodes),
        block_nodes=max(len(direction.trie.parents) for direction in inputs.directions),
        blocks=len(inputs.block_sizes),
        occurrences=len(inputs.instruction_blocks) if inputs.instruction_blocks is not None else 0,
    )


def make_batch(
    encoded: EncodedBlocks,
    block_indices: Int64,
    options: BatchOptions = DEFAULT_OPTIONS,
    random: np.random.Generator | None = None,
) -> SequenceBatch:
    """Gathers blocks into a batch that is not filled up.

    Args:
        encoded: The data set.
        block_indices: [B] int64. The blocks, in the order of the outputs. Repeated ones are allowed.
        options: What the batch has to hold.
        random: For random labels and injected tokens; equal generators give equal batches.

    Returns:
        The batch.
    """
    sizes = encoded.block_sizes[block_indices]
    splits = splits_of(sizes)
    occurrences = flat_positions(encoded.block_splits[block_indices], sizes)  # [I]
    instruction_ids = encoded.instruction_ids[occurrences]
    if options.injection_probability > 0:
        tokens, token_splits, symbols = _inject(encoded, instruction_ids, options.injection_probability, random)
    else:
        tokens, token_splits, symbols = _look_up(encoded, instruction_ids)
    used_tokens, token_symbols = np.unique(tokens, return_inverse=True)
    token_trie, token_nodes = build_prefix_trie(token_symbols.astype(np.int32), token_splits, TOKEN_CHUNK)

    directions = [_read_forwards(encoded, block_indices, symbols, splits, options)]
    if options.bidirectional:
        directions.append(_read_backwards(encoded, block_indices, symbols, splits, options))
    inputs = SequenceInputs(
        tokens=used_tokens.astype(np.int32),
        token_trie=token_trie,
        instruction_nodes=token_nodes[token_splits[1:] - 1],
        directions=tuple(directions),
        instruction_blocks=np.repeat(np.arange(len(sizes), dtype=np.int32), sizes) if options.seq2seq else None,
        block_sizes=sizes.astype(np.int32),
    )
    label_random = needed(random) if options.random_labels else None
    expected, mask = draw_labels(encoded, block_indices, label_random)
    deltas = draw_deltas(encoded, occurrences, splits, label_random) if options.seq2seq else None
    return SequenceBatch(inputs, Targets(expected, mask, deltas), len(sizes), len(symbols))


def fill_up(batch: SequenceBatch, shape: SequenceShape) -> SequenceBatch:
    """Fills a batch up to a shape that covers its own."""
    inputs, targets = batch.inputs, batch.targets
    num_outputs = shape.blocks if inputs.instruction_blocks is None else shape.occurrences
    directions = tuple(
        Direction(_fill_trie(trie, shape.block_nodes), fill(nodes, num_outputs, 0)) for trie, nodes in inputs.directions
    )
    filled_inputs = SequenceInputs(
        tokens=fill(inputs.tokens, shape.tokens, inputs.tokens[0]),
        token_trie=_fill_trie(inputs.token_trie, shape.token_nodes),
        instruction_nodes=fill(inputs.instruction_nodes, shape.instructions, 0),
        directions=directions,
        instruction_blocks=fill_optional(inputs.instruction_blocks, shape.occurrences, -1),
        block_sizes=fill(inputs.block_sizes, shape.blocks, 0),
    )
    filled_targets = Targets(
        expected=fill(targets.expected, shape.blocks, -1),
        mask=fill(targets.mask, shape.blocks, False),
        expected_deltas=fill_optional(targets.expected_deltas, shape.occurrences, 0),
        label_counts=targets.label_counts,
    )
    return batch._replace(inputs=filled_inputs, targets=filled_targets)


def _fill_trie(trie: PrefixTrie, num_nodes: int) -> PrefixTrie:
    return PrefixTrie(fill(trie.symbols, num_nodes, 0), fill(trie.parents, num_nodes, 0), trie.num_chunks)


def _look_up(encoded: EncodedBlocks, instruction_ids: Int32) -> tuple[Int32, Int64, Int32]:
    """Finds the distinct instructions, sorted: their tokens, where each begins, and which one each occurrence is."""
    ids, symbols = np.unique(instruction_ids, return_inverse=True)
    starts = encoded.instruction_splits[ids]
    lengths = encoded.instruction_splits[ids + 1] - starts
    return encoded.instruction_tokens[flat_positions(starts, lengths)], splits_of(lengths), symbols.astype(np.int32)


def _inject(
    encoded: EncodedBlocks, instruction_ids: Int32, probability: float, random: np.random.Generator | None
) -> tuple[Int32, Int64, Int32]:
    """Replaces tokens at random, each occurrence on its own; every occurrence becomes an instruction of its own."""
    replacement = encoded.vocabulary.replacement_index
    if replacement is None:
        raise ValueError("injection needs a vocabulary with a replacement token")
    starts = encoded.instruction_splits[instruction_ids]
    lengths = encoded.instruction_splits[instruction_ids + 1] - starts
    tokens = encoded.instruction_tokens[flat_positions(starts, lengths)]
    tokens = np.where(needed(random).random(len(tokens)) < probability, np.int32(replacement), tokens)
    # Sorted, so that instructions that still begin alike share their prefixes.
    inside = np.arange(lengths.max()) < lengths[:, None]  # [I, L]
    rows = np.full(inside.shape, -1, dtype=np.int32)
    rows[inside] = tokens
    order = np.lexsort(rows.T[::-1])
    symbols = np.empty(len(order), dtype=np.int32)
    symbols[order] = np.arange(len(order), dtype=np.int32)
    return rows[order][inside[order]], splits_of(lengths[order]), symbols


def _read_forwards(
    encoded: EncodedBlocks, block_indices: Int64, symbols: Int32, splits: Int64, options: BatchOptions
) -> Direction:
    trie, nodes = _block_trie(symbols, splits, np.argsort(encoded.forward_order[block_indices], kind="stable"))
    return Direction(trie, nodes if options.seq2seq else nodes[splits[1:] - 1])


def _read_backwards(
    encoded: EncodedBlocks, block_indices: Int64, symbols: Int32, splits: Int64, options: BatchOptions
) -> Direction:
    """Reads each block from its last instruction to its first; the nodes told are again in natural order."""
    flipped = np.repeat(splits[:-1] + splits[1:] - 1, np.diff(splits)) - np.arange(len(symbols))  # [I]
    order = np.argsort(encoded.backward_order[block_indices], kind="stable")
    trie, nodes = _block_trie(symbols[flipped], splits, order)
    return Direction(trie, nodes[flipped] if options.seq2seq else nodes[splits[1:] - 1])


def _block_trie(symbols: Int32, splits: Int64, order: Int64) -> tuple[PrefixTrie, Int32]:
    """Builds the forest of blocks taken in the given order; nodes are told in the natural order of the instructions."""
    sizes = np.diff(splits)[order]
    positions = flat_positions(splits[:-1][order], sizes)
    trie, sorted_nodes = build_prefix_trie(symbols[positions], splits_of(sizes), BLOCK_CHUNK)
    nodes = np.empty_like(sorted_nodes)
    nodes[positions] = sorted_nodes
    return trie, nodes
