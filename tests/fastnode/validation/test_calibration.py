"""Calibration: the error by hand, and a temperature that is found again."""

import math

import numpy as np
import pytest

from fastnode_ops.validation.calibration import (
    ScoredAnswer,
    best_temperature,
    calibrate,
    calibration_bins,
    calibration_error,
)


def test_the_error_by_hand() -> None:
    # bin 0.9..1.0: two of confidence .95, one right: |.5 - .95|; bin .2...3: one of .25, right: |1 - .25|
    confidences, right = [0.95, 0.95, 0.25], [True, False, True]
    assert calibration_error(confidences, right) == pytest.approx((2 * 0.45 + 0.75) / 3)
    bins = calibration_bins(confidences, right)
    assert [(one.num_answers, one.mean_confidence, one.share_right) for one in bins] == [
        (1, 0.25, 1.0),
        (2, pytest.approx(0.95), 0.5),
    ]


def test_a_confidence_of_one_is_in_the_last_bin() -> None:
    assert calibration_error([1.0, 1.0], [True, True]) == 0.0
    assert calibration_error([1.0, 0.91], [True, False]) == pytest.approx(abs(0.5 - 0.955))
    assert calibration_error([], []) is None


def answers_of(temperature: float, num: int = 4_000) -> list[ScoredAnswer]:
    """Lists whose right identifier is drawn from their probabilities, which are then sharpened or flattened."""
    rng = np.random.Generator(np.random.PCG64(3))
    made = []
    for number in range(num):
        true = np.sort(rng.dirichlet([0.5] * 5))[::-1]
        rank = int(rng.choice(5, p=true))
        shown = true ** (1 / temperature)
        made.append(ScoredAnswer(f"file {number}", (shown / shown.sum()).astype(np.float32), rank))
    return made


@pytest.mark.parametrize("true_temperature", [0.5, 1.0, 2.0])
def test_the_temperature_undoes_what_was_done(true_temperature: float) -> None:
    # p^(1/s) is undone by the temperature 1/s
    found = calibrate(answers_of(true_temperature))
    assert found.temperature == pytest.approx(1 / true_temperature, rel=0.08)
    assert found.error is not None and found.error_with_temperature is not None
    assert found.error_with_temperature < 0.03
    if true_temperature != 1.0:
        assert found.error > 0.08


def test_lists_without_the_right_identifier_choose_no_temperature_and_few_do_neither() -> None:
    few = answers_of(1.0, 19)
    assert best_temperature(few) is None
    lost = [ScoredAnswer("f", one.probabilities, -1) for one in answers_of(1.0, 100)]
    found = calibrate(lost)
    assert (found.num_answers, found.temperature, found.error_with_temperature) == (100, None, None)
    assert found.error is not None and found.error > 0.3


def test_probabilities_of_zero_are_survived() -> None:
    one = ScoredAnswer("f", np.array([1.0, 0.0], np.float32), 1)
    found = best_temperature([one] * 30)
    assert found is not None and math.isfinite(found)


def test_nothing_is_calibrated_without_answers() -> None:
    found = calibrate([])
    assert (found.num_answers, found.error, found.bins) == (0, None, [])
