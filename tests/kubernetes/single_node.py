"""A cluster of one node from its programs: etcd, API server, controller manager, scheduler and kubelet on Docker.

Needs root, `etcd`, a running Docker engine, and `KUBERNETES_BINARIES`, a folder with the five programs (`NAME` or
`NAME.xz`). All of it is this fixture's own, on ports of its own, and is gone when `stop` has returned; the engine and
its images stay.
"""

from __future__ import annotations

import io
import json
import lzma
import os
import shutil
import socket
import ssl
import subprocess
import tarfile
import urllib.request
from pathlib import Path
from typing import Any

from ops_common.processes import start_process, stop_process_group, wait_until

PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "pause")
NODE = "node1"
PAUSE_IMAGE = "model-training-tests-pause:local"

_TOKEN = "token-of-the-tests"
_PATIENCE_SECONDS = 300.0  # a machine under load


def missing(binaries: Path) -> str:
    """What is not there to make a cluster of; empty when all is."""
    if os.geteuid() != 0:
        return "root"
    absent = [name for name in PROGRAMS if not any((binaries / f"{name}{end}").is_file() for end in ("", ".xz"))]
    if absent:
        return f"{absent[0]} in {binaries} (KUBERNETES_BINARIES)"
    for program, package in (("etcd", "etcd-server"), ("docker", "docker.io"), ("openssl", "openssl")):
        if shutil.which(program) is None:
            return f"{program} (apt-get install {package})"
    engine = subprocess.run(["docker", "info"], capture_output=True, check=False)
    return "a running Docker engine (dockerd)" if engine.returncode else ""


class SingleNode:
    """One cluster. `start` it, use `kube_config`, `stop` it."""

    def __init__(self, folder: Path, binaries: Path) -> None:
        self._folder, self._binaries = folder, binaries
        self._processes: list[subprocess.Popen[bytes]] = []
        self._etcd, self._peer, self._api, self._kubelet, self._health, self._managers, self._schedulers = _free_ports(
            7
        )
        self.kube_config = folder / "kubeconfig"

    def start(self) -> None:
        """Starts everything and waits until the node is ready."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for name in PROGRAMS:
            _unpack(self._binaries, name, self._folder / "bin" / name)
        _import_pause(self._folder / "bin/pause")
        self._start_api()
        key, user = self._folder / "sa.key", f"--kubeconfig={self.kube_config}"
        self._run(
            "kube-controller-manager", user, f"--service-account-private-key-file={key}", "--leader-elect=false",
            f"--root-ca-file={self._folder}/certs/apiserver.crt", "--port=0", f"--secure-port={self._managers}",
            f"--cert-dir={self._folder}/manager-certs",
        )  # fmt: skip
        self._run(
            "kube-scheduler", user, "--leader-elect=false", "--port=0", f"--secure-port={self._schedulers}",
            f"--cert-dir={self._folder}/scheduler-certs",
        )  # fmt: skip
        self._run(
            "kubelet", user, "--container-runtime=docker", "--cgroup-driver=cgroupfs", "--fail-swap-on=false",
            f"--pod-infra-container-image={PAUSE_IMAGE}", f"--root-dir={self._folder}/kubelet",
            f"--cert-dir={self._folder}/kubelet-certs", f"--hostname-override={NODE}", "--register-node=true",
            "--eviction-hard=", "--anonymous-auth=true", "--authorization-mode=AlwaysAllow", f"--port={self._kubelet}",
            "--read-only-port=0", f"--healthz-port={self._health}", "--cgroups-per-qos=false",
            "--enforce-node-allocatable=",
        )  # fmt: skip
        wait_until(self._is_node_ready, _PATIENCE_SECONDS, f"node {NODE}", interval_seconds=0.5)
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        wait_until(lambda: self.get(account)["kind"] == "ServiceAccount", _PATIENCE_SECONDS, "the default account")

    def stop(self) -> None:
        """Ends the pods, then the programs in the order in which they need one another."""
        for process in reversed(self._processes):
            stop_process_group(process, 15)
        self._remove_containers()
        _unmount(self._folder / "kubelet")

    def get(self, path: str, method: str = "GET", body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Asks the API, as a person with `kubectl` would."""
        request = urllib.request.Request(
            f"https://127.0.0.1:{self._api}{path}",
            method=method,
            data=json.dumps(body).encode() if body else None,
            headers={"Authorization": f"Bearer {_TOKEN}", "Content-Type": "application/json"},
        )
        context = ssl.create_default_context(cafile=str(self._folder / "certs/apiserver.crt"))
        context.check_hostname = False
        with urllib.request.urlopen(request, timeout=20, context=context) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def _start_api(self) -> None:
        etcd, peer = f"http://127.0.0.1:{self._etcd}", f"http://127.0.0.1:{self._peer}"
        self._start(
            ["etcd", f"--data-dir={self._folder}/etcd", f"--listen-client-urls={etcd}", "--unsafe-no-fsync",
             f"--advertise-client-urls={etcd}", f"--listen-peer-urls={peer}",
             f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}"],
            "etcd",
        )  # fmt: skip
        key = self._folder / "sa.key"
        subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
        (self._folder / "tokens.csv").write_text(f'{_TOKEN},admin,1,"system:masters"\n')
        api = self._run(
            "kube-apiserver", f"--etcd-servers={etcd}", f"--cert-dir={self._folder}/certs",
            f"--secure-port={self._api}", "--bind-address=127.0.0.1", "--insecure-port=0",
            "--advertise-address=127.0.0.1", f"--token-auth-file={self._folder}/tokens.csv",
            "--authorization-mode=RBAC", "--service-cluster-ip-range=10.96.0.0/16",
            f"--service-account-key-file={key}", f"--service-account-signing-key-file={key}",
            "--service-account-issuer=https://kubernetes.default.svc", "--allow-privileged=true",
            "--kubelet-preferred-address-types=InternalIP",  # the node's name is in no name service
        )  # fmt: skip
        certificate = self._folder / "certs/apiserver.crt"
        wait_until(certificate.is_file, _PATIENCE_SECONDS, "the certificate", process=api)
        wait_until(lambda: bool(self.get("/version")), _PATIENCE_SECONDS, "the API server", process=api)
        self.kube_config.write_text(json.dumps(self._kube_config(certificate)))

    def _run(self, program: str, *options: str) -> subprocess.Popen[bytes]:
        return self._start([str(self._folder / "bin" / program), *options], program)

    def _start(self, argv: list[str], name: str) -> subprocess.Popen[bytes]:
        process = start_process(argv, self._folder / f"{name}.log", cwd=self._folder)
        self._processes.append(process)
        return process

    def _is_node_ready(self) -> bool:
        nodes = self.get("/api/v1/nodes")["items"]
        conditions = [condition for node in nodes for condition in node["status"].get("conditions", [])]
        return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)

    def _kube_config(self, certificate: Path) -> dict[str, Any]:
        cluster = {"server": f"https://127.0.0.1:{self._api}", "certificate-authority": str(certificate)}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "tests",
            "clusters": [{"name": "tests", "cluster": cluster}],
            "users": [{"name": "tests", "user": {"token": _TOKEN}}],
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests"}}],
        }

    def _remove_containers(self) -> None:
        """What the kubelet left behind: the containers of pods that were made in a namespace of ours."""
        found = subprocess.run(
            ["docker", "ps", "--all", "--quiet", "--filter", f"label=io.kubernetes.pod.namespace={NAMESPACE}"],
            capture_output=True, text=True, check=True,
        ).stdout.split()  # fmt: skip
        if found:
            subprocess.run(["docker", "rm", "--force", *found], check=True, capture_output=True)


NAMESPACE = "model-training-tests"


def _free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [item.getsockname()[1] for item in sockets]
    for item in sockets:
        item.close()
    return ports


def _unpack(folder: Path, name: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    packed = folder / f"{name}.xz"
    if packed.is_file():
        with lzma.open(packed) as source, target.open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
    else:
        shutil.copyfile(folder / name, target)
    target.chmod(0o755)


def _import_pause(program: Path) -> None:
    """An image of one file, which holds a pod's network open."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(program, "pause")
    subprocess.run(
        ["docker", "import", "--change", 'ENTRYPOINT ["/pause"]', "-", PAUSE_IMAGE],
        input=archive.getvalue(), check=True, capture_output=True,
    )  # fmt: skip


def _unmount(folder: Path) -> None:
    """The kubelet leaves its folder and the volumes of pods mounted when it ends."""
    mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    ours = [path for path in mounted if path == str(folder) or path.startswith(f"{folder}/")]
    for path in sorted(ours, reverse=True):
        subprocess.run(["umount", "--lazy", path], check=False, capture_output=True)
