"""Metrics files: append, read, resume."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from ops_common.errors import ArtifactError
from ops_common.metrics import append_metrics, drop_metrics_after, read_metrics


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "metrics.jsonl"


def test_append_and_read(path: Path) -> None:
    append_metrics(path, 10, {"loss": 0.5, "num_blocks": 100})
    append_metrics(path, 20, {"loss": 0.25, "mape_percent/bhive: skl": 12.5})
    assert read_metrics(path) == [
        {"step": 10, "loss": 0.5, "num_blocks": 100},
        {"step": 20, "loss": 0.25, "mape_percent/bhive: skl": 12.5},
    ]
    assert path.read_text().splitlines()[0] == '{"step": 10, "loss": 0.5, "num_blocks": 100}'


def test_what_is_no_number_is_null_in_the_file_and_nan_for_the_reader(path: Path) -> None:
    append_metrics(path, 1, {"a": float("nan"), "b": float("inf"), "c": -math.inf})
    assert path.read_text() == '{"step": 1, "a": null, "b": null, "c": null}\n'
    [record] = read_metrics(path)
    assert record["step"] == 1
    assert all(math.isnan(record[name]) for name in "abc")


def test_missing_file_has_no_records(path: Path) -> None:
    assert read_metrics(path) == []
    assert drop_metrics_after(path, 5) == 0


@pytest.mark.parametrize("torn", ['{"step": 2, "lo', "{", "x" * 10_000])
def test_torn_last_line_is_left_out_and_then_overwritten(path: Path, torn: str) -> None:
    append_metrics(path, 1, {"loss": 1.0})
    with path.open("a") as file:
        file.write(torn)
    assert [record["step"] for record in read_metrics(path)] == [1]
    append_metrics(path, 2, {"loss": 2.0})
    assert [record["step"] for record in read_metrics(path)] == [1, 2]


def test_file_that_is_one_torn_line(path: Path) -> None:
    path.parent.mkdir()
    path.write_text('{"step"')
    assert read_metrics(path) == []
    append_metrics(path, 1, {})
    assert read_metrics(path) == [{"step": 1}]


@pytest.mark.parametrize("line", ["not json", "[1]", '{"loss": 1}', '{"step": "1"}', "\xff\xfe"])
def test_bad_line_in_the_middle_is_named(path: Path, line: str) -> None:
    append_metrics(path, 1, {})
    with path.open("ab") as file:
        file.write(line.encode("latin-1") + b"\n")
    append_metrics(path, 2, {})
    with pytest.raises(ArtifactError, match=r"metrics\.jsonl, line 2: not "):
        read_metrics(path)


def test_resumed_run_drops_what_came_after_its_checkpoint(path: Path) -> None:
    for step in (10, 20, 20, 30):
        append_metrics(path, step, {"loss": math.nan, "validation": step})
    assert drop_metrics_after(path, 20) == 1
    assert [(record["step"], record["validation"]) for record in read_metrics(path)] == [(10, 10), (20, 20), (20, 20)]
    assert math.isnan(read_metrics(path)[0]["loss"])
    assert drop_metrics_after(path, 20) == 0


def test_step_is_not_a_name_for_a_value(path: Path) -> None:
    with pytest.raises(ValueError, match="own field"):
        append_metrics(path, 1, {"step": 2})
