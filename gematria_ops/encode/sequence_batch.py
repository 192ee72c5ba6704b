"""One batch of the sequence models: blocks as two forests of prefixes, and what the model should answer.

Everything is worked out once that occurs more than once: a token's projection, an instruction's prefix of tokens, a
block's prefix of instructions (see ``tries.py``).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gematria_ops.encode.encoded_blocks import Bool, EncodedBlocks, Float32
from gematria_ops.encode.targets import draw_deltas, draw_labels
from gematria_ops.encode.tries import Int32, Int64, PrefixTrie, build_prefix_trie, pad_rows


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


class SequenceBatch(NamedTuple):
    """Input of a sequence model and its targets. B blocks, I instructions in them, K tasks.

    Attributes:
        tokens: [T] int32. Vocabulary indices of the distinct tokens of the batch.
        token_trie: Distinct prefixes of the instructions' tokens; symbols index ``tokens``.
        instruction_nodes: [U] int32. Where each distinct instruction ends in ``token_trie``.
        block_trie: Distinct prefixes of the blocks; symbols index ``instruction_nodes``.
        output_nodes: int32. Nodes of ``block_trie`` that are decoded: [B] where each block ends, or for seq2seq [I]
            where each instruction of each block is.
        backward_trie: The same for the blocks read from their ends; None unless bidirectional.
        backward_output_nodes: Nodes of ``backward_trie``, like ``output_nodes``; None unless bidirectional.
        instruction_blocks: [I] int32. The block of each instruction; None unless seq2seq.
        num_blocks: [] int32. B.
        expected: [B, K] float32. Cycles per iteration; -1 where there is no label.
        mask: [B, K] bool. Where there is a label.
        expected_deltas: [I, K] float32. What each instruction adds to the cycles of its prefix; None unless seq2seq.
    """

    tokens: Int32
    token_trie: PrefixTrie
    instruction_nodes: Int32
    block_trie: PrefixTrie
    output_nodes: Int32
    backward_trie: PrefixTrie | None
    backward_output_nodes: Int32 | None
    instruction_blocks: Int32 | None
    num_blocks: Int32
    expected: Float32
    mask: Bool
    expected_deltas: Float32 | None


def make_batch(
    encoded: EncodedBlocks,
    block_indices: Int64,
    options: BatchOptions = DEFAULT_OPTIONS,
    random: np.random.Generator | None = None,
) -> SequenceBatch:
    """Gathers blocks into a batch.

    Args:
        encoded: The data set.
        block_indices: [B] int64. The blocks, in the order of the outputs. Repeated ones are allowed.
        options: What the batch has to hold.
        random: For random labels and injected tokens; equal generators give equal batches.

    Returns:
        The batch.
    """
    starts = encoded.block_splits[block_indices]
    sizes = encoded.block_sizes[block_indices]
    occurrences = _flat_positions(starts, sizes)  # [I]
    instruction_ids = encoded.instruction_ids[occurrences]
    if options.injection_probability > 0:
        distinct, symbols, tokens = _inject(encoded, instruction_ids, options.injection_probability, _needed(random))
    else:
        distinct, symbols, tokens = _look_up(encoded, instruction_ids)
    token_rows = pad_rows(tokens, *distinct)
    token_trie, token_nodes = build_prefix_trie(token_rows)
    instruction_nodes = token_nodes[np.arange(len(token_nodes)), distinct[1] - 1]
    used_tokens, token_symbols = np.unique(token_trie.symbols, return_inverse=True)

    splits = np.zeros(len(sizes) + 1, dtype=np.int64)
    np.cumsum(sizes, out=splits[1:])
    order = np.argsort(encoded.forward_order[block_indices], kind="stable")
    block_trie, output_nodes = _block_trie(symbols, splits, sizes, order, options.seq2seq)
    backward_trie = backward_output_nodes = None
    if options.bidirectional:
        order = np.argsort(encoded.backward_order[block_indices], kind="stable")
        flipped = (splits[:-1] + splits[1:] - 1).repeat(sizes) - np.arange(splits[-1])  # [I]
        backward_trie, backward_output_nodes = _block_trie(symbols[flipped], splits, sizes, order, options.seq2seq)
        if options.seq2seq:
            backward_output_nodes = backward_output_nodes[flipped]

    blocks = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes) if options.seq2seq else None
    label_random = _needed(random) if options.random_labels else None
    expected, mask = draw_labels(encoded, block_indices, label_random)
    deltas = draw_deltas(encoded, occurrences, splits, label_random) if options.seq2seq else None
    return SequenceBatch(
        tokens=used_tokens.astype(np.int32),
        token_trie=token_trie._replace(symbols=token_symbols.astype(np.int32)),
        instruction_nodes=instruction_nodes.astype(np.int32),
        block_trie=block_trie,
        output_nodes=output_nodes,
        backward_trie=backward_trie,
        backward_output_nodes=backward_output_nodes,
        instruction_blocks=blocks,
        num_blocks=np.asarray(len(sizes), dtype=np.int32),
        expected=expected,
        mask=mask,
        expected_deltas=deltas,
    )


def _needed(random: np.random.Generator | None) -> np.random.Generator:
    if random is None:
        raise ValueError("random labels and injected tokens need a random generator")
    return random


def _flat_positions(starts: Int64, sizes: Int64) -> Int64:
    """Lists the positions of several ranges, one range behind the other."""
    ends = np.cumsum(sizes)
    return np.arange(int(sizes.sum())) + np.repeat(starts - ends + sizes, sizes)


def _look_up(encoded: EncodedBlocks, instruction_ids: Int32) -> tuple[tuple[Int64, Int64], Int32, Int32]:
    """Finds the distinct instructions of a batch; they come out sorted, because the ids are."""
    ids, symbols = np.unique(instruction_ids, return_inverse=True)
    starts = encoded.instruction_splits[ids]
    lengths = encoded.instruction_splits[ids + 1] - starts
    return (starts, lengths), symbols.astype(np.int32), encoded.instruction_tokens


def _inject(
    encoded: EncodedBlocks, instruction_ids: Int32, probability: float, random: np.random.Generator
) -> tuple[tuple[Int64, Int64], Int32, Int32]:
    """Replaces tokens at random, each occurrence on its own; so no two instructions are the same any more."""
    starts = encoded.instruction_splits[instruction_ids]
    lengths = encoded.instruction_splits[instruction_ids + 1] - starts
    tokens = encoded.instruction_tokens[_flat_positions(starts, lengths)]
    replacement = encoded.vocabulary.replacement_index
    if replacement is None:
        raise ValueError("injection needs a vocabulary with a replacement token")
    tokens = np.where(random.random(len(tokens)) < probability, np.int32(replacement), tokens)
    own_starts = np.cumsum(lengths) - lengths
    # Sorted, so that instructions that still begin alike share their prefixes.
    order = np.lexsort(pad_rows(tokens, own_starts, lengths).T[::-1])
    symbols = np.empty(len(order), dtype=np.int32)
    symbols[order] = np.arange(len(order), dtype=np.int32)
    return (own_starts[order], lengths[order]), symbols, tokens


def _block_trie(symbols: Int32, splits: Int64, sizes: Int64, order: Int64, seq2seq: bool) -> tuple[PrefixTrie, Int32]:
    trie, nodes = build_prefix_trie(pad_rows(symbols, splits[:-1][order], sizes[order]))
    natural = np.empty_like(nodes)
    natural[order] = nodes
    if seq2seq:
        return trie, natural[natural >= 0]
    return trie, natural[np.arange(len(sizes)), sizes - 1]
