"""Error figures against numbers worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gematria_ops.inference import metrics


def floats(*values: float) -> metrics.FloatArray:
    return np.array(values, dtype=np.float64)


# Predictions 1, 3, 9 for labels 2, 3, 6: errors 1, 0, 3; relative 1/2, 0, 1/2.
PREDICTIONS = floats(1, 3, 9)
LABELS = floats(2, 3, 6)


def test_means_by_hand() -> None:
    assert metrics.mean_absolute_error(PREDICTIONS, LABELS) == pytest.approx(4 / 3)
    assert metrics.mean_squared_error(PREDICTIONS, LABELS) == pytest.approx(10 / 3)
    assert metrics.mean_absolute_percentage_error(PREDICTIONS, LABELS) == pytest.approx(100 / 3)
    assert metrics.mean_squared_percentage_error(PREDICTIONS, LABELS) == pytest.approx(1 / 6)


@pytest.mark.parametrize(
    "figure",
    [
        metrics.mean_absolute_error,
        metrics.mean_squared_error,
        metrics.mean_absolute_percentage_error,
        metrics.mean_squared_percentage_error,
    ],
)
def test_means_of_nothing_do_not_exist(figure: object) -> None:
    assert callable(figure)
    assert figure(floats(), floats()) is None


@given(st.lists(st.floats(0.01, 1e4), min_size=1, max_size=20))
def test_perfect_predictions_have_no_error(values: list[float]) -> None:
    labels = floats(*values)
    assert metrics.mean_absolute_error(labels, labels) == 0
    assert metrics.mean_absolute_percentage_error(labels, labels) == 0
    assert metrics.mean_squared_percentage_error(labels, labels) == 0


@given(st.lists(st.floats(0.01, 1e4), min_size=1, max_size=20), st.floats(0.1, 10))
def test_scaling_predictions_and_labels_keeps_the_relative_error(values: list[float], factor: float) -> None:
    labels = floats(*values)
    predictions = labels[::-1] + 1
    assert metrics.mean_absolute_percentage_error(predictions * factor, labels * factor) == pytest.approx(
        metrics.mean_absolute_percentage_error(predictions, labels)
    )


@pytest.mark.parametrize("label", [0.0, -1.0, math.nan])
def test_relative_error_refuses_labels_that_are_not_positive(label: float) -> None:
    with pytest.raises(ValueError, match="positive labels"):
        metrics.absolute_percentage_errors(floats(1, 1), floats(1, label))


def test_every_block_is_counted_once() -> None:
    nan, inf = math.nan, math.inf
    predictions = floats(1, nan, 1, 1, 1, 1, inf, 1)
    labels = floats(2, 2, nan, inf, 0, -3, 2, 2)
    mask = np.array([True, True, True, True, True, True, True, False])
    rows = metrics.usable_rows(predictions, labels, mask)
    assert rows.judged.tolist() == [True, False, False, False, True, True, False, False]
    assert rows.relative.tolist() == [True, False, False, False, False, False, False, False]
    assert (rows.num_without_label, rows.num_invalid_label) == (1, 2)
    assert (rows.num_without_prediction, rows.num_nonpositive_label) == (2, 2)
    assert rows.judged.sum() + rows.num_without_label + rows.num_invalid_label + rows.num_without_prediction == 8


def test_values_behind_the_mask_do_not_matter() -> None:
    mask = np.array([True, False])
    for hidden in (-1.0, math.nan, 7.0):
        rows = metrics.usable_rows(floats(1, hidden), floats(2, hidden), mask)
        assert (rows.judged.tolist(), rows.num_without_label, rows.num_invalid_label) == ([True, False], 1, 0)


# The vectors of specification 7.5.
@pytest.mark.parametrize(
    ("values", "rank", "expected"),
    [
        ([0, 0, 0.25, 0.75, 4], 25, 0),
        ([0, 0, 0.25, 0.75, 4], 50, 0.25),
        ([0, 0, 0.25, 0.75, 4], 60, 0.25),
        ([0, 0, 0.25, 0.75, 4], 90, 4),
        ([0.1, 6], 50, 0.1),
        ([0.1, 6], 75, 6),
        ([0.5, 3, 27], 75, 27),
        ([27, 0.5, 3], 75, 27),
        ([5], 0, 5),
        ([5], 100, 5),
    ],
)
def test_nearest_percentiles(values: list[float], rank: float, expected: float) -> None:
    assert metrics.nearest_percentiles(floats(*values), [rank]).tolist() == [expected]


def test_percentiles_refuse_what_they_cannot_answer() -> None:
    assert metrics.nearest_percentiles(floats(), []).shape == (0,)
    with pytest.raises(ValueError, match="no values"):
        metrics.nearest_percentiles(floats(), [50])
    for rank in (-1, 100.1, math.nan):
        with pytest.raises(ValueError, match=r"0\.\.100"):
            metrics.nearest_percentiles(floats(1, 2), [rank])


def test_correlations_by_hand() -> None:
    # One pair of the six is in the wrong order: tau = (5 - 1) / 6; Spearman = 1 - 6 * 2 / (4 * 15).
    first, second = floats(1, 2, 3, 4), floats(1, 3, 2, 4)
    assert metrics.kendall_correlation(first, second) == pytest.approx(4 / 6)
    assert metrics.spearman_correlation(first, second) == pytest.approx(0.8)
    assert metrics.pearson_correlation(first, second) == pytest.approx(0.8)
    assert metrics.spearman_correlation(first, np.exp(second)) == pytest.approx(0.8)


def test_kendall_accounts_for_ties() -> None:
    # Five of six pairs differ in both, all concordant; one is tied in the first: 5 / sqrt(5 * 6).
    assert metrics.kendall_correlation(floats(1, 1, 2, 3), floats(1, 2, 3, 4)) == pytest.approx(5 / math.sqrt(30))


@pytest.mark.parametrize(
    "correlation", [metrics.pearson_correlation, metrics.spearman_correlation, metrics.kendall_correlation]
)
def test_correlations_are_signed_and_undefined_for_constants(correlation: object) -> None:
    assert callable(correlation)
    ascending = floats(1, 2, 3)
    assert correlation(ascending, ascending) == pytest.approx(1)
    assert correlation(ascending, -ascending) == pytest.approx(-1)
    assert correlation(ascending, floats(5, 5, 5)) is None
    assert correlation(floats(5, 5, 5), ascending) is None
    assert correlation(floats(1), floats(1)) is None
    assert correlation(floats(), floats()) is None


def test_bootstrap_interval_holds_the_mean_and_is_repeatable() -> None:
    values = np.random.default_rng(5).exponential(10.0, size=4000)
    first = metrics.bootstrap_mean_interval(values, np.random.default_rng(1))
    assert first is not None
    low, high = first
    assert low < values.mean() < high
    # The normal approximation of a mean's 95 % interval.
    assert high - low == pytest.approx(2 * 1.96 * values.std() / math.sqrt(4000), rel=0.1)
    assert metrics.bootstrap_mean_interval(values, np.random.default_rng(1)) == first
    assert metrics.bootstrap_mean_interval(values, np.random.default_rng(2)) != first


def test_bootstrap_interval_of_equal_values_is_a_point_and_of_one_value_does_not_exist() -> None:
    assert metrics.bootstrap_mean_interval(np.full(10, 3.0), np.random.default_rng(1)) == (3.0, 3.0)
    assert metrics.bootstrap_mean_interval(floats(3), np.random.default_rng(1)) is None


def test_bootstrap_in_chunks_draws_all_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    values = floats(*range(100))
    monkeypatch.setattr(metrics, "_BOOTSTRAP_CHUNK_VALUES", 250)
    interval = metrics.bootstrap_mean_interval(values, np.random.default_rng(1), num_resamples=999)
    assert interval is not None
    assert 40 < interval[0] < 49.5 < interval[1] < 60
