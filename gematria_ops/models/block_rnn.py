"""The recurrent network of GRANITE + RNN: it reads the features of a block's instructions in order.

Cells as in Keras. LSTM: S. Hochreiter and J. Schmidhuber, 1997, with forget gate. GRU: K. Cho et al., 2014, in the
variant that resets after the matrix product ("reset after"):

    z, r = sigmoid of the gates;   candidate = tanh(x_c + r * (h @ U_c + b_c));   h' = z * h + (1 - z) * candidate

Specification section 8.6. Dropout of the inputs is active in training only, and decided by the batch's seed.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from gematria_ops.config import GraniteConfig, RnnType
from gematria_ops.encode.graph_batch import GraphInputs
from gematria_ops.models.layers import VariableStore
from gematria_ops.models.normalization import LayerNormalization

State = tuple[tf.Tensor, ...]


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
        cell = _LstmCell if config.rnn_type is RnnType.LSTM else _GruCell
        names = ("rnn/forward", "rnn/backward") if config.rnn_bidirectional else ("rnn/forward",)
        self._cells = [cell(store, name, input_size, size) for name in names]
        self.output_size = size * len(names)

    def __call__(self, instructions: tf.Tensor, inputs: GraphInputs) -> tf.Tensor:
        """Reads the blocks.

        Args:
            instructions: [I, input size] float32. Features of the instructions, block by block.
            inputs: Says which block each instruction belongs to.

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
        first = tf.cumsum(sizes, exclusive=True)  # [B]
        positions = tf.range(tf.size(blocks)) - tf.gather(first, blocks)  # [I], from a block's first instruction on
        outputs = []
        for cell, is_backward in zip(self._cells, (False, True)):
            steps = tf.gather(sizes, blocks) - 1 - positions if is_backward else positions
            places = tf.stack([steps, blocks], axis=1)  # [I, 2]
            states = _run(cell, instructions, places, sizes)  # [L, B, D]
            # A block that has ended keeps its state.
            outputs.append(tf.gather_nd(states, places) if self._seq2seq else states[-1])
        return tf.concat(outputs, axis=1)


class _LstmCell:
    def __init__(self, store: VariableStore, name: str, input_size: int, size: int) -> None:
        self._size = size
        self._kernel = store.glorot_uniform(f"{name}/kernel", (input_size, 4 * size))
        self._recurrent_kernel = store.orthogonal(f"{name}/recurrent_kernel", (size, 4 * size))
        # Gates i, f, g, o: a network forgets nothing to begin with (forget bias 1).
        self._bias = store.constant(f"{name}/bias", np.repeat([0.0, 1.0, 0.0, 0.0], size))

    def project(self, values: tf.Tensor) -> tf.Tensor:
        return tf.matmul(values, self._kernel) + self._bias

    def start(self, num_blocks: tf.Tensor) -> State:
        zeros = tf.zeros(tf.stack([num_blocks, self._size]))
        return zeros, zeros

    def step(self, projected: tf.Tensor, state: State) -> State:
        h, c = state
        i, f, g, o = tf.split(projected + tf.matmul(h, self._recurrent_kernel), 4, axis=1)
        c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
        return tf.sigmoid(o) * tf.tanh(c), c


class _GruCell:
    def __init__(self, store: VariableStore, name: str, input_size: int, size: int) -> None:
        self._size = size
        self._kernel = store.glorot_uniform(f"{name}/kernel", (input_size, 3 * size))
        self._recurrent_kernel = store.orthogonal(f"{name}/recurrent_kernel", (size, 3 * size))
        self._bias = store.constant(f"{name}/bias", np.zeros(3 * size))
        self._recurrent_bias = store.constant(f"{name}/recurrent_bias", np.zeros(3 * size))

    def project(self, values: tf.Tensor) -> tf.Tensor:
        return tf.matmul(values, self._kernel) + self._bias

    def start(self, num_blocks: tf.Tensor) -> State:
        return (tf.zeros(tf.stack([num_blocks, self._size])),)

    def step(self, projected: tf.Tensor, state: State) -> State:
        (h,) = state
        z, r, candidate = tf.split(projected, 3, axis=1)
        z_h, r_h, candidate_h = tf.split(tf.matmul(h, self._recurrent_kernel) + self._recurrent_bias, 3, axis=1)
        z, r = tf.sigmoid(z + z_h), tf.sigmoid(r + r_h)
        return (z * h + (1 - z) * tf.tanh(candidate + r * candidate_h),)


def _run(cell: _LstmCell | _GruCell, instructions: tf.Tensor, places: tf.Tensor, sizes: tf.Tensor) -> tf.Tensor:
    """Returns the output after every step for every block, [L, B, D]; places are [I, 2], step and block."""
    length, num_blocks = tf.reduce_max(sizes), tf.size(sizes)
    projected = cell.project(instructions)  # [I, gates]
    steps = tf.scatter_nd(places, projected, tf.stack([length, num_blocks, projected.shape[1]]))  # [L, B, gates]
    is_running = (tf.range(length)[:, None] < sizes[None, :])[:, :, None]  # [L, B, 1]

    def step(state: State, now: tuple[tf.Tensor, tf.Tensor]) -> State:
        values, runs = now
        return tuple(tf.where(runs, new, old) for new, old in zip(cell.step(values, state), state, strict=True))

    states: State = tf.scan(step, (steps, is_running), cell.start(num_blocks))
    return states[0]
