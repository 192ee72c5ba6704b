"""The loop over chunks: its gradient against finite differences, and idle nodes count for nothing."""

import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal

from gematria_ops.encode.tries import build_prefix_trie
from gematria_ops.models.prefix_lstm import lstm_over_trie

pytestmark = pytest.mark.tf

SEQUENCES = [[0, 1, 2], [0, 1, 2, 2, 0], [0, 2], [1], [2, 2, 1, 0]]
WIDTH = 3


@pytest.fixture(scope="module")
def weights() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(4)
    draw = lambda *shape: random.normal(size=shape).astype(np.float32)  # noqa: E731
    return draw(3, 4 * WIDTH), draw(WIDTH, 4 * WIDTH), draw(60, 2 * WIDTH)


def forest(chunk_size: int, num_idle_chunks: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
    splits = np.cumsum([0, *map(len, SEQUENCES)])
    trie, nodes = build_prefix_trie(np.concatenate(SEQUENCES).astype(np.int32), splits, chunk_size)
    idle = np.zeros(num_idle_chunks * chunk_size, dtype=np.int32)
    return [np.append(trie.symbols, idle), np.append(trie.parents, idle), trie.num_chunks], nodes


def total(projected: np.ndarray, kernel: np.ndarray, factors: np.ndarray, chunk_size: int) -> float:
    """A weighted sum of the states after every prefix, in float64."""
    (symbols, parents, _), nodes = forest(chunk_size)
    states = np.zeros((len(parents) + 1, 2 * WIDTH))
    for place in range(len(parents)):
        h, c = np.split(states[parents[place]], 2)
        i, f, g, o = np.split(projected[symbols[place]] + h @ kernel, 4)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        c = f * c + i * np.tanh(g)
        states[place + 1] = np.concatenate([o * np.tanh(c), c])
    used = sorted(set(nodes.tolist()))
    return float((states[used] * factors[: len(used)]).sum())


@pytest.mark.parametrize("chunk_size", [1, 2, 4])
def test_gradient_is_that_of_finite_differences(
    weights: tuple[np.ndarray, np.ndarray, np.ndarray], chunk_size: int
) -> None:
    projected, kernel, factors = weights
    (symbols, parents, num_chunks), nodes = forest(chunk_size, num_idle_chunks=2)
    used = sorted(set(nodes.tolist()))
    inputs = [tf.constant(projected), tf.constant(kernel)]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        states = lstm_over_trie(*inputs, symbols, parents, num_chunks, chunk_size)
        value = tf.reduce_sum(tf.gather(states, used) * factors[: len(used)])
    assert_allclose(value, total(projected, kernel, factors, chunk_size), rtol=1e-5)
    step = 1e-5
    for which, gradient in enumerate(tape.gradient(value, inputs)):
        expected = np.zeros(gradient.shape)
        for index in np.ndindex(*gradient.shape):
            moved = [[item.astype(np.float64) for item in (projected, kernel)] for _ in range(2)]
            moved[0][which][index] += step
            moved[1][which][index] -= step
            expected[index] = (total(*moved[0], factors, chunk_size) - total(*moved[1], factors, chunk_size)) / (
                2 * step
            )
        assert_allclose(gradient, expected, rtol=1e-3, atol=1e-4)


def test_idle_chunks_are_not_run(weights: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    projected, kernel, _ = weights
    tight, _ = forest(4)
    roomy, _ = forest(4, num_idle_chunks=3)
    expected = lstm_over_trie(projected, tf.constant(kernel), *tight, 4)
    states = lstm_over_trie(projected, tf.constant(kernel), *roomy, 4)
    assert_array_equal(states[: len(expected)], expected)
    assert_array_equal(states[len(expected) :], np.zeros((12, 2 * WIDTH)))
    assert_array_equal(states[0], np.zeros(2 * WIDTH))


@pytest.mark.parametrize("chunk_size", [2, 4])
def test_the_chunk_size_changes_nothing(weights: tuple[np.ndarray, np.ndarray, np.ndarray], chunk_size: int) -> None:
    projected, kernel, _ = weights
    (one, one_nodes), (many, many_nodes) = forest(1), forest(chunk_size)
    expected = tf.gather(lstm_over_trie(projected, tf.constant(kernel), *one, 1), one_nodes)
    states = tf.gather(lstm_over_trie(projected, tf.constant(kernel), *many, chunk_size), many_nodes)
    assert_allclose(states, expected, rtol=1e-5, atol=1e-6)
