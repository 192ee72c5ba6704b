"""The workflows through the real services: the whole path, the gate, wrong requests, faults."""

import hashlib
import json
import re
import signal
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from ops_platform import s3_server
from ops_platform.embedded import layout as places
from ops_platform.embedded import services
from ops_platform.embedded.results import missing_objects, s3_client
from ops_platform.report_pages import RUN_PAGE, report_url
from ops_platform.run_folders import run_dir

from ops_common.errors import ConfigError
from tests.e2e.embedded_platform import SOURCES, Platform, read_json, wait_until

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

IMPORT, TRAIN, PREDICT = "gematria_import", "gematria_train", "gematria_predict"
BACK = "release_rollback"


def folder_of(platform: Platform, run_id: str, dag_id: str = TRAIN) -> Path:
    return run_dir(platform.layout.config.runs_root, dag_id, run_id)


def uploaded_files(platform: Platform) -> set[str]:
    """The objects of the object store."""
    listed = s3_client(platform.layout, platform.instance).list_objects_v2(Bucket="models")
    found = {item["Key"] for item in listed["Contents"]}
    assert found  # the main job has left a model
    return found


def commands_of(platform: Platform, command: str) -> list[psutil.Process]:
    found = []
    for process in services.find_marked(platform.instance.id):
        try:
            arguments = process.cmdline()
        except psutil.Error:
            continue
        if command in arguments and "child_guard.py" not in " ".join(arguments):
            found.append(process)
    return found


def test_the_main_job_ends_in_the_object_store(platform: Platform, main_job: Any) -> None:
    assert main_job.status == 0, main_job.output
    run = main_job.run_of(TRAIN)
    assert platform.api.runs_started_by(TRAIN, IMPORT, main_job.run_of(IMPORT)) == [run]
    assert platform.api.run_state(TRAIN, run) == "success"
    folder = folder_of(platform, run)
    plan = platform.api.xcom(TRAIN, run, "resolve_request")
    assert plan["dataset_dir"] == str(platform.layout.config.data_root / "tiny")
    trained = platform.api.xcom(TRAIN, run, "train_model")
    metrics = platform.api.get("/ops/metrics").text
    assert f'ops_training_step{{dag_id="{TRAIN}"}}' in metrics, metrics
    assert httpx.get(f"{platform.api.url}/ops/metrics").status_code == 401
    assert trained == read_json(folder / "results/train_model.json")
    assert trained["global_step"] == 30
    uploaded = platform.api.xcom(TRAIN, run, "upload_model")
    client = s3_client(platform.layout, platform.instance)
    bucket, _, key = uploaded["manifest_uri"].removeprefix("s3://").partition("/")
    manifest = json.loads(client.get_object(Bucket=bucket, Key=key)["Body"].read())
    assert manifest["files"]
    for shown in (uploaded["manifest_uri"], uploaded["bundle_uri"], report_url(TRAIN, run), str(folder), "make stop"):
        assert shown in main_job.output
    assert platform.api.get(report_url(TRAIN, run)).status_code == 200
    assert httpx.get(platform.api.url + report_url(TRAIN, run), trust_env=False).status_code == 401
    assert "The run ended well." in platform.api.get(report_url(TRAIN, run, RUN_PAGE)).text
    assert run in platform.api.get("/ops/runs").text  # with the state and figures of the run
    lineage = platform.api.get("/ops/lineage").text
    assert "tiny" in lineage and run in lineage
    assert_no_secret_anywhere(platform, TRAIN, run, folder)
    absent = [f"{uploaded['manifest_uri']}x", "s3://no-such-bucket/x"]
    missing = missing_objects(platform.layout, platform.instance, [uploaded["manifest_uri"], *absent])
    assert [uri.partition(" ")[0] for uri in missing] == absent  # what is printed is looked up, not believed


def assert_no_secret_anywhere(platform: Platform, dag_id: str, run: str, folder: Path) -> None:
    _, secret = places.object_store_keys(platform.layout)
    for task in platform.api.task_states(dag_id, run):
        assert secret not in platform.log(dag_id, run, task)
        assert secret not in json.dumps(platform.api.xcom(dag_id, run, task))
    for path in folder.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path


def test_the_released_model_predicts_a_file(platform: Platform, main_job: Any, csv_files: list[str]) -> None:
    assert main_job.status == 0, main_job.output
    codes = [line.partition(",")[0] for line in Path(csv_files[0]).read_text().splitlines()]
    run = platform.trigger(PREDICT, input_file=csv_files[0], model=main_job.run_of(TRAIN))
    assert platform.wait(PREDICT, run) == "success"
    model = platform.api.xcom(TRAIN, main_job.run_of(TRAIN), "upload_model")["bundle_uri"]
    assert platform.api.xcom(PREDICT, run, "resolve_request")["bundle_dir"] == model
    predicted = platform.api.xcom(PREDICT, run, "predict_blocks")
    assert predicted["num_blocks"] == predicted["num_predicted"] == len(codes)
    assert predicted["mape_percent_ivb"] > 0
    uploaded = platform.api.xcom(PREDICT, run, "upload_predictions")
    client = s3_client(platform.layout, platform.instance)
    content = {}
    for name in ("predictions_uri", "manifest_uri"):
        bucket, _, key = uploaded[name].removeprefix("s3://").partition("/")
        content[name] = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    rows = content["predictions_uri"].decode().splitlines()
    assert [row.partition(",")[0] for row in rows] == ["machine_code", *codes]
    manifest = json.loads(content["manifest_uri"])
    assert manifest["metadata"]["model"] == model
    digest = hashlib.sha256(content["predictions_uri"]).hexdigest()
    assert [entry["sha256"] for entry in manifest["files"].values()] == [digest]
    assert_no_secret_anywhere(platform, PREDICT, run, folder_of(platform, run, PREDICT))


def released_model(platform: Platform) -> dict[str, Any]:
    """The pointer of the deployment's own destination."""
    answer = s3_client(platform.layout, platform.instance).get_object(Bucket="models", Key="gematria/RELEASED.json")
    pointer: dict[str, Any] = json.loads(answer["Body"].read())
    return pointer


@pytest.mark.long
def test_a_second_model_is_compared_a_bad_one_refused_and_the_first_comes_back(
    platform: Platform, main_job: Any, dataset: str, tiny_training: dict[str, Any], csv_files: list[str]
) -> None:
    assert main_job.status == 0, main_job.output
    first = released_model(platform)
    conf = {**tiny_training, "dataset": dataset}

    second = platform.trigger(TRAIN, **{**conf, "training_steps": 60})
    assert platform.wait(TRAIN, second, 600) == "success"
    checked = platform.api.xcom(TRAIN, second, "check_release")
    assert checked["compared_with"] == first["model_uri"]
    assert checked["mape_points_hsw_low"] <= checked["mape_points_hsw"] <= checked["mape_points_hsw_high"]
    assert released_model(platform)["replaced"] == first["model_uri"]
    record = read_json(folder_of(platform, second) / "release.json")
    assert (record["decision"], record["model_uri"]) == ("released", released_model(platform)["model_uri"])

    untrained = {**conf, "training_steps": 1, "learning_rate": 1e-8, "max_mape_increase_points": 0}
    bad = platform.trigger(TRAIN, **untrained)
    assert platform.wait(TRAIN, bad, 600) == "failed"
    assert platform.attempts(TRAIN, bad, "check_release") == 1
    refused = read_json(folder_of(platform, bad) / "release.json")
    assert (refused["decision"], refused["compared_with"]) == ("refused", record["model_uri"])
    assert "at most +0 is allowed" in refused["reasons"][0]
    assert refused["reasons"][0] in platform.log(TRAIN, bad, "check_release")
    assert (folder_of(platform, bad) / "bundle").is_dir()  # a refused candidate is kept
    assert released_model(platform)["model_uri"] == record["model_uri"]

    back = platform.trigger(BACK, why="one too many")
    assert platform.wait(BACK, back, 600) == "success"
    assert platform.api.task_states(BACK, back)["pythonexpr.roll_back_model"] == "skipped"
    pointer = released_model(platform)
    assert (pointer["model_uri"], pointer["decision"], pointer["why"]) == (
        first["model_uri"],
        "rolled_back",
        "one too many",
    )
    assert pointer["by"]  # whoever has triggered it
    assert read_json(folder_of(platform, second) / "release.json")["decision"] == "rolled_back"
    predicted = platform.trigger(PREDICT, input_file=csv_files[0])
    assert platform.wait(PREDICT, predicted, 600) == "success"
    assert platform.api.xcom(PREDICT, predicted, "predict_blocks")["model"] == first["model_uri"]


def test_nothing_was_started_by_the_clock(platform: Platform) -> None:
    for dag_id in (IMPORT, TRAIN, PREDICT):
        runs = platform.api.get(f"/api/v2/dags/{dag_id}/dagRuns?limit=100").json()["dag_runs"]
        assert not [run for run in runs if run["run_type"] == "scheduled"]


def test_a_main_job_whose_model_does_not_pass_the_gate_says_so(
    platform: Platform, dataset: str, csv_files: list[str], tiny_training: dict[str, Any], tmp_path: Path
) -> None:
    before = uploaded_files(platform)
    request = tmp_path / "request.json"
    names = [f"bhive: {name}" for name in SOURCES]
    training = {**tiny_training, "max_mape_percent": 0.01}
    conf = {"csv_files": csv_files, "source_names": names, "dataset": dataset, "train_conf": training}
    request.write_text(json.dumps(conf))
    done = platform.command("run", str(request))  # the same import again: it finds its own data set
    assert done.returncode == 1
    assert "check_release failed" in done.stdout
    assert "release gate error" in done.stdout
    found = re.search(rf"{TRAIN}, run (\S+)", done.stdout)
    assert found
    run = found[1]
    states = platform.api.task_states(TRAIN, run)
    assert states["evaluate_model"] == "success"
    assert (states["check_release"], states["upload_model"]) == ("failed", "upstream_failed")
    assert platform.attempts(TRAIN, run, "check_release") == 1  # a gate is not tried again
    assert uploaded_files(platform) == before
    assert platform.api.get(report_url(TRAIN, run)).status_code == 200  # the report of a refused model stays
    assert "The run failed." in platform.api.get(report_url(TRAIN, run, RUN_PAGE)).text
    assert (folder_of(platform, run) / "FAILED").is_file()


@pytest.mark.parametrize(
    ("dag_id", "conf", "message"),
    [
        (IMPORT, {"validation_percent": 77}, "validation_percent: 77 is greater than the maximum of 50"),
        (IMPORT, {"csv_files": []}, "csv_files"),
        (TRAIN, {"training_steps": "many"}, "training_steps"),
        (PREDICT, {"output_format": "json"}, "output_format"),
    ],
)
def test_a_wrong_value_is_refused_at_once(platform: Platform, dag_id: str, conf: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        platform.trigger(dag_id, **conf)


@pytest.mark.parametrize(
    ("dag_id", "conf", "message"),
    [
        (IMPORT, {"source_names": ["one"]}, "csv_files and source_names go together"),
        (IMPORT, {"train_conf": {"trainning_steps": 1}}, "train_conf: unknown setting 'trainning_steps'"),
        (TRAIN, {"trainning_steps": 1}, "unknown setting 'trainning_steps'"),
        (TRAIN, {"overrides": ["batch.max_block=3"]}, "did you mean 'batch.max_blocks'?"),
        (TRAIN, {"dataset": "no-such"}, "no-such is not a finished data set"),
        (PREDICT, {"model": "no-such"}, "no-such"),
    ],
)
def test_a_contradiction_fails_in_the_first_task_and_names_the_field(
    platform: Platform, dataset: str, dag_id: str, conf: dict[str, Any], message: str
) -> None:
    assert dataset  # there is one to train on: the contradiction is the only fault
    run = platform.trigger(dag_id, **conf)
    assert platform.wait(dag_id, run) == "failed"
    states = platform.api.task_states(dag_id, run)
    assert states.pop("resolve_request") == "failed"
    if report := states.pop("report", None):  # a run that was refused at once is reported on, too
        assert report == "failed"
        assert platform.api.get(report_url(dag_id, run, RUN_PAGE)).status_code == 200
    assert set(states.values()) == {"upstream_failed"}
    assert message in platform.log(dag_id, run, "resolve_request")


def test_a_task_that_is_marked_failed_leaves_no_process(
    platform: Platform, dataset: str, tiny_training: dict[str, Any]
) -> None:
    run = platform.trigger(TRAIN, **{**tiny_training, "dataset": dataset, "training_steps": 1_000_000})
    wait_until(lambda: bool(commands_of(platform, "train-model")), 120, "the trainer runs")
    path = f"/api/v2/dags/{TRAIN}/dagRuns/{run.replace('+', '%2B')}"
    platform.api._request("PATCH", path, json={"state": "failed"})
    wait_until(lambda: not commands_of(platform, "train-model"), 60, "the trainer has gone")
    assert platform.wait(TRAIN, run) == "failed"
    assert platform.api.task_states(TRAIN, run)["train_model"] == "failed"


def test_a_run_survives_a_killed_trainer_and_an_object_store_that_is_down(
    platform: Platform, dataset: str, tiny_training: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = uploaded_files(platform)
    store = next(service for service in platform.instance.services if service.name == "s3")
    psutil.Process(store.pid).kill()
    conf = {**tiny_training, "dataset": dataset, "training_steps": 150}
    conf["overrides"] = [*tiny_training["overrides"], "checkpoint.save_steps=50", "summary.save_steps=50"]
    run = platform.trigger(TRAIN, **conf)

    checkpoints = folder_of(platform, run) / "checkpoints"
    wait_until(lambda: any(checkpoints.glob("model.ckpt-*.index")), 120, "there is a checkpoint")
    for process in commands_of(platform, "train-model"):
        process.send_signal(signal.SIGKILL)
    platform.wait_for_task(TRAIN, run, "train_model", "success", 240)
    assert platform.attempts(TRAIN, run, "train_model") == 2
    assert "killed by signal 9" in platform.log(TRAIN, run, "train_model", attempt=1)
    assert "training goes on from" in platform.log(TRAIN, run, "train_model", attempt=2)
    assert read_json(folder_of(platform, run) / "results/train_model.json")["global_step"] == 150

    port = platform.instance.ports["s3"]
    # the first task that asks the store: what is released?
    platform.wait_for_task(TRAIN, run, "check_release", "running", 240)
    wait_until(lambda: f"127.0.0.1:{port}" in platform.log(TRAIN, run, "check_release"), 60, "the endpoint is named")
    access_key, secret_key = places.object_store_keys(platform.layout)
    monkeypatch.setenv(services.MARK, platform.instance.id)  # so that the platform's own stop ends it
    log_path = platform.layout.logs_dir / "s3.log"
    s3_server.start(platform.layout.s3_dir, places.HOST, port, log_path, access_key=access_key, secret_key=secret_key)
    assert platform.wait(TRAIN, run) == "success"
    uploaded = read_json(folder_of(platform, run) / "results/upload_model.json")
    # and the manifest, and the entry in the history of releases; nothing twice
    assert len(uploaded_files(platform) - before) == uploaded["num_files"] + 2
