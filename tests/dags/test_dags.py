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

STRUCTURE = {
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
OUTLETS = {
    ("gematria_import", "build_vocabulary"): ["gematria/dataset"],
    ("gematria_train", "upload_model"): ["gematria/bundle"],
}
WITH_OBJECT_STORE = {"upload_model", "predict_blocks", "upload_predictions"}
IN_TRAINING_POOL = {"train_model", "evaluate_model"}
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
    assert "gematria" in dag.tags
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
            assert (task.retries, task.retry_exponential_backoff) == (3, 2.0)
            assert task.object_store is (task.task_id in WITH_OBJECT_STORE)
            assert task.pool == ("training" if task.task_id in IN_TRAINING_POOL else "default_pool")


def test_schedules(dags: dict[str, Any]) -> None:
    from ops_platform.timetable import NightlyTimetable

    for dag_id in ("gematria_import", "gematria_predict"):
        assert dags[dag_id].timetable.can_be_scheduled is False
    schedule = dags["gematria_train"].timetable
    assert isinstance(schedule.timetable, NightlyTimetable)
    assert schedule.timetable.serialize() == {"cron": "0 2 * * *", "timezone": "UTC"}
    assert [asset.name for asset in schedule.asset_condition.objects] == ["gematria/dataset"]


def test_the_nightly_start_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    from ops_platform.defaults import GEMATRIA_DATASET, nightly_or_after

    monkeypatch.setenv("OPS_NIGHTLY_CRON", "off")
    assert nightly_or_after(GEMATRIA_DATASET) == [GEMATRIA_DATASET]


def test_what_the_database_keeps_gives_the_same_schedule_back(dags: dict[str, Any]) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    written = DagSerialization.to_dict(dags["gematria_train"])
    read = DagSerialization.from_dict(json.loads(json.dumps(written)))
    assert type(read.timetable.timetable).__name__ == "NightlyTimetable"
    assert read.max_active_runs == 1


def test_every_command_of_a_task_is_a_command_of_its_library(dags: dict[str, Any]) -> None:
    from ops_platform.command_line import command_name

    from gematria_ops import tasks

    known = {command_name(function) for function in tasks.TASKS}
    commands = {command_name(t.function) for dag in dags.values() for t in dag.tasks if t.task_id != "resolve_request"}
    # Two finished runs are compared by hand: no run of a workflow knows the other one. Exports are made on demand.
    assert commands == known - {"compare-evaluations", "export-model"}


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
