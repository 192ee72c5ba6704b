"""A workload small enough to check by hand: a line through noisy points, with momentum, so there is state to lose."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from ops_common.seeding import stream


@dataclass(frozen=True)
class LineOutcome:
    loss: float


@dataclass
class LineWorkload:
    """Steps are plain NumPy; the variables are TensorFlow's because checkpoints hold those.

    Attributes:
        signals: Signals that arrive while a step is done, by the step's number from 1.
        bad_steps: Steps whose loss is not a number.
        bad_weights: Steps after which a weight is infinite, though the loss is fine.
    """

    signals: Mapping[int, Sequence[int]] = field(default_factory=dict)
    bad_steps: Sequence[int] = ()
    bad_weights: Sequence[int] = ()
    rate: float = 0.05

    def __post_init__(self) -> None:
        self.weights = tf.Variable([0.0, 0.0])
        self.momentum = tf.Variable([0.0, 0.0])
        self.global_step = tf.Variable(0, dtype=tf.int64)
        self.reported: list[int] = []
        self.made: list[int] = []
        self.losses: list[float] = []

    def variables_by_name(self) -> dict[str, tf.Variable]:
        return {"weights": self.weights, "weights/Momentum": self.momentum, "global_step": self.global_step}

    def make_batch(self, step: int) -> np.ndarray:
        self.made.append(step)
        x = stream(1, "x", step).normal(size=10)
        return np.stack([x, 3 * x + 2 + stream(1, "noise", step).normal(size=10)])

    def train_step(self, batch: np.ndarray) -> LineOutcome:
        step = int(self.global_step) + 1
        for number in self.signals.get(step, ()):
            os.kill(os.getpid(), number)
        x, y = batch
        slope, offset = self.weights.numpy()
        error = slope * x + offset - y
        gradient = np.array([2 * (error * x).mean(), 2 * error.mean()])
        momentum = 0.9 * self.momentum.numpy() + gradient
        self.momentum.assign(momentum)
        self.weights.assign_sub(self.rate * momentum)
        if step in self.bad_weights:
            self.weights.assign([math.inf, 0.0])
        self.global_step.assign_add(1)
        self.losses.append(math.nan if step in self.bad_steps else float((error**2).mean()))
        return LineOutcome(self.losses[-1])

    def num_samples(self, batch: np.ndarray) -> int:
        return batch.shape[1]

    def describe_samples(self, step: int, batch: np.ndarray) -> list[dict[str, int]]:
        return [{"point": index, "batch": step} for index in range(batch.shape[1])]

    def report(self, step: int, batch: np.ndarray, outcome: LineOutcome) -> dict[str, float]:
        self.reported.append(step)
        return {"slope": float(self.weights[0])}

    def state(self) -> list[float]:
        """All numbers that decide how it goes on."""
        return [*self.weights.numpy().tolist(), *self.momentum.numpy().tolist(), int(self.global_step)]
