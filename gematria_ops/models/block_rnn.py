"""The recurrent network of GRANITE + RNN: it reads the features of a block's instructions in order.

An LSTM (``layers.LstmCell``), or a GRU as in Keras: K. Cho et al., 2014, in the variant that resets after the matrix
product ("reset after"):

    z, r = sigmoid of the gates;   candidate = tanh(x_c + r * (h @ U_c + b_c));   h' = z * h + (1 - z) * candidate

Specification section 8.6. Dropout of the inputs is active in training only, and decided by the batch's seed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from gematria_ops.config import GraniteConfig, RnnType
from gematria_ops.encode.graph_batch import GraphInputs
from gematria_ops.models.layers import LstmCell, State, VariableStore
from gematria_ops.models.normalization import LayerNormalization
from gematria_ops.models.plain_rnn import Cell, last_states, list_places, outputs_of_items

Reader = Callable[..., tf.Tensor]


def read_by_scan(
    cell: Cell, instructions: tf.Tensor, places: tf.Tensor, sizes: tf.Tensor, *, seq2seq: bool
) -> tf.Tensor:
    """Reads the blocks in a way that is fast to train: a scan over an array of steps.

    Args:
        cell: The network.
        instructions: [I, input size] float32.
        places: [I, 2] int32. The step and the block of each instruction.
        sizes: [B] int32. Instructions of each block.
        seq2seq: Answer for every instruction instead of every block.

    Returns:
        [B, D] or [I, D].
    """
    length, num_blocks = tf.reduce_max(sizes), tf.size(sizes)
    projected = cell.project(instructions)  # [I, gates]
    steps = tf.scatter_nd(places, projected, tf.stack([length, num_blocks, projected.shape[1]]))  # [L, B, gates]
    is_running = (tf.range(length)[:, None] < sizes[None, :])[:, :, None]  # [L, B, 1]

    def step(state: State, now: tuple[tf.Tensor, tf.Tensor]) -> State:
        values, runs = now
        return tuple(tf.where(runs, new, old) for new, old in zip(cell.step(values, state), state, strict=True))

    states = tf.scan(step, (steps, is_running), cell.start(num_blocks))[0]  # [L, B, D]
    # A block that has ended keeps its state.
    return tf.gather_nd(states, places) if seq2seq else states[-1]


def read_by_loop(
    cell: Cell, instructions: tf.Tensor, places: tf.Tensor, sizes: tf.Tensor, *, seq2seq: bool
) -> tf.Tensor:
    """Reads the blocks likewise, with operations that TensorFlow Lite has."""
    if seq2seq:
        return outputs_of_items(cell, instructions, places, sizes)
    return last_states(cell, instructions, places, sizes)[0]


class BlockRnn:
    """A recurrent network over the instructions of each block.

    Args:
        store: Where the variables are added.
        config: Kind, sizes and modes.
        input_size: Width of an instruction's features.
    """

    def __init__(self, store: VariableStore, config: GraniteConfig, input_size: int) -> None:
        size = config.rnn_output_size
        self._seq2seq = config.seq2seq
        self._dropout = config.rnn_dropout
        self._norm = (
            LayerNormalization(store, "rnn/input_norm", input_size)
            if config.readout_input_layer_normalization
            else None
        )
        cell = LstmCell if config.rnn_type is RnnType.LSTM else GruCell
        names = ("rnn/forward", "rnn/backward") if config.rnn_bidirectional else ("rnn/forward",)
        self._cells = [cell(store, name, input_size, size) for name in names]
        self.output_size = size * len(names)

    def __call__(self, instructions: tf.Tensor, inputs: GraphInputs, read: Reader = read_by_scan) -> tf.Tensor:
        """Reads the blocks.

        Args:
            instructions: [I, input size] float32. Features of the instructions, block by block.
            inputs: Says which block each instruction belongs to.
            read: `read_by_scan` or `read_by_loop`; the answers are the same.

        Returns:
            [B, output size], or for seq2seq [I, output size].
        """
        if self._norm is not None:
            instructions = self._norm(instructions)
        if self._dropout > 0 and inputs.dropout_seed is not None:
            kept = tf.random.stateless_uniform(tf.shape(instructions), inputs.dropout_seed) >= self._dropout
            # Dropping everything is allowed; a division by zero would make the gradients of nothing NaN.
            scale = 1 / (1 - self._dropout) if self._dropout < 1 else 0.0
            instructions = tf.where(kept, instructions * scale, tf.zeros_like(instructions))
        sizes, blocks = tf.convert_to_tensor(inputs.block_sizes), tf.convert_to_tensor(inputs.instruction_blocks)
        outputs = []
        for cell, is_backward in zip(self._cells, (False, True)):
            places = list_places(sizes, blocks, backwards=is_backward)
            outputs.append(read(cell, instructions, places, sizes, seq2seq=self._seq2seq))
        return tf.concat(outputs, axis=1)


class GruCell:
    """One step of a gated recurrent unit; its methods are those of ``layers.LstmCell``."""

    def __init__(self, store: VariableStore, name: str, input_size: int, size: int) -> None:
        self._size = size
        self._kernel = store.glorot_uniform(f"{name}/kernel", (input_size, 3 * size))
        self._recurrent_kernel = store.orthogonal(f"{name}/recurrent_kernel", (size, 3 * size))
        self._bias = store.constant(f"{name}/bias", np.zeros(3 * size))
        self._recurrent_bias = store.constant(f"{name}/recurrent_bias", np.zeros(3 * size))

    def project(self, values: tf.Tensor) -> tf.Tensor:
        """Works out what does not depend on the state: [N, input size] to [N, 3D]."""
        return tf.matmul(values, self._kernel) + self._bias

    def start(self, num_rows: tf.Tensor) -> State:
        """Returns h of zero, [rows, D]."""
        return (tf.zeros(tf.stack([num_rows, self._size])),)

    def step(self, projected: tf.Tensor, state: State) -> State:
        """Returns h after reading [rows, 3D]."""
        (h,) = state
        z, r, candidate = tf.split(projected, 3, axis=1)
        z_h, r_h, candidate_h = tf.split(tf.matmul(h, self._recurrent_kernel) + self._recurrent_bias, 3, axis=1)
        z, r = tf.sigmoid(z + z_h), tf.sigmoid(r + r_h)
        return (z * h + (1 - z) * tf.tanh(candidate + r * candidate_h),)
