"""Adam as TensorFlow 1 had it (specification 9.2), with options for the rate and for clipping.

TensorFlow 1 moved every row of a table by its momentum in every step, also those that a batch does not read; so does
the fused kernel, given a dense gradient. The state has TensorFlow 1's names: `<variable>/Adam`, `<variable>/Adam_1`,
`beta1_power`, `beta2_power`.

D. Kingma and J. Ba, "Adam: a method for stochastic optimization" (2015), the form before section 2.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tensorflow as tf

from fastnode_ops.config import TrainConfig

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


def learning_rate(config: TrainConfig, step: tf.Tensor | int) -> tf.Tensor:
    """Return the rate of the update after `step` updates, a float32 scalar.

    It grows linearly over the first `warmup_steps` updates, and from there falls smoothly by half in every
    `decay_steps`; 0 switches either off.
    """
    done = tf.cast(step, tf.float64)  # steps beyond 2^24 stay apart
    rate = tf.constant(config.learning_rate, tf.float64)
    if config.warmup_steps:
        rate *= tf.minimum((done + 1) / config.warmup_steps, 1.0)
    if config.decay_steps:
        rate *= tf.pow(tf.constant(0.5, tf.float64), tf.maximum(done - config.warmup_steps, 0.0) / config.decay_steps)
    return tf.cast(rate, tf.float32)


class Adam:
    """The optimiser with its state and the number of updates.

    Args:
        config: Rate, its course, and clipping: the norm of all gradients together is kept at or below `clip_norm`
            (0: no clipping).
        variables: What is trained, by name.
    """

    def __init__(self, config: TrainConfig, variables: Mapping[str, tf.Variable]) -> None:
        self._config = config
        self._variables = variables
        self.global_step = tf.Variable(0, dtype=tf.int64, trainable=False, name="global_step")
        self._powers = tf.Variable(BETA1, trainable=False), tf.Variable(BETA2, trainable=False)
        self._moments = {name: _zeros_like(variable) for name, variable in variables.items()}
        self._squares = {name: _zeros_like(variable) for name, variable in variables.items()}

    def variables_by_name(self) -> dict[str, tf.Variable]:
        """Return the state, `global_step` included, under its names in a checkpoint."""
        moments = {f"{name}/Adam": moment for name, moment in self._moments.items()}
        squares = {f"{name}/Adam_1": square for name, square in self._squares.items()}
        beta1_power, beta2_power = self._powers
        powers = {"beta1_power": beta1_power, "beta2_power": beta2_power}
        return {"global_step": self.global_step, **powers, **moments, **squares}

    def apply(self, gradients: Sequence[tf.Tensor | tf.IndexedSlices | None]) -> None:
        """Update the variables and count the step.

        Args:
            gradients: One per variable, in their order. None counts as zero: momentum still moves the variable.
        """
        variables = self._variables
        dense = [
            tf.zeros(variable.shape) if gradient is None else tf.convert_to_tensor(gradient)
            for gradient, variable in zip(gradients, variables.values(), strict=True)
        ]
        if self._config.clip_norm > 0:
            dense, _ = tf.clip_by_global_norm(dense, self._config.clip_norm)
        rate = learning_rate(self._config, self.global_step)
        beta1_power, beta2_power = self._powers
        for (name, variable), gradient in zip(variables.items(), dense, strict=True):
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=self._moments[name].handle,
                v=self._squares[name].handle,
                beta1_power=beta1_power,
                beta2_power=beta2_power,
                lr=rate,
                beta1=BETA1,
                beta2=BETA2,
                epsilon=EPSILON,
                grad=gradient,
            )
        beta1_power.assign(beta1_power * BETA1)
        beta2_power.assign(beta2_power * BETA2)
        self.global_step.assign_add(1)


def _zeros_like(variable: tf.Variable) -> tf.Variable:
    return tf.Variable(tf.zeros(variable.shape, variable.dtype), trainable=False)
