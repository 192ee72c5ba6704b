"""The flat tensors that exported models read, by name, and how blocks become them.

The names of graph models are those of the public implementation's exported graphs (specification 9.4); those of
sequence models are ours, made in the same manner. docs/formats_export.md is their description for readers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gematria_ops.config import AnyModelConfig, GraniteConfig, RnnType
from gematria_ops.encode.batch import BatchOptions
from gematria_ops.encode.encoded_blocks import EncodedBlocks
from gematria_ops.encode.graph_batch import GraphInputs, make_graph_batch
from gematria_ops.encode.ragged import flat_positions
from gematria_ops.encode.tries import Int64

NODE_FEATURES = "GnnModelBase.node_features"
EDGE_FEATURES = "GnnModelBase.edge_features"
GLOBAL_FEATURES = "GnnModelBase.global_features"
RECEIVERS = "GnnModelBase.receivers"
SENDERS = "GnnModelBase.senders"
NUM_EDGES = "GnnModelBase.num_edges"
NUM_NODES = "GnnModelBase.num_nodes"
DELTA_BLOCK_INDEX = "ModelBase.delta_block_index_tensor"
INSTRUCTION_NODE_MASK = "GraphBuilderModelBase.instruction_node_mask"
INSTRUCTION_ANNOTATIONS = "GraphBuilderModelBase.instruction_annotations"

TOKEN_SEQUENCE = "SequenceModelBase.token_sequence"
NUM_TOKENS = "SequenceModelBase.num_tokens_per_instruction"
NUM_INSTRUCTIONS = "SequenceModelBase.num_instructions_per_block"

Feed = Mapping[str, NDArray[np.generic]]


def feed_names(model: AnyModelConfig, annotation_names: Sequence[str] = ()) -> tuple[str, ...]:
    """Returns the names of the tensors that a model's exported graph reads, in order."""
    if not isinstance(model, GraniteConfig):
        return TOKEN_SEQUENCE, NUM_TOKENS, NUM_INSTRUCTIONS
    names = [NODE_FEATURES, EDGE_FEATURES, GLOBAL_FEATURES, RECEIVERS, SENDERS, NUM_EDGES, NUM_NODES]
    # A recurrent network reads the instructions of each block, also where it answers once for a block.
    reads_instructions = model.seq2seq or model.rnn_type is not RnnType.NONE
    if reads_instructions:
        names.append(DELTA_BLOCK_INDEX)
    if reads_instructions or annotation_names:
        names.append(INSTRUCTION_NODE_MASK)
    if annotation_names:
        names.append(INSTRUCTION_ANNOTATIONS)
    return tuple(names)


def make_feed(
    encoded: EncodedBlocks, block_indices: Int64, model: AnyModelConfig, annotation_names: Sequence[str] = ()
) -> Feed:
    """Gathers blocks into the tensors that the exported graph of a model reads.

    Args:
        encoded: The blocks; with graphs, for a graph model.
        block_indices: [B] int64. The blocks, in the order of the outputs.
        model: The model's settings.
        annotation_names: The annotations that it reads.

    Returns:
        The arrays, by name, in the order of `feed_names`.
    """
    if isinstance(model, GraniteConfig):
        batch = make_graph_batch(encoded, block_indices, BatchOptions())
        tensors = _graph_tensors(batch.inputs)
    else:
        tensors = _sequence_tensors(encoded, block_indices)
    return {name: tensors[name] for name in feed_names(model, annotation_names)}


def _graph_tensors(inputs: GraphInputs) -> dict[str, NDArray[np.generic]]:
    num_blocks = len(inputs.block_sizes)
    is_instruction = np.zeros(len(inputs.node_tokens), dtype=np.bool_)
    is_instruction[inputs.instruction_nodes] = True
    return {
        NODE_FEATURES: inputs.node_tokens,
        EDGE_FEATURES: inputs.edge_types,
        GLOBAL_FEATURES: inputs.token_counts,
        RECEIVERS: inputs.receivers,
        SENDERS: inputs.senders,
        NUM_EDGES: np.bincount(inputs.edge_blocks, minlength=num_blocks).astype(np.int32),
        NUM_NODES: np.bincount(inputs.node_blocks, minlength=num_blocks).astype(np.int32),
        DELTA_BLOCK_INDEX: inputs.instruction_blocks,
        INSTRUCTION_NODE_MASK: is_instruction,
        INSTRUCTION_ANNOTATIONS: inputs.annotations,
    }


def _sequence_tensors(encoded: EncodedBlocks, block_indices: Int64) -> dict[str, NDArray[np.generic]]:
    sizes = encoded.block_sizes[block_indices]
    ids = encoded.instruction_ids[flat_positions(encoded.block_splits[block_indices], sizes)]  # [I]
    starts = encoded.instruction_splits[ids]
    lengths = encoded.instruction_splits[ids + 1] - starts
    return {
        TOKEN_SEQUENCE: encoded.instruction_tokens[flat_positions(starts, lengths)],
        NUM_TOKENS: lengths.astype(np.int32),
        NUM_INSTRUCTIONS: sizes.astype(np.int32),
    }
