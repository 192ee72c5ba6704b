"""What Airflow calls when a task or a run has ended, or a run is late: marks in the run's folder, one message a run.

Those of a task run in its process, those of a run in the DAG processor, the one of a deadline in the triggerer. None of
them may fail a run, so each logs what it could not do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from airflow.sdk import Connection
from airflow.sdk.definitions.context import Context

from ops_common.errors import ConfigError
from ops_common.rundir import RunDir
from ops_platform import notices, settings
from ops_platform.notices import Notice
from ops_platform.receivers import Receiver, deliver, receiver_of
from ops_platform.run_folders import run_dir
from ops_platform.task_outcome import RunHasFailed

LOG = logging.getLogger(__name__)

_NO_CONNECTION = "the connection %r of OPS_NOTIFY_CONNECTIONS cannot be had: %s"


def task_begins(context: Context) -> None:
    """An attempt starts: what an earlier one failed of is past."""
    _without_harm(lambda: notices.forget_failure(_folder(context), _task_name(context)), "forget a failure")


def task_failed(context: Context) -> None:
    """A task has failed for good: write down what it said."""
    if isinstance(context.get("exception"), RunHasFailed):
        return

    def save() -> None:
        error = context.get("exception") or context.get("reason") or "it ended from outside: killed, or marked"
        text = str(error).strip() or type(error).__name__
        notices.save_failure(_folder(context), _task_name(context), context["ti"].try_number, text)

    _without_harm(save, "save a failure")


def run_failed(context: Context) -> None:
    """A run has failed: mark its folder, and say so once."""

    def tell() -> None:
        folder = _folder(context)
        dag_id, run_id = context["dag"].dag_id, context["run_id"]
        notice = notices.failure_notice(dag_id, run_id, folder, run_url(dag_id, run_id), str(context.get("reason", "")))
        RunDir(folder).mark_failed("; ".join([notice.title, *notice.reasons]).partition("\n")[0])
        _say(notice)

    _without_harm(tell, "tell of a failed run")


def run_succeeded(context: Context) -> None:
    """A run has ended well: mark its folder; whoever was told of a failure is told that it works again."""

    def tell() -> None:
        folder = _folder(context)
        if not (folder / "results/resolve_request.record.json").exists():
            return  # a night with nothing to do says nothing about what works
        RunDir(folder).mark_done()
        dag_id, run_id = context["dag"].dag_id, context["run_id"]
        before = notices.last_kind(settings.load().runs_root, dag_id)
        notice = notices.success_notice(dag_id, run_id, folder, run_url(dag_id, run_id), before)
        if notice is not None:
            _say(notice)

    _without_harm(tell, "tell of a run that went well")


async def run_late(context: Mapping[str, Any]) -> None:
    """A run has not ended by its deadline. Called in the triggerer, whose loop must not wait.

    Args:
        context: What a deadline knows: the run.
    """
    run = context["dag_run"]
    dag_id, run_id = str(run["dag_id"]), str(run["dag_run_id"])
    config = settings.load()
    folder = run_dir(config.runs_root, dag_id, run_id)
    if RunDir(folder).state != "open":
        return  # Airflow forgets the deadline of a run that went well, not of one that failed
    notice = notices.late_notice(dag_id, run_id, folder, run_url(dag_id, run_id), config.deadline_hours)
    connections = [await _connection(name) for name in config.notify_connections]
    receivers = [receiver for found in connections if (receiver := _receiver(found, config)) is not None]
    await asyncio.to_thread(_deliver, notice, receivers, config)


def run_url(dag_id: str, run_id: str) -> str:
    """A run in Airflow's page."""
    from airflow.configuration import conf

    base = str(conf.get("api", "base_url", fallback="") or "").rstrip("/")
    return f"{base}/dags/{quote(dag_id, safe='')}/runs/{quote(run_id, safe='')}"


def _say(notice: Notice) -> None:
    config = settings.load()
    found = [_connection_now(name) for name in config.notify_connections]
    _deliver(notice, [known for item in found if (known := _receiver(item, config)) is not None], config)


def _deliver(notice: Notice, receivers: Sequence[Receiver], config: settings.Settings) -> None:
    LOG.warning("%s", notice.text)
    notices.save_notice(config.runs_root, notice, deliver(notice, receivers))


def _connection_now(name: str) -> Connection | None:
    try:
        found: Connection = Connection.get(name)
    except Exception as error:  # a message that reaches nobody must not hide the one in the log
        LOG.error(_NO_CONNECTION, name, error)
        return None
    return found


async def _connection(name: str) -> Connection | None:
    try:
        found: Connection = await Connection.async_get(name)
    except Exception as error:
        LOG.error(_NO_CONNECTION, name, error)
        return None
    return found


def _receiver(connection: Connection | None, config: settings.Settings) -> Receiver | None:
    if connection is None:
        return None
    try:
        return receiver_of(connection, config.notify_emails)
    except ConfigError as error:
        LOG.error("%s", error)
        return None


def _folder(context: Context) -> Path:
    dag = context["dag"]
    return run_dir(settings.load().runs_root, dag.dag_id, context["run_id"])


def _task_name(context: Context) -> str:
    task = context["ti"]
    index = getattr(task, "map_index", -1)
    return task.task_id if index is None or index < 0 else f"{task.task_id}.{index}"


def _without_harm(action: Callable[[], None], what: str) -> None:
    try:
        action()
    except Exception:
        LOG.exception("could not %s", what)
