"""The first task of the completion model's workflows: what was asked for becomes a plan, once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow.sdk import get_current_context, task

from fastnode_ops.requests import NoRunYet, Plan, plan_continuation, plan_standalone
from ops_platform import settings
from ops_platform.requests import resolve_once
from ops_platform.run_folders import STANDALONE_DAG, safe_name


@task(task_id="resolve_request", retries=0, multiple_outputs=True)
def resolve_standalone() -> Plan:
    """Check what was asked for, and say where everything goes."""
    context = get_current_context()

    def plan(values: Mapping[str, Any], folder: Path) -> Plan:
        config = settings.load()
        places = _places(config)
        planned = plan_standalone(values, data_root=config.data_root, run_dir=folder, **places)
        return {**planned, "run_dir": str(folder)}

    return resolve_once(context, _values(context), plan)


@task(task_id="resolve_request", retries=0, multiple_outputs=True)
def resolve_continuation() -> Plan:
    """Check what was asked for, and find the run to continue."""
    context = get_current_context()

    def plan(values: Mapping[str, Any], folder: Path) -> Plan:
        config = settings.load()
        run = values.get("run")
        if isinstance(run, str):
            values = {**values, "run": safe_name(run)}  # a run's id, or the name of its folder
        planned = plan_continuation(values, runs_root=config.runs_root / STANDALONE_DAG, **_places(config))
        return {**planned, "run_dir": str(folder)}

    return resolve_once(context, _values(context), plan, nothing_yet=(NoRunYet,))


def _values(context: Mapping[str, Any]) -> dict[str, Any]:
    """The form's values; a run that was started by time trains for as long as the deployment allows."""
    values = dict(context["params"])
    if context["dag_run"].run_type == "scheduled":
        values["steps"] = settings.load().nightly_steps
    return values


def _places(config: settings.Settings) -> dict[str, Any]:
    config.checkout.mkdir(parents=True, exist_ok=True)  # the deployment's own: it may be a new one
    return {
        "project_root": config.project_root,
        "destination": config.expression_destination,
        "rundb": config.rundb,
        "checkout": config.checkout,
    }
