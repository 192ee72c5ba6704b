"""The first task of the clean-up."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytestmark = pytest.mark.airflow

from airflow.sdk.exceptions import AirflowFailException  # noqa: E402
from airflow.sdk.execution_time.context import set_current_context  # noqa: E402
from ops_platform.clean_up_request import resolve_clean_up  # noqa: E402

from ops_common.clean_up import CleanUpRequest  # noqa: E402


def resolve(run_type: str, run_id: str, **params: Any) -> dict[str, Any]:
    dag_run = SimpleNamespace(dag_id="ops_clean_up", run_id=run_id, run_type=run_type)
    context: Any = {"dag_run": dag_run, "run_id": run_id, "params": {**CleanUpRequest().model_dump(), **params}}
    with set_current_context(context):
        plan: dict[str, Any] = resolve_clean_up.function()
    return plan


def test_a_form_only_looks_and_the_clock_removes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPS_PROJECT_ROOT", str(tmp_path))
    monkeypatch.setenv("OPS_HOME", ".ops")
    plan = resolve("manual", "by-hand", keep_newest=2)
    assert (plan["dry_run"], plan["keep_newest"], plan["run_days"]) == (True, 2, 30)
    assert plan["runs_root"] == str(tmp_path / ".ops/runs") and plan["keep_file"] == str(tmp_path / ".ops/keep.txt")
    assert plan["report_dir"] == str(tmp_path / ".ops/runs/ops_clean_up/by-hand/reports")
    assert resolve("scheduled", "sunday")["dry_run"] is False
    with pytest.raises(AirflowFailException, match="keep_newest"):
        resolve("manual", "wrong", keep_newest=0)
