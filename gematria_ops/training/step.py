"""One update of the weights, traced once for batches of every size, and compiled for each of their few shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from gematria_ops.config import LossConfig, MatmulPrecision
from gematria_ops.encode.batch import Batch, Inputs, Targets
from gematria_ops.models.factory import ThroughputModel, is_compiled_with_xla
from gematria_ops.models.output import ModelOutput
from gematria_ops.models.precision import products_in
from gematria_ops.models.predict_step import input_signature, real_rows
from gematria_ops.training.losses import Losses, batch_losses
from gematria_ops.training.replicas import Replicas


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

    Losses and gradients of a sequence model are one XLA program for each shape of batches; the optimiser runs behind it
    in the same call.

    Args:
        model: The model.
        loss: What is minimised.
        optimizer: Turns gradients into updates.
        variables: The variables to train, by name; None: all.
        use_xla: Compile losses and gradients with XLA; None: as is best for the kind of model.
        dropout: Batches hold a seed for dropout.
        precision: Of the large matrix products.
        replicas: The workers that share each batch.
    """

    def __init__(
        self,
        model: ThroughputModel,
        loss: LossConfig,
        optimizer: AppliesGradients,
        *,
        variables: Mapping[str, tf.Variable] | None = None,
        use_xla: bool | None = None,
        dropout: bool = False,
        precision: MatmulPrecision = MatmulPrecision.FLOAT32,
        replicas: Replicas | None = None,
    ) -> None:
        self._model = model
        self._loss = loss
        self._optimizer = optimizer
        self._precision = precision
        self._replicas = replicas or Replicas()
        self._variables = list((model.variables_by_name() if variables is None else variables).values())
        use_xla = is_compiled_with_xla(model.config) if use_xla is None else use_xla
        self._gradients = tf.function(self.gradients, jit_compile=use_xla, autograph=False)
        # Traced here, once: the sizes of all arrays are open.
        self._compiled = tf.function(self._update, autograph=False).get_concrete_function(
            input_signature(model, dropout=dropout), target_signature(model, is_share=self._replicas.num > 1)
        )

    def __call__(self, batch: Batch[Any]) -> StepResult:
        """Does one update."""
        with self._replicas.errors_named():
            losses, answer = self._compiled(batch.inputs, batch.targets)
        output, deltas = real_rows(answer, batch)
        return StepResult(float(losses.loss), losses.task_losses.numpy(), output, deltas)

    def gradients(
        self, inputs: Inputs, targets: Targets
    ) -> tuple[list[tf.Tensor | tf.IndexedSlices], Losses, ModelOutput]:
        """Returns the gradient of each variable, the losses, and what the model answered. Not compiled."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self._variables)
            with products_in(self._precision):
                answer = self._model(inputs)
            losses = batch_losses(answer, inputs, targets, self._loss)
        return tape.gradient(losses.loss, self._variables), losses, answer

    def _update(self, inputs: Inputs, targets: Targets) -> tuple[Losses, ModelOutput]:
        gradients, losses, answer = self._gradients(inputs, targets)
        if self._replicas.num > 1:
            gradients, losses = self._add_up(gradients, losses)
        self._optimizer.apply(gradients, self._variables)
        return losses, answer

    def _add_up(
        self, gradients: list[tf.Tensor | tf.IndexedSlices | None], losses: Losses
    ) -> tuple[list[tf.Tensor | None], Losses]:
        """Returns the gradients and losses of the whole batch, of which every worker has its part."""
        dense = [tf.convert_to_tensor(gradient) for gradient in gradients if gradient is not None]
        *sums, loss, task_losses = self._replicas.summed([*dense, losses.loss, losses.task_losses])
        remaining = iter(sums)
        return [None if gradient is None else next(remaining) for gradient in gradients], Losses(loss, task_losses)


def target_signature(model: ThroughputModel, *, is_share: bool = False) -> Targets:
    """Describes the targets of a model to ``tf.function``; of a whole batch, or of one worker's share of it."""
    num_tasks = len(model.task_names)
    return Targets(
        expected=tf.TensorSpec([None, num_tasks], tf.float32, "expected"),
        mask=tf.TensorSpec([None, num_tasks], tf.bool, "mask"),
        expected_deltas=tf.TensorSpec([None, num_tasks], tf.float32, "expected_deltas")
        if model.config.seq2seq
        else None,
        label_counts=tf.TensorSpec([2, num_tasks], tf.float32, "label_counts") if is_share else None,
    )
