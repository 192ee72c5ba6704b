"""The params of every workflow, from the forms that Airflow shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ops_common.errors import ConfigError
from ops_platform.reference.tables import code, table


def params_page(root: Path) -> str:
    """A table for each workflow.

    Args:
        root: The checkout.

    Raises:
        ConfigError: A DAG file cannot be loaded; names it.
    """
    head = (
        "The fields of the form (**Trigger** in the page of a workflow); the same names in `--conf` of "
        "`airflow dags trigger`, in the REST API, and in the JSON of `make run REQUEST=...`. A value out of range is "
        "refused when the run is triggered, one that contradicts another in the run's first task.\n"
    )
    parts = [head]
    for name, dag in sorted(_dags(root / "dags").items()):
        rows = [_row(field, dag.params.get_param(field)) for field in dag.params]
        described = f"{dag.description}\n\n" if dag.description else ""
        listed = table(("param", "type", "default", "what it says"), rows) if rows else "It has no params.\n"
        parts.append(f"## {name}\n\n{described}{listed}")
    return "\n".join(parts)


def _dags(folder: Path) -> dict[str, Any]:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(folder))
    if bag.import_errors:
        name, trace = next(iter(bag.import_errors.items()))
        raise ConfigError(f"the DAG file {name} cannot be loaded: {trace.strip().splitlines()[-1]}")
    return dict(bag.dags)


def _row(field: str, param: Any) -> tuple[str, str, str, str]:
    schema: dict[str, Any] = param.schema
    kinds = schema.get("type", "")
    kind = ", ".join(kinds) if isinstance(kinds, list) else str(kinds)
    if "enum" in schema:
        kind = " or ".join(json.dumps(value) for value in schema["enum"])
    default = "" if param.value in (None, "", [], {}) else code(json.dumps(param.value))
    return code(field), kind, default, str(param.description or "")
