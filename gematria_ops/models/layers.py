"""Variables with their initial values, and the layers that the models are made of.

Every variable draws its initial value from its own stream, named after it: the same seed gives the same weights, and
another layer more or less changes nothing for the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from gematria_ops.encode.tries import PrefixTrie
from gematria_ops.models.prefix_lstm import lstm_over_trie
from ops_common.seeding import stream

EMBEDDING_LIMIT = 0.05


class VariableStore:
    """Creates variables by name and keeps them in the order of their creation.

    Args:
        seed: Of the initial values.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.by_name: dict[str, tf.Variable] = {}

    def uniform(self, name: str, shape: Sequence[int], limit: float) -> tf.Variable:
        """Adds a variable drawn from uniform(-limit, limit)."""
        return self._add(name, self._random(name).uniform(-limit, limit, shape))

    def glorot_uniform(self, name: str, shape: tuple[int, int]) -> tf.Variable:
        """Adds a kernel drawn from uniform(-l, l) with l = sqrt(6 / (rows + columns)); Glorot and Bengio, 2010."""
        return self.uniform(name, shape, math.sqrt(6 / sum(shape)))

    def glorot_normal(self, name: str, shape: tuple[int, int]) -> tf.Variable:
        """Adds a kernel or table drawn as Keras' glorot_normal draws one: variance 2 / (rows + columns)."""
        return self._add(name, self._truncated_normal(name, shape, math.sqrt(2 / sum(shape))))

    def glorot_normal_bias(self, name: str, size: int) -> tf.Variable:
        """Adds a bias drawn likewise; both fans of a vector are its length, so the variance is 1 / size."""
        return self._add(name, self._truncated_normal(name, (size,), math.sqrt(1 / size)))

    def _truncated_normal(self, name: str, shape: tuple[int, ...], deviation: float) -> np.ndarray:
        """Draws from a normal distribution cut off at two standard deviations, scaled to the given deviation."""
        random = self._random(name)
        values = random.standard_normal(shape)
        while (outside := np.abs(values) > 2).any():
            values[outside] = random.standard_normal(int(outside.sum()))
        # The deviation of a standard normal distribution cut off at two.
        return values / 0.87962566103423978 * deviation

    def orthogonal(self, name: str, shape: tuple[int, int]) -> tf.Variable:
        """Adds a matrix with orthonormal rows or columns, uniform among those; Saxe et al., 2013."""
        rows, columns = shape
        q, r = np.linalg.qr(self._random(name).standard_normal((max(shape), min(shape))))
        q *= np.sign(np.diag(r))
        return self._add(name, q if rows >= columns else q.T)

    def constant(self, name: str, values: np.ndarray) -> tf.Variable:
        """Adds a variable with given initial values."""
        return self._add(name, values)

    def _random(self, name: str) -> np.random.Generator:
        return stream(self._seed, "weights", name)

    def _add(self, name: str, values: np.ndarray) -> tf.Variable:
        if name in self.by_name:
            raise ValueError(f"there are two variables named {name}")
        variable = tf.Variable(values.astype(np.float32), name=name.rpartition("/")[2])
        self.by_name[name] = variable
        return variable


class Dense:
    """A fully connected layer with ReLU.

    Args:
        store: Where the variables are added.
        name: Prefix of their names.
        input_size: Width of the input.
        size: Width of the output.
    """

    def __init__(self, store: VariableStore, name: str, input_size: int, size: int) -> None:
        self._kernel = store.glorot_uniform(f"{name}/kernel", (input_size, size))
        self._bias = store.glorot_normal_bias(f"{name}/bias", size)
        self.size = size

    def __call__(self, values: tf.Tensor) -> tf.Tensor:
        """Applies the layer: [N, input size] to [N, size]."""
        return tf.nn.relu(tf.matmul(values, self._kernel) + self._bias)


State = tuple[tf.Tensor, ...]


class LstmCell:
    """One step of an LSTM, as in Keras: S. Hochreiter and J. Schmidhuber, 1997, with forget gate.

    Args:
        store: Where the variables are added.
        name: Prefix of their names.
        input_size: Width of the input.
        size: D, width of h and of c.
    """

    def __init__(self, store: VariableStore, name: str, input_size: int, size: int) -> None:
        self._size = size
        self._kernel = store.glorot_uniform(f"{name}/kernel", (input_size, 4 * size))
        self.recurrent_kernel = store.orthogonal(f"{name}/recurrent_kernel", (size, 4 * size))
        # Gates i, f, g, o: a network forgets nothing to begin with (forget bias 1).
        self._bias = store.constant(f"{name}/bias", np.repeat([0.0, 1.0, 0.0, 0.0], size))

    def project(self, values: tf.Tensor) -> tf.Tensor:
        """Works out what does not depend on the state: [N, input size] to [N, 4D]."""
        return tf.matmul(values, self._kernel) + self._bias

    def start(self, num_rows: tf.Tensor) -> State:
        """Returns h and c of zero, [rows, D] each."""
        zeros = tf.zeros(tf.stack([num_rows, self._size]))
        return zeros, zeros

    def step(self, projected: tf.Tensor, state: State) -> State:
        """Returns h and c after reading [rows, 4D]."""
        h, c = state
        i, f, g, o = tf.split(projected + tf.matmul(h, self.recurrent_kernel), 4, axis=1)
        c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
        return tf.sigmoid(o) * tf.tanh(c), c


class Lstm:
    """An LSTM over forests of prefixes.

    Args:
        store: Where the variables are added.
        name: Prefix of their names.
        input_size: Width of the input.
        size: D, width of h and of c.
        chunk_size: That of the forests.

    Attributes:
        cell: Its variables, for those who read plain sequences instead.
    """

    def __init__(self, store: VariableStore, name: str, input_size: int, size: int, chunk_size: int) -> None:
        self._chunk_size = chunk_size
        self.cell = LstmCell(store, name, input_size, size)

    def __call__(self, inputs: tf.Tensor, trie: PrefixTrie) -> tf.Tensor:
        """Reads the inputs along the paths of a forest.

        Args:
            inputs: [R, input size]. What each symbol stands for; projected once, however often it is read.
            trie: The forest; symbols index ``inputs``.

        Returns:
            [P + 1, 2D]: h and c of every node; zero for node 0.
        """
        projected = self.cell.project(inputs)  # [R, 4D]
        return lstm_over_trie(projected, self.cell.recurrent_kernel, *trie, chunk_size=self._chunk_size)
