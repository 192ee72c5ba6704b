"""One function per step of the completion model's workflows.

Each function is at once an Airflow task, a command (``python -m fastnode_ops train-model ...``) and a step of the
Makefile. Arguments are keyword-only plain values; the answer is a flat dict of plain values. Heavy libraries are
imported inside the bodies, so that a DAG file may import this module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Result = dict[str, str | int | float | bool]

TASKS: list[Callable[..., Mapping[str, Any]]] = []
"""The functions that are commands, in the order of the help."""
