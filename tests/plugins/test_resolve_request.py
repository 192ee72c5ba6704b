"""The first task of a workflow: what it takes from the form, from an asset event, and from an earlier attempt."""

import datetime as dt
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytestmark = pytest.mark.airflow

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException  # noqa: E402
from airflow.sdk.execution_time.context import set_current_context  # noqa: E402
from ops_platform.defaults import GEMATRIA_DATASET  # noqa: E402
from ops_platform.requests import form_fields, resolve_import, resolve_prediction, resolve_training  # noqa: E402
from ops_platform.run_folders import run_dir  # noqa: E402

from gematria_ops.prediction_requests import PredictRequest  # noqa: E402
from gematria_ops.requests import ImportRequest, TrainRequest  # noqa: E402

DEFAULTS = TrainRequest().model_dump()


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "config/gematria").mkdir(parents=True)
    (tmp_path / "config/gematria/ithemal.toml").write_text("num_steps = 10\n")
    monkeypatch.setenv("OPS_PROJECT_ROOT", str(tmp_path))
    monkeypatch.setenv("OPS_HOME", ".ops")
    yield tmp_path


def make_dataset(root: Path, name: str, age: int = 0) -> Path:
    folder = root / ".ops/data" / name
    folder.mkdir(parents=True)
    (folder / "tokens.txt").write_text("ADD\n")
    (folder / "manifest.json").write_text('{"files": {"tokens.txt": {}}}')
    os.utime(folder / "tokens.txt", (2_000_000_000 - age, 2_000_000_000 - age))
    return folder


def context_of(run_type: str, params: dict[str, Any], events: list[Any] | None = None) -> dict[str, Any]:
    dag_run = SimpleNamespace(dag_id="gematria_train", run_id="run-1", run_type=run_type)
    found = {GEMATRIA_DATASET: events} if events else {}
    return {"dag_run": dag_run, "run_id": "run-1", "params": params, "triggering_asset_events": found}


def event(minute: int, extra: dict[str, Any] | None) -> SimpleNamespace:
    return SimpleNamespace(timestamp=dt.datetime(2026, 1, 1, 2, minute, tzinfo=dt.UTC), extra=extra)


def resolve(run_type: str, events: list[Any] | None = None, **params: Any) -> dict[str, Any]:
    with set_current_context(context_of(run_type, {**DEFAULTS, **params}, events)):  # type: ignore[arg-type]
        plan: dict[str, Any] = resolve_training.function(GEMATRIA_DATASET)
    return plan


def test_a_manual_run_takes_the_form_and_the_newest_data_set(root: Path) -> None:
    make_dataset(root, "old", age=100)
    newest = make_dataset(root, "new")
    plan = resolve("manual", training_steps=5)
    assert plan["dataset_dir"] == str(newest)
    assert plan["run_dir"] == str(root / ".ops/runs/gematria_train/run-1")
    assert plan["overrides"] == ["num_steps=5"]


def test_a_run_by_a_new_data_set_takes_that_one_and_its_settings(root: Path) -> None:
    mine = make_dataset(root, "mine", age=100)
    make_dataset(root, "newer")
    events = [
        event(1, {"dataset_dir": "/gone", "train_conf": {"training_steps": 1}}),
        event(2, {"dataset_dir": str(mine), "train_conf": {"training_steps": 7, "max_mape_percent": 3}}),
    ]
    plan = resolve("asset_triggered", events)
    assert (plan["dataset_dir"], plan["overrides"]) == (str(mine), ["num_steps=7"])
    assert plan["max_mape_percent"] == 3


@pytest.mark.parametrize("extra", [None, {}, {"train_conf": None}])
def test_an_event_that_says_nothing_means_the_newest_data_set(root: Path, extra: dict[str, Any] | None) -> None:
    newest = make_dataset(root, "new")
    assert resolve("asset_triggered", [event(1, extra)])["dataset_dir"] == str(newest)


@pytest.mark.parametrize("run_type", ["scheduled", "asset_triggered"])
def test_without_a_data_set_a_run_by_itself_is_skipped_with_a_message(run_type: str) -> None:
    with pytest.raises(AirflowSkipException, match=r"nothing to train on: there is no data set in .* yet"):
        resolve(run_type)


def test_without_a_data_set_a_run_by_a_person_fails_and_says_what_to_do() -> None:
    with pytest.raises(AirflowFailException, match="run the DAG gematria_import first"):
        resolve("manual")


def test_settings_passed_on_by_an_import_are_checked_too(root: Path) -> None:
    mine = make_dataset(root, "mine")
    events = [event(1, {"dataset_dir": str(mine), "train_conf": {"training_steps": -7}})]
    with pytest.raises(AirflowFailException, match="conf: training_steps: Input should be greater than or equal to 1"):
        resolve("asset_triggered", events)


def test_a_run_that_is_repeated_keeps_its_data_set(root: Path) -> None:
    first = make_dataset(root, "first", age=100)
    assert resolve("scheduled")["dataset_dir"] == str(first)
    make_dataset(root, "second")
    assert resolve("scheduled")["dataset_dir"] == str(first)


def test_an_import_takes_the_form(root: Path) -> None:
    (root / "a.csv").write_text("90,100\n")
    params = {**ImportRequest().model_dump(), "csv_files": ["a.csv"], "source_names": ["x"]}
    context = {**context_of("manual", params), "run_id": "run:1"}
    with set_current_context(context):  # type: ignore[arg-type]
        plan = resolve_import.function()
    assert plan["csv_files"] == [str(root / "a.csv")]
    assert plan["dataset_dir"].startswith(str(root / ".ops/data/run_1-"))


def test_a_prediction_takes_the_model_of_a_run_by_its_id(root: Path) -> None:
    (root / "a.csv").write_text("90\n")
    run_id = "manual__2026-01-01T02:00:00+00:00"
    results = run_dir(root / ".ops/runs", "gematria_train", run_id) / "results"
    results.mkdir(parents=True)
    (results / "upload_model.json").write_text('{"bundle_uri": "s3://models/m/bundle"}')
    for asked in (None, run_id, results.parent.name):
        params = {**PredictRequest().model_dump(), "input_file": "a.csv", "model": asked}
        context = {**context_of("manual", params), "run_id": f"run {asked}"}
        context["dag_run"] = SimpleNamespace(dag_id="gematria_predict", run_id=f"run {asked}", run_type="manual")
        with set_current_context(context):  # type: ignore[arg-type]
            plan = resolve_prediction.function()
        assert plan["bundle_dir"] == "s3://models/m/bundle"
        assert plan["csv_file"] == str(root / "a.csv")


def test_a_prediction_without_a_model_fails_and_says_what_to_do(root: Path) -> None:
    (root / "a.csv").write_text("90\n")
    params = {**PredictRequest().model_dump(), "input_file": "a.csv"}
    with (
        set_current_context(context_of("manual", params)),  # type: ignore[arg-type]
        pytest.raises(AirflowFailException, match="run the DAG gematria_train first"),
    ):
        resolve_prediction.function()


def test_form_fields_say_their_limits() -> None:
    fields = form_fields(TrainRequest)
    assert list(fields) == list(TrainRequest.model_fields)
    assert fields["random_seed"].description == (
        "Seed of weights and batches; -1: another one each time. Empty: as in config_file. From -1 to 2,147,483,647."
    )
    assert fields["training_steps"].schema["type"] == ["integer", "null"]
    assert fields["evaluation_split"].schema["enum"] == ["validation", "test"]
