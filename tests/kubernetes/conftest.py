"""The cluster: that of KUBECONFIG, or one of one node made here; an object store that its pods reach; a deployment."""

from __future__ import annotations

import base64
import json
import os
import socket
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ops_platform import s3_server

from tests.kubernetes.single_node import NAMESPACE, SingleNode, missing
from tests.local_s3 import ACCESS_KEY, SECRET_KEY

ROOT = Path(__file__).parents[2]
IMAGE = os.environ.get("KUBERNETES_TEST_IMAGE") or "model-training-trainer:latest"


@dataclass(frozen=True)
class RealCluster:
    """A cluster and the namespace of the tests in it."""

    kube_config: str
    endpoint: str

    @property
    def api(self) -> Any:
        """The official client."""
        from kubernetes import client, config

        config.load_kube_config(config_file=self.kube_config)
        return client.CoreV1Api()

    def pods(self) -> list[Any]:
        """The pods of the tests."""
        found: list[Any] = self.api.list_namespaced_pod(NAMESPACE).items
        return found


def _address() -> str:
    """This machine as pods reach it: KUBERNETES_TEST_ADDRESS, or the address that its default route starts from."""
    if given := os.environ.get("KUBERNETES_TEST_ADDRESS"):
        return given
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # nothing is sent
        found: str = probe.getsockname()[0]
    return found


@pytest.fixture(scope="session")
def kube_config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if given := os.environ.get("KUBECONFIG"):
        yield given
        return
    binaries = ROOT / (os.environ.get("KUBERNETES_BINARIES") or "../shared/tools/kubernetes")
    if lacking := missing(binaries):
        pytest.skip(f"no KUBECONFIG, and a cluster of our own needs {lacking}")
    cluster = SingleNode(tmp_path_factory.mktemp("cluster"), binaries)
    try:
        cluster.start()
        yield str(cluster.kube_config)
    finally:
        cluster.stop()


@pytest.fixture(scope="session")
def real_cluster(kube_config: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    """The cluster with a namespace, and a secret with the keys of an object store that its pods reach."""
    from kubernetes.client import V1Namespace, V1ObjectMeta, V1Secret
    from kubernetes.client.exceptions import ApiException

    folder, port = tmp_path_factory.mktemp("s3"), s3_server.free_port()
    address = _address()
    server = s3_server.start(
        folder / "data", address, port, folder / "log", access_key=ACCESS_KEY, secret_key=SECRET_KEY, buckets=["pods"],
        timeout_seconds=300,
    )  # fmt: skip
    cluster = RealCluster(kube_config, f"http://{address}:{port}")
    keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    encoded = {name: base64.b64encode(value.encode()).decode() for name, value in keys.items()}
    try:
        for make, body in (
            (cluster.api.create_namespace, V1Namespace(metadata=V1ObjectMeta(name=NAMESPACE))),
            (lambda b: cluster.api.create_namespaced_secret(NAMESPACE, b),
             V1Secret(metadata=V1ObjectMeta(name="s3-keys"), data=encoded)),
        ):  # fmt: skip
            try:
                make(body)
            except ApiException as error:
                if error.status != 409:  # left by tests that were interrupted
                    raise
        yield cluster
    finally:
        for pod in cluster.pods():
            cluster.api.delete_namespaced_pod(pod.metadata.name, NAMESPACE, grace_period_seconds=0)
        cluster.api.delete_namespace(NAMESPACE)
        s3_server.stop(server)


@pytest.fixture
def deployment(real_cluster: RealCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings by which trainings run in pods of the cluster, folders through the object store; its folder."""
    connection = {"conn_type": "aws", "login": ACCESS_KEY, "password": SECRET_KEY}
    extra = {"endpoint_url": real_cluster.endpoint, "region_name": "us-east-1"}
    settings = {
        "AIRFLOW_CONN_OPS_S3": json.dumps({**connection, "extra": extra}),
        "OPS_MODE": "pod",
        "OPS_KUBECONFIG": real_cluster.kube_config,
        "OPS_POD_NAMESPACE": NAMESPACE,
        "OPS_POD_IMAGE": IMAGE,
        "OPS_POD_EXCHANGE": f"s3://pods/{uuid.uuid4().hex[:12]}",
        "OPS_POD_SECRET": "s3-keys",
        "OPS_POD_CHECK_SECONDS": "1",
        "OPS_STOP_GRACE_SECONDS": "120",
        "OPS_RUNS_ROOT": str(tmp_path / "runs"),
        "OPS_DATA_ROOT": str(tmp_path / "data"),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return tmp_path
