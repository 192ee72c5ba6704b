"""The gate passes what it should and names the number that it refuses."""

import pytest

from fastnode_ops.validation.release import ReleaseLimits, ReleaseVerdict, check_release, judge_release
from ops_common.errors import ConfigError, GateError
from tests.fastnode.validation.reports import make_report

FEW = ReleaseLimits(min_situations=1)


def test_a_good_model_passes() -> None:
    report = make_report([0] * 40 + [1] * 20, [0] * 30 + [1] * 30)
    pinned = make_report([0] * 39 + [1] * 21, [0] * 30 + [1] * 30, name="old")
    verdict = check_release(report, pinned)
    assert verdict.passed
    assert [check.name for check in verdict.checks] == [
        "num_situations",
        "answered_share",
        "margin_over_pop",
        "margin_over_pinned",
    ]
    assert ReleaseVerdict.model_validate_json(verdict.model_dump_json()) == verdict


def test_worse_than_popularity_is_named_with_both_numbers() -> None:
    with pytest.raises(GateError) as caught:
        check_release(make_report([0] * 2 + [1] * 8, [0] * 3 + [1] * 7), limits=FEW)
    assert caught.value.message == (
        "new is not released: top-1 is 20.0 %, popularity's where all providers answered (10 situations) is 30.0 %: "
        "the margin must be at least 0 points"
    )


def test_popularity_is_compared_where_both_answer() -> None:
    # everywhere popularity has more; where both answer the model has more
    report = make_report([0, 0, 1, None, None, None], [0, 1, 1, 0, 0, 0])
    assert judge_release(report, limits=FEW).passed


def test_the_pinned_model_is_compared_everywhere() -> None:
    pinned = make_report([0, 0, 0, 0], [1] * 4, name="old")
    with pytest.raises(GateError, match=r"that of the pinned model old \(4 situations\) is 100.0 %"):
        check_release(make_report([0, 0, None, 0], [1] * 4), pinned, FEW)
    generous = ReleaseLimits(min_situations=1, min_margin_over_pinned=-0.25)
    assert check_release(make_report([0, 0, None, 0], [1] * 4), pinned, generous).passed


def test_a_margin_that_is_met_exactly_passes() -> None:
    report = make_report([0] * 3 + [1] * 7, [0] * 2 + [1] * 8)
    assert check_release(report, limits=ReleaseLimits(min_situations=1, min_margin_over_pop=0.1)).passed
    with pytest.raises(GateError, match=r"at least 10\.1 points"):
        check_release(report, limits=ReleaseLimits(min_situations=1, min_margin_over_pop=0.101))


def test_too_few_situations_and_answers() -> None:
    with pytest.raises(GateError, match="all providers answered in 2 situations, at least 50 are needed to judge"):
        check_release(make_report([0, 0], [1, 1]))
    report = make_report([0] + [None] * 9, [1] * 10)
    with pytest.raises(GateError, match=r"answered 1 of 10 situations \(10.0 %\), at least 20 % are needed"):
        check_release(report, limits=FEW)


def test_nothing_in_common_does_not_pass() -> None:
    verdict = judge_release(make_report([0, None], [None, 0]), limits=FEW)
    failed = {check.name: check.value for check in verdict.failures}
    assert failed == {"num_situations": 0, "margin_over_pop": None}


def test_reports_of_different_situations_do_not_compare() -> None:
    with pytest.raises(ConfigError, match="new and the pinned model old were validated on different situations"):
        judge_release(make_report([0], [1]), make_report([0], [1], name="old", digest="other"))


def test_a_report_without_popularity_cannot_be_judged() -> None:
    report = make_report([0], [1])
    lacking = report.model_copy(update={"providers": {"ggnn-line-attr": report.providers["ggnn-line-attr"]}})
    with pytest.raises(ConfigError, match="has no figures of pop"):
        judge_release(lacking)


@pytest.mark.parametrize(
    "limits",
    [
        {"min_margin_over_pop": 1.5},
        {"min_margin_over_pinned": float("nan")},
        {"min_answered_share": -0.1},
        {"min_situations": 0},
    ],
)
def test_limits_are_checked(limits: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(limits))):
        judge_release(
            make_report([0], [1]), limits=ReleaseLimits.model_construct(**(ReleaseLimits().model_dump() | limits))
        )
