"""The last task of a training: marks on the folder, and the report, by the real command."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytestmark = pytest.mark.airflow

from airflow.sdk import DAG  # noqa: E402
from airflow.sdk.exceptions import AirflowSkipException  # noqa: E402
from ops_platform.end_of_run import EndOfRun, end_of_run, failed_tasks  # noqa: E402
from ops_platform.run_folders import run_dir  # noqa: E402
from ops_platform.task_outcome import RunHasFailed  # noqa: E402

from gematria_ops.tasks import report  # noqa: E402
from tests.run_samples import GEMATRIA, make_run  # noqa: E402


def execute(run_id: str, states: dict[str, str]) -> Any:
    """Runs it as Airflow does; only the answer of Airflow's API, about the states, is given."""
    ti = SimpleNamespace(get_task_states=lambda dag_id, run_ids: {run_ids[0]: states} if dag_id == GEMATRIA else {})
    context = {"dag_run": SimpleNamespace(dag_id=GEMATRIA, run_id=run_id), "ti": ti}
    # what `execute` is wrapped in only checks that Airflow's task runner calls it
    with DAG("gematria_train"):
        end = end_of_run(report, after=[])
    return EndOfRun.execute.__wrapped__(end, context)  # type: ignore[attr-defined]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPS_RUNS_ROOT", str(tmp_path))
    return tmp_path


def test_only_what_failed_itself_is_named() -> None:
    with DAG("any") as dag:
        end_of_run(report, after=[])
    states = {"train_model": "success", "check_release": "failed", "upload_model": "upstream_failed", "pin": "skipped"}
    assert failed_tasks({**states, "report": "running", "a_1": "failed", "b": None}, dag) == ["a_1", "check_release"]
    assert failed_tasks({}, dag) == []


def test_a_run_that_left_nothing_has_no_report(root: Path) -> None:
    with pytest.raises(AirflowSkipException):
        execute("manual__nothing", {"resolve_request": "skipped"})
    with pytest.raises(RunHasFailed, match="resolve_request"):  # a skipped end would count as one that went well
        execute("manual__nothing", {"resolve_request": "failed"})
    assert list(root.iterdir()) == []


@pytest.mark.slow
def test_the_folder_is_marked_and_the_report_written(root: Path) -> None:
    folder = make_run(run_dir(root, GEMATRIA, "manual__1"), GEMATRIA, 3, "released")
    (folder / "DONE").unlink()
    with pytest.raises(RunHasFailed, match="check_release"):
        execute("manual__1", {"train_model": "success", "check_release": "failed", "upload_model": "upstream_failed"})
    assert (folder / "FAILED").is_file() and "The run failed." in (folder / "reports/run.html").read_text()
    result = execute("manual__1", {"train_model": "success", "check_release": "success"})  # cleared, and done again
    assert result == {"run_report": str(folder / "reports/run.html")}
    assert (folder / "DONE").is_file() and not (folder / "FAILED").exists()
    assert "The run ended well." in (folder / "reports/run.html").read_text()
