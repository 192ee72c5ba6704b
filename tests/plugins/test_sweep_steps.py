"""The tasks of a sweep that are not commands: what the request becomes, and what the best one's training is asked."""

from pathlib import Path
from types import SimpleNamespace

import pytest

pytestmark = pytest.mark.airflow

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException  # noqa: E402
from airflow.sdk.execution_time.context import set_current_context  # noqa: E402
from ops_platform.requests import resolve_sweep  # noqa: E402
from ops_platform.sweep_steps import choose_best  # noqa: E402

from gematria_ops.sweep_request import SweepRequest  # noqa: E402
from ops_common.artifacts import write_manifest  # noqa: E402
from ops_common.run_record import read_record  # noqa: E402
from ops_common.sweep import SweepDir  # noqa: E402


def test_a_request_becomes_a_plan_in_the_folder_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPS_PROJECT_ROOT", str(tmp_path))
    monkeypatch.setenv("OPS_HOME", ".ops")
    dataset = tmp_path / ".ops/data/blocks"
    dataset.mkdir(parents=True)
    (dataset / "tokens.txt").write_text("ADD\n")
    write_manifest(dataset, ["tokens.txt"])
    (tmp_path / "smoke.toml").write_text("")
    space = {"optimizer.learning_rate": [0.1, 0.2]}
    params = {**SweepRequest().model_dump(), "config_file": "smoke.toml", "space": space}
    dag_run = SimpleNamespace(dag_id="gematria_sweep", run_id="run-1", run_type="manual")
    with set_current_context({"dag_run": dag_run, "run_id": "run-1", "params": params}):  # type: ignore[arg-type]
        planned = resolve_sweep.function()
    folder = tmp_path / ".ops/runs/gematria_sweep/run-1"
    assert planned["run_dir"] == str(folder)
    assert sorted(label.partition(": ")[2] for label in planned["configurations"]) == [
        "learning_rate=0.1",
        "learning_rate=0.2",
    ]
    assert [point.label for point in SweepDir(folder).plan().configurations] == planned["configurations"]
    assert read_record(folder)["dag_id"] == "gematria_sweep"
    params["space"] = {"optimizer.learning_rate": [-1]}
    dag_run.run_id = "run-2"
    with (
        set_current_context({"dag_run": dag_run, "run_id": "run-2", "params": params}),  # type: ignore[arg-type]
        pytest.raises(AirflowFailException, match="configuration 1: learning_rate=-1"),
    ):
        resolve_sweep.function()


def test_the_best_one_is_trained_with_what_was_found_behind_what_was_fixed() -> None:
    conf = {"training_steps": 9, "overrides": ["a.b=1"]}
    found = choose_best.function(True, conf, ["a.b=2", "c.d=3"])
    assert found == {"training_steps": 9, "overrides": ["a.b=1", "a.b=2", "c.d=3"]}
    with pytest.raises(AirflowSkipException, match="was not asked for"):
        choose_best.function(False, conf, [])
