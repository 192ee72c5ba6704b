"""The gate passes what it should and names the number that it refuses."""

import math
import subprocess
import sys

import numpy as np
import pytest

from gematria_ops.inference.release import ReleaseVerdict, check_release, judge_release
from ops_common.errors import ConfigError, GateError
from tests.gematria.inference.examples import held_out_blocks, make_report


def test_a_good_model_passes() -> None:
    verdict = check_release(make_report(factor=1.1), max_mape_percent=12)
    assert verdict.passed
    assert verdict.failures == ()
    assert verdict.worst_mape_percent == pytest.approx(10)
    assert {check.name for check in verdict.checks} == {
        "max_mape_percent",
        "better_than_baseline",
        "max_unpredicted_share",
    }
    assert ReleaseVerdict.model_validate_json(verdict.model_dump_json()) == verdict


def test_too_large_an_error_is_named_with_task_value_limit_and_count() -> None:
    blocks = held_out_blocks()
    predictions = blocks.labels * np.array([1.1, 1.3])
    with pytest.raises(GateError) as caught:
        check_release(make_report(predictions=predictions), max_mape_percent=25)
    assert caught.value.message == (
        "ithemal test is not released: skl: mean absolute percentage error is 30.00 % "
        "(60 blocks of the validation split), at most 25 % is allowed"
    )
    assert "reports/evaluation.html" in caught.value.hint


def test_the_limit_itself_is_allowed() -> None:
    report = make_report(factor=1.25)  # 0.25 is exact in binary
    limit = report.tasks[0].model.mape_percent
    assert limit is not None
    assert check_release(report, max_mape_percent=limit).passed
    with pytest.raises(GateError):
        check_release(report, max_mape_percent=math.nextafter(limit, 0))


def test_a_model_worse_than_a_baseline_is_refused_naming_both() -> None:
    report = make_report(factor=1.6)
    with pytest.raises(GateError, match=r"hsw: the model has 60\.00 %, the linear baseline 50\.00 % and must be"):
        check_release(report, max_mape_percent=90)
    assert check_release(report, max_mape_percent=90, require_better_than_baselines=False).passed


def test_equal_to_a_baseline_is_not_better() -> None:
    with pytest.raises(GateError, match="linear baseline"):
        check_release(make_report(factor=1.5), max_mape_percent=90)


def test_without_baselines_nothing_is_better_than_them() -> None:
    report = make_report(baseline_factors={})
    with pytest.raises(GateError, match="hsw: the report has no baseline"):
        check_release(report, max_mape_percent=90)
    assert check_release(report, max_mape_percent=90, require_better_than_baselines=False).passed


def test_every_failed_number_is_named() -> None:
    verdict = judge_release(make_report(factor=1.6), max_mape_percent=5)
    assert not verdict.passed
    assert [(check.name, check.task) for check in verdict.failures] == [
        ("max_mape_percent", "hsw"),
        ("better_than_baseline", "hsw"),
        ("max_mape_percent", "skl"),
        ("better_than_baseline", "skl"),
    ]


def test_missing_predictions_are_no_way_through() -> None:
    blocks = held_out_blocks()
    predictions = blocks.labels.copy()
    predictions[1:4, 1] = np.nan
    report = make_report(predictions=predictions)
    with pytest.raises(GateError, match=r"skl: 3 of 60 labelled blocks \(5\.00 %\) have no prediction, at most 1 %"):
        check_release(report, max_mape_percent=90)
    assert check_release(report, max_mape_percent=90, max_unpredicted_share=0.05).passed


def test_a_task_without_figure_is_the_worst_and_refused() -> None:
    blocks = held_out_blocks()
    predictions = blocks.labels.copy()
    predictions[:, 0] = np.nan
    verdict = judge_release(make_report(predictions=predictions), max_mape_percent=90)
    assert (verdict.passed, verdict.worst_task, verdict.worst_mape_percent) == (False, "hsw", None)
    assert any("hsw: mean absolute percentage error does not exist" in check.text for check in verdict.failures)


@pytest.mark.parametrize("limit", [0, -5, math.nan, math.inf])
def test_a_threshold_must_be_a_positive_number(limit: float) -> None:
    with pytest.raises(ConfigError, match="max_mape_percent must be a positive number"):
        check_release(make_report(), max_mape_percent=limit)


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_a_share_must_be_one(share: float) -> None:
    with pytest.raises(ConfigError, match="max_unpredicted_share"):
        check_release(make_report(), max_mape_percent=10, max_unpredicted_share=share)


def test_a_report_without_tasks_releases_nothing() -> None:
    with pytest.raises(ConfigError, match="no task"):
        check_release(make_report(tasks=()), max_mape_percent=10)


def test_the_gate_needs_no_heavy_library() -> None:
    program = (
        "import sys, gematria_ops.inference.release\n"
        "print([name for name in ('tensorflow', 'matplotlib', 'scipy', 'jinja2') if name in sys.modules])"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "[]"
