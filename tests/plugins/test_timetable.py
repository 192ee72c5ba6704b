"""The nightly schedule: never started by being switched on, never twice, never lost by a parse at the wrong moment."""

import datetime as dt

import pendulum
import pytest

pytestmark = pytest.mark.airflow

from airflow.timetables.base import DataInterval, TimeRestriction  # noqa: E402
from airflow.timetables.trigger import CronTriggerTimetable  # noqa: E402
from ops_platform.timetable import GRACE, NightlyTimetable  # noqa: E402

NIGHTLY = "0 2 * * *"
LONG_AGO = pendulum.datetime(2026, 1, 1, tz="UTC")
NOON = pendulum.datetime(2026, 6, 10, 12, 0, tz="UTC")
TICK = pendulum.datetime(2026, 6, 10, 2, 0, tz="UTC")
NEXT_TICK = TICK.add(days=1)


def next_run(
    now: pendulum.DateTime,
    last: pendulum.DateTime | None = None,
    start: pendulum.DateTime | None = LONG_AGO,
    end: pendulum.DateTime | None = None,
    timetable: CronTriggerTimetable | None = None,
) -> pendulum.DateTime | None:
    timetable = timetable or NightlyTimetable(NIGHTLY, now=lambda: now)
    info = timetable.next_dagrun_info(
        last_automated_data_interval=None if last is None else DataInterval.exact(last),
        restriction=TimeRestriction(start, end, catchup=False),
    )
    return None if info is None else info.run_after


def test_a_fresh_deployment_waits_for_the_next_night() -> None:
    assert next_run(NOON) == NEXT_TICK


def test_without_a_start_date_too() -> None:
    assert next_run(NOON, start=None) == NEXT_TICK


def test_after_a_long_pause_it_waits_for_the_next_night() -> None:
    assert next_run(NOON, last=TICK.subtract(days=30)) == NEXT_TICK


def test_what_airflows_own_timetable_does_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason for ours: both would start last night's run as soon as the DAG is switched on."""
    monkeypatch.setattr("airflow.timetables.trigger.utcnow", lambda: NOON)
    theirs = CronTriggerTimetable(NIGHTLY, timezone="UTC")
    assert next_run(NOON, timetable=theirs) == TICK
    assert next_run(NOON, last=TICK.subtract(days=30), timetable=theirs) == TICK


def test_a_parse_just_after_the_tick_does_not_lose_the_night() -> None:
    assert next_run(TICK.add(seconds=30), last=TICK.subtract(days=1)) == TICK
    assert next_run(TICK + GRACE, last=TICK.subtract(days=1)) == TICK


def test_a_tick_missed_by_more_than_the_grace_time_is_gone() -> None:
    assert next_run(TICK + GRACE + dt.timedelta(seconds=1), last=TICK.subtract(days=1)) == NEXT_TICK


def test_a_night_runs_once() -> None:
    assert next_run(TICK.add(seconds=30), last=TICK) == NEXT_TICK
    assert next_run(NOON, last=TICK) == NEXT_TICK


def test_before_the_start_date_nothing_runs() -> None:
    assert next_run(NOON, start=pendulum.datetime(2026, 7, 1, tz="UTC")) == pendulum.datetime(2026, 7, 1, 2, tz="UTC")


def test_after_the_end_date_nothing_runs() -> None:
    assert next_run(NOON, end=NOON) is None


def test_the_time_zone_counts() -> None:
    in_summer = next_run(NOON, timetable=NightlyTimetable(NIGHTLY, timezone="Europe/Stockholm", now=lambda: NOON))
    assert in_summer == pendulum.datetime(2026, 6, 11, 0, 0, tz="UTC")


def test_the_database_gets_it_back_as_it_was() -> None:
    written = NightlyTimetable("30 3 * * 1-5", timezone="Europe/Stockholm").serialize()
    assert written == {"cron": "30 3 * * 1-5", "timezone": "Europe/Stockholm"}
    assert NightlyTimetable.deserialize(written).serialize() == written
