"""Initial values have the distributions that the specification asks for (8.3)."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gematria_ops.models.layers import Dense, Lstm, VariableStore

pytestmark = pytest.mark.tf


@pytest.fixture
def store() -> VariableStore:
    return VariableStore(seed=3)


def test_uniform(store: VariableStore) -> None:
    values = store.uniform("x", (400, 50), 0.05).numpy()
    assert values.dtype == np.float32
    assert np.abs(values).max() <= 0.05
    assert_allclose(values.std(), 0.05 / math.sqrt(3), rtol=0.02)
    assert abs(values.mean()) < 1e-3


def test_glorot_uniform(store: VariableStore) -> None:
    values = store.glorot_uniform("x", (100, 200)).numpy()
    limit = math.sqrt(6 / 300)
    assert 0.99 * limit < np.abs(values).max() <= limit
    assert_allclose(values.var(), 2 / 300, rtol=0.05)


def test_glorot_normal_bias(store: VariableStore) -> None:
    values = store.glorot_normal_bias("x", 20_000).numpy()
    assert_allclose(values.var(), 1 / 20_000, rtol=0.05)
    # Cut off at two standard deviations of the distribution before it is cut.
    assert np.abs(values).max() <= 2 / 0.8796 / math.sqrt(20_000)
    assert np.abs(values).max() > 2.2 * values.std()


@pytest.mark.parametrize("shape", [(8, 32), (32, 8), (8, 8)])
def test_orthogonal(store: VariableStore, shape: tuple[int, int]) -> None:
    values = store.orthogonal("x", shape).numpy()
    assert values.shape == shape
    product = values @ values.T if shape[0] <= shape[1] else values.T @ values
    assert_allclose(product, np.eye(min(shape)), atol=1e-6)


def test_lstm_forgets_nothing_to_begin_with(store: VariableStore) -> None:
    Lstm(store, "lstm", input_size=4, size=3, chunk_size=4)
    assert_array_equal(store.by_name["lstm/bias"], [0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    assert store.by_name["lstm/kernel"].shape == (4, 12)
    assert_allclose(
        store.by_name["lstm/recurrent_kernel"] @ np.transpose(store.by_name["lstm/recurrent_kernel"]),
        np.eye(3),
        atol=1e-6,
    )


def test_dense_is_relu_of_an_affine_map(store: VariableStore) -> None:
    layer = Dense(store, "dense", 2, 3)
    store.by_name["dense/kernel"].assign([[1, 2, 3], [4, 5, 6]])
    store.by_name["dense/bias"].assign([0, -20, 1])
    assert layer(np.array([[1, 2]], dtype=np.float32)).numpy().tolist() == [[9, 0, 16]]
    assert layer.size == 3


def test_values_depend_on_seed_and_name_only() -> None:
    alone, among = VariableStore(3), VariableStore(3)
    among.uniform("before", (5,), 1.0)
    assert_array_equal(alone.uniform("x", (5,), 1.0), among.uniform("x", (5,), 1.0))
    assert alone.uniform("y", (5,), 1.0).numpy().tolist() != alone.by_name["x"].numpy().tolist()
    assert VariableStore(4).uniform("x", (5,), 1.0).numpy().tolist() != alone.by_name["x"].numpy().tolist()


def test_two_variables_of_one_name(store: VariableStore) -> None:
    store.uniform("x", (2,), 1.0)
    with pytest.raises(ValueError, match="two variables named x"):
        store.orthogonal("x", (2, 2))
