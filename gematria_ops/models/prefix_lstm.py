"""An LSTM over a forest of prefixes: one cell evaluation for each distinct prefix, chunk by chunk.

Cell (S. Hochreiter and J. Schmidhuber, 1997, with forget gate; gate order and activations as in Keras):

    [i f g o] = x @ kernel + bias + h_parent @ recurrent_kernel
    c = sigmoid(f) * c_parent + sigmoid(i) * tanh(g)
    h = sigmoid(o) * tanh(c)

The loop is written for XLA: static shapes, as many turns as there are chunks in use. The gradient is written by hand,
because a derived one would keep every intermediate value of every turn; here the gradient of the recurrent kernel is
one matrix product over all nodes.

What was tried, in ms of processor time for the losses and gradients of 100 blocks (sizes 256, AMD EPYC with AVX-512),
of up to 12 instructions and, in brackets, of up to 256:

    this forest, whole levels, TensorFlow's while loop
    with its own gradient, no XLA                         48 (107)
    this: XLA, one thread an operation                    22 (38)
    chunks of tokens of 8 or 32 instead of 16 nodes       the same
    slices instead of gathers of consecutive rows         25 (44)
    arrays that fit exactly, compiled for each batch      19: what filling them up costs

Two threads an operation: a whole step then takes 35 instead of 25. `benchmarks/train_step.py` compares with Keras.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

Gradients = tuple[tf.Tensor, tf.Tensor]


def lstm_over_trie(
    projected: tf.Tensor,
    recurrent_kernel: tf.Tensor,
    symbols: tf.Tensor,
    parents: tf.Tensor,
    num_chunks: tf.Tensor,
    chunk_size: int,
) -> tf.Tensor:
    """Runs the LSTM from the zero state along every path of a forest.

    Args:
        projected: [R, 4D] float32. ``x @ kernel + bias`` for each symbol.
        recurrent_kernel: [D, 4D] float32.
        symbols: [P] int32. The row of ``projected`` that each node reads.
        parents: [P] int32. The node before each node. Parents of a chunk lie in chunks before it.
        num_chunks: [] int32. Chunks in use.
        chunk_size: Nodes of a chunk; divides P.

    Returns:
        [P + 1, 2D] float32: h and c of every node; zero for node 0 and for nodes behind the chunks in use.
    """

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def run(projected: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], Gradients]]:
        states, gates = _forward(projected, kernel, symbols, parents, num_chunks, chunk_size)

        def gradient(upstream: tf.Tensor) -> Gradients:
            upstream = tf.convert_to_tensor(upstream)  # slices, where only some states are read
            errors = _backward(upstream, states, gates, kernel, parents, num_chunks, chunk_size)  # [P, 4D]
            h_parents = tf.gather(states[:, : kernel.shape[0]], parents)  # [P, D]
            return (
                tf.math.unsorted_segment_sum(errors, symbols, tf.shape(projected)[0]),
                tf.matmul(h_parents, errors, transpose_a=True),
            )

        return states, gradient

    return run(projected, recurrent_kernel)


def _forward(
    projected: tf.Tensor,
    kernel: tf.Tensor,
    symbols: tf.Tensor,
    parents: tf.Tensor,
    num_chunks: tf.Tensor,
    chunk_size: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the states of all nodes, [P + 1, 2D], and their gates after activation, [P, 4D]."""
    width = kernel.shape[0]
    num_nodes = tf.shape(parents)[0]

    def next_chunk(chunk: tf.Tensor, states: tf.Tensor, gates: tf.Tensor) -> tuple[tf.Tensor, ...]:
        places = chunk * chunk_size + tf.range(chunk_size)
        before = tf.gather(states, tf.gather(parents, places))  # [C, 2D]
        inputs = tf.gather(projected, tf.gather(symbols, places))  # [C, 4D]
        i, f, g, o = tf.split(inputs + tf.matmul(before[:, :width], kernel), 4, axis=1)
        i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
        c = f * before[:, width:] + i * g
        after = tf.concat([o * tf.tanh(c), c], axis=1)
        states = tf.tensor_scatter_nd_update(states, places[:, None] + 1, after)
        gates = tf.tensor_scatter_nd_update(gates, places[:, None], tf.concat([i, f, g, o], axis=1))
        return chunk + 1, states, gates

    start = (tf.zeros([], tf.int32), tf.zeros([num_nodes + 1, 2 * width]), tf.zeros([num_nodes, 4 * width]))
    _, states, gates = tf.while_loop(lambda chunk, *_: chunk < num_chunks, next_chunk, start)
    return states, gates


def _backward(
    upstream: tf.Tensor,
    states: tf.Tensor,
    gates: tf.Tensor,
    kernel: tf.Tensor,
    parents: tf.Tensor,
    num_chunks: tf.Tensor,
    chunk_size: int,
) -> tf.Tensor:
    """Returns the gradient at every node's gates before activation, [P, 4D], from that of all states, [P + 1, 2D]."""
    width = kernel.shape[0]
    transposed = tf.transpose(kernel)  # [4D, D]
    num_nodes = tf.shape(parents)[0]

    def next_chunk(chunk: tf.Tensor, totals: tf.Tensor, errors: tf.Tensor) -> tuple[tf.Tensor, ...]:
        places = chunk * chunk_size + tf.range(chunk_size)
        above = tf.gather(parents, places)
        c_before = tf.gather(states, above)[:, width:]
        tanh_c = tf.tanh(tf.gather(states, places + 1)[:, width:])
        i, f, g, o = tf.split(tf.gather(gates, places), 4, axis=1)
        dh, dc = tf.split(tf.gather(totals, places + 1), 2, axis=1)
        dc += dh * o * (1 - tanh_c * tanh_c)
        error = tf.concat(
            [dc * g * i * (1 - i), dc * c_before * f * (1 - f), dc * i * (1 - g * g), dh * tanh_c * o * (1 - o)], axis=1
        )  # [C, 4D]
        passed_on = tf.concat([tf.matmul(error, transposed), dc * f], axis=1)  # [C, 2D]
        totals = tf.tensor_scatter_nd_add(totals, above[:, None], passed_on)
        return chunk - 1, totals, tf.tensor_scatter_nd_update(errors, places[:, None], error)

    start = (num_chunks - 1, upstream, tf.zeros([num_nodes, 4 * width]))
    return tf.while_loop(lambda chunk, *_: chunk >= 0, next_chunk, start)[2]
