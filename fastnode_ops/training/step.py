"""One update, traced once for batches of every size."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from fastnode_ops.models.expression import Answer, Expression, Losses
from fastnode_ops.models.inputs import Features, Hop, ModelInputs, NameInputs, ProductionInputs
from fastnode_ops.models.preparing import kernel_names
from fastnode_ops.training.adam import Adam

Floats = npt.NDArray[np.float32]


class StepResult(NamedTuple):
    """What a batch gave; from before the update.

    Attributes:
        loss: What is minimised.
        name_loss: Of the name decoder.
        production_loss: Of the production decoder.
        name_logits: [C] of the candidates.
        production_logits: [C] of the targets.
    """

    loss: float
    name_loss: float
    production_loss: float
    name_logits: Floats
    production_logits: Floats


class TrainStep:
    """Updates a model's weights with one batch at a time.

    Args:
        model: The model.
        optimizer: An optimiser of all its variables.
    """

    def __init__(self, model: Expression, optimizer: Adam) -> None:
        self._model = model
        self._optimizer = optimizer
        self._variables = list(model.variables_by_name().values())
        self._compiled = tf.function(self._update, autograph=False).get_concrete_function(input_signature(model))

    def __call__(self, inputs: ModelInputs) -> StepResult:
        """Do one update."""
        return _result(*self._compiled(inputs))

    def _update(self, inputs: ModelInputs) -> tuple[Losses, Answer]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self._variables)
            answer = self._model(inputs)
            losses = self._model.losses(answer, inputs)
        self._optimizer.apply(tape.gradient(losses.loss, self._variables))
        return losses, answer


class EvaluationStep:
    """Answers batches without an update."""

    def __init__(self, model: Expression) -> None:
        self._model = model
        self._compiled = tf.function(self._evaluate, autograph=False).get_concrete_function(input_signature(model))

    def __call__(self, inputs: ModelInputs) -> StepResult:
        """Answer one batch."""
        return _result(*self._compiled(inputs))

    def _evaluate(self, inputs: ModelInputs) -> tuple[Losses, Answer]:
        answer = self._model(inputs)
        return self._model.losses(answer, inputs), answer


def input_signature(model: Expression) -> ModelInputs:
    """Describe the inputs to `tf.function`: all sizes are open."""
    num_kernels = len(kernel_names(model.config.tie_directions))

    def vectors(kind: Any, **others: tf.TensorSpec) -> Any:
        specs = {name: tf.TensorSpec([None], tf.int32, name) for name in kind._fields}
        return kind(**{**specs, **others})

    scalar = tf.TensorSpec([], tf.int32)
    hop = vectors(
        Hop,
        num_moving=scalar,
        first_still=scalar,
        kernel_sizes=tf.TensorSpec([num_kernels], tf.int32),
        entries=tf.TensorSpec([None, 2], tf.int64),
    )
    return ModelInputs(
        features=vectors(Features),
        feature_sizes=tf.TensorSpec([3], tf.int32),
        hops=(hop,) * model.config.num_hops,
        expansion_rows=tf.TensorSpec([None], tf.int32),
        expansion_hop=hop,
        name=vectors(NameInputs),
        production=vectors(ProductionInputs),
    )


def _result(losses: Losses, answer: Answer) -> StepResult:
    return StepResult(
        float(losses.loss),
        float(losses.name_loss),
        float(losses.production_loss),
        answer.name_logits.numpy(),
        answer.production_logits.numpy(),
    )
