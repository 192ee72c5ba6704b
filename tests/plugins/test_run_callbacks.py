"""What Airflow calls when tasks and runs end: marks, one message a run, and no harm to anything."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytestmark = pytest.mark.airflow

from ops_platform import run_callbacks  # noqa: E402
from ops_platform.notices import read_notices  # noqa: E402

from ops_common.release_record import ReleaseRecord, write_release  # noqa: E402
from ops_common.rundir import RunDir  # noqa: E402
from tests.http_sink import Sink, http_sink  # noqa: E402


@pytest.fixture
def sink() -> Iterator[Sink]:
    with http_sink() as running:
        yield running


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sink: Sink) -> Path:
    monkeypatch.setenv("OPS_RUNS_ROOT", str(tmp_path))
    monkeypatch.setenv("OPS_NOTIFY_CONNECTIONS", "ops_hook no_such")
    monkeypatch.setenv("AIRFLOW_CONN_OPS_HOOK", f'{{"conn_type": "http", "host": "{sink.url}"}}')
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://airflow:8080/")
    return tmp_path


def context(run_id: str = "night 1", task: str = "train_model", **more: Any) -> Any:
    ti = SimpleNamespace(task_id=task, map_index=-1, try_number=2)
    return {"dag": SimpleNamespace(dag_id="gematria_train"), "run_id": run_id, "ti": ti, **more}


def folder_of(runs: Path, run_id: str = "night 1") -> Path:
    return run_callbacks.run_dir(runs, "gematria_train", run_id)


def resolved(runs: Path, run_id: str) -> None:
    RunDir(folder_of(runs, run_id)).save_result("resolve_request", {}, {})


def test_a_failed_run_is_marked_and_told_once(runs: Path, sink: Sink) -> None:
    run_callbacks.task_failed(context(exception=RuntimeError("no answer")))
    run_callbacks.task_failed(context(task="evaluate_model"))
    run_callbacks.run_failed(context(reason="task_failure"))
    run = RunDir(folder_of(runs))
    assert run.state == "failed" and "failed in " in run.failure_reason()
    (body,) = sink.bodies
    assert body["url"] == "http://airflow:8080/dags/gematria_train/runs/night%201"
    assert sorted(body["reasons"]) == [
        "evaluate_model (try 2): it ended from outside: killed, or marked",
        "train_model (try 2): no answer",
    ]
    (said,) = read_notices(runs)
    assert said["sent"] == {"ops_hook": "answered 204"}  # the one that does not exist is in the log


def test_a_run_that_goes_well_after_a_failure_is_told_and_then_silence(runs: Path, sink: Sink) -> None:
    run_callbacks.task_failed(context(exception=RuntimeError("killed")))
    run_callbacks.run_failed(context())
    run_callbacks.task_begins(context())  # somebody has cleared it
    for run_id in ("skipped", "night 1", "night 2"):
        if run_id != "skipped":
            resolved(runs, run_id)
        run_callbacks.run_succeeded(context(run_id))
    assert [(body["kind"], body["run_id"]) for body in sink.bodies] == [("failed", "night 1"), ("recovered", "night 1")]
    assert RunDir(folder_of(runs)).state == "done"
    assert not folder_of(runs, "skipped").exists()  # a night with nothing to do leaves nothing


def test_a_refused_candidate_is_told_with_its_reasons(runs: Path, sink: Sink) -> None:
    folder = folder_of(runs)
    folder.mkdir(parents=True)
    record = ReleaseRecord(
        family="gematria", run="x", decision="refused", reasons=("hsw: 30 % is above 25 %",), at="now"
    )
    write_release(folder, record)
    run_callbacks.task_failed(context(task="check_release", exception=RuntimeError("status 6")))
    run_callbacks.run_failed(context())
    assert [(body["kind"], body["reasons"]) for body in sink.bodies] == [("refused", ["hsw: 30 % is above 25 %"])]
    assert "refused" in RunDir(folder).failure_reason()


def test_a_late_run_is_told_from_what_a_deadline_knows(runs: Path, sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPS_DEADLINE_HOURS", "0.5")
    run = {"dag_id": "gematria_train", "dag_run_id": "night 1"}
    asyncio.run(run_callbacks.run_late(context={"dag_run": run, "deadline": {"id": "1"}}))
    (body,) = sink.bodies
    assert (body["kind"], body["run_id"]) == ("late", "night 1")
    assert "has not ended 0.5 h after" in body["title"]
    assert not folder_of(runs).exists()
    RunDir(folder_of(runs)).mark_failed("no luck")  # a run that has ended is not late
    asyncio.run(run_callbacks.run_late(context={"dag_run": run, "deadline": {"id": "1"}}))
    assert len(sink.bodies) == 1


def test_nothing_that_goes_wrong_here_reaches_the_run(
    runs: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OPS_RUNS_ROOT", str(runs / "file"))
    (runs / "file").write_text("in the way")
    resolved_context = context(exception=RuntimeError("x"))
    for callback in (run_callbacks.task_failed, run_callbacks.run_failed, run_callbacks.run_succeeded):
        callback(resolved_context)
    run_callbacks.run_failed({})  # type: ignore[typeddict-item]
    assert "could not tell of a failed run" in caplog.text
