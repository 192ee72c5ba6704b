"""A recurrent network over lists of different lengths, as a plain loop: for exported models.

Unlike the forests of `prefix_lstm.py` and the scan of `block_rnn.py`, it needs nothing but the flat values and the
lengths, and only operations that TensorFlow Lite has; it is not made to be trained.
"""

from __future__ import annotations

from typing import Protocol

import tensorflow as tf

from gematria_ops.models.layers import State


class Cell(Protocol):
    """One step of a recurrent network; see ``layers.LstmCell``."""

    def project(self, values: tf.Tensor) -> tf.Tensor:
        """Works out what does not depend on the state."""

    def start(self, num_rows: tf.Tensor) -> State:
        """Returns the state before the first step."""

    def step(self, projected: tf.Tensor, state: State) -> State:
        """Returns the state after a step; its first part is the cell's output."""


def list_places(sizes: tf.Tensor, rows: tf.Tensor, *, backwards: bool = False) -> tf.Tensor:
    """Tells where each item of some lists stands.

    Args:
        sizes: [R] int32. Lengths of the lists.
        rows: [S] int32. The list of each item, rising.
        backwards: Count from the last item of each list.

    Returns:
        [S, 2] int32: the item's position in its list, and the list.
    """
    positions = tf.range(tf.size(rows)) - tf.gather(tf.cumsum(sizes, exclusive=True), rows)
    if backwards:
        positions = tf.gather(sizes, rows) - 1 - positions
    return tf.stack([positions, rows], axis=1)


def last_states(cell: Cell, values: tf.Tensor, places: tf.Tensor, sizes: tf.Tensor) -> State:
    """Reads lists and returns the states behind their last items.

    Args:
        cell: The network.
        values: [S, input size] float32. The items.
        places: [S, 2] int32. The position and the list of each item; see `list_places`.
        sizes: [R] int32. Lengths of the lists, at least 1.

    Returns:
        [R, D] each.
    """
    return _run(cell, values, places, sizes, None)[0]


def outputs_of_items(cell: Cell, values: tf.Tensor, places: tf.Tensor, sizes: tf.Tensor) -> tf.Tensor:
    """Reads lists likewise and returns the output at every item, [S, D], in the order of the values."""
    start = cell.start(tf.shape(values)[0])[0]
    return _run(cell, values, places, sizes, start)[1]


def _run(
    cell: Cell, values: tf.Tensor, places: tf.Tensor, sizes: tf.Tensor, outputs: tf.Tensor | None
) -> tuple[State, tf.Tensor | None]:
    length, num_rows = tf.reduce_max(sizes), tf.size(sizes)
    projected = cell.project(values)  # [S, gates]
    # The item of each list at each position; where a list has ended, any item does.
    items = tf.scatter_nd(places, tf.range(tf.shape(values)[0]), tf.stack([length, num_rows]))  # [L, R]
    positions, rows = places[:, 0], places[:, 1]

    def step(now: tf.Tensor, state: State, *outputs: tf.Tensor) -> tuple[object, ...]:
        new = cell.step(tf.gather(projected, tf.gather(items, now)), state)
        is_running = (now < sizes)[:, None]
        state = tuple(tf.where(is_running, after, before) for after, before in zip(new, state, strict=True))
        here = (positions == now)[:, None]
        return now + 1, state, *(tf.where(here, tf.gather(state[0], rows), output) for output in outputs)

    start = (tf.zeros([], tf.int32), cell.start(num_rows), *(() if outputs is None else (outputs,)))
    _, state, *filled = tf.while_loop(lambda now, *_: now < length, step, start)
    return state, filled[0] if filled else None
