"""Optimisers and schedules against values worked out by hand, and against plain NumPy loops of the formulas."""

import math

import numpy as np
import pytest
import tensorflow as tf

from gematria_ops.config import LearningRateScheduleType, OptimizerConfig, OptimizerType
from gematria_ops.training.optimizers import Optimizer, clip_gradient, learning_rate_schedule

pytestmark = pytest.mark.tf

RATE = 0.1
GRADIENTS = [
    np.array([[1.0, -2.0], [0.5, 0.0]]),
    np.array([[0.1, 3.0], [-4.0, 0.0]]),
    np.array([[2.0, 2.0], [1.0, 0.0]]),
]
START = np.array([[0.5, -0.5], [2.0, 7.0]])


def make(**settings: object) -> tuple[Optimizer, tf.Variable]:
    variable = tf.Variable(START, dtype=tf.float32)
    config = OptimizerConfig.model_validate({"learning_rate": RATE, **settings})
    return Optimizer(config, {"layer/kernel": variable}), variable


def adam_by_hand() -> np.ndarray:
    value, moment, square = START.copy(), 0.0, 0.0
    for step, gradient in enumerate(GRADIENTS, start=1):
        moment = 0.9 * moment + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        rate = RATE * math.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        value = value - rate * moment / (np.sqrt(square) + 1e-8)
    return value


def sgd_by_hand() -> np.ndarray:
    return START - RATE * sum(GRADIENTS)


def rmsprop_by_hand() -> np.ndarray:
    value, square = START.copy(), np.ones_like(START)
    for gradient in GRADIENTS:
        square = 0.9 * square + 0.1 * gradient**2
        value = value - RATE * gradient / np.sqrt(square + 1e-10)
    return value


BY_HAND = {
    OptimizerType.ADAM: adam_by_hand,
    OptimizerType.SGD: sgd_by_hand,
    OptimizerType.RMSPROP: rmsprop_by_hand,
}


@pytest.mark.parametrize("mode", ["eager", "function", "xla"])
@pytest.mark.parametrize("kind", OptimizerType)
def test_updates_follow_the_formula(kind: OptimizerType, mode: str) -> None:
    optimizer, variable = make(optimizer_type=kind)

    def update(gradient: tf.Tensor) -> None:
        optimizer.apply([gradient], [variable])

    step = update if mode == "eager" else tf.function(update, jit_compile=mode == "xla")
    for gradient in GRADIENTS:
        step(tf.constant(gradient, tf.float32))
    np.testing.assert_allclose(variable.numpy(), BY_HAND[kind](), rtol=1e-5)
    assert int(optimizer.global_step) == len(GRADIENTS)


def test_the_first_adam_update_by_hand() -> None:
    # Both moments are corrected for their start at zero, so the first update is one rate against the sign.
    optimizer, variable = make()
    optimizer.apply([tf.constant(GRADIENTS[0], tf.float32)], [variable])
    np.testing.assert_allclose(variable.numpy(), [[0.4, -0.4], [1.9, 7.0]], rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (OptimizerType.ADAM, {"beta1_power", "beta2_power", "layer/kernel/Adam", "layer/kernel/Adam_1"}),
        (OptimizerType.RMSPROP, {"layer/kernel/RMSProp", "layer/kernel/RMSProp_1"}),
        (OptimizerType.SGD, set()),
    ],
)
def test_the_state_has_the_names_of_tensorflow_1(kind: OptimizerType, names: set[str]) -> None:
    optimizer, _ = make(optimizer_type=kind)
    assert optimizer.variables_by_name().keys() == names | {"global_step"}
    assert optimizer.variables_by_name()["global_step"].dtype == tf.int64


def test_the_state_starts_as_in_tensorflow_1() -> None:
    adam = make()[0].variables_by_name()
    assert float(adam["beta1_power"]) == pytest.approx(0.9)
    assert float(adam["beta2_power"]) == pytest.approx(0.999)
    assert not adam["layer/kernel/Adam"].numpy().any()
    rmsprop = make(optimizer_type=OptimizerType.RMSPROP)[0].variables_by_name()
    assert (rmsprop["layer/kernel/RMSProp"].numpy() == 1).all()
    assert not rmsprop["layer/kernel/RMSProp_1"].numpy().any()


SLICES = tf.IndexedSlices(tf.constant([[1.0, 2.0], [3.0, 0.0]]), tf.constant([1, 1]), tf.constant([2, 2]))


@pytest.mark.parametrize("kind", [OptimizerType.ADAM, OptimizerType.SGD])
def test_slices_are_applied_like_the_dense_gradient(kind: OptimizerType) -> None:
    # Also in the second step, where Adam moves the rows without a gradient on by their moments.
    (sparse, sparse_variable), (dense, dense_variable) = make(optimizer_type=kind), make(optimizer_type=kind)
    for gradient in (tf.constant(GRADIENTS[0], tf.float32), SLICES):
        sparse.apply([gradient], [sparse_variable])
        dense.apply([tf.convert_to_tensor(gradient)], [dense_variable])
    np.testing.assert_array_equal(sparse_variable.numpy(), dense_variable.numpy())


def test_rmsprop_leaves_rows_without_a_gradient_alone() -> None:
    optimizer, variable = make(optimizer_type=OptimizerType.RMSPROP)
    optimizer.apply([SLICES], [variable])
    square = 0.9 + 0.1 * np.array([4.0, 2.0]) ** 2  # the two slices of row 1 are added up first
    expected = START[1] - RATE * np.array([4.0, 2.0]) / np.sqrt(square + 1e-10)
    np.testing.assert_allclose(variable.numpy(), [START[0], expected], rtol=1e-6)
    np.testing.assert_allclose(
        optimizer.variables_by_name()["layer/kernel/RMSProp"].numpy(), [[1, 1], square], rtol=1e-6
    )


def test_a_variable_without_gradient_stays() -> None:
    variables = {"a": tf.Variable([1.0]), "b": tf.Variable([1.0])}
    optimizer = Optimizer(OptimizerConfig(learning_rate=RATE), variables)
    optimizer.apply([None, tf.constant([1.0])], list(variables.values()))
    assert float(variables["a"][0]) == 1.0
    assert float(variables["b"][0]) == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("norm", "expected"),
    [(None, [3.0, 4.0]), (0.0, [3.0, 4.0]), (-1.0, [3.0, 4.0]), (10.0, [3.0, 4.0]), (1.0, [0.6, 0.8])],
)
def test_clipping_by_norm(norm: float | None, expected: list[float]) -> None:
    np.testing.assert_allclose(clip_gradient(tf.constant([3.0, 4.0]), norm), expected, rtol=1e-6)


def test_clipping_keeps_zero_gradients_and_none() -> None:
    assert clip_gradient(None, 1.0) is None
    np.testing.assert_array_equal(clip_gradient(tf.zeros([2]), 1.0), [0.0, 0.0])


def test_clipping_takes_slices_of_one_row_together() -> None:
    # Row 1 has the gradient (4, 2) in sum; its norm is that of the dense gradient.
    np.testing.assert_allclose(
        tf.convert_to_tensor(clip_gradient(SLICES, 1.0)),
        clip_gradient(tf.convert_to_tensor(SLICES), 1.0),
        rtol=1e-6,
    )


def test_each_variable_is_clipped_on_its_own() -> None:
    variables = {"a": tf.Variable([0.0]), "b": tf.Variable([0.0])}
    config = OptimizerConfig(optimizer_type=OptimizerType.SGD, learning_rate=1.0, grad_clip_norm=1.0)
    Optimizer(config, variables).apply([tf.constant([100.0]), tf.constant([0.5])], list(variables.values()))
    assert [float(variable[0]) for variable in variables.values()] == [-1.0, -0.5]


def schedule(kind: LearningRateScheduleType, seed: int = 0, **settings: float) -> list[float]:
    config = OptimizerConfig.model_validate(
        {"learning_rate": RATE, "learning_rate_schedule": kind, "decay_steps": 10, **settings}
    )
    rate = learning_rate_schedule(config, seed)
    return [float(rate(tf.constant(step, tf.int64))) for step in (0, 5, 10, 25)]


HALF = 0.5 * (1 + math.cos(math.pi / 2))


@pytest.mark.parametrize(
    ("kind", "settings", "expected"),
    [
        (LearningRateScheduleType.NONE, {}, [0.1, 0.1, 0.1, 0.1]),
        (LearningRateScheduleType.COSINE, {}, [0.1, 0.05, 0.0, 0.0]),
        (LearningRateScheduleType.EXPONENTIAL, {"decay_rate": 0.25}, [0.1, 0.05, 0.025, 0.1 * 0.25**2.5]),
        (LearningRateScheduleType.INVERSE_TIME, {"decay_rate": 2.0}, [0.1, 0.1 / 2, 0.1 / 3, 0.1 / 6]),
        (
            LearningRateScheduleType.NATURAL_EXP,
            {"decay_rate": 2.0},
            [0.1, 0.1 * math.exp(-1), 0.1 * math.exp(-2), 0.1 * math.exp(-5)],
        ),
        # (1 - p / 10) * half cosine + 0.001, times the rate.
        (LearningRateScheduleType.LINEAR_COSINE, {}, [0.1001, 0.1 * (0.5 * HALF + 0.001), 0.0001, 0.0001]),
        (LearningRateScheduleType.POLYNOMIAL, {}, [0.1, 0.0999 / 2 + 0.0001, 0.0001, 0.0001]),
        # Periods 0-10, 10-30, 30-70: step 10 starts again, step 25 is three quarters through the second.
        (
            LearningRateScheduleType.COSINE_RESTARTS,
            {},
            [0.1, 0.05, 0.1, 0.1 * 0.5 * (1 + math.cos(math.pi * 0.75))],
        ),
    ],
)
def test_schedules_by_hand(kind: LearningRateScheduleType, settings: dict[str, float], expected: list[float]) -> None:
    assert schedule(kind, **settings) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("step", [10 * (2**n - 1) for n in range(1, 20)])
def test_restarts_fall_on_the_right_step(step: int) -> None:
    config = OptimizerConfig(
        learning_rate=RATE, learning_rate_schedule=LearningRateScheduleType.COSINE_RESTARTS, decay_steps=10
    )
    rate = learning_rate_schedule(config)
    assert float(rate(tf.constant(step))) == pytest.approx(RATE)
    assert float(rate(tf.constant(step - 1))) < RATE / 10


def test_the_noise_depends_on_seed_and_step_alone() -> None:
    kind = LearningRateScheduleType.NOISY_LINEAR_COSINE
    assert schedule(kind, seed=1) == schedule(kind, seed=1)
    assert schedule(kind, seed=1)[:2] != schedule(kind, seed=2)[:2]


def test_the_noise_has_its_variance() -> None:
    # At step p the noise has variance 1 / (1 + p)^0.55 and is multiplied by rate and half cosine.
    config = OptimizerConfig(
        learning_rate=RATE, learning_rate_schedule=LearningRateScheduleType.NOISY_LINEAR_COSINE, decay_steps=10
    )
    rates = [float(learning_rate_schedule(config, seed)(tf.constant(5))) for seed in range(300)]
    quiet = RATE * (0.5 * HALF + 0.001)
    deviation = RATE * HALF / 6**0.275
    assert np.mean(rates) == pytest.approx(quiet, abs=4 * deviation / math.sqrt(300))
    assert np.std(rates) == pytest.approx(deviation, rel=0.2)


def test_the_schedule_is_that_of_the_step_before_the_update() -> None:
    variable = tf.Variable([0.0])
    config = OptimizerConfig(
        optimizer_type=OptimizerType.SGD,
        learning_rate=1.0,
        learning_rate_schedule=LearningRateScheduleType.COSINE,
        decay_steps=2,
    )
    optimizer = Optimizer(config, {"v": variable})
    values = []
    for _ in range(3):
        optimizer.apply([tf.constant([1.0])], [variable])
        values.append(float(variable[0]))
    assert values == pytest.approx([-1.0, -1.5, -1.5])
