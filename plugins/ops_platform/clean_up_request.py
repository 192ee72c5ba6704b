"""The first task of the clean-up: what is old, and where to look."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow.sdk import get_current_context, task

from ops_common.clean_up import CleanUpRequest
from ops_common.config import build_config
from ops_platform import settings
from ops_platform.requests import RESOLVING, resolve_once


@task(task_id="resolve_request", multiple_outputs=True, **RESOLVING)
def resolve_clean_up() -> dict[str, Any]:
    """Check what was asked for, and say where to look. A run that was started by time removes what is old."""
    context = get_current_context()

    def plan(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        config = settings.load()
        request = build_config(CleanUpRequest, values, where="conf")
        config.data_root.mkdir(parents=True, exist_ok=True)  # a deployment may have no data yet
        return {
            **request.model_dump(),
            "run_dir": str(folder),
            "report_dir": str(folder / "reports"),
            "runs_root": str(config.runs_root),
            "data_root": str(config.data_root),
            "keep_file": str(config.keep_file),
            "destinations": [config.destination, config.expression_destination],
        }

    values = dict(context["params"])
    if context["dag_run"].run_type == "scheduled":
        values["dry_run"] = False
    return resolve_once(context, values, plan)
