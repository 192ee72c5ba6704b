"""The distributed workflow through the real services, its samples and its training in pods of the cluster's double."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ops_platform.run_folders import run_dir

from tests.e2e.embedded_platform import Platform, running_platform, wait_until
from tests.e2e.test_pythonexpr_workflows import SMALL
from tests.plugins.pod_cluster import FAKES, IMAGE, ROOT, unshare_command

sys.path.insert(0, str(FAKES))
from kubernetes_api.api import Cluster, Fault
from kubernetes_api.pods import Node, Pod

pytestmark = [pytest.mark.airflow, pytest.mark.tf, pytest.mark.long]

DAG = "pythonexpr_distributed"
STEPS, PER_FILE, SHARES = 4, 2, 2
SECONDS = 600.0
OCCUPIED = [("occupied", "NoSchedule")]


@dataclass
class Pods:
    """A platform whose samples and trainings are made in pods."""

    platform: Platform
    cluster: Cluster
    product: Path

    def trigger(self) -> str:
        """Start a run, of which the cluster has no node for any pod; return when its samples wait for one."""
        self.cluster.node.taints = OCCUPIED
        values = {**SMALL, "steps": STEPS, "samples_per_file": PER_FILE, "min_files_before_training": STEPS // PER_FILE}
        run = self.platform.trigger(
            DAG, **values, checkout=str(self.product), sample_tasks=SHARES, host_workers=1, sample_pod={"memory": "2Gi"}
        )

        def are_waiting() -> bool:
            self.check(run)
            return len(self.of("generate-samples")) == SHARES

        wait_until(are_waiting, SECONDS, "the pods of the samples have been made")
        return run

    def check(self, run: str) -> None:
        """Fail with the logs of what has failed, if a run has."""
        if self.platform.api.run_state(DAG, run) == "failed":
            states = self.platform.api.task_states(DAG, run)
            logs = {task: self.platform.log(DAG, run, task)[-2000:] for task in states if states[task] == "failed"}
            pytest.fail(f"{states}\n{logs}")

    def of(self, task: str) -> list[Pod]:
        """The pods of a task that the cluster knows."""
        return [pod for pod in self.cluster.alive if pod.name.startswith(task)]

    def instance(self, run: str, task: str, index: int = -1) -> dict[str, Any]:
        """A task's instance, as the API tells it."""
        path = f"/api/v2/dags/{DAG}/dagRuns/{run.replace('+', '%2B')}/taskInstances/{task}"
        answer: dict[str, Any] = self.platform.api.get(f"{path}/{index}" if index >= 0 else path).json()
        return answer

    def log_of_share(self, run: str, index: int) -> str:
        """The log of a share's task."""
        path = f"/api/v2/dags/{DAG}/dagRuns/{run.replace('+', '%2B')}/taskInstances/generate_samples/logs/1"
        return json.dumps(self.platform.api.get(f"{path}?map_index={index}").json())


@pytest.fixture(scope="module")
def pods(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pods]:
    if unshare_command() is None:
        pytest.skip("containers need namespaces: run as root, or allow them to users")
    base = tmp_path_factory.mktemp("pods")
    shared, product = base / "shared", base / "product"
    shared.mkdir()
    product.mkdir()
    # Pods see the libraries of this machine, and nothing of the platform but the volume.
    cluster = Cluster(base / "cluster", Node({IMAGE: {"PYTHONPATH": str(ROOT)}}, hidden=[base]))
    cluster.start()
    started = running_platform(
        base / "home",
        OPS_MODE="pod",
        OPS_POD_TASKS="train_model generate_samples",
        OPS_KUBECONFIG=str(cluster.kube_config),
        OPS_POD_IMAGE=IMAGE,
        OPS_POD_PYTHON=sys.executable,
        OPS_POD_VOLUMES=f"host:{shared}:{shared}",
        OPS_POD_CHECK_SECONDS="1",
        OPS_POD_GPUS="1",
        OPS_RUNS_ROOT=str(shared / "runs"),
        OPS_DATA_ROOT=str(shared / "data"),
    )
    try:
        with started as platform:
            yield Pods(platform, cluster, product)
    finally:
        cluster.stop()


@pytest.fixture(scope="module")
def waiting(pods: Pods) -> str:
    run = pods.trigger()
    pods.platform.wait_for_task(DAG, run, "await_samples", "deferred", SECONDS)
    return run


def test_each_share_of_the_samples_waits_in_a_pod_of_its_own(pods: Pods, waiting: str) -> None:
    told = [pods.instance(waiting, "generate_samples", index) for index in range(SHARES)]
    assert [(one["state"], one["rendered_map_index"]) for one in told] == [("running", "1-of-2"), ("running", "2-of-2")]
    assert sorted(pod.metadata["labels"]["map_index"] for pod in pods.of("generate-samples")) == ["0", "1"]
    for pod in pods.of("generate-samples"):
        assert pod.spec["containers"][0]["resources"]["limits"] == {"memory": "2Gi"}  # the training gets the GPU
    assert pods.instance(waiting, "await_samples")["state"] == "deferred"
    assert pods.instance(waiting, "deploy_to_host")["state"] == "skipped"  # there are no hosts


def test_a_killed_worker_finds_its_pod_again_and_the_run_goes_on(pods: Pods, waiting: str) -> None:
    platform, cluster = pods.platform, pods.cluster
    cluster.node.gpus = 1
    cluster.faults = [Fault("GET", r"/generate-samples[^/]*/log", 500), Fault("GET", r"/pods/generate-samples", 504)]
    cluster.node.taints = []

    def is_training() -> bool:
        pods.check(waiting)
        return any("running" in pod.state("base") for pod in pods.of("train-model"))

    wait_until(is_training, SECONDS, "the training runs in its pod")
    os.kill(int(pods.instance(waiting, "train_model")["pid"]), signal.SIGKILL)
    platform.wait(DAG, waiting, SECONDS)
    pods.check(waiting)
    assert platform.attempts(DAG, waiting, "train_model") == 2
    trainings = [made for made in cluster.made if made["metadata"]["name"].startswith("train-model")]
    (container, _) = trainings[0]["spec"]["containers"]
    assert (len(trainings), container["resources"]["limits"]["nvidia.com/gpu"]) == (1, "1")
    log = platform.log(DAG, waiting, "train_model", attempt=2)
    assert f"Reusing existing pod '{trainings[0]['metadata']['name']}'" in log
    assert "result: global_step = 4" in log
    assert platform.api.xcom(DAG, waiting, "train_model")["global_step"] == STEPS
    assert platform.api.xcom(DAG, waiting, "await_samples") == {"num_files": STEPS // PER_FILE, "num_batches": STEPS}
    for index in range(SHARES):
        assert "result: num_batches_made = 2" in pods.log_of_share(waiting, index)
    assert not cluster.alive and not any(fault.times for fault in cluster.faults)
    folder = run_dir(platform.layout.config.runs_root, DAG, waiting)
    assert not (folder / "shares").exists()  # used, so deleted


def test_a_run_that_a_person_ends_ends_its_pods(pods: Pods, waiting: str) -> None:
    assert pods.platform.api.run_state(DAG, waiting) == "success"
    run = pods.trigger()
    pods.platform.api._request(
        "PATCH", f"/api/v2/dags/{DAG}/dagRuns/{run.replace('+', '%2B')}", json={"state": "failed"}
    )
    wait_until(lambda: not pods.cluster.alive, SECONDS, "the pods have gone")
    assert pods.platform.wait(DAG, run) == "failed"
