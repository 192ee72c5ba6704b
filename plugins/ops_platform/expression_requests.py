"""The first task of the completion model's workflows: what was asked for becomes a plan, once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from airflow.sdk import Asset, get_current_context, task

from fastnode_ops.corpus_request import plan_corpus
from fastnode_ops.distributed_request import plan_distributed
from fastnode_ops.requests import NoRunYet, Plan, plan_continuation, plan_standalone
from fastnode_ops.sweep_request import plan_sweep
from ops_common.errors import OpsError
from ops_common.rundir import RunDir
from ops_platform import settings
from ops_platform.requests import RESOLVING, newest_event, resolve_once
from ops_platform.run_folders import STANDALONE_DAG, safe_name

IMPORT_DAG = "pythonexpr_import"
"""The workflow whose runs make corpora."""


@task(task_id="resolve_request", multiple_outputs=True, **RESOLVING)
def resolve_corpus() -> Plan:
    """Check what was asked for, and say where the corpus goes."""
    context = get_current_context()

    def plan(values: Mapping[str, Any], folder: Path) -> Plan:
        config = settings.load()
        name = safe_name(context["run_id"])
        planned = plan_corpus(values, project_root=config.project_root, data_root=config.data_root, run_name=name)
        return {**planned, "run_dir": str(folder)}

    return resolve_once(context, dict(context["params"]), plan)


@task(task_id="resolve_request", multiple_outputs=True, **RESOLVING)
def resolve_standalone(corpus: Asset) -> Plan:
    """Check what was asked for, and say where everything goes.

    A run that a new corpus has started takes that corpus, and the settings that its import passed on.

    Args:
        corpus: The asset whose events start the workflow.
    """
    extra = newest_event(get_current_context(), corpus)
    return _resolve_new(plan_standalone, {**(extra.get("training") or {}), **(extra.get("train_conf") or {})})


@task(task_id="resolve_request", multiple_outputs=True, **RESOLVING)
def resolve_distributed() -> Plan:
    """Check what was asked for, the hosts among it, and say where everything goes."""
    return _resolve_new(plan_distributed)


@task(task_id="resolve_request", multiple_outputs=True, **RESOLVING)
def resolve_expression_sweep() -> Plan:
    """Check what was asked for, and every configuration that follows from it."""
    return _resolve_new(plan_sweep)


@task(task_id="resolve_request", multiple_outputs=True, **RESOLVING)
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


def _resolve_new(make: Callable[..., Plan], from_event: Mapping[str, Any] = MappingProxyType({})) -> Plan:
    """The plan of a run that trains a new model."""
    context = get_current_context()

    def plan(values: Mapping[str, Any], folder: Path) -> Plan:
        config = settings.load()
        if context["dag_run"].run_type == "scheduled":
            values = {**values, **newest_corpus(config.runs_root / IMPORT_DAG)}
        planned = make(values, data_root=config.data_root, run_dir=folder, **_places(config))
        return {**planned, "run_dir": str(folder)}

    return resolve_once(context, {**_values(context), **from_event}, plan)


def newest_corpus(imports_root: Path) -> dict[str, Any]:
    """The corpus that was imported last, as a training asks for it; empty when none was, or it is gone.

    Args:
        imports_root: Folder of the runs that make corpora.
    """
    finished = sorted(imports_root.glob("*/results/build_corpus.json"), key=lambda path: path.stat().st_mtime)
    for result in reversed(finished):
        try:
            plan = RunDir(result.parents[1]).recorded_result("resolve_request")
            corpus_dir, training = Path(str(plan["corpus_dir"])), plan["training"]
        except (OSError, OpsError, KeyError):
            continue  # a run of another time, or one that is being cleaned up
        if corpus_dir.is_dir() and isinstance(training, dict):
            return training
    return {}


def _values(context: Mapping[str, Any]) -> dict[str, Any]:
    """The form's values; a run that nobody asked for trains for as long as the deployment allows."""
    values = dict(context["params"])
    if context["dag_run"].run_type in ("scheduled", "asset_triggered"):
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
