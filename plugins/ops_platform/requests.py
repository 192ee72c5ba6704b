"""Requests in Airflow: a pydantic model as the fields of a trigger form, and the first task of every workflow."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from airflow.sdk import Asset, Param, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from pydantic import BaseModel

from gematria_ops.prediction_requests import plan_prediction
from gematria_ops.requests import NoDatasetYet, Plan, plan_import, plan_training
from gematria_ops.sweep_request import plan_sweep
from ops_common import run_record
from ops_common.errors import OpsError
from ops_common.rundir import RunDir
from ops_platform import settings
from ops_platform.run_folders import run_dir, safe_name

RESOLVING: dict[str, Any] = {"retries": 2, "retry_delay": timedelta(seconds=10)}
"""A wrong request is never tried again, whatever this says; a worker that died, or found its server too busy, is."""

TRAIN_DAG = "gematria_train"
"""The workflow whose runs upload models."""


def form_fields(request: type[BaseModel]) -> dict[str, Param]:
    """The fields of a trigger form, with types, limits, defaults and descriptions from a request model.

    Args:
        request: A model whose fields all have a default.

    Returns:
        One `Param` for each field, in the model's order. The scheduler checks a run's conf against their JSON schemas.
    """
    schema = request.model_json_schema()
    fields = {}
    for name, described in schema["properties"].items():
        keywords = _flatten(described)
        keywords["title"] = name
        keywords["description"] = f"{keywords.get('description', '')}{_range_text(keywords)}"
        fields[name] = Param(keywords.pop("default"), **keywords)
    return fields


def _range_text(keywords: Mapping[str, Any]) -> str:
    """The limits of a number in words: the form enforces them, but shows them only when they are broken."""
    low, high = keywords.get("minimum"), keywords.get("maximum")
    return "" if low is None or high is None else f" From {low:,} to {high:,}."


def _flatten(described: Mapping[str, Any]) -> dict[str, Any]:
    """`int | None` is an `anyOf` in pydantic's schema; the form wants one list of types."""
    keywords = {key: value for key, value in described.items() if key != "anyOf"}
    for choice in described.get("anyOf", ()):
        for key, value in choice.items():
            if key == "type":
                keywords["type"] = [*keywords.get("type", []), value]
            elif key != "additionalProperties":
                keywords[key] = value
    return keywords


@task(task_id="resolve_request", multiple_outputs=True, **RESOLVING)
def resolve_import() -> Plan:
    """Check what was asked for, and say where the data set goes."""
    context = get_current_context()

    def plan(values: Mapping[str, Any], folder: Path) -> Plan:
        config = settings.load()
        name = safe_name(context["run_id"])
        planned = plan_import(values, project_root=config.project_root, data_root=config.data_root, run_name=name)
        return {**planned, "run_dir": str(folder)}

    return resolve_once(context, dict(context["params"]), plan)


@task(task_id="resolve_request", multiple_outputs=True, **RESOLVING)
def resolve_training(dataset: Asset) -> Plan:
    """Check what was asked for, choose the data set, and say where the run's files go.

    A run that a new data set has started takes that data set, and the settings that its import passed on.

    Args:
        dataset: The asset whose events start the workflow.
    """
    context = get_current_context()
    extra = newest_event(context, dataset)
    chosen = {"dataset": extra["dataset_dir"]} if extra.get("dataset_dir") else {}
    values = {**context["params"], **chosen, **(extra.get("train_conf") or {})}

    def plan(asked: Mapping[str, Any], folder: Path) -> Plan:
        config = settings.load()
        return plan_training(
            asked,
            project_root=config.project_root,
            data_root=config.data_root,
            run_dir=folder,
            destination=config.destination,
        )

    return resolve_once(context, values, plan)


@task(task_id="resolve_request", multiple_outputs=True, **RESOLVING)
def resolve_prediction() -> Plan:
    """Check what was asked for, and choose the model."""
    context = get_current_context()

    def plan(values: Mapping[str, Any], folder: Path) -> Plan:
        config = settings.load()
        model = values.get("model")
        if isinstance(model, str) and "://" not in model:
            values = {**values, "model": safe_name(model)}  # a run's id, or the name of its folder
        return plan_prediction(
            values,
            project_root=config.project_root,
            models_root=config.runs_root / TRAIN_DAG,
            run_dir=folder,
            destination=config.destination,
        )

    return resolve_once(context, dict(context["params"]), plan)


@task(task_id="resolve_request", multiple_outputs=True, **RESOLVING)
def resolve_sweep() -> Plan:
    """Check what was asked for, and every configuration that follows from it."""
    context = get_current_context()

    def plan(values: Mapping[str, Any], folder: Path) -> Plan:
        config = settings.load()
        return plan_sweep(values, project_root=config.project_root, data_root=config.data_root, run_dir=folder)

    return resolve_once(context, dict(context["params"]), plan)


class Plans(Protocol):
    """Turns what was asked into a plan, given the folder of the run."""

    def __call__(self, values: Mapping[str, Any], folder: Path, /) -> Plan:
        """Make the plan."""
        ...


def resolve_once(
    context: Mapping[str, Any],
    values: Mapping[str, Any],
    plan: Plans,
    nothing_yet: tuple[type[OpsError], ...] = (NoDatasetYet,),
) -> Plan:
    """Make the plan once: a run that is cleared and repeated keeps the data set that it had.

    Args:
        context: The task's context.
        values: What was asked for.
        plan: Makes the plan.
        nothing_yet: Errors that say that there is nothing to work on yet: a run that nobody asked for is skipped.
    """
    dag_run = context["dag_run"]
    try:
        run = RunDir(run_dir(settings.load().runs_root, dag_run.dag_id, dag_run.run_id))
        planned = run.finished_result("resolve_request", values)
        if planned is None:
            planned = plan(values, run.path)
            run.save_result("resolve_request", values, planned)
            run_record.begin(run.path, dag_id=dag_run.dag_id, run_id=dag_run.run_id, conf=values)
        return planned
    except OpsError as error:
        if isinstance(error, nothing_yet) and dag_run.run_type != "manual":
            raise AirflowSkipException(f"nothing to train on: {error}") from None
        raise AirflowFailException(str(error)) from None


def newest_event(context: Mapping[str, Any], asset: Asset) -> dict[str, Any]:
    """What the newest event of an asset says that started this run; empty when none did.

    Args:
        context: The task's context.
        asset: The asset.
    """
    events = (context.get("triggering_asset_events") or {}).get(asset, ())
    return dict(max(events, key=lambda event: event.timestamp).extra or {}) if events else {}
