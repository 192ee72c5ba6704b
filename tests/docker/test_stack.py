"""Images and compose file for real: everything is built and started, and a run goes over the Celery worker.

`make test-docker`; not part of `make test`. Takes the engine that the Docker client finds, under a project of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import boto3
import httpx
import pytest

from tests.docker.image_files import ROOT
from tests.docker.stack import Stack, engine_fault, finish

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(9000)]

BLOCKS = json.loads((ROOT / "config" / "gematria" / "sample_request.json").read_text())
COMPLETION = json.loads((ROOT / "config" / "fastnode" / "sample_request.json").read_text())
DISTRIBUTED = json.loads((ROOT / "config" / "fastnode" / "distributed_request.json").read_text())
TRAINING = {"training_steps": 60, "max_mape_percent": 1000, "require_better_than_baselines": False}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    if fault := engine_fault():
        pytest.fail(fault)
    made = Stack(tmp_path_factory.mktemp("stack"))
    made.build()
    try:
        print(f"all healthy after {made.up():.0f} s")
        yield made
    finally:
        made.down()


def test_nobody_is_root_but_the_official_images(stack: Stack) -> None:
    for service, container in stack.containers().items():
        if service not in {"postgres", "redis"}:
            assert container["Config"]["User"] == "ops", service


def test_dags_are_found_and_pages_ask_for_a_login(stack: Stack) -> None:
    api = stack.api()
    assert api.import_errors() == {}
    assert httpx.get(f"{api.url}/ops/examples/", trust_env=False).status_code == 401
    assert api.get("/ops/examples/").status_code in {200, 404}  # 404: there are no examples yet


def test_blocks_are_imported_trained_and_uploaded_by_the_worker(stack: Stack) -> None:
    api = stack.api()
    conf = {**BLOCKS, "train_conf": {**BLOCKS["train_conf"], **TRAINING}}
    imported = api.trigger("gematria_import", conf)
    assert finish(api, "gematria_import", imported) == "success"
    (trained,) = _started_by(stack, imported)
    assert finish(api, "gematria_train", trained) == "success"
    manifest = api.xcom("gematria_train", trained, "upload_model")["manifest_uri"]
    bucket, _, key = manifest.removeprefix("s3://").partition("/")
    assert _s3(stack).head_object(Bucket=bucket, Key=key)["ContentLength"] > 0
    log = api.task_log("gematria_train", trained, "train_model")  # the API server reads what the worker wrote
    assert any(line.startswith("command: /opt/trainer/bin/python -m gematria_ops train-model") for line in log)
    assert any(line.startswith("result: global_step = 60") for line in log)
    assert httpx.get(stack.address("TENSORBOARD_PORT"), trust_env=False).status_code == 200


def test_a_completion_model_is_trained_from_the_server_of_the_stack(stack: Stack) -> None:
    api = stack.api()
    run = api.trigger("pythonexpr_standalone", {**COMPLETION, "steps": 20, "server": "http://graph-data-server:3039"})
    assert finish(api, "pythonexpr_standalone", run) == "success"
    assert api.xcom("pythonexpr_standalone", run, "train_model")["global_step"] == 20


def test_both_hosts_make_the_samples_of_a_distributed_run(stack: Stack) -> None:
    api, dag, conf = stack.api(), "pythonexpr_distributed", {**DISTRIBUTED, "steps": 8, "samples_per_file": 2}
    run = api.trigger(dag, conf)
    assert finish(api, dag, run) == "success", api.task_states(dag, run)
    planned = api.xcom(dag, run, "plan_datagen")
    assert planned["shares"] == ["ops@datagen-1:2222: 0,2", "ops@datagen-2:2222: 1,3"]
    assert api.xcom(dag, run, "take_over_datagen")["num_failed"] == 0
    assert api.xcom(dag, run, "train_model")["global_step"] == 8
    ended = api.xcom(dag, run, "end_datagen")
    assert (ended["num_hosts"], ended["is_cleaned"]) == (2, True)
    for host in ("datagen-1", "datagen-2"):
        assert stack.inside(host, "ls", "/var/lib/ops/datagen/samples").split() == []


@pytest.mark.parametrize("host", ["datagen-1", "datagen-2"])
def test_the_worker_reaches_each_host_and_nobody_else_does(stack: Stack, host: str) -> None:
    ssh = ("ssh", "-F", "/etc/ops-ssh/config", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes")
    command = 'hostname && rsync --version | head -n 1 && python3 -c "import numpy, zstandard; print(numpy.__name__)"'
    answer = stack.inside("airflow-worker", *ssh, host, command).splitlines()
    assert answer[0] == host and answer[1].startswith("rsync") and answer[2] == "numpy"
    assert "id_ed25519" not in stack.inside(host, "ls", "/etc/ops-ssh").split()
    keys = stack.inside(host, "sh", "-c", "cat /etc/ops-ssh/ssh_host_ed25519_key.pub").split()[1]
    assert keys in stack.inside("airflow-worker", "grep", host, "/etc/ops-ssh/known_hosts")


def test_what_is_queued_and_stored_needs_the_keys(stack: Stack) -> None:
    redis = stack.inside("redis", "sh", "-c", "env -u REDISCLI_AUTH redis-cli ping; true")
    assert "NOAUTH" in redis
    unsigned = httpx.get(f"{stack.address('S3_PORT')}/models/?list-type=2", trust_env=False)
    assert unsigned.status_code == 403


def _started_by(stack: Stack, run_id: str) -> list[str]:
    from ops_common.processes import wait_until

    found: list[str] = []

    def is_started() -> bool:
        found[:] = stack.api().runs_started_by("gematria_train", "gematria_import", run_id)
        return bool(found)

    wait_until(is_started, 300.0, "the training that the import starts", interval_seconds=3.0)
    return found


def _s3(stack: Stack) -> boto3.client:
    return boto3.client(
        "s3",
        endpoint_url=stack.address("S3_PORT"),
        aws_access_key_id="model-training",
        aws_secret_access_key=stack.settings["S3_SECRET_KEY"],
        region_name="us-east-1",
    )
