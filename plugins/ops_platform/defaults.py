"""What all DAGs of this project share: assets, owner, pool, the nightly schedule, and who is told how a run ended."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pendulum
from airflow.sdk import Asset, AssetOrTimeSchedule
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from ops_platform import run_callbacks, settings
from ops_platform.settings import TRAINING_POOL as TRAINING_POOL
from ops_platform.timetable import NightlyTimetable

GEMATRIA_DATASET = Asset("gematria/dataset", extra={"what": "a data set of basic blocks with its vocabulary"})
GEMATRIA_BUNDLE = Asset("gematria/bundle", extra={"what": "a model that passed its release gate, uploaded"})

FASTNODE_CORPUS = Asset("fastnode/corpus", extra={"what": "a corpus of Python code with its symbols and index"})
FASTNODE_BUNDLE = Asset("fastnode/bundle", extra={"what": "a completion model that passed its gate, uploaded"})

START_DATE = pendulum.datetime(2026, 1, 1, tz="UTC")
DEFAULT_ARGS: dict[str, Any] = {
    "owner": "model-training",
    "on_execute_callback": run_callbacks.task_begins,
    "on_failure_callback": run_callbacks.task_failed,
}


def deadline() -> DeadlineAlert | None:
    """Somebody is told of a run that has not ended in time; None when that is nobody's business."""
    hours = settings.load().deadline_hours
    if not hours:
        return None
    reference, interval = DeadlineReference.DAGRUN_QUEUED_AT, timedelta(hours=hours)
    return DeadlineAlert(reference=reference, interval=interval, callback=AsyncCallback(run_callbacks.run_late))


SHARED: dict[str, Any] = {
    "start_date": START_DATE,
    "catchup": False,
    "max_active_runs": 1,
    "default_args": DEFAULT_ARGS,
    "on_failure_callback": run_callbacks.run_failed,
    "on_success_callback": run_callbacks.run_succeeded,
    "deadline": deadline(),
    "render_template_as_native_obj": False,
}


def nightly(cron: str) -> NightlyTimetable | None:
    """A schedule by time alone; none without a time.

    Args:
        cron: Five-field cron expression, UTC, or empty.
    """
    return NightlyTimetable(cron) if cron else None


def nightly_or_after(asset: Asset) -> AssetOrTimeSchedule | list[Asset]:
    """The schedule of a training: at the deployment's nightly time, and whenever an asset is updated.

    Args:
        asset: The asset.

    Returns:
        The schedule; without a nightly time (`OPS_NIGHTLY_CRON=off`) only the asset starts the DAG.
    """
    cron = settings.load().nightly_cron
    if not cron:
        return [asset]
    # A plugin's timetable derives from the scheduler's class, which the SDK's signature does not know.
    return AssetOrTimeSchedule(timetable=NightlyTimetable(cron), assets=[asset])  # type: ignore[arg-type]
