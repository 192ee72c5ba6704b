"""The DAG files: they load, have the structure they should have, and load light."""

import copy
import datetime as dt
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.airflow

ROOT = Path(__file__).parents[2]

STRUCTURE: dict[str, dict[str, set[str]]] = {
    "gematria_import": {
        "resolve_request": {"import_bhive", "build_vocabulary"},
        "import_bhive": {"build_vocabulary"},
        "build_vocabulary": set(),
    },
    "gematria_train": {
        "resolve_request": {"train_model", "evaluate_model", "check_release", "upload_model"},
        "train_model": {"evaluate_model"},
        "evaluate_model": {"check_release"},
        "check_release": {"upload_model"},
        "upload_model": set(),
    },
    "gematria_predict": {
        "resolve_request": {"predict_blocks", "upload_predictions"},
        "predict_blocks": {"upload_predictions"},
        "upload_predictions": set(),
    },
}
_RELEASE = {
    "compress_model": {"validate_attributes", "validate_calls"},
    "convert_metainfo": {"validate_attributes", "validate_calls"},
    "validate_attributes": {"rebuild_curated_examples"},
    "rebuild_curated_examples": {"check_release"},
    "validate_calls": {"check_release"},
    "check_release": {"approve_release"},
    "approve_release": {"upload_model"},
    "upload_model": {"pin_model"},
    "pin_model": {"rebuild_datadeps"},
    "rebuild_datadeps": set(),
    "stop_server": set(),
}
_CONTINUE = {
    "start_server": {"continue_training", "stop_server"},
    "continue_training": {"compress_model", "convert_metainfo", "stop_server"},
    **_RELEASE,
}
_STANDALONE = {
    "build_corpus": {"start_server"},
    "start_server": {"build_metainfo", "train_model", "stop_server"},
    "build_metainfo": {"train_model"},
    "train_model": {"compress_model", "convert_metainfo", "stop_server"},
    **_RELEASE,
}
STRUCTURE |= {
    "pythonexpr_standalone": {"resolve_request": {*_STANDALONE}, **_STANDALONE},
    "pythonexpr_continue": {"resolve_request": {*_CONTINUE}, **_CONTINUE},
}
OUTLETS = {
    ("gematria_import", "build_vocabulary"): ["gematria/dataset"],
    ("gematria_train", "upload_model"): ["gematria/bundle"],
    ("pythonexpr_standalone", "upload_model"): ["fastnode/bundle"],
    ("pythonexpr_continue", "upload_model"): ["fastnode/bundle"],
}
WITH_OBJECT_STORE = {
    "gematria": {"upload_model", "predict_blocks", "upload_predictions"},
    "fastnode": {
        "validate_attributes",
        "validate_calls",
        "check_release",
        "upload_model",
        "pin_model",
        "rebuild_datadeps",
    },
}
IN_TRAINING_POOL = {"train_model", "evaluate_model", "continue_training", "compress_model"}
BY_PEOPLE = {"approve_release"}
HEAVY = ("tensorflow", "keras", "boto3", "botocore", "iced_x86", "matplotlib", "scipy", "pandas", "kubernetes")


@pytest.fixture(scope="module")
def dags() -> Iterator[dict[str, Any]]:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(ROOT / "dags"))
    assert bag.import_errors == {}
    yield bag.dags


def test_every_dag_is_listed_here(dags: dict[str, Any]) -> None:
    assert dags.keys() == STRUCTURE.keys()
    assert {path.stem for path in (ROOT / "dags").glob("*.py")} == dags.keys()


@pytest.mark.parametrize("dag_id", STRUCTURE)
def test_structure(dags: dict[str, Any], dag_id: str) -> None:
    assert {task.task_id: set(task.downstream_task_ids) for task in dags[dag_id].tasks} == STRUCTURE[dag_id]


@pytest.mark.parametrize("dag_id", STRUCTURE)
def test_rules_of_every_dag(dags: dict[str, Any], dag_id: str) -> None:
    dag = dags[dag_id]
    assert dag.catchup is False
    assert dag.max_active_runs == 1
    assert WITH_OBJECT_STORE.keys() & dag.tags
    assert dag.owner == "model-training"
    assert dag.description and dag.doc_md and "airflow dags trigger" in dag.doc_md
    assert dag.start_date < dt.datetime.now(dt.UTC)


def test_rules_of_every_task(dags: dict[str, Any]) -> None:
    for dag_id, dag in dags.items():
        for task in dag.tasks:
            assert [asset.name for asset in task.outlets] == OUTLETS.get((dag_id, task.task_id), [])
            if task.task_id == "resolve_request":
                assert task.retries == 0  # a wrong request stays wrong
                continue
            if task.task_id in BY_PEOPLE:
                continue
            assert (task.retries, task.retry_exponential_backoff) == (3, 2.0)
            assert task.object_store is (task.task_id in WITH_OBJECT_STORE[task.function.__module__.partition("_")[0]])
            assert task.pool == ("training" if task.task_id in IN_TRAINING_POOL else "default_pool")


def test_schedules(dags: dict[str, Any]) -> None:
    from ops_platform.timetable import NightlyTimetable

    for dag_id in ("gematria_import", "gematria_predict", "pythonexpr_continue"):
        assert dags[dag_id].timetable.can_be_scheduled is False
    by_time = dags["pythonexpr_standalone"].timetable
    assert isinstance(by_time, NightlyTimetable)
    assert by_time.serialize() == {"cron": "0 2 * * *", "timezone": "UTC"}
    schedule = dags["gematria_train"].timetable
    assert isinstance(schedule.timetable, NightlyTimetable)
    assert schedule.timetable.serialize() == {"cron": "0 2 * * *", "timezone": "UTC"}
    assert [asset.name for asset in schedule.asset_condition.objects] == ["gematria/dataset"]


def test_the_nightly_start_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    from ops_platform.defaults import GEMATRIA_DATASET, nightly, nightly_or_after

    monkeypatch.setenv("OPS_NIGHTLY_CRON", "off")
    assert nightly_or_after(GEMATRIA_DATASET) == [GEMATRIA_DATASET]
    assert nightly("") is None


def test_a_continuation_can_be_started_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.dag_processing.dagbag import DagBag
    from ops_platform.timetable import NightlyTimetable

    monkeypatch.setenv("OPS_CONTINUE_CRON", "0 4 * * 6")
    dag = DagBag(str(ROOT / "dags/pythonexpr_continue.py")).dags["pythonexpr_continue"]
    assert isinstance(dag.timetable, NightlyTimetable)
    assert dag.timetable.serialize()["cron"] == "0 4 * * 6"


@pytest.mark.parametrize("dag_id", ["pythonexpr_standalone", "pythonexpr_continue"])
def test_the_server_of_a_run_is_stopped_whatever_happens(dags: dict[str, Any], dag_id: str) -> None:
    start, stop = (dags[dag_id].get_task(name) for name in ("start_server", "stop_server"))
    assert (start.is_setup, stop.is_teardown) == (True, True)
    assert stop.trigger_rule == "all_done_setup_success"
    assert stop.on_failure_fail_dagrun is False
    training = dags[dag_id].get_task("train_model" if dag_id == "pythonexpr_standalone" else "continue_training")
    assert training.task_id in start.downstream_task_ids and "stop_server" in training.downstream_task_ids


@pytest.mark.parametrize("dag_id", ["pythonexpr_standalone", "pythonexpr_continue"])
def test_a_refused_model_goes_nowhere(dags: dict[str, Any], dag_id: str) -> None:
    dag = dags[dag_id]
    assert dag.get_task("approve_release").defaults == ["Reject"]  # also when nobody answers in time
    for name in ("upload_model", "pin_model", "rebuild_datadeps"):
        assert dag.get_task(name).trigger_rule == "all_success"


def test_what_the_database_keeps_gives_the_same_schedule_back(dags: dict[str, Any]) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    written = DagSerialization.to_dict(dags["gematria_train"])
    read = DagSerialization.from_dict(json.loads(json.dumps(written)))
    assert type(read.timetable.timetable).__name__ == "NightlyTimetable"
    assert read.max_active_runs == 1


def test_every_command_of_a_task_is_a_command_of_its_library(dags: dict[str, Any]) -> None:
    from ops_platform.command_line import command_name

    from fastnode_ops import tasks as fastnode_tasks
    from gematria_ops import tasks as gematria_tasks

    used: dict[str, set[str]] = {"gematria_ops": set(), "fastnode_ops": set()}
    for dag in dags.values():
        for task in dag.tasks:
            if task.task_id != "resolve_request" and task.task_id not in BY_PEOPLE:
                used[task.library].add(command_name(task.function))
    known = {command_name(function) for function in gematria_tasks.TASKS}
    # Two finished runs are compared by hand: no run of a workflow knows the other one. Exports are made on demand.
    assert used["gematria_ops"] == known - {"compare-evaluations", "export-model"}
    assert {command_name(function) for function in fastnode_tasks.TASKS} - used["fastnode_ops"] == {"verify-datadeps"}


@pytest.mark.parametrize(
    ("dag_id", "name", "allowed", "refused"),
    [
        ("gematria_import", "csv_files", ["a.csv"], []),
        ("gematria_import", "source_names", ["bhive: hsw"], ["bhive", 1]),
        ("gematria_import", "dataset", "hsw-2026", "../x"),
        ("gematria_import", "throughput_scaling", 1, 0),
        ("gematria_import", "validation_percent", 20, 51),
        ("gematria_import", "max_rejected_share", 0.5, 1.5),
        ("gematria_import", "num_workers", 4, "many"),
        ("gematria_import", "train_conf", {"training_steps": 3}, [3]),
        ("gematria_import", "train_conf", None, "steps"),
        ("gematria_train", "dataset", "hsw-2026", 7),
        ("gematria_train", "config_file", "config/x.toml", ""),
        ("gematria_train", "training_steps", 100, 0),
        ("gematria_train", "training_steps", None, 1.5),
        ("gematria_train", "max_minutes", 0.5, -1),
        ("gematria_train", "learning_rate", 1e-4, "fast"),
        ("gematria_train", "block_embedding_size", 64, 33),
        ("gematria_train", "random_seed", -1, -2),
        ("gematria_train", "overrides", ["optimizer.decay_rate=0.5"], "optimizer.decay_rate=0.5"),
        ("gematria_train", "evaluation_split", "test", "train"),
        ("gematria_train", "max_mape_percent", 12.5, 0),
        ("gematria_train", "require_better_than_baselines", False, "no"),
        ("gematria_train", "destination", "s3://models/x", "/tmp/x"),
        ("gematria_predict", "input_file", "s3://inputs/x.csv", ""),
        ("gematria_predict", "model", None, 7),
        ("gematria_predict", "throughput_scaling", 1, 0),
        ("gematria_predict", "output_format", "tfrecord", "json"),
        ("gematria_predict", "destination", "s3://predictions/x", "/tmp/x"),
        ("gematria_predict", "num_workers", 4, 0),
        ("pythonexpr_standalone", "steps", 10, 0),
        ("pythonexpr_standalone", "steps", 10, 1.5),
        ("pythonexpr_standalone", "model_name", "expr-2026", "../x"),
        ("pythonexpr_standalone", "sources", ["stdlib"], []),
        ("pythonexpr_standalone", "packages", ["numpy"], ["a b"]),
        ("pythonexpr_standalone", "batch", None, 0),
        ("pythonexpr_standalone", "attr_proportion", 0, -1),
        ("pythonexpr_standalone", "server", "http://localhost:3039", "localhost"),
        ("pythonexpr_standalone", "rundb", "s3://runs/db", "gs://runs"),
        ("pythonexpr_standalone", "destination", "/srv/%t", "srv"),
        ("pythonexpr_standalone", "max_recall_drop", 0.5, 2),
        ("pythonexpr_standalone", "require_approval", True, "yes"),
        ("pythonexpr_standalone", "approval_hours", 48, 0),
        ("pythonexpr_continue", "run", None, ""),
        ("pythonexpr_continue", "steps", 5_000, -1),
    ],
)
def test_form_fields_take_what_they_should(
    dags: dict[str, Any], dag_id: str, name: str, allowed: Any, refused: Any
) -> None:
    from airflow.sdk.exceptions import ParamValidationError

    field = copy.deepcopy(dags[dag_id].params.get_param(name))  # it keeps what it resolved
    assert field.resolve(allowed) == allowed
    with pytest.raises(ParamValidationError):
        field.resolve(refused)


def test_every_form_field_is_described_and_its_default_allowed(dags: dict[str, Any]) -> None:
    for dag in dags.values():
        for name in dag.params:
            field = dag.params.get_param(name)
            assert field.description, name
            assert field.resolve() == field.value


PROGRAM = """
import json, sys, time
from airflow.dag_processing.dagbag import DagBag
started = time.process_time()
bag = DagBag(sys.argv[1])
heavy = sorted(set(sys.argv[2].split(",")) & {name.partition(".")[0] for name in sys.modules})
print(json.dumps({"heavy": heavy, "errors": bag.import_errors, "cpu_seconds": time.process_time() - started}))
"""


def parse_in_a_process_of_its_own(folder: Path) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), ",".join(HEAVY)],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    answer: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return answer


def test_parsing_all_dag_files_loads_nothing_heavy(record_property: Any) -> None:
    answer = parse_in_a_process_of_its_own(ROOT / "dags")
    assert (answer["heavy"], answer["errors"]) == ([], {})
    record_property("parse_cpu_seconds", answer["cpu_seconds"])


def test_the_check_catches_a_dag_file_that_loads_something_heavy(tmp_path: Path) -> None:
    (tmp_path / "heavy.py").write_text("from airflow.sdk import DAG\nimport matplotlib\nDAG('heavy')\n")
    assert parse_in_a_process_of_its_own(tmp_path)["heavy"] == ["matplotlib"]


def test_a_wrong_argument_is_an_import_error_that_names_it(tmp_path: Path) -> None:
    source = (ROOT / "dags/gematria_import.py").read_text()
    (tmp_path / "gematria_import.py").write_text(source.replace("num_workers=", "num_wrokers="))
    errors = parse_in_a_process_of_its_own(tmp_path)["errors"]
    assert "import_bhive has no argument 'num_wrokers'" in next(iter(errors.values()))


def test_airflow_loads_our_plugin_and_no_other_file_of_the_folder() -> None:
    program = (
        "import json, sys; import airflow; from airflow import plugins_manager; "
        "plugins, errors = plugins_manager._get_plugins(); "
        "ours = [m for m in ('requests', 'settings', 'timetable') if 'ops_platform' in str(getattr("
        "sys.modules.get(m), '__file__', ''))]; "
        "print(json.dumps([sorted(p.name for p in plugins), errors, ours]))"
    )
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True
    )
    names, errors, shadowed = json.loads(finished.stdout.splitlines()[-1])
    assert "ops_platform" in names
    assert (errors, shadowed) == ({}, [])
