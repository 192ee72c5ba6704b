"""One batch of the sequence models: blocks as forests of prefixes, and what the model should answer.

Everything that occurs more than once is worked out once: a token's projection, an instruction's prefix of tokens, a
block's prefix of instructions (``tries.py``).

A compiled step wants arrays of few shapes. A batch is therefore filled up to a ``BatchShape``: with symbols that no
node reads, with nodes behind the chunks in use, with rows without labels. What is filled up changes no result.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from gematria_ops.encode.encoded_blocks import Bool, EncodedBlocks, Float32
from gematria_ops.encode.targets import draw_deltas, draw_labels
from gematria_ops.encode.tries import Int32, Int64, PrefixTrie, build_prefix_trie

# Nodes that a network works on together. Many, because levels of tokens are wide: a matrix product of 16 rows runs at
# nearly full speed. Few, because most levels of blocks are narrow: of a hundred blocks one or two have 60 instructions.
TOKEN_CHUNK = 16
BLOCK_CHUNK = 4


class BatchOptions(NamedTuple):
    """What a batch has to hold.

    Attributes:
        bidirectional: The block-level network also reads backwards.
        seq2seq: The model answers for every instruction.
        random_labels: Draw one of a label's samples for each batch, instead of taking the first.
        injection_probability: Of putting the replacement token in a token's place, each token on its own. For training.
    """

    bidirectional: bool = False
    seq2seq: bool = False
    random_labels: bool = False
    injection_probability: float = 0.0


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


class SequenceTargets(NamedTuple):
    """What a sequence model should answer. K tasks.

    Attributes:
        expected: [B, K] float32. Cycles per iteration; -1 where there is no label.
        mask: [B, K] bool. Where there is a label.
        expected_deltas: [I, K] float32. What each instruction adds to the cycles of its prefix; None unless seq2seq.
    """

    expected: Float32
    mask: Bool
    expected_deltas: Float32 | None


class SequenceBatch(NamedTuple):
    """Inputs and targets, and how much of them is real.

    Attributes:
        inputs: What the model reads.
        targets: What it should answer.
        num_blocks: Blocks of the batch; rows behind them are filled up.
        num_instructions: Instructions of the batch; rows behind them are filled up.
    """

    inputs: SequenceInputs
    targets: SequenceTargets
    num_blocks: int
    num_instructions: int

    @property
    def expected(self) -> Float32:
        """[B, K] float32. The labels of the real blocks in cycles per iteration; -1 where there is none."""
        return self.targets.expected[: self.num_blocks]

    @property
    def mask(self) -> Bool:
        """[B, K] bool. Where the real blocks have labels."""
        return self.targets.mask[: self.num_blocks]

    @property
    def expected_deltas(self) -> Float32 | None:
        """[I, K] float32. What each real instruction adds, in cycles per iteration; None unless seq2seq."""
        deltas = self.targets.expected_deltas
        return None if deltas is None else deltas[: self.num_instructions]

    @property
    def instruction_mask(self) -> Bool:
        """[I, K] bool. Where the blocks of the real instructions have labels."""
        sizes = self.inputs.block_sizes[: self.num_blocks]
        return np.repeat(self.mask, sizes, axis=0)


class BatchShape(NamedTuple):
    """How many of each the arrays of a batch hold, filled-up ones included."""

    tokens: int
    token_nodes: int
    instructions: int
    block_nodes: int
    blocks: int
    occurrences: int

    def covers(self, other: BatchShape) -> bool:
        """Answers whether a batch of another shape can be filled up to this one."""
        return all(mine >= its for mine, its in zip(self, other, strict=True))

    def grown_to_cover(self, other: BatchShape) -> BatchShape:
        """Returns this shape, doubled until it covers another: few shapes, so little is compiled."""
        shape = self
        while not shape.covers(other):
            shape = BatchShape(*(2 * max(size, 16) for size in shape))
        return shape


def roomy_shape(shapes: Iterable[BatchShape], margin: float = 1.1) -> BatchShape:
    """Returns a shape that covers some shapes and a little more; its sizes are multiples of 16, as of the chunks."""
    largest = np.max(np.array(list(shapes)), axis=0)
    return BatchShape(*(int(-(-size * margin // 16)) * 16 for size in largest))


def shape_of(batch: SequenceBatch) -> BatchShape:
    """Returns the shape of a batch."""
    inputs = batch.inputs
    return BatchShape(
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
    splits = _splits(sizes)
    occurrences = _flat_positions(encoded.block_splits[block_indices], sizes)  # [I]
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
    label_random = _needed(random) if options.random_labels else None
    expected, mask = draw_labels(encoded, block_indices, label_random)
    deltas = draw_deltas(encoded, occurrences, splits, label_random) if options.seq2seq else None
    return SequenceBatch(inputs, SequenceTargets(expected, mask, deltas), len(sizes), len(symbols))


def fill_up(batch: SequenceBatch, shape: BatchShape) -> SequenceBatch:
    """Fills a batch up to a shape that covers its own."""
    inputs, targets = batch.inputs, batch.targets
    num_outputs = shape.blocks if inputs.instruction_blocks is None else shape.occurrences
    directions = tuple(
        Direction(_fill_trie(trie, shape.block_nodes), _fill(nodes, num_outputs, 0))
        for trie, nodes in inputs.directions
    )
    filled_inputs = SequenceInputs(
        tokens=_fill(inputs.tokens, shape.tokens, inputs.tokens[0]),
        token_trie=_fill_trie(inputs.token_trie, shape.token_nodes),
        instruction_nodes=_fill(inputs.instruction_nodes, shape.instructions, 0),
        directions=directions,
        instruction_blocks=_fill_optional(inputs.instruction_blocks, shape.occurrences, -1),
        block_sizes=_fill(inputs.block_sizes, shape.blocks, 0),
    )
    filled_targets = SequenceTargets(
        expected=_fill(targets.expected, shape.blocks, -1),
        mask=_fill(targets.mask, shape.blocks, False),
        expected_deltas=_fill_optional(targets.expected_deltas, shape.occurrences, 0),
    )
    return batch._replace(inputs=filled_inputs, targets=filled_targets)


def _fill(values: np.ndarray, size: int, value: float) -> np.ndarray:
    filled = np.full((size, *values.shape[1:]), value, dtype=values.dtype)
    filled[: len(values)] = values
    return filled


def _fill_optional(values: np.ndarray | None, size: int, value: float) -> np.ndarray | None:
    return None if values is None else _fill(values, size, value)


def _fill_trie(trie: PrefixTrie, num_nodes: int) -> PrefixTrie:
    return PrefixTrie(_fill(trie.symbols, num_nodes, 0), _fill(trie.parents, num_nodes, 0), trie.num_chunks)


def _needed(random: np.random.Generator | None) -> np.random.Generator:
    if random is None:
        raise ValueError("random labels and injected tokens need a random generator")
    return random


def _splits(sizes: Int64) -> Int64:
    splits = np.zeros(len(sizes) + 1, dtype=np.int64)
    np.cumsum(sizes, out=splits[1:])
    return splits


def _flat_positions(starts: Int64, sizes: Int64) -> Int64:
    """Lists the positions of several ranges, one range behind the other."""
    own_starts = np.cumsum(sizes) - sizes
    positions: Int64 = np.arange(int(sizes.sum())) + np.repeat(starts - own_starts, sizes)
    return positions


def _look_up(encoded: EncodedBlocks, instruction_ids: Int32) -> tuple[Int32, Int64, Int32]:
    """Finds the distinct instructions, sorted: their tokens, where each begins, and which one each occurrence is."""
    ids, symbols = np.unique(instruction_ids, return_inverse=True)
    starts = encoded.instruction_splits[ids]
    lengths = encoded.instruction_splits[ids + 1] - starts
    return encoded.instruction_tokens[_flat_positions(starts, lengths)], _splits(lengths), symbols.astype(np.int32)


def _inject(
    encoded: EncodedBlocks, instruction_ids: Int32, probability: float, random: np.random.Generator | None
) -> tuple[Int32, Int64, Int32]:
    """Replaces tokens at random, each occurrence on its own; every occurrence becomes an instruction of its own."""
    replacement = encoded.vocabulary.replacement_index
    if replacement is None:
        raise ValueError("injection needs a vocabulary with a replacement token")
    starts = encoded.instruction_splits[instruction_ids]
    lengths = encoded.instruction_splits[instruction_ids + 1] - starts
    tokens = encoded.instruction_tokens[_flat_positions(starts, lengths)]
    tokens = np.where(_needed(random).random(len(tokens)) < probability, np.int32(replacement), tokens)
    # Sorted, so that instructions that still begin alike share their prefixes.
    inside = np.arange(lengths.max()) < lengths[:, None]  # [I, L]
    rows = np.full(inside.shape, -1, dtype=np.int32)
    rows[inside] = tokens
    order = np.lexsort(rows.T[::-1])
    symbols = np.empty(len(order), dtype=np.int32)
    symbols[order] = np.arange(len(order), dtype=np.int32)
    return rows[order][inside[order]], _splits(lengths[order]), symbols


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
    positions = _flat_positions(splits[:-1][order], sizes)
    trie, sorted_nodes = build_prefix_trie(symbols[positions], _splits(sizes), BLOCK_CHUNK)
    nodes = np.empty_like(sorted_nodes)
    nodes[positions] = sorted_nodes
    return trie, nodes
