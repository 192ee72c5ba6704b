"""Which run and task a command's log lines belong to: what its environment says, and what its lines are made to say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ops_common.log_lines import CONTEXT_VARIABLES, FORMAT_VARIABLE, as_json_line, context_of
from ops_platform.settings import Settings


def log_environment(settings: Settings, context: Mapping[str, Any]) -> dict[str, str]:
    """The variables by which a command knows its run and task; none unless logs are JSON.

    Args:
        settings: The deployment's settings.
        context: Airflow's context of the task.
    """
    if not settings.json_logs:
        return {}
    task = context["ti"]
    known = {
        "dag_id": task.dag_id,
        "run_id": context.get("run_id") or getattr(task, "run_id", ""),
        "task_id": task.task_id,
        "map_index": "" if getattr(task, "map_index", -1) in (-1, None) else task.map_index,
        "try_number": task.try_number,
    }
    named = {CONTEXT_VARIABLES[name]: str(value) for name, value in known.items() if value not in ("", None)}
    return {FORMAT_VARIABLE: "json", **named}


def line_of_log(line: str, environment: Mapping[str, str]) -> str:
    """A line of a command's output as it goes into the task's log: JSON also where a library wrote past our streams.

    Args:
        line: The line.
        environment: The command's environment.
    """
    return as_json_line(line, context_of(environment)) if FORMAT_VARIABLE in environment else line
