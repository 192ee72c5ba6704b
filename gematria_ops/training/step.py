"""One update of the weights, and one prediction, compiled once for batches of every size."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from gematria_ops.config import LossConfig
from gematria_ops.encode.sequence_batch import SequenceBatch
from gematria_ops.models.ithemal import Ithemal, ModelOutput
from gematria_ops.training.losses import batch_losses


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
        self._compiled = tf.function(self._update, reduce_retracing=True)

    def __call__(self, batch: SequenceBatch) -> StepResult:
        """Does one update."""
        loss, task_losses, output, deltas = self._compiled(batch)
        return StepResult(float(loss), task_losses.numpy(), output.numpy(), None if deltas is None else deltas.numpy())

    def _update(self, batch: SequenceBatch) -> tuple[tf.Tensor, ...]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self._variables)
            answer = self._model(batch)
            losses = batch_losses(answer, batch, self._loss)
        self._optimizer.apply(tape.gradient(losses.loss, self._variables), self._variables)
        return losses.loss, losses.task_losses, answer.output, answer.deltas


class PredictStep:
    """Predicts one batch at a time.

    Args:
        model: The model.
    """

    def __init__(self, model: Ithemal) -> None:
        self._compiled = tf.function(model.__call__, reduce_retracing=True)

    def __call__(self, batch: SequenceBatch) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Returns [B, K] predicted cycles per iteration, and [I, K] contributions (None unless seq2seq)."""
        answer: ModelOutput = self._compiled(batch)
        return answer.output.numpy(), None if answer.deltas is None else answer.deltas.numpy()
