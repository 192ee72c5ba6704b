"""Registers with Airflow what `ops_platform` adds to it."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin
from ops_platform.timetable import NightlyTimetable


class OpsPlatformPlugin(AirflowPlugin):
    """The nightly timetable."""

    name = "ops_platform"
    timetables = [NightlyTimetable]  # noqa: RUF012 - how Airflow declares it
