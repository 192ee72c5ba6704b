"""Adam against the formula in NumPy, its rate, and its clipping."""

import numpy as np
import pytest
import tensorflow as tf

from fastnode_ops.config import TrainConfig
from fastnode_ops.training.adam import Adam, learning_rate

pytestmark = pytest.mark.tf


def test_every_row_is_moved_by_its_momentum() -> None:
    table = tf.Variable(np.ones((4, 2), np.float32))
    adam = Adam(TrainConfig(learning_rate=0.1), {"table": table})
    touched = [[1, 3], [0], [], [3]]
    weights, moment, square = np.ones((4, 2)), np.zeros((4, 2)), np.zeros((4, 2))
    for step, rows in enumerate(touched, 1):
        gradient = np.zeros((4, 2))
        gradient[rows] = [0.5, -2.0]
        slices = tf.IndexedSlices(tf.constant(gradient[rows], tf.float32), tf.constant(rows, tf.int32), [4, 2])
        adam.apply([slices])
        moment = 0.9 * moment + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        rate = 0.1 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        weights = weights - rate * moment / (np.sqrt(square) + 1e-8)
        np.testing.assert_allclose(table, weights, rtol=1e-4)
    assert int(adam.global_step) == 4
    assert np.all(weights[2] == 1)  # never touched
    assert weights[1, 0] < 0.8  # touched in the first step only, and moved in all four


def test_the_same_row_twice_adds_up() -> None:
    ones, twice = (tf.Variable(np.ones((2, 1), np.float32)) for _ in range(2))
    Adam(TrainConfig(clip_norm=0.5), {"x": ones}).apply([tf.constant([[2.0], [0.0]])])
    slices = tf.IndexedSlices(tf.constant([[1.0], [1.0]]), tf.constant([0, 0]), [2, 1])
    Adam(TrainConfig(clip_norm=0.5), {"x": twice}).apply([slices])
    assert np.array_equal(ones, twice)


def test_clipping_keeps_the_norm_of_all_gradients_together() -> None:
    first, second = tf.Variable([0.0]), tf.Variable([0.0])
    adam = Adam(TrainConfig(clip_norm=1.0), {"first": first, "second": second})
    adam.apply([tf.constant([3.0]), tf.constant([4.0])])
    state = adam.variables_by_name()
    np.testing.assert_allclose(state["first/Adam"], [0.06], rtol=1e-6)
    np.testing.assert_allclose(state["second/Adam"], [0.08], rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "step", "expected"),
    [
        ({}, 1_000_000, 1.0),
        ({"warmup_steps": 10}, 0, 0.1),
        ({"warmup_steps": 10}, 9, 1.0),
        ({"warmup_steps": 10}, 500, 1.0),
        ({"decay_steps": 100}, 100, 0.5),
        ({"decay_steps": 100}, 50, 0.5**0.5),
        ({"warmup_steps": 10, "decay_steps": 100}, 4, 0.5),
        ({"warmup_steps": 10, "decay_steps": 100}, 210, 0.25),
    ],
)
def test_the_rate(settings: dict[str, int], step: int, expected: float) -> None:
    rate = learning_rate(TrainConfig(learning_rate=0.25, **settings), step)
    assert float(rate) == pytest.approx(0.25 * expected)
