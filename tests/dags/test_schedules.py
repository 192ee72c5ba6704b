"""What starts by itself: at which time, and after which data."""

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.airflow

ROOT = Path(__file__).parents[2]


def test_schedules(dags: dict[str, Any]) -> None:
    from ops_platform.timetable import NightlyTimetable

    nightly = {"gematria_train": "gematria/dataset", "pythonexpr_standalone": "fastnode/corpus"}
    for dag_id in dags.keys() - nightly.keys():
        assert dags[dag_id].timetable.can_be_scheduled is False
    for dag_id, asset_name in nightly.items():
        schedule = dags[dag_id].timetable
        assert isinstance(schedule.timetable, NightlyTimetable)
        assert schedule.timetable.serialize() == {"cron": "0 2 * * *", "timezone": "UTC"}
        assert [asset.name for asset in schedule.asset_condition.objects] == [asset_name]


def test_the_nightly_start_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    from ops_platform.defaults import GEMATRIA_DATASET, nightly, nightly_or_after

    monkeypatch.setenv("OPS_NIGHTLY_CRON", "off")
    assert nightly_or_after(GEMATRIA_DATASET) == [GEMATRIA_DATASET]
    assert nightly("") is None


def test_a_clean_up_can_be_started_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.dag_processing.dagbag import DagBag

    monkeypatch.setenv("OPS_CLEAN_UP_CRON", "0 12 * * 0")
    dag = DagBag(str(ROOT / "dags/ops_clean_up.py")).dags["ops_clean_up"]
    assert dag.timetable.serialize()["cron"] == "0 12 * * 0"
    assert dag.params["dry_run"] is True  # of the form; a run by time removes


def test_a_continuation_can_be_started_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.dag_processing.dagbag import DagBag
    from ops_platform.timetable import NightlyTimetable

    monkeypatch.setenv("OPS_CONTINUE_CRON", "0 4 * * 6")
    dag = DagBag(str(ROOT / "dags/pythonexpr_continue.py")).dags["pythonexpr_continue"]
    assert isinstance(dag.timetable, NightlyTimetable)
    assert dag.timetable.serialize()["cron"] == "0 4 * * 6"


def test_what_the_database_keeps_gives_the_same_schedule_back(dags: dict[str, Any]) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    written = DagSerialization.to_dict(dags["gematria_train"])
    read = DagSerialization.from_dict(json.loads(json.dumps(written)))
    assert type(read.timetable.timetable).__name__ == "NightlyTimetable"
    assert read.max_active_runs == 1
