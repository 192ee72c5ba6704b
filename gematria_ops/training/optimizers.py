"""ADAM, SGD and RMSPROP exactly as TensorFlow 1 had them, their learning-rate schedules, and gradient clipping.

The updates are TensorFlow's own fused kernels (``ResourceApply*``), the ones that the TF 1 optimisers called; the slots
are plain named variables with the TF 1 names, so a checkpoint lists them as ``<variable>/Adam``, ``<variable>/Adam_1``,
``beta1_power``, ... Everything works inside ``tf.function``, compiled by XLA or not.

Formulas: D. Kingma and J. Ba, "Adam" (2015), the form before section 2.1's bias-corrected moments; T. Tieleman and
G. Hinton, "RMSProp" (2012); the schedules are those of ``tf.compat.v1.train``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import tensorflow as tf

from gematria_ops.config import LearningRateScheduleType, OptimizerConfig, OptimizerType

Gradient: TypeAlias = "tf.Tensor | tf.IndexedSlices | None"

ADAM_BETA1, ADAM_BETA2, ADAM_EPSILON = 0.9, 0.999, 1e-8
RMSPROP_DECAY, RMSPROP_MOMENTUM, RMSPROP_EPSILON = 0.9, 0.0, 1e-10
POLYNOMIAL_END_RATE = 0.0001
LINEAR_COSINE_BETA = 0.001
NOISE_VARIANCE_DECAY = 0.55


class Optimizer:
    """One optimiser with its slots, its global step and its learning-rate schedule.

    ``global_step`` (int64) counts the updates. The rate of an update is the schedule at the step before it, so the
    first update uses step 0.

    Args:
        config: Optimiser, rate, schedule and clipping.
        variables: The trainable variables by name, as ``model.variables_by_name()`` returns them.
        seed: Seed of NOISY_LINEAR_COSINE's noise.
    """

    def __init__(self, config: OptimizerConfig, variables: Mapping[str, tf.Variable], seed: int = 0) -> None:
        self._config = config
        self._schedule = learning_rate_schedule(config, seed)
        self.global_step = tf.Variable(0, dtype=tf.int64, trainable=False, name="global_step")
        self._state: dict[str, tf.Variable] = {}
        self._slots: dict[object, tuple[tf.Variable, ...]] = {}
        if config.optimizer_type is OptimizerType.ADAM:
            self._add_state("beta1_power", tf.constant(ADAM_BETA1))
            self._add_state("beta2_power", tf.constant(ADAM_BETA2))
        for name, variable in variables.items():
            self._slots[variable.ref()] = self._create_slots(name, variable)

    def learning_rate_at(self, step: tf.Tensor | int) -> tf.Tensor:
        """Return the rate of the update after ``step`` updates, a float32 scalar."""
        return self._schedule(tf.convert_to_tensor(step, tf.int64))

    def variables_by_name(self) -> dict[str, tf.Variable]:
        """Return the optimiser's state, including ``global_step``, under its names in a checkpoint."""
        return {"global_step": self.global_step, **self._state}

    def apply(self, gradients: Sequence[Gradient], variables: Sequence[tf.Variable]) -> None:
        """Clip the gradients, update the variables, and count the step.

        Args:
            gradients: One gradient per variable, dense or as slices; None leaves its variable as it is.
            variables: Variables given to the constructor, all or some of them.
        """
        rate = self.learning_rate_at(self.global_step)
        update = {
            OptimizerType.ADAM: self._apply_adam,
            OptimizerType.SGD: self._apply_sgd,
            OptimizerType.RMSPROP: self._apply_rmsprop,
        }[self._config.optimizer_type]
        for gradient, variable in zip(gradients, variables, strict=True):
            if gradient is not None:
                update(clip_gradient(gradient, self._config.grad_clip_norm), variable, rate)
        if self._config.optimizer_type is OptimizerType.ADAM:
            self._state["beta1_power"].assign(self._state["beta1_power"] * ADAM_BETA1)
            self._state["beta2_power"].assign(self._state["beta2_power"] * ADAM_BETA2)
        self.global_step.assign_add(1)

    def _add_state(self, name: str, initial: tf.Tensor) -> tf.Variable:
        self._state[name] = tf.Variable(initial, trainable=False, name=name.rpartition("/")[2])
        return self._state[name]

    def _create_slots(self, name: str, variable: tf.Variable) -> tuple[tf.Variable, ...]:
        """Create the slots of one variable: first and second moment, or mean square and momentum, or none."""
        zeros, ones = tf.zeros(variable.shape, variable.dtype), tf.ones(variable.shape, variable.dtype)
        if self._config.optimizer_type is OptimizerType.ADAM:
            return self._add_state(f"{name}/Adam", zeros), self._add_state(f"{name}/Adam_1", zeros)
        if self._config.optimizer_type is OptimizerType.RMSPROP:
            return self._add_state(f"{name}/RMSProp", ones), self._add_state(f"{name}/RMSProp_1", zeros)
        return ()

    def _apply_adam(self, gradient: Gradient, variable: tf.Variable, rate: tf.Tensor) -> None:
        moment, square = self._slots[variable.ref()]
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=moment.handle,
            v=square.handle,
            beta1_power=self._state["beta1_power"],
            beta2_power=self._state["beta2_power"],
            lr=rate,
            beta1=ADAM_BETA1,
            beta2=ADAM_BETA2,
            epsilon=ADAM_EPSILON,
            # The moments of every row decay in every step, touched or not: TF 1 did so for slices too.
            grad=tf.convert_to_tensor(gradient),
        )

    def _apply_sgd(self, gradient: Gradient, variable: tf.Variable, rate: tf.Tensor) -> None:
        tf.raw_ops.ResourceApplyGradientDescent(var=variable.handle, alpha=rate, delta=tf.convert_to_tensor(gradient))

    def _apply_rmsprop(self, gradient: Gradient, variable: tf.Variable, rate: tf.Tensor) -> None:
        mean_square, momentum = self._slots[variable.ref()]
        operands = {
            "var": variable.handle,
            "ms": mean_square.handle,
            "mom": momentum.handle,
            "lr": rate,
            "rho": RMSPROP_DECAY,
            "momentum": RMSPROP_MOMENTUM,
            "epsilon": RMSPROP_EPSILON,
        }
        if isinstance(gradient, tf.IndexedSlices):
            # Unlike Adam, TF 1's RMSProp leaves the rows that have no gradient alone.
            rows, positions = tf.unique(gradient.indices)
            values = tf.math.unsorted_segment_sum(gradient.values, positions, tf.size(rows))
            tf.raw_ops.ResourceSparseApplyRMSProp(**operands, grad=values, indices=rows)
        else:
            tf.raw_ops.ResourceApplyRMSProp(**operands, grad=gradient)


def clip_gradient(gradient: Gradient, norm: float | None) -> Gradient:
    """Scale one variable's gradient down to an L2 norm, ``g * norm / max(|g|, norm)``; None, 0 and less: unchanged.

    Slices of the same row are added up before their norm is taken, so a dense gradient and its slices agree.
    """
    if gradient is None or not norm or norm < 0:
        return gradient
    if isinstance(gradient, tf.IndexedSlices):
        rows, positions = tf.unique(gradient.indices)
        values = tf.math.unsorted_segment_sum(gradient.values, positions, tf.size(rows))
        return tf.IndexedSlices(clip_gradient(values, norm), rows, gradient.dense_shape)
    length = tf.sqrt(tf.reduce_sum(tf.square(gradient)))
    return gradient * (norm / tf.maximum(length, norm))


def learning_rate_schedule(config: OptimizerConfig, seed: int = 0) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return the function from global step (integer scalar) to learning rate (float32 scalar).

    It computes in float64: steps beyond 2^24 stay apart, and the restarts fall on the right step.
    """
    factor = _SCHEDULES[config.learning_rate_schedule]

    def rate(step: tf.Tensor) -> tf.Tensor:
        return tf.cast(factor(tf.cast(step, tf.float64), config, seed), tf.float32)

    return rate


def _constant(step: tf.Tensor, config: OptimizerConfig, seed: int) -> tf.Tensor:
    del step, seed
    return tf.constant(config.learning_rate, tf.float64)


def _cosine(step: tf.Tensor, config: OptimizerConfig, seed: int) -> tf.Tensor:
    del seed
    return config.learning_rate * _half_cosine(_completed(step, config))


def _exponential(step: tf.Tensor, config: OptimizerConfig, seed: int) -> tf.Tensor:
    del seed
    return config.learning_rate * tf.pow(tf.constant(config.decay_rate, tf.float64), step / config.decay_steps)


def _inverse_time(step: tf.Tensor, config: OptimizerConfig, seed: int) -> tf.Tensor:
    del seed
    return config.learning_rate / (1.0 + config.decay_rate * step / config.decay_steps)


def _natural_exp(step: tf.Tensor, config: OptimizerConfig, seed: int) -> tf.Tensor:
    del seed
    return config.learning_rate * tf.exp(-config.decay_rate * step / config.decay_steps)


def _polynomial(step: tf.Tensor, config: OptimizerConfig, seed: int) -> tf.Tensor:
    del seed
    span = config.learning_rate - POLYNOMIAL_END_RATE
    return span * (1.0 - _completed(step, config)) + POLYNOMIAL_END_RATE


def _linear_cosine(step: tf.Tensor, config: OptimizerConfig, seed: int) -> tf.Tensor:
    del seed
    completed = _completed(step, config)
    return config.learning_rate * ((1.0 - completed) * _half_cosine(completed) + LINEAR_COSINE_BETA)


def _noisy_linear_cosine(step: tf.Tensor, config: OptimizerConfig, seed: int) -> tf.Tensor:
    completed = _completed(step, config)
    deviation = tf.pow(1.0 + completed * config.decay_steps, -NOISE_VARIANCE_DECAY / 2)
    # The noise is a function of seed and step alone, so that a resumed training draws what it would have drawn.
    counter = tf.stack([tf.constant(seed, tf.int64), tf.cast(step, tf.int64)])
    noise = deviation * tf.random.stateless_normal([], counter, dtype=tf.float64)
    return config.learning_rate * ((1.0 - completed + noise) * _half_cosine(completed) + LINEAR_COSINE_BETA)


def _cosine_restarts(step: tf.Tensor, config: OptimizerConfig, seed: int) -> tf.Tensor:
    """Cosine whose first period is ``decay_steps`` and every further one twice as long."""
    del seed
    periods = step / config.decay_steps
    # Restart i begins after 2^i - 1 first periods. The small number keeps log2(8) from being 2.999...
    restarts = tf.floor(tf.math.log(tf.floor(periods) + 1.0) / math.log(2.0) + 1e-9)
    length = tf.pow(tf.constant(2.0, tf.float64), restarts)
    return config.learning_rate * _half_cosine((periods - (length - 1.0)) / length)


def _completed(step: tf.Tensor, config: OptimizerConfig) -> tf.Tensor:
    return tf.minimum(step, float(config.decay_steps)) / config.decay_steps


def _half_cosine(completed: tf.Tensor) -> tf.Tensor:
    return 0.5 * (1.0 + tf.cos(math.pi * completed))


_SCHEDULES: dict[LearningRateScheduleType, Callable[[tf.Tensor, OptimizerConfig, int], tf.Tensor]] = {
    LearningRateScheduleType.NONE: _constant,
    LearningRateScheduleType.COSINE: _cosine,
    LearningRateScheduleType.EXPONENTIAL: _exponential,
    LearningRateScheduleType.INVERSE_TIME: _inverse_time,
    LearningRateScheduleType.LINEAR_COSINE: _linear_cosine,
    LearningRateScheduleType.NATURAL_EXP: _natural_exp,
    LearningRateScheduleType.NOISY_LINEAR_COSINE: _noisy_linear_cosine,
    LearningRateScheduleType.POLYNOMIAL: _polynomial,
    LearningRateScheduleType.COSINE_RESTARTS: _cosine_restarts,
}
