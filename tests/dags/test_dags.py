"""The DAG files: they load, have the structure they should have, and load light."""

import datetime as dt
import json
import os
import subprocess
import sys
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
        "resolve_request": {
            "train_model",
            "evaluate_model",
            "check_release",
            "approve_release",
            "upload_model",
            "release_model",
        },
        "train_model": {"evaluate_model"},
        "evaluate_model": {"check_release"},
        "check_release": {"approve_release"},
        "approve_release": {"upload_model"},
        "upload_model": {"release_model"},
        "release_model": {"report"},
        "report": set(),
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
    "rebuild_curated_examples": {"check_release", "report"},
    "validate_calls": {"check_release", "report"},
    "check_release": {"approve_release"},
    "approve_release": {"upload_model"},
    "upload_model": {"release_model", "pin_model"},
    "release_model": {"pin_model"},
    "pin_model": {"rebuild_datadeps"},
    "rebuild_datadeps": {"report"},
    "stop_server": {"report"},
    "report": set(),
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
_DISTRIBUTED = {
    **_STANDALONE,
    "start_server": {"build_metainfo", "plan_datagen", "train_model", "stop_server"},
    "build_metainfo": {"plan_datagen", "generate_samples"},
    "plan_datagen": {"each_host", "each_share", "end_datagen"},
    "each_share": {"generate_samples"},
    "generate_samples": {"end_datagen"},
    "each_host": {"deploy_to_host"},
    "deploy_to_host": {"take_over_datagen"},
    "take_over_datagen": {"start_syncer"},
    "start_syncer": {"await_samples", "train_model", "stop_syncer"},
    "await_samples": {"train_model"},
    "train_model": {"compress_model", "convert_metainfo", "stop_syncer"},
    "stop_syncer": {"end_datagen"},
    "end_datagen": {"stop_server"},
}
_BACK = {
    "approve_rollback": {"gematria.roll_back_model", "pythonexpr.roll_back_model"},
    "gematria.roll_back_model": set(),
    "pythonexpr.roll_back_model": {"pythonexpr.rebuild_datadeps"},
    "pythonexpr.rebuild_datadeps": set(),
}
STRUCTURE |= {
    "release_rollback": {"resolve_request": {*_BACK}, **_BACK},
    "pythonexpr_import": {"resolve_request": {"build_corpus"}, "build_corpus": set()},
    "ops_clean_up": {"resolve_request": {"clean_up"}, "clean_up": set()},
    "pythonexpr_standalone": {"resolve_request": {*_STANDALONE} - {"report"}, **_STANDALONE},
    "pythonexpr_distributed": {"resolve_request": {*_DISTRIBUTED} - {"each_host", "report"}, **_DISTRIBUTED},
    "pythonexpr_continue": {"resolve_request": {*_CONTINUE} - {"report"}, **_CONTINUE},
}
_RUNGS = range(1, 5)
_SWEEP = {
    **{f"rung_{n}.each_of": {f"rung_{n}.train_configuration"} for n in _RUNGS},
    **{f"rung_{n}.train_configuration": {f"rung_{n}.choose_survivors"} for n in _RUNGS},
    **{f"rung_{n}.choose_survivors": {f"rung_{n + 1}.each_of"} for n in _RUNGS[:-1]},
    "rung_4.choose_survivors": {"report_sweep"},
    "report_sweep": {"choose_best"},
    "choose_best": {"train_best"},
    "train_best": set(),
}
_OF_THE_PLAN = {
    *(f"rung_{n}.{name}" for n in _RUNGS for name in ("train_configuration", "choose_survivors")),
    *("rung_1.each_of", "report_sweep", "choose_best"),
}
_BEFORE_THE_SWEEP = {
    "build_corpus": {"start_server"},
    "start_server": {"build_metainfo", "stop_server", *(f"rung_{n}.train_configuration" for n in _RUNGS)},
    "build_metainfo": {"rung_1.each_of"},
    "stop_server": set(),
}
STRUCTURE |= {
    "gematria_sweep": {"resolve_request": _OF_THE_PLAN, **_SWEEP},
    "pythonexpr_sweep": {
        "resolve_request": {*_OF_THE_PLAN, *_BEFORE_THE_SWEEP},
        **_SWEEP,
        **_BEFORE_THE_SWEEP,
        "rung_4.choose_survivors": {"report_sweep", "stop_server"},
    },
}
OUTLETS = {
    ("gematria_import", "build_vocabulary"): ["gematria/dataset"],
    ("gematria_train", "upload_model"): ["gematria/bundle"],
    ("pythonexpr_import", "build_corpus"): ["fastnode/corpus"],
    ("pythonexpr_standalone", "upload_model"): ["fastnode/bundle"],
    ("pythonexpr_distributed", "upload_model"): ["fastnode/bundle"],
    ("pythonexpr_continue", "upload_model"): ["fastnode/bundle"],
}
WITH_OBJECT_STORE = {
    "gematria": {
        "check_release",
        "upload_model",
        "release_model",
        "gematria.roll_back_model",
        "predict_blocks",
        "upload_predictions",
    },
    "fastnode": {
        "validate_attributes",
        "validate_calls",
        "check_release",
        "upload_model",
        "release_model",
        "pin_model",
        "rebuild_datadeps",
        "pythonexpr.roll_back_model",
        "pythonexpr.rebuild_datadeps",
    },
    "ops": {"clean_up"},
}
IN_TRAINING_POOL = {"train_model", "evaluate_model", "continue_training", "compress_model"}
BY_PEOPLE = {"approve_release", "approve_rollback"}
OF_A_SWEEP = {*(f"rung_{n}.each_of" for n in _RUNGS), "choose_best", "train_best"}
WITHOUT_COMMAND = {"resolve_request", "each_host", "each_share", "await_samples", *BY_PEOPLE, *OF_A_SWEEP}
OF_ONE_HOST, OF_ONE_SHARE = "deploy_to_host", "generate_samples"
HOSTS_BY_HAND = {"deploy-datagen", "datagen-status", "stop-datagen", "clean-remote", "sync"}
BY_HAND = {"verify-datadeps", "account-samples", "releases", "sweep"} | HOSTS_BY_HAND
"""Commands of the completion model that no workflow runs as a task."""
HEAVY = ("tensorflow", "keras", "boto3", "botocore", "iced_x86", "matplotlib", "scipy", "pandas", "kubernetes")


def test_every_dag_is_listed_here(dags: dict[str, Any]) -> None:
    assert dags.keys() == STRUCTURE.keys()
    assert {path.stem for path in (ROOT / "dags").glob("*.py")} == dags.keys()


@pytest.mark.parametrize("dag_id", STRUCTURE)
def test_structure(dags: dict[str, Any], dag_id: str) -> None:
    assert {task.task_id: set(task.downstream_task_ids) for task in dags[dag_id].tasks} == STRUCTURE[dag_id]


@pytest.mark.parametrize("dag_id", STRUCTURE)
def test_rules_of_every_dag(dags: dict[str, Any], dag_id: str) -> None:
    from ops_platform import run_callbacks

    dag = dags[dag_id]
    assert dag.catchup is False
    assert dag.max_active_runs == 1
    assert WITH_OBJECT_STORE.keys() & dag.tags
    assert dag.owner == "model-training"
    assert dag.description and dag.doc_md and "airflow dags trigger" in dag.doc_md
    assert dag.start_date < dt.datetime.now(dt.UTC)
    callbacks = (dag.on_failure_callback, dag.on_success_callback)
    assert callbacks == (run_callbacks.run_failed, run_callbacks.run_succeeded)
    (deadline,) = dag.deadline
    assert deadline.callback.path == "ops_platform.run_callbacks.run_late"
    assert deadline.interval == dt.timedelta(hours=12)
    for task in dag.tasks:
        made = task.partial_kwargs if task.is_mapped else vars(task)
        assert [made["on_failure_callback"], made["on_execute_callback"]] == [
            [run_callbacks.task_failed],
            [run_callbacks.task_begins],
        ]


def test_rules_of_every_task(dags: dict[str, Any]) -> None:
    for dag_id, dag in dags.items():
        for task in dag.tasks:
            assert [asset.name for asset in task.outlets] == OUTLETS.get((dag_id, task.task_id), [])
            if task.task_id == "resolve_request":
                assert task.retries == 2  # for a machine that is too busy: a wrong request fails for good
                continue
            if task.task_id in WITHOUT_COMMAND or task.is_mapped:
                continue
            assert (task.retries, task.retry_exponential_backoff) == (6, 2.0)
            assert (task.retry_policy.retries, task.retry_policy.service_retries) == (3, 6)
            assert task.object_store is (task.task_id in WITH_OBJECT_STORE[task.function.__module__.partition("_")[0]])
            assert task.pool == ("training" if task.task_id in IN_TRAINING_POOL else "default_pool")


@pytest.mark.parametrize(
    ("dag_id", "begin", "training", "end"),
    [
        ("pythonexpr_standalone", "start_server", "train_model", "stop_server"),
        ("pythonexpr_continue", "start_server", "continue_training", "stop_server"),
        ("pythonexpr_distributed", "start_server", "train_model", "stop_server"),
        ("pythonexpr_distributed", "start_syncer", "train_model", "stop_syncer"),
        ("pythonexpr_distributed", "plan_datagen", "train_model", "end_datagen"),
    ],
)
def test_what_a_run_starts_is_stopped_whatever_happens(
    dags: dict[str, Any], dag_id: str, begin: str, training: str, end: str
) -> None:
    start, stop = (dags[dag_id].get_task(name) for name in (begin, end))
    assert (start.is_setup, stop.is_teardown) == (True, True)
    assert stop.trigger_rule == "all_done_setup_success"
    assert stop.on_failure_fail_dagrun is False
    after_training = dags[dag_id].get_task(training).get_flat_relative_ids(upstream=False)
    assert training in start.get_flat_relative_ids(upstream=False) and end in after_training


def test_a_host_that_fails_does_not_end_the_run(dags: dict[str, Any]) -> None:
    dag = dags["pythonexpr_distributed"]
    host = dag.get_task(OF_ONE_HOST)
    assert host.is_mapped and host.retries == 1
    assert host.partial_kwargs["map_index_template"] == "{{ task.item }}"
    assert dag.get_task("take_over_datagen").trigger_rule == "all_done"
    sensor = dag.get_task("await_samples")
    assert sensor.retries >= 2  # a trigger that fires early can fail the task (the scheduler's race)
    assert sensor.trigger_rule == "all_success"


def test_a_share_of_the_samples_is_a_task_that_is_tried_again(dags: dict[str, Any]) -> None:
    share = dags["pythonexpr_distributed"].get_task(OF_ONE_SHARE)
    assert share.is_mapped and share.retries == 6
    assert share.partial_kwargs["map_index_template"] == "{{ task.item }}"


@pytest.mark.parametrize(
    "dag_id", ["gematria_train", "pythonexpr_standalone", "pythonexpr_continue", "pythonexpr_distributed"]
)
def test_a_refused_model_goes_nowhere(dags: dict[str, Any], dag_id: str) -> None:
    dag = dags[dag_id]
    assert dag.get_task("approve_release").defaults == ["Reject"]  # also when nobody answers in time
    after = dag.get_task("check_release").get_flat_relative_ids(upstream=False) - {"approve_release"}
    assert {"upload_model", "release_model"} <= after
    for name in after:
        # what is no teardown touches the model: it goes nowhere
        assert dag.get_task(name).is_teardown or dag.get_task(name).trigger_rule == "all_success"


def test_a_roll_back_that_is_rejected_changes_nothing(dags: dict[str, Any]) -> None:
    dag = dags["release_rollback"]
    assert dag.get_task("approve_rollback").defaults == ["Reject"]
    for name in dag.get_task("approve_rollback").get_flat_relative_ids(upstream=False):
        assert dag.get_task(name).trigger_rule == "all_success"


@pytest.mark.parametrize("dag_id", ["gematria_sweep", "pythonexpr_sweep"])
def test_a_configuration_that_fails_does_not_end_the_sweep(dags: dict[str, Any], dag_id: str) -> None:
    dag = dags[dag_id]
    for rung in _RUNGS:
        training = dag.get_task(f"rung_{rung}.train_configuration")
        assert training.is_mapped and training.pool == "training"
        assert training.partial_kwargs["map_index_template"] == "{{ task.item }}"
        assert dag.get_task(f"rung_{rung}.choose_survivors").trigger_rule == "all_done_min_one_success"
    assert dag.get_task("report_sweep").trigger_rule == "none_failed"  # rungs that nobody entered are skipped


def test_trainings_run_in_pods_where_the_deployment_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.serialization.serialized_objects import DagSerialization
    from ops_platform.pods import PodTask  # loaded before the time limit of parsing begins

    monkeypatch.setenv("OPS_MODE", "pod")
    monkeypatch.setenv("OPS_POD_EXCHANGE", "s3://models/pods")
    made = {
        "gematria_train": {"train_model"},
        "pythonexpr_continue": {"continue_training"},
        "pythonexpr_distributed": {"train_model", OF_ONE_SHARE},
    }
    for dag_id, pods in made.items():
        bag = DagBag(str(ROOT / f"dags/{dag_id}.py"))
        assert bag.import_errors == {}
        dag = bag.dags[dag_id]
        kinds = {task.task_id: task.operator_class if task.is_mapped else type(task) for task in dag.tasks}
        assert {name for name, kind in kinds.items() if issubclass(kind, PodTask)} == pods
        assert {task.task_id: set(task.downstream_task_ids) for task in dag.tasks} == STRUCTURE[dag_id]
        (training,) = (dag.get_task(name) for name in pods - {OF_ONE_SHARE})
        assert (training.pool, training.retries, training.multiple_outputs) == ("training", 6, True)
        DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))


def test_every_command_of_a_task_is_a_command_of_its_library(dags: dict[str, Any]) -> None:
    from ops_platform.command_line import command_name

    from fastnode_ops import tasks as fastnode_tasks
    from gematria_ops import tasks as gematria_tasks
    from ops_common.__main__ import TASKS as common_tasks

    used: dict[str, set[str]] = {"gematria_ops": set(), "fastnode_ops": set(), "ops_common": set()}
    for dag in dags.values():
        for task in dag.tasks:
            if task.task_id not in WITHOUT_COMMAND:
                made = task.partial_kwargs if task.is_mapped else vars(task)
                used[made["library"]].add(command_name(made["function"]))
    assert used["ops_common"] == {command_name(function) for function in common_tasks}
    known = {command_name(function) for function in gematria_tasks.TASKS}
    # Two finished runs are compared by hand: no run of a workflow knows the other one. Exports are made on demand.
    # A sweep is one command by hand, and tasks in a workflow.
    by_hand = {"compare-evaluations", "export-model", "releases", "sweep"}
    assert used["gematria_ops"] == known - by_hand
    assert {command_name(function) for function in fastnode_tasks.TASKS} - used["fastnode_ops"] == BY_HAND


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
