"""Curves from metrics records."""

import math

import pytest

from gematria_ops.inference.learning_curve import MAX_POINTS, error_over_time, learning_curves


def test_loss_and_each_tasks_validation_error() -> None:
    records = [
        {"step": 1, "loss": 0.5},
        {"step": 10, "loss": 0.25, "validation_mape_percent_hsw": 40.0},
        {"step": 20, "validation_mape_percent_hsw": 30.0, "validation_mape_percent_other": 1.0},
    ]
    loss, hsw = learning_curves(records, ["hsw", "skl"])
    assert [(point.step, point.value) for point in loss.points] == [(1, 0.5), (10, 0.25)]
    assert (loss.is_validation, loss.unit) == (False, "")
    assert [(point.step, point.value) for point in hsw.points] == [(10, 40.0), (20, 30.0)]
    assert (hsw.title, hsw.is_validation, hsw.unit) == ("hsw", True, "percent")


def test_values_that_are_no_numbers_are_left_out() -> None:
    records = [{"step": 1, "loss": math.nan}, {"step": 2, "loss": math.inf}, {"step": 3, "loss": 0.5}]
    (loss,) = learning_curves(records, [])
    assert [point.step for point in loss.points] == [3]
    assert learning_curves(records[:2], ["hsw"]) == ()
    assert learning_curves([], ["hsw"]) == ()


def test_long_curves_are_thinned_but_reach_the_last_step() -> None:
    records = [
        {"step": step, "loss": float(step % 2), "validation_mape_percent_a": float(step)} for step in range(1001)
    ]
    loss, validation = learning_curves(records, ["a"])
    for curve in (loss, validation):
        assert MAX_POINTS / 2 < len(curve.points) <= MAX_POINTS
        assert curve.points[-1].step == 1000
        steps = [point.step for point in curve.points]
        assert steps == sorted(set(steps))
    assert loss.title == "loss of a batch, mean of 6 values"
    # Losses are averaged, validation errors are figures that were measured.
    assert loss.points[0].value == pytest.approx(0.5, abs=0.1)
    assert all(point.value == point.step for point in validation.points)


def test_error_over_time_adds_up_the_parts_of_a_continued_training() -> None:
    records = [
        {"step": 10, "seconds": 4.0, "mape_percent_a": 30.0, "mape_percent_b": 10.0},
        {"step": 20, "seconds": 8.0, "mape_percent_a": 20.0, "mape_percent_b": 10.0},
        {"step": 20, "validation_mape_percent_a": 25.0, "validation_mape_percent_b": 15.0},
        # Continued: the seconds begin again.
        {"step": 30, "seconds": 3.0, "mape_percent_a": 10.0, "mape_percent_b": float("nan")},
        {"step": 40, "seconds": 5.0, "mape_percent_a": 4.0, "mape_percent_b": 6.0},
        {"step": 35, "validation_mape_percent_a": 5.0, "validation_mape_percent_b": 5.0},
        {"step": 40, "validation_mape_percent_a": 5.0},
    ]
    validation, training = error_over_time(records, ("a", "b"), "second")
    assert (validation.model, validation.kind, training.kind) == ("second", "validation", "training batches")
    # Step 35 lies halfway between 8 + 3 and 8 + 5 seconds.
    found = [(point.step, point.seconds, point.error_percent) for point in validation.points]
    assert found == [(20, 8.0, 20.0), (35, 12.0, 5.0)]
    found = [(point.step, point.seconds, point.error_percent) for point in training.points]
    assert found == [(10, 4.0, 20.0), (20, 8.0, 15.0), (40, 13.0, 5.0)]


def test_error_over_time_without_a_clock_or_without_records() -> None:
    (curve,) = error_over_time([{"step": 1, "mape_percent_a": 3.0}], ("a",), "first")
    assert curve.points[0].seconds is None
    assert error_over_time([{"step": 1, "loss": 3.0}], ("a",), "first") == ()
    assert error_over_time([], ("a",), "first") == ()
