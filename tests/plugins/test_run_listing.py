"""Rows, trends, comparisons and lineage from runs: worked examples, without a server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from ops_platform.run_folders import safe_name
from ops_platform.run_pages import comparing, lineage, listing, trend
from ops_platform.run_pages.airflow_runs import DAGS, AirflowRun
from ops_platform.run_pages.listing import Row, Wanted
from ops_platform.run_pages.run_index import RunIndex

from ops_common.release_record import decide_release
from ops_common.run_facts import read_run
from ops_common.rundir import RunDir
from tests.run_samples import FIRST_NIGHT, GEMATRIA, STANDALONE, make_nights, make_run, run_id_of


def airflow_run(dag_id: str, run_id: str, state: str = "success", night: int = 0) -> AirflowRun:
    begun = FIRST_NIGHT + timedelta(days=night)
    ended = None if state in ("running", "queued") else begun + timedelta(minutes=30)
    return AirflowRun(dag_id, run_id, state, "scheduled", None if state == "queued" else begun, ended, begun)


def rows_of(root: Path, *airflow: AirflowRun) -> list[Row]:
    return listing.join(RunIndex(root, DAGS).runs(), airflow)


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    """Eleven nights: 4 and 9 refused, 10 failed."""
    make_nights(tmp_path, GEMATRIA, range(11), curve_points=0)
    return rows_of(tmp_path)


def test_folders_and_airflow_are_joined(tmp_path: Path) -> None:
    make_nights(tmp_path, GEMATRIA, [0], curve_points=0)
    make_run(tmp_path / GEMATRIA / "by-hand", GEMATRIA, 1, "refused")
    going = airflow_run(GEMATRIA, "manual__x", "running", 3)
    rows = {row.title: row for row in rows_of(tmp_path, airflow_run(GEMATRIA, run_id_of(0)), going)}
    assert rows.keys() == {run_id_of(0), run_id_of(1), "manual__x"}
    both, folder, only_airflow = rows[run_id_of(0)], rows[run_id_of(1)], rows["manual__x"]
    assert (both.name, both.state, both.decision, both.seconds) == (
        safe_name(run_id_of(0)),
        "success",
        "released",
        1800,
    )
    assert (folder.name, folder.run_id, folder.state, folder.decision) == ("by-hand", "", "failed", "refused")
    assert folder.started_at == datetime(2026, 3, 2, 2, tzinfo=UTC)
    assert (only_airflow.facts, only_airflow.state, only_airflow.decision) == (None, "running", "")
    assert (only_airflow.seconds or 0) > 0
    assert rows_of(tmp_path, airflow_run(GEMATRIA, "q", "queued"))[0].family == "gematria"


def test_the_list_is_filtered_and_sorted(rows: list[Row]) -> None:
    def nights(**wanted: object) -> list[int]:
        found = listing.choose(rows, Wanted(**wanted))  # type: ignore[arg-type]
        return [row.facts.seeds["random_seed"] for row in found.rows if row.facts]

    assert nights() == list(range(10, -1, -1))
    assert nights(sort="started") == list(range(11))
    assert nights(decision="refused") == [9, 4]
    assert nights(decision="none") == [10] == nights(text="TRAIN_MODEL failed")
    assert nights(state="failed") == [10, 9, 4]
    assert nights(text="2026-03-05") == [4]
    assert nights(family="pythonexpr") == []
    by_error = nights(sort="mape_percent_hsw")
    errors = {row.facts.seeds["random_seed"]: row.figures.get("mape_percent_hsw") for row in rows if row.facts}
    assert by_error[-1] == 10  # it has no figure, whichever way the others are sorted
    assert by_error[:-1] == sorted(range(10), key=lambda night: errors[night] or 0)
    assert nights(sort="-mape_percent_hsw") == [*reversed(by_error[:-1]), 10]
    assert nights(sort="nonsense<") == nights(sort="started")


def test_pages_of_the_list(tmp_path: Path) -> None:
    rows = listing.join([], [airflow_run(GEMATRIA, f"run-{night}", night=night) for night in range(101)])
    first, last, beyond = (listing.choose(rows, Wanted(page=page)) for page in (1, 3, 99))
    assert (len(first.rows), len(last.rows), first.num_pages, first.num_rows) == (50, 1, 3, 101)
    assert (beyond.page, beyond.rows) == (3, last.rows)
    assert listing.choose(rows, Wanted(page=-5)).page == 1
    assert listing.choose([], Wanted()).num_pages == 1


def test_a_run_is_found_by_folder_or_id_and_nothing_else(rows: list[Row]) -> None:
    row = rows[0]
    assert listing.find_row(rows, row.dag_id, row.name) is row
    for name in ("", ".", "..", "../gematria_train", f"../{row.dag_id}/{row.name}"):
        assert listing.find_row(rows, row.dag_id, name) is None


def test_the_trend_marks_what_was_released_and_refused(rows: list[Row]) -> None:
    (drawn,) = trend.trends(rows, ["mape_percent_hsw", "absent"], 90)
    kinds = [point.kind for point in drawn.points]
    assert kinds == ["released"] * 4 + ["refused"] + ["released"] * 4 + ["refused"]
    assert len(drawn.failed) == 1 and "8 released, 2 refused, 1 failed" in drawn.summary
    xs = [point.x for point in (*drawn.points, *drawn.failed)]
    assert xs == sorted(xs) and xs[0] == trend.LEFT and xs[-1] == trend.WIDTH - trend.RIGHT
    # ten equal days: night 5 stands in the middle
    assert drawn.points[5].x == pytest.approx((trend.LEFT + trend.WIDTH - trend.RIGHT) / 2, abs=0.1)
    order = sorted(drawn.points, key=lambda point: point.value)
    assert [point.y for point in order] == sorted((point.y for point in order), reverse=True)
    assert all(trend.TOP <= point.y <= trend.HEIGHT - trend.BOTTOM for point in drawn.points)
    corners = [tuple(map(float, corner.split(","))) for corner in drawn.line.split()]
    assert corners[0] == (drawn.points[0].x, drawn.points[0].y)
    assert corners[1] == (drawn.points[1].x, drawn.points[0].y)  # the old model, until the next is released
    assert corners[-1] == (trend.WIDTH - trend.RIGHT, drawn.points[8].y)


def test_the_trend_looks_back_as_far_as_asked(rows: list[Row]) -> None:
    (drawn,) = trend.trends(rows, ["mape_percent_hsw"], 3)
    assert [point.row.title for point in drawn.points] == [run_id_of(8), run_id_of(9)]
    (alone,) = trend.trends([row for row in rows if row.title == run_id_of(2)], ["mape_percent_hsw"], 3)
    assert len(alone.points) == 1 and len(alone.x_ticks) == 1
    assert trend.trends([], ["mape_percent_hsw"], 3) == []


@pytest.mark.parametrize(
    ("low", "high", "first", "last"), [(8.7, 11.7, 8.0, 12.0), (0.3, 0.36, 0.3, 0.36), (5, 5, 4.5, 5.5)]
)
def test_axes_end_at_round_numbers(low: float, high: float, first: float, last: float) -> None:
    found_low, found_high, ticks = trend._scale(low, high)
    assert (found_low, found_high) == pytest.approx((first, last), abs=0.021)
    assert found_low <= low <= high <= found_high and 3 <= len(ticks) <= 6


def test_two_runs_are_compared(tmp_path: Path) -> None:
    first = read_run(make_run(tmp_path / "a", GEMATRIA, 0, "released"))
    second = read_run(make_run(tmp_path / "b", GEMATRIA, 31, "refused"))
    parts = {part.title: part for part in comparing.parts(first, second)}
    assert [(one.name, one.first, one.second) for one in parts["Settings"].differences] == [
        ("optimizer.learning_rate", "0.001", "0.002")
    ]
    assert parts["Settings"].num_equal == 2 and parts["What was asked for"].differences == ()
    assert {one.name for one in parts["Data"].differences} == {"folder", "train", "validation"}
    assert {one.name for one in parts["Code"].differences} == {"git_commit", "tree_sha256"}
    pairs = comparing.figure_pairs(first, second)
    assert [pair.name for pair in pairs] == ["mape_percent_hsw", "mape_percent_ivb", "mape_percent_skl"]
    assert {pair.outcome for pair in pairs} == {"better"} and (pairs[0].difference or 0) < 0
    absent = read_run(tmp_path / "c")
    assert comparing.figure_pairs(first, absent)[0].outcome == ""
    assert not any(part.is_known for part in comparing.parts(first, absent))
    assert comparing.figure_pairs(first, first)[0].outcome == "equal"


def test_a_higher_recall_is_better(tmp_path: Path) -> None:
    first = read_run(make_run(tmp_path / "a", STANDALONE, 0, "released"))
    second = read_run(make_run(tmp_path / "b", STANDALONE, 31, "released"))
    pairs = comparing.figure_pairs(first, second)
    assert all(pair.outcome == ("better" if (pair.difference or 0) > 0 else "worse") for pair in pairs)
    assert listing.is_lower_better("num_fallback") is None


def test_lineage_leads_from_data_to_the_released_model(tmp_path: Path) -> None:
    folders = make_nights(tmp_path, GEMATRIA, [28, 29, 30, 31], curve_points=0)
    reason = f"rolled back to s3://models/{folders[2].name} by ann: worse in use"
    decide_release(folders[3], "rolled_back", reasons=[reason])
    record = read_run(folders[3]).release
    assert record is not None
    before = record.model_copy(update={"compared_with": f"s3://models/{folders[2].name}"})
    (folders[3] / "release.json").write_text(before.model_dump_json())
    rows = rows_of(tmp_path)
    newer, older = lineage.datasets(rows)
    assert (newer.name, older.name) == ("blocks-1", "blocks-0") and newer.digest != older.digest
    assert [link.row.facts.seeds["random_seed"] for link in newer.links if link.row.facts] == [31, 30]
    assert (newer.num_runs, newer.num_released, older.num_released) == (2, 2, 1)
    assert newer.links[0].compared_with is newer.links[1].row
    assert [link.is_released_now for link in newer.links] == [False, True]  # the newest was rolled back
    assert lineage.released_now(rows) is newer.links[1].row
    decide_release(folders[2], "rolled_back", reasons=[f"rolled back to s3://models/{folders[0].name} by ann"])
    assert lineage.released_now(rows_of(tmp_path)) is not None
    decide_release(
        folders[2], "rolled_back", reasons=["rolled back to s3://gone by ann"], at="2027-01-01T00:00:00+00:00"
    )
    assert lineage.released_now(rows_of(tmp_path)) is None
    assert lineage.datasets([]) == [] and lineage.released_now([]) is None


def test_lineage_names_the_run_that_is_continued(tmp_path: Path) -> None:
    (made,) = make_nights(tmp_path, STANDALONE, [0], curve_points=0)
    folder = make_run(tmp_path / "pythonexpr_continue/more", STANDALONE, 1, "released")
    RunDir(folder).save_result("resolve_request", {}, {"work_dir": str(made)})
    links = {link.row.name: link for dataset in lineage.datasets(rows_of(tmp_path)) for link in dataset.links}
    assert links["more"].continues is links[made.name].row and links[made.name].continues is None
