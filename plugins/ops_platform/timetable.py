"""A nightly schedule that is not started by being switched on.

Airflow's `CronTriggerTimetable` without catch-up still runs the most recent missed tick as soon as a DAG is unpaused:
a deployment at noon starts last night's training. Here a tick that passed while nobody scheduled is gone, and the next
one is waited for.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import pendulum
from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction
from airflow.timetables.trigger import CronTriggerTimetable

GRACE = datetime.timedelta(minutes=2)
"""How late a tick may be picked up. A DAG file may be parsed, or a scheduler restarted, between tick and pick-up."""


class NightlyTimetable(CronTriggerTimetable):
    """Runs at the ticks of a cron expression, never for one that was missed.

    Args:
        cron: Five-field cron expression.
        timezone: In which it is meant.
        now: The clock; tests bring their own.
    """

    def __init__(
        self, cron: str, *, timezone: str = "UTC", now: Callable[[], datetime.datetime] = lambda: pendulum.now("UTC")
    ) -> None:
        super().__init__(cron, timezone=timezone)
        self._now = now

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """The next run: the first tick that is neither missed, nor done, nor before the DAG's start date."""
        candidates = [self._align_to_next(pendulum.instance(self._now() - GRACE))]
        if last_automated_data_interval is not None:
            candidates.append(self._get_next(last_automated_data_interval.end))
        if restriction.earliest is not None:
            candidates.append(self._align_to_next(restriction.earliest))
        tick = max(candidates)
        if restriction.latest is not None and restriction.latest < tick:
            return None
        return DagRunInfo.interval(tick, tick)

    def serialize(self) -> dict[str, Any]:
        """What the database keeps of the timetable."""
        return {"cron": self._expression, "timezone": str(self._timezone)}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> NightlyTimetable:
        """The timetable that `serialize` described."""
        return cls(data["cron"], timezone=data["timezone"])
