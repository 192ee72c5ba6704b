"""Baselines on data whose best answer is known."""

from typing import Any

import numpy as np
import pytest

from gematria_ops.inference import baselines


def counts_of(blocks: list[list[int]], num_mnemonics: int) -> Any:
    ids = np.array([mnemonic for block in blocks for mnemonic in block], dtype=np.int64)
    offsets = np.cumsum([0, *[len(block) for block in blocks]])
    return baselines.instruction_counts(ids, offsets, num_mnemonics)


def random_blocks(seed: int, num_blocks: int, num_mnemonics: int) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, num_mnemonics, size=rng.integers(1, 8)).tolist() for _ in range(num_blocks)]


def test_counts_by_hand() -> None:
    counts = counts_of([[0, 2, 0], [], [1]], num_mnemonics=3)
    assert counts.toarray().tolist() == [[2, 0, 1, 3], [0, 0, 0, 0], [0, 1, 0, 1]]


def test_counting_leaves_its_arguments_alone() -> None:
    ids, offsets = np.array([1, 0, 1, 1]), np.array([0, 3, 4])
    baselines.instruction_counts(ids, offsets, 2)
    assert ids.tolist() == [1, 0, 1, 1]
    assert offsets.tolist() == [0, 3, 4]


@pytest.mark.parametrize(
    ("ids", "offsets", "message"),
    [
        ([0, 3], [0, 2], r"0\.\.2"),
        ([-1], [0, 1], r"0\.\.2"),
        ([0, 1], [0, 1], "offsets"),
        ([0, 1], [1, 2], "offsets"),
        ([0, 1], [0, 2, 1, 2], "offsets"),
        ([0], [], "offsets"),
    ],
)
def test_counts_refuse_arrays_that_do_not_fit(ids: list[int], offsets: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        baselines.instruction_counts(np.array(ids), np.array(offsets, dtype=np.int64), 3)


def test_median_of_each_task_ignores_what_is_not_a_label() -> None:
    nan = np.nan
    labels = np.array([[1.0, -1.0, 9.0], [2.0, 5.0, nan], [9.0, 7.0, 0.0]])
    mask = np.array([[True, False, False], [True, True, False], [True, True, False]])
    fitted = baselines.fit_median(labels, mask)
    assert fitted.constants[:2].tolist() == [2, 6]
    assert np.isnan(fitted.constants[2])
    assert fitted.predict(2)[:, :2].tolist() == [[2, 6], [2, 6]]


def test_best_constant_has_the_least_percentage_error() -> None:
    labels = np.random.default_rng(3).lognormal(1.0, 1.2, size=(501, 1))
    mask = np.ones_like(labels, dtype=bool)
    best = float(baselines.fit_best_constant(labels, mask).constants[0])
    median = float(baselines.fit_median(labels, mask).constants[0])

    def error(constant: float) -> float:
        return float(np.mean(np.abs(constant - labels) / labels))

    assert best < median
    assert error(best) < error(median)
    assert error(best) <= min(error(candidate) for candidate in np.linspace(0.05, 20, 2000)) + 1e-12


def test_linear_recovers_a_known_model() -> None:
    costs = np.array([[0.25, 3.0], [1.0, 0.5], [4.0, 1.0], [0.5, 0.5]])
    counts = counts_of(random_blocks(1, 400, 4), 4)
    labels = counts.toarray()[:, :4] @ costs
    fitted = baselines.fit_linear(counts, labels, np.ones_like(labels, dtype=bool))
    fresh = counts_of(random_blocks(2, 50, 4), 4)
    expected = fresh.toarray()[:, :4] @ costs
    np.testing.assert_allclose(fitted.predict(fresh), expected, rtol=1e-3)


def test_linear_is_not_led_astray_by_a_few_wild_labels() -> None:
    counts = counts_of(random_blocks(1, 400, 4), 4)
    clean = counts.toarray()[:, :4] @ np.array([[0.25], [1.0], [4.0], [0.5]])
    wild = clean.copy()
    wild[::20] *= 50
    fitted = baselines.fit_linear(counts, wild, np.ones_like(wild, dtype=bool))
    kept = np.arange(400) % 20 != 0
    np.testing.assert_allclose(fitted.predict(counts)[kept], clean[kept], rtol=0.01)


def test_linear_beats_the_best_constant_on_what_it_was_fitted_on() -> None:
    rng = np.random.default_rng(7)
    counts = counts_of(random_blocks(3, 300, 6), 6)
    labels = rng.lognormal(0.0, 0.3, size=(300, 1)) * (0.2 + counts.toarray()[:, -1:])
    mask = np.ones_like(labels, dtype=bool)
    linear = baselines.fit_linear(counts, labels, mask).predict(counts)
    constant = baselines.fit_best_constant(labels, mask).predict(300)
    assert np.mean(np.abs(linear - labels) / labels) < np.mean(np.abs(constant - labels) / labels)


def test_linear_never_predicts_below_the_smallest_label_and_knows_no_task_without_labels() -> None:
    counts = counts_of([[0], [0, 1], [1, 1]], 3)
    labels = np.array([[2.0, -1.0], [2.5, -1.0], [1.0, -1.0]])
    mask = np.array([[True, False]] * 3)
    fitted = baselines.fit_linear(counts, labels, mask)
    predicted = fitted.predict(counts_of([[2], [], [1] * 30], 3))
    assert (predicted[:, 0] >= 1.0).all()
    assert np.isnan(predicted[:, 1]).all()
