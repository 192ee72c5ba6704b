"""Two completion models situation by situation: the figures and their interval by hand, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from fastnode_ops.validation.release import ReleaseLimits, judge_differences
from fastnode_ops.validation.situation_ranks import SituationRanks, read_ranks, write_ranks
from ops_common.errors import ConfigError, DataError
from ops_common.seeding import derived_seed

FILES = ["a", "a", "a", "b", "b", "c", "d", "d", "e", "e"]
MINE = [0, 0, 3, -1, 0, 5, 1, 0, 0, 2]
THEIRS = [0, 1, 0, 0, -1, 0, 0, 0, 4, 2]


def ranks(values: list[int], digest: str = "same") -> SituationRanks:
    return SituationRanks.of(digest, FILES, values)


def test_what_a_situation_adds() -> None:
    figures = SituationRanks.of("x", ["a"] * 5, [0, 4, 5, -1, 1]).figures()
    assert figures["top_1_share"].tolist() == [1, 0, 0, 0, 0]
    assert figures["top_5_share"].tolist() == [1, 1, 0, 0, 1]
    assert figures["mean_reciprocal_rank"].tolist() == pytest.approx([1, 1 / 5, 1 / 6, 0, 1 / 2])


def test_the_interval_is_that_of_the_paired_bootstrap_over_files() -> None:
    limits = ReleaseLimits(confidence=0.9, num_resamples=300, seed=5, min_margin_over_pinned=-1)
    checks, intervals = judge_differences(ranks(MINE), ranks(THEIRS), "old", limits)
    changes = np.array([0, 1, -1, -1, 1, -1, -1, 0, 1, 0])  # hits of mine minus hits of theirs
    of_file = [changes[[name == file for file in FILES]] for name in "abcde"]
    drawn = np.random.Generator(np.random.PCG64(derived_seed(5, "comparison", "top_1_share"))).integers(0, 5, (300, 5))
    means = [np.concatenate([of_file[file] for file in row]).mean() for row in drawn]
    first = intervals[0]
    assert (first.figure, first.confidence, first.difference) == ("top_1_share", 0.9, pytest.approx(-0.1))
    assert (first.low, first.high) == pytest.approx(tuple(np.percentile(means, [5, 95])))
    assert [check.name for check in checks] == ["top_1_share", "top_5_share", "mean_reciprocal_rank"]
    assert all(check.passed for check in checks)


def test_it_is_the_lower_end_that_counts() -> None:
    _, intervals = judge_differences(ranks(MINE), ranks(THEIRS), "old", ReleaseLimits())
    low = intervals[0].low
    assert low is not None
    for margin, passed in ((low, True), (low + 0.01, False)):
        limits = ReleaseLimits(min_margin_over_pinned=margin)
        check = judge_differences(ranks(MINE), ranks(THEIRS), "old", limits)[0][0]
        assert check.passed is passed
    assert check.text == (
        f"top 1 share is 0.5000, that of the released model old 0.6000 at the same 10 situations: -0.1000 "
        f"(95 % interval {low:+.4f} to {intervals[0].high:+.4f}), at least {low + 0.01:+g} is needed at the lower end"
    )


def test_the_same_answers_differ_by_nothing() -> None:
    checks, intervals = judge_differences(ranks(MINE), ranks(MINE), "old", ReleaseLimits(min_margin_over_pinned=0))
    assert all(check.passed for check in checks)
    assert {(one.low, one.difference, one.high) for one in intervals} == {(0.0, 0.0, 0.0)}


def test_one_file_is_too_few() -> None:
    one = SituationRanks.of("x", ["a"] * 3, [0, 0, 0])
    checks, intervals = judge_differences(one, one, "old", ReleaseLimits(min_margin_over_pinned=-0.9))
    assert not any(check.passed for check in checks)
    assert (intervals[0].low, intervals[0].high) == (None, None)


def test_other_situations_are_not_compared() -> None:
    with pytest.raises(ConfigError, match="of other situations"):
        judge_differences(ranks(MINE), ranks(MINE, "other"), "old", ReleaseLimits())
    for change, message in (({"confidence": 1.0}, "confidence must lie"), ({"num_resamples": 0}, "num_resamples must")):
        with pytest.raises(ConfigError, match=message):
            judge_differences(ranks(MINE), ranks(MINE), "old", ReleaseLimits(**change))


def test_ranks_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "ranks.json"
    write_ranks(path, ranks(MINE))
    assert read_ranks(path) == ranks(MINE)
    good = path.read_text()
    for wrong, message in (
        (good.replace('"ranks":[0,', '"ranks":['), "10 files for 9 ranks"),
        (good.replace('"file_index":[0,', '"file_index":[7,'), "points beyond"),
        (good.replace('"ranks":[0,', '"ranks":[-2,'), "below -1"),
        (good.replace('"ranks"', '"rank"'), "Field required"),
    ):
        path.write_text(wrong)
        with pytest.raises(DataError, match=message):
            read_ranks(path)
