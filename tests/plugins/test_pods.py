"""Tasks in pods: the real operator against a double of the cluster that really runs their commands."""

import asyncio
import base64
import json
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

pytestmark = pytest.mark.airflow

from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred  # noqa: E402
from ops_platform import pod_trigger, s3_server  # noqa: E402
from ops_platform.op_task import OpTask, op_task  # noqa: E402

from ops_common.object_store import ObjectStore  # noqa: E402
from ops_common.processes import wait_until  # noqa: E402
from tests.local_s3 import ACCESS_KEY, IMPATIENT, SECRET_KEY, LocalS3  # noqa: E402
from tests.plugins.pod_cluster import FAKES, ROOT, attempt, context  # noqa: E402

sys.path.insert(0, str(FAKES))
from kubernetes_api.api import Cluster, Fault  # noqa: E402
from ops_fake import tasks  # noqa: E402

POSTED = r"/pods$"


@pytest.fixture
def log() -> Iterator[Callable[[], list[str]]]:
    with structlog.testing.capture_logs() as entries:
        yield lambda: [str(entry["event"]).rstrip() for entry in list(entries)]


def run_locally(function: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, **arguments: Any) -> dict[str, Any]:
    with monkeypatch.context() as patch:
        patch.setenv("OPS_MODE", "local")
        operator = op_task(function, **arguments)
        assert isinstance(operator, OpTask)
        return OpTask.execute.__wrapped__(operator, {})  # type: ignore[attr-defined, no-any-return]


def files_of(folder: Path) -> dict[str, bytes]:
    """Everything below a folder but what a mode keeps for itself."""
    found = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    shown = {name: path for name, path in found.items() if not any(x.startswith(".") for x in name.parts)}
    # the record of a run says when it ran and for how long
    return {str(name): b"" if path.name == "record.json" else path.read_bytes() for name, path in shown.items()}


def prepared_run(folder: Path) -> dict[str, str]:
    """A run's folder and a data folder with something in them; the arguments of `change_folder`."""
    run, data, config = folder / "runs/r", folder / "data/d", folder.parent / f"config-{folder.name}/settings.toml"
    for path in (run, data, config.parent):
        path.mkdir(parents=True)
    (run / "old.txt").write_text("goes away")
    (run / "kept.txt").write_text("stays")
    (run / "log.txt").write_text("first line\n")
    (data / "numbers.txt").write_text("1 2 39")
    config.write_text("x = 1\n")
    return {"run_dir": str(run), "data_dir": str(data), "config_file": str(config)}


def use_exchange(cluster: Cluster, server: LocalS3, monkeypatch: pytest.MonkeyPatch) -> None:
    """No shared volume any more: folders go through S3, whose keys the cluster keeps as a secret."""
    place = f"s3://tests/{uuid.uuid4().hex[:12]}/pods"
    with monkeypatch.context() as patch:
        for name, value in s3_server.client_environment(server.endpoint, ACCESS_KEY, SECRET_KEY).items():
            patch.setenv(name, value)
        ObjectStore.from_uri(place, policy=IMPATIENT).ensure_bucket(create=True)
    keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    cluster.node.secrets["s3-keys"] = {name: base64.b64encode(value.encode()).decode() for name, value in keys.items()}
    connection = {"conn_type": "aws", "login": ACCESS_KEY, "password": SECRET_KEY}
    extra = {"endpoint_url": server.endpoint, "region_name": "us-east-1"}
    monkeypatch.setenv("AIRFLOW_CONN_OPS_S3", json.dumps({**connection, "extra": extra}))
    monkeypatch.setenv("OPS_POD_EXCHANGE", place)
    monkeypatch.setenv("OPS_POD_SECRET", "s3-keys")
    monkeypatch.setenv("OPS_POD_VOLUMES", "")


def test_both_modes_answer_the_same_and_leave_the_same_files(
    cluster: Cluster, deployment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: Callable[[], list[str]]
) -> None:
    local = prepared_run(tmp_path / "local")
    wanted = run_locally(tasks.change_folder, monkeypatch, **local)
    in_pod = prepared_run(deployment)
    assert op_task(tasks.change_folder, **in_pod).execute(context()) == wanted == {"total": 42}
    assert files_of(Path(in_pod["run_dir"])) == files_of(Path(local["run_dir"]))
    assert (Path(in_pod["run_dir"]) / "config.txt").read_text() == "x = 1\n"  # the pod does not see the original
    assert "result: total = 42" in log()
    wait_until(lambda: not cluster.alive, 30, "the end of the pod")


def test_the_exchange_leaves_the_same_files_as_the_local_mode(
    cluster: Cluster, deployment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_s3: LocalS3
) -> None:
    use_exchange(cluster, shared_s3, monkeypatch)
    local = prepared_run(tmp_path / "local")
    wanted = run_locally(tasks.change_folder, monkeypatch, **local)
    in_pod = prepared_run(deployment)
    assert op_task(tasks.change_folder, **in_pod).execute(context()) == wanted
    assert files_of(Path(in_pod["run_dir"])) == files_of(Path(local["run_dir"]))
    asked = json.dumps(cluster.made)
    assert SECRET_KEY not in asked and ACCESS_KEY not in asked and "s3-keys" in asked


def test_what_a_failed_command_left_is_there_for_the_next_attempt(
    cluster: Cluster, deployment: Path, monkeypatch: pytest.MonkeyPatch, shared_s3: LocalS3
) -> None:
    use_exchange(cluster, shared_s3, monkeypatch)
    arguments = prepared_run(deployment)
    with pytest.raises(AirflowException, match="ended with status 5; it can be retried") as caught:
        op_task(tasks.change_folder, **arguments, fail=True).execute(context())
    assert "error: no more\n    hint: try again" in str(caught.value)
    op_task(tasks.change_folder, **arguments).execute(context(try_number=2))
    assert (Path(arguments["run_dir"]) / "log.txt").read_text() == "first line\n" + "one more line\n" * 2


@pytest.mark.parametrize(("kind", "is_retried"), [("DataError", False), ("ServiceError", True)])
def test_errors_are_retried_by_kind(
    cluster: Cluster, deployment: Path, monkeypatch: pytest.MonkeyPatch, kind: str, is_retried: bool
) -> None:
    monkeypatch.setenv("OPS_POD_KEEP_FAILED", "yes")
    operator = op_task(tasks.raise_error, run_dir=str(deployment / "runs/r"), kind=kind)
    with pytest.raises(AirflowException, match=f"this is what a {kind} says") as caught:
        operator.execute(context())
    assert isinstance(caught.value, AirflowFailException) is not is_retried
    (kept,) = cluster.alive
    assert kept.metadata["labels"]["already_checked"] == "True"  # so that a next attempt does not attach to it
    assert "terminated" in kept.state("base") and "deletionTimestamp" not in kept.metadata
    wait_until(lambda: kept.status["phase"] == "Failed", 30, "the sidecar's end")


def test_a_killed_task_ends_its_pod_and_the_next_attempt_waits_for_that(
    cluster: Cluster, deployment: Path, log: Callable[[], list[str]]
) -> None:
    arguments = {"run_dir": str(deployment / "runs/r"), "folder": str(deployment)}
    killed = op_task(tasks.keep_running, **arguments)
    with attempt(killed) as first:
        wait_until((deployment / "pids").exists, 60, "the command")
        wait_until(
            lambda: any("sidecar" in pod.containers or len(pod.containers) == 2 for pod in cluster.alive), 30, "pod"
        )
        (pod,) = cluster.alive
        killed.on_kill()
        assert "deletionTimestamp" in pod.metadata
        second = op_task(tasks.print_lines, run_dir=arguments["run_dir"], num_lines=1)
        assert second.execute(context(try_number=2)) == {"num_lines": 1}
    assert (deployment / "saved").exists() and pod.gone.is_set()
    assert isinstance(first.outcome[0], AirflowException)
    assert f"waiting until the pod before this one has ended: {pod.name}" in log()


WORKER = """
import sys
sys.path[:0] = {path!r}
from ops_fake import tasks
from ops_platform.op_task import op_task
from tests.plugins.pod_cluster import context
op_task(tasks.keep_running, run_dir={folder!r}, folder={folder!r}, with_child=False).execute(context())
"""


@pytest.mark.slow
def test_a_pod_outlives_its_worker_and_the_next_attempt_attaches_to_it(
    cluster: Cluster, deployment: Path, log: Callable[[], list[str]]
) -> None:
    folder = str(deployment)
    program = WORKER.format(path=[str(FAKES), str(ROOT), str(ROOT / "plugins")], folder=folder)
    worker = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until((deployment / "pids").exists, 300, "the command", process=worker)
    finally:
        worker.kill()
        worker.wait()
    operator = op_task(tasks.keep_running, run_dir=folder, folder=folder, with_child=False)
    with attempt(operator, try_number=2) as second:
        wait_until(lambda: any(line.startswith("Reusing existing pod") for line in log()), 60, "the attachment")
        (pod,) = cluster.alive
        pod.containers["base"].run(["sh", "-c", "kill -TERM -1"])  # ends the command well: it saves, and answers
    assert second.outcome == [{"saved": True}]
    assert len(cluster.made) == 1
    assert "saving 4" in log()


def test_lost_answers_are_no_failures(cluster: Cluster, deployment: Path, log: Callable[[], list[str]]) -> None:
    cluster.faults = [
        Fault("POST", POSTED, 500, is_after=True),  # the pod was made, but nobody was told
        Fault("GET", r"/pods\?", 503),
        Fault("GET", r"/pods/[^/?]*$", 504, times=2),  # a server under load
        Fault("GET", r"/exec", 500),
    ]
    operator = op_task(tasks.print_lines, run_dir=str(deployment / "runs/r"), num_lines=9)
    assert operator.execute(context()) == {"num_lines": 9}
    assert {f"line {index}" for index in range(9)} <= set(log())
    assert len(cluster.made) == 1
    assert not any(fault.times for fault in cluster.faults)


@pytest.mark.parametrize("status", [400, 500])  # 500: the server does not find the node
def test_a_log_that_cannot_be_read_is_no_failure(
    cluster: Cluster, deployment: Path, log: Callable[[], list[str]], status: int
) -> None:
    cluster.faults = [Fault("GET", r"/log\?", status, times=1000)]
    operator = op_task(tasks.print_lines, run_dir=str(deployment / "runs/r"), num_lines=9)
    assert operator.execute(context()) == {"num_lines": 9}
    assert any(f"cannot be read: {status}" in line for line in log())
    assert not any("line 0" in line for line in log())


def test_a_pod_whose_node_is_lost_is_an_error_that_is_retried(cluster: Cluster, deployment: Path) -> None:
    operator = op_task(tasks.keep_running, run_dir=str(deployment), folder=str(deployment), with_child=False)
    with attempt(operator) as lost:
        wait_until((deployment / "pids").exists, 60, "the command")
        cluster.alive[0].lose()
    assert "keep_running: the cluster answered 404" in str(lost.outcome[0])
    assert not isinstance(lost.outcome[0], AirflowFailException)


def test_an_image_that_is_not_there_is_named(
    cluster: Cluster, deployment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPS_POD_IMAGE", "no-such-image:1")
    monkeypatch.setenv("OPS_POD_IMAGE_POLICY", "Never")
    operator = op_task(tasks.print_lines, run_dir=str(deployment / "runs/r"), num_lines=1)
    with pytest.raises(AirflowException, match="no-such-image:1"):
        operator.execute(context())
    wait_until(lambda: not cluster.alive, 30, "the end of the pod")


def test_a_run_gets_the_gpu_it_asks_for_or_an_error_when_there_is_none(
    cluster: Cluster, deployment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPS_POD_SCHEDULE_SECONDS", "1")
    monkeypatch.setenv("OPS_POD_TOLERATIONS", "nvidia.com/gpu:NoSchedule")
    cluster.node.taints = [("nvidia.com/gpu", "NoSchedule")]
    cluster.node.labels = {"accelerator": "a100"}
    asked = {"gpus": 1, "memory": "2Gi", "node_selector": {"accelerator": "a100"}}

    def make() -> Any:
        return op_task(tasks.print_lines, run_dir=str(deployment / "runs/r"), num_lines=1, pod=asked)

    with pytest.raises(AirflowException, match="took too long to be scheduled"):
        make().execute(context())
    wait_until(lambda: not cluster.alive, 30, "the end of the pod that waited")
    cluster.node.gpus = 1
    assert make().execute(context(try_number=2)) == {"num_lines": 1}
    limits = cluster.made[-1]["spec"]["containers"][0]["resources"]["limits"]
    assert limits == {"memory": "2Gi", "nvidia.com/gpu": "1"}


def test_a_task_that_takes_too_long_ends_its_pod_even_where_failed_ones_are_kept(
    cluster: Cluster, deployment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class TooLong(BaseException):
        pass

    def end(*_arguments: object) -> None:
        raise TooLong

    monkeypatch.setenv("OPS_POD_KEEP_FAILED", "yes")
    operator = op_task(tasks.keep_running, run_dir=str(deployment), folder=str(deployment), with_child=False)
    before = signal.signal(signal.SIGUSR1, end)  # Airflow's own limit raises from a signal, too
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        wait_until((deployment / "pids").exists, 60, "the command")
        signal.pthread_kill(main, signal.SIGUSR1)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(TooLong):
            operator.execute(context())
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, before)
    wait_until(lambda: not cluster.alive, 60, "the end of the pod")
    assert (deployment / "saved").exists()


def test_a_deferred_task_comes_back_with_the_same_answer(
    cluster: Cluster, deployment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: Callable[[], list[str]]
) -> None:
    monkeypatch.setenv("OPS_POD_DEFERRABLE", "yes")
    monkeypatch.setattr("ops_platform.pods.FIRST_LOOK_SECONDS", 0.2)
    wanted = run_locally(tasks.change_folder, monkeypatch, **prepared_run(tmp_path / "local"))
    arguments = prepared_run(deployment)
    with pytest.raises(TaskDeferred) as deferred:
        op_task(tasks.change_folder, **arguments).execute(context())
    path, values = deferred.value.trigger.serialize()
    assert path == "ops_platform.pod_trigger.PatientPodTrigger"
    trigger = pod_trigger.PatientPodTrigger(**values)  # as the triggerer makes it

    async def first_event() -> Any:
        return await anext(trigger.run())

    event = asyncio.run(first_event())
    assert (deferred.value.method_name, event.payload["status"]) == ("trigger_reentry", "success")
    resumed = op_task(tasks.change_folder, **arguments)  # another process, which knows nothing
    assert resumed.trigger_reentry(context(), event.payload) == wanted
    assert len(cluster.made) == 1
    wait_until(lambda: not cluster.alive, 30, "the end of the pod")


def test_a_trigger_waits_before_its_first_look_and_a_killed_one_ends_the_pod(
    cluster: Cluster, deployment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPS_POD_DEFERRABLE", "yes")
    operator = op_task(tasks.keep_running, run_dir=str(deployment), folder=str(deployment), with_child=False)
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(context())
    trigger = deferred.value.trigger
    assert trigger.first_look_seconds >= 10
    wait_until((deployment / "pids").exists, 60, "the command")
    asyncio.run(trigger.on_kill())
    wait_until(lambda: not cluster.alive, 60, "the end of the pod")
    assert (deployment / "saved").exists()


def test_a_result_is_not_lost_with_its_pod(cluster: Cluster, deployment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPS_POD_DEFERRABLE", "yes")
    arguments = prepared_run(deployment)
    with pytest.raises(TaskDeferred):
        op_task(tasks.change_folder, **arguments).execute(context())
    (pod,) = cluster.alive
    wait_until(lambda: "terminated" in pod.state("base"), 60, "the command's end")
    pod.lose()
    gone = {"status": "success", "name": pod.name, "namespace": "default"}
    assert op_task(tasks.change_folder, **arguments).trigger_reentry(context(), gone) == {"total": 42}
