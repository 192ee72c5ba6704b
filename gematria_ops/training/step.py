"""One update of the weights, and one prediction, compiled once for batches of every size."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from gematria_ops.config import LossConfig, ModelConfig
from gematria_ops.encode.sequence_batch import (
    BatchShape,
    Direction,
    SequenceBatch,
    SequenceInputs,
    SequenceTargets,
    fill_up,
    roomy_shape,
    shape_of,
)
from gematria_ops.encode.tries import PrefixTrie
from gematria_ops.models.ithemal import Ithemal, ModelOutput
from gematria_ops.training.losses import Losses, batch_losses


class AppliesGradients(Protocol):
    """What a training step needs of an optimiser."""

    def apply(self, gradients: list[tf.Tensor], variables: list[tf.Variable]) -> None:
        """Updates the variables."""


class StepResult(NamedTuple):
    """What one update tells. Losses and outputs are from before the update.

    Attributes:
        loss: What is minimised.
        task_losses: [K] float32. The loss of each task; NaN where it has no label in the batch.
        output: [B, K] float32. Predicted cycles per iteration.
        deltas: [I, K] float32. Predicted contributions of the instructions; None unless seq2seq.
    """

    loss: float
    task_losses: NDArray[np.float32]
    output: NDArray[np.float32]
    deltas: NDArray[np.float32] | None


class TrainStep:
    """Updates a model's weights with one batch at a time.

    Losses and gradients are one XLA program for each shape of batches; the optimiser runs behind it in the same call.

    Args:
        model: The model.
        loss: What is minimised.
        optimizer: Turns gradients into updates.
    """

    def __init__(self, model: Ithemal, loss: LossConfig, optimizer: AppliesGradients) -> None:
        self._model = model
        self._loss = loss
        self._optimizer = optimizer
        self._variables = list(model.variables_by_name().values())
        self._gradients = tf.function(self.gradients, jit_compile=True, autograph=False)
        # Traced here, once: the sizes of all arrays are open.
        self._compiled = tf.function(self._update, autograph=False).get_concrete_function(
            input_signature(model.config), target_signature(model)
        )

    def __call__(self, batch: SequenceBatch) -> StepResult:
        """Does one update."""
        losses, answer = self._compiled(batch.inputs, batch.targets)
        output, deltas = _cut(answer, batch)
        return StepResult(float(losses.loss), losses.task_losses.numpy(), output, deltas)

    def gradients(
        self, inputs: SequenceInputs, targets: SequenceTargets
    ) -> tuple[list[tf.Tensor | tf.IndexedSlices], Losses, ModelOutput]:
        """Returns the gradient of each variable, the losses, and what the model answered. Not compiled."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self._variables)
            answer = self._model(inputs)
            losses = batch_losses(answer, inputs, targets, self._loss)
        return tape.gradient(losses.loss, self._variables), losses, answer

    def _update(self, inputs: SequenceInputs, targets: SequenceTargets) -> tuple[Losses, ModelOutput]:
        gradients, losses, answer = self._gradients(inputs, targets)
        self._optimizer.apply(gradients, self._variables)
        return losses, answer


class PredictStep:
    """Predicts one batch at a time.

    Batches are filled up to the shape of the first one with some room, or to its double, and so on.

    Args:
        model: The model.
    """

    def __init__(self, model: Ithemal) -> None:
        self._compiled = tf.function(model.__call__, jit_compile=True, autograph=False).get_concrete_function(
            input_signature(model.config)
        )
        self._shape: BatchShape | None = None

    def __call__(self, batch: SequenceBatch) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Predicts.

        Args:
            batch: Blocks, not filled up.

        Returns:
            [B, K] predicted cycles per iteration, and [I, K] contributions of the instructions (None unless seq2seq).
        """
        shape = shape_of(batch)
        self._shape = self._shape or roomy_shape([shape])
        answer = self._compiled(fill_up(batch, self._shape.grown_to_cover(shape)).inputs)
        return _cut(answer, batch)


def input_signature(config: ModelConfig) -> SequenceInputs:
    """Describes the inputs of a model to ``tf.function``: the sizes of all arrays are open, so it is traced once."""

    def vector(name: str) -> tf.TensorSpec:
        return tf.TensorSpec([None], tf.int32, name)

    def trie(name: str) -> PrefixTrie:
        return PrefixTrie(
            vector(f"{name}_symbols"), vector(f"{name}_parents"), tf.TensorSpec([], tf.int32, f"{name}_num_chunks")
        )

    directions = ("forward", "backward") if config.bidirectional else ("forward",)
    return SequenceInputs(
        tokens=vector("tokens"),
        token_trie=trie("token_trie"),
        instruction_nodes=vector("instruction_nodes"),
        directions=tuple(Direction(trie(name), vector(f"{name}_output_nodes")) for name in directions),
        instruction_blocks=vector("instruction_blocks") if config.seq2seq else None,
        block_sizes=vector("block_sizes"),
    )


def target_signature(model: Ithemal) -> SequenceTargets:
    """Describes the targets of a model to ``tf.function``."""
    num_tasks = len(model.task_names)
    return SequenceTargets(
        expected=tf.TensorSpec([None, num_tasks], tf.float32, "expected"),
        mask=tf.TensorSpec([None, num_tasks], tf.bool, "mask"),
        expected_deltas=tf.TensorSpec([None, num_tasks], tf.float32, "expected_deltas")
        if model.config.seq2seq
        else None,
    )


def _cut(answer: ModelOutput, batch: SequenceBatch) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Removes the rows that were filled up."""
    deltas = None if answer.deltas is None else answer.deltas.numpy()[: batch.num_instructions]
    return answer.output.numpy()[: batch.num_blocks], deltas
