"""Which configurations a sweep has, who trains on, and what its report says: by hand-made outcomes."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops_common.errors import ArtifactError, ConfigError
from ops_common.sweep import (
    MAX_RUNGS,
    Configuration,
    Outcome,
    SweepDir,
    SweepPlan,
    draw,
    grid,
    number_of,
    read_space,
    rung_steps,
    survivors,
)
from ops_common.sweep_report import write_report

RATE = {"low": 0.0001, "high": 0.1, "scale": "log"}


def test_a_grid_has_every_combination_once_the_last_setting_changing_fastest() -> None:
    space = read_space({"a.x": [1, 2], "b.y": {"low": 0.01, "high": 1, "scale": "log", "num": 3}})
    assert [list(point.values.values()) for point in grid(space)] == [
        [1, 0.01],
        [1, 0.1],
        [1, 1.0],
        [2, 0.01],
        [2, 0.1],
        [2, 1.0],
    ]
    assert grid(space)[3].label == "4: x=2, y=0.01"
    assert grid(space)[3].overrides == ["a.x=2", "b.y=0.01"]
    assert number_of(grid(space)[3].label) == 4


def test_whole_numbers_are_whole_and_named_once() -> None:
    space = read_space({"n": {"low": 1, "high": 3, "type": "int", "num": 9}})
    assert [point.values["n"] for point in grid(space)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "nothing to search"),
        ({"a": []}, "space: a: neither a list of values nor a range"),
        ({"a": 3}, "space: a: neither a list of values nor a range"),
        ({"a": {"low": 2, "high": 1}}, "space: a: low must be less than high"),
        ({"a": {"low": 0, "high": 1, "scale": "log"}}, "begins above 0"),
        ({"a": {"low": 0}}, "space: a: high: Field required"),
        ({"a": {**RATE, "typ": "int"}}, "space: a: unknown setting 'typ'"),
        ({"a": {**RATE, "scale": "cubic"}}, "space: a: scale"),
    ],
)
def test_what_is_no_space_is_refused_by_name(space: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_space(space)


def test_a_grid_of_too_many_or_of_a_range_without_a_number_is_refused() -> None:
    with pytest.raises(ConfigError, match="space: a: a grid needs the number of values"):
        grid(read_space({"a": RATE}))
    with pytest.raises(ConfigError, match="space: 400 combinations"):
        grid(read_space({"a": list(range(20)), "b": list(range(20))}))


@given(st.integers(0, 1000), st.integers(1, 12))
def test_more_draws_begin_with_those_of_fewer_and_stay_in_range(seed: int, num: int) -> None:
    space = read_space({"rate": RATE, "size": [8, 16, 32]})
    found = draw(space, num, seed)
    assert [point.number for point in found] == list(range(1, num + 1))
    assert draw(space, num + 1, seed)[:num] == found
    assert all(0.0001 <= point.values["rate"] <= 0.1 and point.values["size"] in (8, 16, 32) for point in found)


def test_a_small_space_is_drawn_once_and_no_further() -> None:
    found = draw(read_space({"a": [1, 2], "b": [3]}), 8, seed=0)
    assert sorted(point.values["a"] for point in found) == [1, 2]


def test_rates_on_a_logarithmic_scale_are_spread_over_all_magnitudes() -> None:
    exponents = [math.log10(p.values["a"]) for p in draw(read_space({"a": RATE}), 200, seed=1)]
    for low in (-4, -3, -2):
        assert 40 <= sum(low <= exponent < low + 1 for exponent in exponents) <= 95


@pytest.mark.parametrize(
    ("arguments", "steps"),
    [((90, 10, 3), [10, 30, 90]), ((100, 10, 3), [12, 34, 100]), ((5, 10, 3), [5]), ((10**6, 1, 2), None)],
)
def test_rungs(arguments: tuple[int, int, int], steps: list[int] | None) -> None:
    found = rung_steps(*arguments)
    assert steps is None or found == steps
    assert found[-1] == arguments[0] and found == sorted(set(found)) and len(found) <= MAX_RUNGS


def test_the_best_of_each_rung_train_on_and_the_failed_do_not() -> None:
    values = [3.0, None, 1.0, 2.0, None, 9.0, 8.0, 7.0]
    outcomes = [Outcome(number, 0, 10, value) for number, value in enumerate(values, 1)]
    assert survivors(outcomes, 4) == [3, 4]
    assert survivors(outcomes, 3) == [1, 3, 4]
    assert survivors([Outcome(1, 0, 10, None)], 2) == []
    assert survivors([], 2) == []


def made_sweep(folder: Path, values: list[list[float | None]]) -> SweepDir:
    """A sweep of which the outcomes are given: for each rung, that of each configuration (missing: not entered)."""
    sweep = SweepDir(folder)
    points = [Configuration(number, {"optimizer.rate": number / 10}) for number in range(1, len(values[0]) + 1)]
    sweep.write_plan(SweepPlan(points, [10, 20, 40][: len(values)], 2, "error_percent", len(points), {"data": "d"}))
    for rung, row in enumerate(values):
        for number, value in enumerate(row, 1):
            if number in sweep.entrants(rung):
                reason = "" if value is not None else "DataError: the loss of step 3 is inf"
                sweep.write_outcome(Outcome(number, rung, [10, 20, 40][rung], value, reason, 1.5))
    return sweep


def test_the_report_accounts_for_every_configuration_and_step(tmp_path: Path) -> None:
    sweep = made_sweep(tmp_path, [[5.0, 4.0, None, 3.0], [0, 2.5, 0, 2.0], [0, 0, 0, 1.0]])
    assert [sweep.entrants(rung) for rung in range(4)] == [[1, 2, 3, 4], [2, 4], [4], []]
    report = write_report(sweep)
    rows = {row["number"]: row for row in report["configurations"]}
    assert [row["number"] for row in report["configurations"]] == [4, 2, 1, 3]
    assert {number: row["status"] for number, row in rows.items()} == {
        1: "stopped early",
        2: "stopped early",
        3: "failed",
        4: "best",
    }
    assert rows[4]["curve"] == [[10, 3.0], [20, 2.0], [40, 1.0]]
    assert report["best"]["overrides"] == ["optimizer.rate=0.4"]
    assert (report["steps_spent"], report["steps_without_stopping"]) == (10 + 20 + 0 + 40, 160)
    assert report["failures"] == {"DataError: the loss of step 3 is inf": 1}
    assert json.loads((tmp_path / "reports/sweep.json").read_text()) == report
    page = (tmp_path / "reports/sweep.html").read_text()
    assert page.count("<svg") == 1 and "DataError: the loss of step 3 is inf" in page
    assert "http" not in page.replace("http-equiv", "")


def test_a_configuration_that_left_nothing_has_failed_and_the_others_go_on(tmp_path: Path) -> None:
    sweep = made_sweep(tmp_path, [[5.0, 4.0], [0, 2.0]])
    (sweep.folder(1) / "rung-0.json").unlink()
    assert sweep.entrants(1) == [2]
    report = write_report(sweep)
    assert report["num_failed"] == 1
    assert "left no result" in next(iter(report["failures"]))


def test_a_sweep_of_failures_has_no_best(tmp_path: Path) -> None:
    report = write_report(made_sweep(tmp_path, [[None, None], []]))
    assert report["best"] is None and report["num_failed"] == 2 and report["steps_spent"] == 0


def test_texts_of_a_setting_are_shown_as_text(tmp_path: Path) -> None:
    sweep = SweepDir(tmp_path)
    point = Configuration(1, {"a": "<script>alert(1)</script>"})
    sweep.write_plan(SweepPlan([point], [1], 2, "e", 1, {}))
    sweep.write_outcome(Outcome(1, 0, 1, 1.0))
    write_report(sweep)
    assert "<script>alert" not in (tmp_path / "reports/sweep.html").read_text()


def test_another_folder_is_no_sweep(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="does not exist"):
        SweepDir(tmp_path).plan()
    (tmp_path / "sweep.json").write_text('{"configurations": [{}]}')
    with pytest.raises(ArtifactError, match="is not the plan of a sweep"):
        SweepDir(tmp_path).plan()
    with pytest.raises(ConfigError, match="is not the label of a configuration"):
        number_of("x=3")
