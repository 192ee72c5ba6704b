"""Layer normalisation and residual connections. J. Ba et al., 2016; K. He et al., 2016."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from gematria_ops.models.layers import VariableStore

# Keras' value.
EPSILON = 1e-3


class LayerNormalization:
    """Makes each row's mean 0 and variance 1, then scales and shifts by learnt values, 1 and 0 to begin with.

    Args:
        store: Where the variables are added.
        name: Prefix of their names.
        size: Width of a row.
    """

    def __init__(self, store: VariableStore, name: str, size: int) -> None:
        self._scale = store.constant(f"{name}/gamma", np.ones(size))
        self._offset = store.constant(f"{name}/beta", np.zeros(size))

    def __call__(self, values: tf.Tensor) -> tf.Tensor:
        """Normalises: [N, size] to [N, size]."""
        centred = values - tf.reduce_mean(values, axis=-1, keepdims=True)
        variance = tf.reduce_mean(tf.square(centred), axis=-1, keepdims=True)
        return centred * (tf.math.rsqrt(variance + EPSILON) * self._scale) + self._offset


class Residual:
    """Adds a layer's input to its output; through a linear map without bias where their widths differ.

    Args:
        store: Where the variable is added, if there is one.
        name: Prefix of its name.
        input_size: Width of the layer's input.
        output_size: Width of its output.
    """

    def __init__(self, store: VariableStore, name: str, input_size: int, output_size: int) -> None:
        self._kernel = (
            store.glorot_uniform(f"{name}/kernel", (input_size, output_size)) if input_size != output_size else None
        )

    def __call__(self, output: tf.Tensor, layer_input: tf.Tensor) -> tf.Tensor:
        """Adds: [N, output size] and [N, input size] to [N, output size]."""
        return output + (layer_input if self._kernel is None else tf.matmul(layer_input, self._kernel))
