"""One batch of the graph models: the graphs of its blocks side by side, without an edge between them.

Batches are not filled up: the graph models run as TensorFlow graphs with open sizes, traced once. On two cores of an
AMD EPYC, losses and gradients of 100 blocks take 1.0 s of processor time so, and 1.2 s as XLA programs of one shape.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gematria_ops.encode.batch import Batch, BatchOptions, Targets, needed
from gematria_ops.encode.encoded_blocks import EncodedBlocks
from gematria_ops.encode.graphs import BlockGraphs, Float32
from gematria_ops.encode.ragged import flat_positions, splits_of
from gematria_ops.encode.targets import draw_deltas, draw_labels
from gematria_ops.encode.tries import Int32, Int64


class GraphInputs(NamedTuple):
    """What a graph model reads. B blocks, N nodes, E edges, I instructions, V tokens, A annotations.

    Attributes:
        node_tokens: [N] int32. Vocabulary index of each node.
        node_blocks: [N] int32. The block of each node, rising.
        edge_types: [E] int32. See ``graphs.EdgeType``.
        senders: [E] int32. The node each edge starts from, counted in the whole batch.
        receivers: [E] int32. The node each edge goes to, likewise.
        edge_blocks: [E] int32. The block of each edge, rising.
        token_counts: [B, V] int32. How often each token stands in each graph.
        instruction_nodes: [I] int32. The node of each instruction.
        instruction_blocks: [I] int32. The block of each instruction.
        annotations: [I, A] float32. Statistics of each instruction; -1 where there is none.
        block_sizes: [B] int32. Instructions of each block.
        dropout_seed: [2] int32. Decides what dropout drops; None: nothing is dropped.
    """

    node_tokens: Int32
    node_blocks: Int32
    edge_types: Int32
    senders: Int32
    receivers: Int32
    edge_blocks: Int32
    token_counts: Int32
    instruction_nodes: Int32
    instruction_blocks: Int32
    annotations: Float32
    block_sizes: Int32
    dropout_seed: Int32 | None = None


GraphBatch = Batch[GraphInputs]


def make_graph_batch(
    encoded: EncodedBlocks,
    block_indices: Int64,
    options: BatchOptions,
    random: np.random.Generator | None = None,
) -> GraphBatch:
    """Gathers blocks into a batch.

    Args:
        encoded: The data set, with graphs.
        block_indices: [B] int64. The blocks, in the order of the outputs.
        options: What the batch has to hold.
        random: For random labels, injected tokens and dropout; equal generators give equal batches.

    Raises:
        ValueError: The data set has no graphs.
    """
    graphs = encoded.graphs
    if graphs is None:
        raise ValueError("the blocks were encoded without graphs")
    sizes = encoded.block_sizes[block_indices]
    occurrences = flat_positions(encoded.block_splits[block_indices], sizes)  # [I]
    inputs = _gather(graphs, block_indices, sizes, occurrences, encoded, options, random)
    label_random = needed(random) if options.random_labels else None
    expected, mask = draw_labels(encoded, block_indices, label_random)
    deltas = draw_deltas(encoded, occurrences, splits_of(sizes), label_random) if options.seq2seq else None
    return GraphBatch(inputs, Targets(expected, mask, deltas), len(sizes), len(occurrences))


def _gather(
    graphs: BlockGraphs,
    block_indices: Int64,
    sizes: Int64,
    occurrences: Int64,
    encoded: EncodedBlocks,
    options: BatchOptions,
    random: np.random.Generator | None,
) -> GraphInputs:
    num_blocks, num_tokens = len(block_indices), len(encoded.vocabulary)
    num_nodes, num_edges = (
        splits[block_indices + 1] - splits[block_indices] for splits in (graphs.node_splits, graphs.edge_splits)
    )
    nodes = flat_positions(graphs.node_splits[block_indices], num_nodes)
    edges = flat_positions(graphs.edge_splits[block_indices], num_edges)
    blocks = np.arange(num_blocks)
    node_blocks, edge_blocks, instruction_blocks = (
        np.repeat(blocks, counts).astype(np.int32) for counts in (num_nodes, num_edges, sizes)
    )
    first_nodes = splits_of(num_nodes)[:-1].astype(np.int32)
    tokens = graphs.node_tokens[nodes]
    if options.injection_probability > 0:
        replacement = encoded.vocabulary.replacement_index
        if replacement is None:
            raise ValueError("injection needs a vocabulary with a replacement token")
        is_replaced = needed(random).random(len(tokens)) < options.injection_probability
        tokens = np.where(is_replaced, np.int32(replacement), tokens)
    # Counted after the injection: a block with an unknown token looks the same here in training and in use.
    counts = np.bincount(node_blocks * np.int64(num_tokens) + tokens, minlength=num_blocks * num_tokens)
    dropout_seed = needed(random).integers(0, 2**31, size=2).astype(np.int32) if options.dropout else None
    return GraphInputs(
        node_tokens=tokens,
        node_blocks=node_blocks,
        edge_types=graphs.edge_types[edges],
        senders=graphs.senders[edges] + first_nodes[edge_blocks],
        receivers=graphs.receivers[edges] + first_nodes[edge_blocks],
        edge_blocks=edge_blocks,
        token_counts=counts.reshape(num_blocks, num_tokens).astype(np.int32),
        instruction_nodes=graphs.instruction_nodes[occurrences] + first_nodes[instruction_blocks],
        instruction_blocks=instruction_blocks,
        annotations=graphs.annotations[occurrences],
        block_sizes=sizes.astype(np.int32),
        dropout_seed=dropout_seed,
    )
