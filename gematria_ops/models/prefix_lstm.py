"""An LSTM over a forest of prefixes: one cell evaluation for each distinct prefix, level by level.

Cell (S. Hochreiter and J. Schmidhuber, 1997, with forget gate; gate order and activations as in Keras):

    [i f g o] = x @ kernel + h_parent @ recurrent_kernel + bias        # [4D]
    c = sigmoid(f) * c_parent + sigmoid(i) * tanh(g)
    h = sigmoid(o) * tanh(c)
"""

from __future__ import annotations

import tensorflow as tf


def lstm_over_trie(
    projected: tf.Tensor,
    recurrent_kernel: tf.Tensor,
    symbols: tf.Tensor,
    parents: tf.Tensor,
    level_splits: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Runs the LSTM from the zero state along every path of a forest.

    Args:
        projected: [R, 4D] float32. ``x @ kernel + bias`` for each symbol.
        recurrent_kernel: [D, 4D] float32.
        symbols: [P] int32. The row of ``projected`` that each node reads.
        parents: [P] int32. The node before each node; -1 in the first level.
        level_splits: [L + 1] int32. Where each level of nodes begins.

    Returns:
        h and c of every node, each [P, D] float32.
    """
    width = recurrent_kernel.shape[0]
    inputs = tf.gather(projected, symbols)  # [P, 4D]
    num_levels = tf.size(level_splits) - 1
    states = tf.TensorArray(tf.float32, num_levels, infer_shape=False, element_shape=[None, 2 * width])

    def next_level(level: tf.Tensor, previous: tf.Tensor, states: tf.TensorArray) -> tuple[tf.Tensor, ...]:
        start, end = level_splits[level], level_splits[level + 1]
        parent = parents[start:end] - level_splits[tf.maximum(level - 1, 0)]
        state = tf.gather(previous, tf.where(level > 0, parent, tf.zeros_like(parent)))  # [p, 2D]
        h_parent, c_parent = tf.split(state, 2, axis=1)
        gates = inputs[start:end] + tf.matmul(h_parent, recurrent_kernel)
        i, f, g, o = tf.split(gates, 4, axis=1)
        c = tf.sigmoid(f) * c_parent + tf.sigmoid(i) * tf.tanh(g)
        state = tf.concat([tf.sigmoid(o) * tf.tanh(c), c], axis=1)
        return level + 1, state, states.write(level, state)

    _, _, states = tf.while_loop(
        lambda level, *_: level < num_levels,
        next_level,
        (0, tf.zeros([1, 2 * width]), states),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, 2 * width]), tf.TensorShape(None)),
    )
    h, c = tf.split(states.concat(), 2, axis=1)
    return h, c
