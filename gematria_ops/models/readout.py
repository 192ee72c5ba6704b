"""From features to one number for each task: shared layers, then layers of each task. Specification section 8.5.

    1. normalise                     4. normalise, once for all tasks
    2. shared leaky ReLU layers      5. for each task: leaky ReLU layers, residual, a linear layer without bias
    3. residual

Unlike in the public implementation, a residual connection takes its widths from what it really joins.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import tensorflow as tf

from gematria_ops.config import GraniteConfig
from gematria_ops.models.graph_network import LEAKY_SLOPE
from gematria_ops.models.layers import VariableStore
from gematria_ops.models.normalization import LayerNormalization, Residual

logger = logging.getLogger(__name__)

# The public runner's names of the groups that --gematria_trained_variables chooses from.
SHARED_GROUP = "TokenGraphBuilderModel.readout"
TASK_GROUP = "TokenGraphBuilderModel.task_readout"


class Readout:
    """The layers behind a graph network.

    Args:
        store: Where the variables are added.
        config: Sizes and modes.
        input_size: Width of the features.
        task_names: One output for each.
        normalize_input: Do step 1; a recurrent network in front of the readout does it itself.

    Attributes:
        groups: Names of the variables of the shared and of the tasks' layers.
    """

    def __init__(
        self,
        store: VariableStore,
        config: GraniteConfig,
        input_size: int,
        task_names: Sequence[str],
        normalize_input: bool,
    ) -> None:
        self._input_norm = LayerNormalization(store, "readout/input_norm", input_size) if normalize_input else None
        before = set(store.by_name)
        self._shared = _Stack(store, "readout", input_size, config.readout_layers, config.readout_residual_connections)
        shared = [name for name in store.by_name if name not in before]
        width = self._shared.output_size
        self._task_norm = (
            LayerNormalization(store, "task_readout/input_norm", width)
            if config.task_readout_input_layer_normalization
            else None
        )
        before = set(store.by_name)
        residual = config.task_readout_residual_connections
        self._tasks = [_Task(store, f"task_{name}", width, config.task_readout_layers, residual) for name in task_names]
        self.groups = {SHARED_GROUP: shared, TASK_GROUP: [name for name in store.by_name if name not in before]}

    def __call__(self, features: tf.Tensor) -> tf.Tensor:
        """Answers: [N, input size] to [N, K]."""
        if self._input_norm is not None:
            features = self._input_norm(features)
        features = self._shared(features)
        if self._task_norm is not None:
            features = self._task_norm(features)
        return tf.concat([task(features) for task in self._tasks], axis=1)


class _Stack:
    """Leaky ReLU layers, with the stack's input added to its output if that is wanted."""

    def __init__(
        self, store: VariableStore, name: str, input_size: int, sizes: Sequence[int], has_residual: bool
    ) -> None:
        self._layers = []
        width = input_size
        for index, size in enumerate(sizes):
            kernel = store.glorot_uniform(f"{name}/dense_{index}/kernel", (width, size))
            self._layers.append((kernel, store.glorot_normal_bias(f"{name}/dense_{index}/bias", size)))
            width = size
        if has_residual and not sizes:
            logger.warning("%s has no layers: a residual connection around it would add nothing, there is none", name)
        self._residual = Residual(store, f"{name}/residual", input_size, width) if has_residual and sizes else None
        self.output_size = width

    def __call__(self, features: tf.Tensor) -> tf.Tensor:
        values = features
        for kernel, bias in self._layers:
            values = tf.nn.leaky_relu(tf.matmul(values, kernel) + bias, LEAKY_SLOPE)
        return values if self._residual is None else self._residual(values, features)


class _Task:
    def __init__(
        self, store: VariableStore, name: str, input_size: int, sizes: Sequence[int], has_residual: bool
    ) -> None:
        self._stack = _Stack(store, name, input_size, sizes, has_residual)
        self._kernel = store.glorot_uniform(f"{name}/output/kernel", (self._stack.output_size, 1))

    def __call__(self, features: tf.Tensor) -> tf.Tensor:
        return tf.matmul(self._stack(features), self._kernel)
