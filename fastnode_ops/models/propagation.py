"""One step of the gated graph network: attended messages, the strongest of each dimension, a gated cell (spec. 8.3).

The gradients of the two parts that read every edge are written by hand: the derived ones would add up [E, D] arrays
row by row several times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import tensorflow as tf

from fastnode_ops.models.inputs import Hop, Ints
from fastnode_ops.models.variables import Store

Pooling = Literal["max", "sum", "mean"]


class Cell:
    """The classical gated recurrent unit.

    [r, u] = sigmoid([x, h] W_g + b_g);  c = tanh([x, r h] W_c + b_c);  h' = u h + (1 - u) c

    Args:
        store: Where the variables are added.
        name: Prefix of their names.
        depth: D.
    """

    def __init__(self, store: Store, name: str, depth: int) -> None:
        self._gates = store.glorot_uniform(f"{name}/gates/kernel", (2 * depth, 2 * depth))
        self._gates_bias = store.constant(f"{name}/gates/bias", (2 * depth,), 1.0)
        self._candidate = store.glorot_uniform(f"{name}/candidate/kernel", (2 * depth, depth))
        self._candidate_bias = store.constant(f"{name}/candidate/bias", (depth,), 0.0)

    def __call__(self, inputs: tf.Tensor, states: tf.Tensor) -> tf.Tensor:
        """Update states [T, D] by inputs [T, D]."""
        gates_of_inputs, gates_of_states = tf.split(self._gates, 2)
        candidate_of_inputs, candidate_of_states = tf.split(self._candidate, 2)
        gates = tf.sigmoid(tf.matmul(inputs, gates_of_inputs) + tf.matmul(states, gates_of_states) + self._gates_bias)
        reset, update = tf.split(gates, 2, axis=1)
        candidate = tf.tanh(
            tf.matmul(inputs, candidate_of_inputs)
            + tf.matmul(reset * states, candidate_of_states)
            + self._candidate_bias
        )
        return update * states + (1 - update) * candidate


class Propagation:
    """The network of both graphs: edge kernels, attention, and one cell for all steps (or one for each).

    Args:
        store: Where the variables are added.
        kernels: Name of each edge kernel.
        depth: D.
        pooling: How the messages of a node become one.
        edge_attention: Whether messages are weighted.
        num_cells: One shared by all steps, or one for each.
    """

    def __init__(
        self,
        store: Store,
        kernels: Sequence[str],
        depth: int,
        *,
        pooling: Pooling,
        edge_attention: bool,
        num_cells: int = 1,
    ) -> None:
        self._pooling = pooling
        self._kernels = [store.glorot_uniform(f"propagation/{name}/kernel", (depth, depth)) for name in kernels]
        self._attention = (
            [store.constant(f"propagation/{name}/attention", (), 1.0) for name in kernels] if edge_attention else []
        )
        names = ["propagation/cell"] if num_cells == 1 else [f"propagation/cell_{i}" for i in range(num_cells)]
        self._cells = [Cell(store, name, depth) for name in names]

    def __call__(self, states: tf.Tensor, hop: Hop, step: int) -> tf.Tensor:
        """Do one step.

        Args:
            states: [., D]. Those of the nodes that get messages first.
            hop: The edges.
            step: Which cell to use, when each step has its own.

        Returns:
            [., D]. The new states of the nodes that get messages, then those of the nodes that never do.
        """
        messages = self._messages(states, hop)
        weights = self._weights(states, hop) if self._attention else tf.ones_like(hop.targets, tf.float32)
        pooled = pool(messages, weights, hop, self._pooling)
        cell = self._cells[step if len(self._cells) > 1 else 0]
        sizes = tf.stack([hop.num_moving, hop.first_still - hop.num_moving, tf.shape(states)[0] - hop.first_still])
        moving, _, still = tf.split(states, sizes, num=3)  # the gradient of a slice would be slower
        return tf.concat([cell(pooled, moving), still], axis=0)

    def _messages(self, states: tf.Tensor, hop: Hop) -> tf.Tensor:
        """Return [U, D]: the state of each source times the kernel of the edge type."""
        parts = tf.split(tf.gather(states, hop.sources), hop.kernel_sizes, num=len(self._kernels))
        return tf.concat([tf.matmul(part, kernel) for part, kernel in zip(parts, self._kernels, strict=True)], axis=0)

    def _weights(self, states: tf.Tensor, hop: Hop) -> tf.Tensor:
        """Return [E]: the share of each message among all that arrive at the same node."""
        scales = tf.gather(tf.stack(self._attention), hop.kernels)
        logits = scales * tf.gather(pair_products(states, hop), hop.pairs)
        return segment_softmax(logits, hop.targets)


def segment_softmax(logits: tf.Tensor, segments: Ints) -> tf.Tensor:
    """Return the softmax over the elements of each segment; [M], segments ascending without gaps."""
    highest = tf.stop_gradient(tf.math.segment_max(logits, segments))
    powers = tf.exp(logits - tf.gather(highest, segments))
    return powers / tf.gather(tf.math.segment_sum(powers, segments), segments)


def pair_products(states: tf.Tensor, hop: Hop) -> tf.Tensor:
    """Return [Q]: the dot product of both states of each pair."""

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def products(states: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            # each state of a pair gets the other one, times the gradient of their product: a sparse matrix product
            size = tf.cast(tf.shape(states)[0], tf.int64)
            return tf.raw_ops.SparseTensorDenseMatMul(
                a_indices=hop.entries,
                a_values=tf.gather(upstream, hop.entry_pairs),
                a_shape=tf.stack([size, size]),
                b=states,
            )

        return tf.reduce_sum(tf.gather(states, hop.left) * tf.gather(states, hop.right), axis=1), gradient

    products_of_pairs: tf.Tensor = products(states)
    return products_of_pairs


def pool(messages: tf.Tensor, weights: tf.Tensor, hop: Hop, pooling: Pooling) -> tf.Tensor:
    """Return [T, D]: the weighted messages of each node, made one; equal ones share a maximum's gradient."""
    if pooling == "max":
        return _strongest(messages, weights, hop)
    weighted = tf.gather(messages, hop.messages) * weights[:, None]
    return {"sum": tf.math.segment_sum, "mean": tf.math.segment_mean}[pooling](weighted, hop.targets)


def _strongest(messages: tf.Tensor, weights: tf.Tensor, hop: Hop) -> tf.Tensor:
    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def strongest(messages: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, Any]:
        of_edges = tf.gather(messages, hop.messages)  # [E, D]
        weighted = of_edges * weights[:, None]
        highest = tf.math.segment_max(weighted, hop.targets)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            is_highest = tf.cast(tf.equal(weighted, tf.gather(highest, hop.targets)), tf.float32)
            shared = upstream / tf.math.segment_sum(is_highest, hop.targets)
            of_weighted = tf.gather(shared, hop.targets) * is_highest
            of_messages = tf.sparse.segment_sum(of_weighted * weights[:, None], hop.by_message, hop.sorted_messages)
            return of_messages, tf.reduce_sum(of_weighted * of_edges, axis=1)

        return highest, gradient

    pooled: tf.Tensor = strongest(messages, weights)
    return pooled
