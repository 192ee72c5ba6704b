"""Products in bfloat16: near those in float32, and only where they are asked for."""

import numpy as np
import pytest
import tensorflow as tf

from gematria_ops.config import MatmulPrecision
from gematria_ops.models.precision import product, products_in

pytestmark = pytest.mark.tf


@pytest.fixture
def factors() -> tuple[tf.Tensor, tf.Tensor]:
    random = np.random.default_rng(1)
    return tuple(tf.constant(random.standard_normal(shape), tf.float32) for shape in ((20, 30), (30, 10)))


def test_factors_are_rounded_to_eight_bits(factors: tuple[tf.Tensor, tf.Tensor]) -> None:
    exact = product(*factors).numpy()
    with products_in(MatmulPrecision.BFLOAT16):
        rounded = product(*factors)
    assert rounded.dtype == tf.float32
    # Each of 30 summands, and their sum, is off by at most 2**-8 of itself.
    bound = 2**-7 * (np.abs(factors[0]) @ np.abs(factors[1])) + 2**-8 * np.abs(exact)
    assert np.abs(rounded.numpy() - exact).max() > 0
    assert (np.abs(rounded.numpy() - exact) <= bound).all()


def test_a_whole_number_stays_exact() -> None:
    left, right = tf.constant([[3.0, -5.0]]), tf.constant([[2.0], [7.0]])
    with products_in(MatmulPrecision.BFLOAT16):
        assert product(left, right).numpy().tolist() == [[-29.0]]


def test_the_precision_is_that_of_the_inside_only(factors: tuple[tf.Tensor, tf.Tensor]) -> None:
    before = product(*factors).numpy()
    with pytest.raises(RuntimeError), products_in(MatmulPrecision.BFLOAT16):
        raise RuntimeError
    assert np.array_equal(product(*factors).numpy(), before)


def test_gradients_are_float32(factors: tuple[tf.Tensor, tf.Tensor]) -> None:
    left, right = factors
    with tf.GradientTape() as tape:
        tape.watch(right)
        with products_in(MatmulPrecision.BFLOAT16):
            loss = tf.reduce_sum(product(left, right))
    gradient = tape.gradient(loss, right)
    assert gradient.dtype == tf.float32
    wanted = np.repeat(np.sum(left.numpy(), axis=0)[:, None], 10, axis=1)
    np.testing.assert_allclose(gradient.numpy(), wanted, atol=0.2)
