"""The network as a TensorFlow graph with fixed names, which answers for feeds of any size (specification 9.5).

What `preparing.py` does in NumPy for a training batch is part of the graph here. Who asks for the final states gets
those of all nodes; who asks for probabilities alone has each hop worked out only for the nodes that matter to them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from fastnode_ops.models import tensor_names as names
from fastnode_ops.models.expression import Network
from fastnode_ops.models.inputs import Features, Hop, NameInputs, ProductionInputs
from fastnode_ops.models.preparing import kernel_names, kernel_of
from fastnode_ops.models.propagation import segment_softmax

NOTHING = np.zeros(0, np.int32)


def build_serving_graph(network: Network) -> dict[str, tf.Tensor]:
    """Add placeholders and outputs to the default graph.

    Args:
        network: Its weights are tensors or variables of that graph.

    Returns:
        The placeholders and the outputs, by the names of `tensor_names.py`.
    """
    placeholders = _placeholders()
    final = _context_states(network, placeholders)
    placeholders[names.CONTEXT_EMBEDDINGS] = tf.compat.v1.placeholder_with_default(
        _read_states(network, placeholders), [None, network.config.depth], name=names.CONTEXT_EMBEDDINGS
    )
    expanded = _expansion_states(network, placeholders)
    outputs = {
        names.FINAL_STATES: final,
        names.EXPANSION_STATES: expanded,
        names.NAME_PROBABILITIES: _name_probabilities(network, placeholders, expanded),
        names.PRODUCTION_PROBABILITIES: _production_probabilities(network, placeholders, expanded),
    }
    return {**placeholders, **{name: tf.identity(value, name=name) for name, value in outputs.items()}}


def _placeholders() -> dict[str, tf.Tensor]:
    v1 = tf.compat.v1
    no_edges = np.zeros((0, 2), np.int32)
    edges = [prefix + key for prefix in (names.CONTEXT_EDGES, names.EXPANSION) for key in names.EDGE_KEYS]
    return {
        **{name: v1.placeholder_with_default(no_edges, [None, 2], name=name) for name in edges},
        **{name: v1.placeholder(tf.int32, [None], name=name) for name in names.VECTOR_INPUTS},
    }


def _context_states(network: Network, placeholders: Mapping[str, tf.Tensor]) -> tf.Tensor:
    states = network.embedding(_features(placeholders, names.CONTEXT_NODES))
    order, position, hop = _hop(network, _edges(network, placeholders, names.CONTEXT_EDGES), tf.shape(states)[0])
    states = tf.gather(states, order)
    for step in range(network.config.num_hops):
        states = network.propagation(states, hop, step)
    return tf.gather(states, position)


def _read_states(network: Network, placeholders: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Work out the final states of the nodes that the expansion graph copies, [., D].

    From the last hop back: only nodes whose states are read later are moved, so only edges to these count.
    """
    read = tf.compat.v1.placeholder_with_default(NOTHING, [None], name=names.READ_NODES)
    states = network.embedding(_features(placeholders, names.CONTEXT_NODES))
    num_nodes = tf.shape(states)[0]
    edges = _edges(network, placeholders, names.CONTEXT_EDGES)
    needed, kept = read, []
    for _ in range(network.config.num_hops):
        is_needed = tf.math.unsorted_segment_sum(tf.ones_like(needed), needed, num_nodes) > 0
        counts = tf.gather(is_needed, edges.pairs[:, 1])
        kept.append(_Edges(*(tf.boolean_mask(part, counts) for part in edges)))
        needed = tf.concat([needed, kept[-1].pairs[:, 0]], axis=0)
    for step, counted in enumerate(reversed(kept)):
        order, position, hop = _hop(network, counted, num_nodes)
        states = tf.gather(network.propagation(tf.gather(states, order), hop, step), position)
    return tf.gather(states, read)


def _expansion_states(network: Network, placeholders: Mapping[str, tf.Tensor]) -> tf.Tensor:
    lookup = network.embedding(_features(placeholders, names.EXPANSION))
    copied = placeholders[names.CONTEXT_EMBEDDINGS]
    places = [placeholders[f"{names.EXPANSION}{kind}_to_expansion"] for kind in ("context", "lookup")]
    states = tf.dynamic_stitch(places, [copied, lookup])
    order, position, hop = _hop(network, _edges(network, placeholders, names.EXPANSION), tf.shape(states)[0])
    states = network.propagation(tf.gather(states, order), hop, network.config.num_hops)
    return tf.gather(states, position)


def _name_probabilities(network: Network, placeholders: Mapping[str, tf.Tensor], states: tf.Tensor) -> tf.Tensor:
    samples = placeholders[f"{names.NAME_USAGES}sample_ids"]
    inputs = NameInputs(
        sites=placeholders[f"{names.NAME}prediction_nodes"],
        usages=placeholders[f"{names.NAME_USAGES}indices"],
        usage_samples=samples,
        labels=NOTHING,
        negatives=NOTHING,
        negative_samples=NOTHING,
    )
    wanted = network.embedding(_features(placeholders, names.NAME))
    return segment_softmax(network.name_decoder(states, wanted, inputs), samples)


def _production_probabilities(network: Network, placeholders: Mapping[str, tf.Tensor], states: tf.Tensor) -> tf.Tensor:
    prefix = names.PRODUCTION
    samples = placeholders[f"{prefix}decoder_targets_sample_ids"]
    inputs = ProductionInputs(
        sites=placeholders[f"{prefix}prediction_nodes"],
        targets=placeholders[f"{prefix}decoder_targets_indices"],
        target_samples=samples,
        scope=placeholders[f"{names.PRODUCTION_SCOPE}indices"],
        scope_samples=placeholders[f"{names.PRODUCTION_SCOPE}sample_ids"],
        tokens=placeholders[f"{prefix}context_tokens_indices"],
        token_samples=placeholders[f"{prefix}context_tokens_sample_ids"],
        labels=NOTHING,
        negatives=NOTHING,
        negative_samples=NOTHING,
    )
    return segment_softmax(network.production_decoder(states, inputs), samples)


def _features(placeholders: Mapping[str, tf.Tensor], prefix: str) -> Features:
    def lists(kind: str) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        ids = placeholders[f"{prefix}{kind}_sample_ids"]
        num_lists = tf.reduce_max(tf.concat([[-1], ids], axis=0)) + 1
        return placeholders[f"{prefix}{kind}_indices"], ids, tf.range(num_lists)

    return Features(*lists("types"), *lists("subtokens"))


class _Edges(NamedTuple):
    """Edges by ascending kernel: [E, 2] sources and targets, and the kernel of each, [E]."""

    pairs: tf.Tensor
    kernels: tf.Tensor


def _edges(network: Network, placeholders: Mapping[str, tf.Tensor], prefix: str) -> _Edges:
    tied = network.config.tie_directions
    keys = sorted(names.EDGE_KEYS, key=lambda key: (kernel_of(key, tied), key))
    kernels_of_keys: Sequence[Any] = [kernel_of(key, tied) for key in keys]
    parts = [placeholders[prefix + key] for key in keys]
    sizes = tf.stack([tf.shape(part)[0] for part in parts])
    return _Edges(tf.concat(parts, axis=0), tf.repeat(tf.constant(kernels_of_keys, tf.int32), sizes))


def _hop(network: Network, given: _Edges, num_nodes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, Hop]:
    """Put the nodes that get messages first, and sort the edges by target.

    Returns:
        The nodes in the new order; the new row of each node; the step.
    """
    edges, kernels = given
    num_kernels = len(kernel_names(network.config.tie_directions))
    moves = tf.math.unsorted_segment_sum(tf.ones_like(kernels), edges[:, 1], num_nodes) > 0
    moving, still = (tf.cast(tf.where(mask)[:, 0], tf.int32) for mask in (moves, tf.logical_not(moves)))
    order = tf.concat([moving, still], axis=0)
    position = tf.math.invert_permutation(order)
    sources, targets = tf.gather(position, edges[:, 0]), tf.gather(position, edges[:, 1])
    by_target = tf.argsort(targets, stable=True)
    width = tf.cast(num_nodes, tf.int64)
    # kernels ascend, and `unique` keeps the order of first appearance: messages stand kernel by kernel
    codes, messages = tf.unique(tf.cast(kernels, tf.int64) * width + tf.cast(sources, tf.int64))
    low, high = (tf.cast(side(sources, targets), tf.int64) for side in (tf.minimum, tf.maximum))
    pair_codes, pairs = tf.unique(low * width + high)
    width = tf.maximum(width, 1)
    hop = Hop(
        num_moving=tf.size(moving),
        first_still=tf.size(moving),
        sources=tf.cast(codes % width, tf.int32),
        kernel_sizes=tf.math.bincount(tf.cast(codes // width, tf.int32), minlength=num_kernels),
        messages=tf.gather(messages, by_target),
        targets=tf.gather(targets, by_target),
        kernels=tf.gather(kernels, by_target),
        pairs=tf.gather(pairs, by_target),
        left=tf.cast(pair_codes // width, tf.int32),
        right=tf.cast(pair_codes % width, tf.int32),
        # only gradients need these
        by_message=NOTHING,
        sorted_messages=NOTHING,
        entries=np.zeros((0, 2), np.int64),
        entry_pairs=NOTHING,
    )
    return order, position, hop
