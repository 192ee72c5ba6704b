"""A pod's life: waiting for a node, for its image, running, ended, deleted; with the states that the API tells."""

from __future__ import annotations

import base64
import datetime as dt
import json
import shutil
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubernetes_api.containers import Container, await_setup, machine_environment

_MESSAGE_BYTES, _MESSAGE_LINES = 2048, 80  # of a log that becomes the termination message
_DEFAULT_GRACE_SECONDS = 30


class CannotStartError(Exception):
    """A container cannot be made: reason and message as the kubelet tells them."""


@dataclass
class Node:
    """The one node of the cluster."""

    images: dict[str, dict[str, str]]
    """The environment that each image sets, by its name."""
    hidden: list[Path]
    labels: dict[str, str] = field(default_factory=dict)
    taints: list[tuple[str, str]] = field(default_factory=list)
    """Key and effect of each."""
    gpus: int = 0
    claims: dict[str, Path] = field(default_factory=dict)
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    """By name: keys and values in base64."""


def now() -> str:
    """The time as the API writes it."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Pod:
    """One pod; all of its fields that other threads see are changed under its lock."""

    def __init__(self, body: dict[str, Any], namespace: str, node: Node, folder: Path) -> None:
        self.spec: dict[str, Any] = body["spec"]
        self.metadata = {
            **body["metadata"],
            "namespace": namespace,
            "uid": str(uuid.uuid4()),
            "creationTimestamp": now(),
            "resourceVersion": "1",
        }
        self.metadata.setdefault("labels", {})
        self.name: str = self.metadata["name"]
        self.status: dict[str, Any] = {"phase": "Pending", "conditions": []}
        self.events: list[dict[str, Any]] = []
        self.logs: dict[str, list[tuple[dt.datetime, bytes]]] = {c["name"]: [] for c in self.spec["containers"]}
        self.containers: dict[str, Container] = {}
        self.gone = threading.Event()
        self.lock = threading.RLock()
        self._node, self._folder = node, folder
        self._is_ending = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def as_object(self) -> dict[str, Any]:
        """The pod as the API answers it."""
        with self.lock:
            return {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {**self.metadata, "labels": {**self.metadata["labels"]}},
                "spec": self.spec,
                "status": {**self.status, "containerStatuses": [*self.status.get("containerStatuses", [])] or None},
            }

    def state(self, container: str) -> dict[str, Any]:
        """State of a container: `waiting`, `running` or `terminated`."""
        with self.lock:
            found = [s for s in self.status.get("containerStatuses", []) if s["name"] == container]
            return found[0]["state"] if found else {}

    def delete(self, grace_seconds: float | None) -> None:
        """Asks the containers to end, ends them after the grace time, then is gone."""
        with self.lock:
            if "deletionTimestamp" in self.metadata:
                return
            self.metadata["deletionTimestamp"] = now()
        grace = self.spec.get("terminationGracePeriodSeconds", _DEFAULT_GRACE_SECONDS)
        threading.Thread(
            target=self._end, args=(grace if grace_seconds is None else grace_seconds,), daemon=True
        ).start()

    def lose(self) -> None:
        """The node is lost: everything in the pod ends at once, and the pod is gone."""
        self._is_ending.set()
        for container in list(self.containers.values()):
            container.kill()
        self.gone.set()

    def _end(self, grace_seconds: float, reason: str = "") -> None:
        self._is_ending.set()
        for name, container in list(self.containers.items()):
            self._event("Killing", f"Stopping container {name}")
            container.terminate()
        self._thread.join(grace_seconds)
        for container in list(self.containers.values()):
            container.kill()
        self._thread.join(20)
        if reason:
            with self.lock:
                self.status |= {"phase": "Failed", "reason": reason}
        else:
            self.gone.set()
            shutil.rmtree(self._folder, ignore_errors=True)

    def _live(self) -> None:
        if not self._await_node():
            return
        specs = self.spec["containers"]
        with self.lock:
            self.status["conditions"] = [{"type": "PodScheduled", "status": "True"}]
            self.status["startTime"] = now()
            self.status["containerStatuses"] = [_waiting(spec, "ContainerCreating", "") for spec in specs]
        threads = []
        for spec in specs:
            try:
                self._start(spec)
            except CannotStartError as error:
                reason, message = error.args
                self._event("Failed", f"Error: {reason}: {message}", "Warning")
                self._set_state(spec, {"waiting": {"reason": reason, "message": message}})
            else:
                threads.append(threading.Thread(target=self._watch, args=(spec,), daemon=True))
                threads[-1].start()
        self._limit_time()
        for thread in threads:
            thread.join()
        if len(threads) == len(specs):
            with self.lock:
                codes = [status["state"]["terminated"]["exitCode"] for status in self.status["containerStatuses"]]
                self.status["phase"] = "Failed" if any(codes) else "Succeeded"

    def _await_node(self) -> bool:
        is_told = False
        while (hindrance := self._hindrance()) and not self._is_ending.is_set():
            if not is_told:
                with self.lock:
                    self.status["conditions"] = [
                        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": hindrance}
                    ]
                self._event("FailedScheduling", f"0/1 nodes are available: {hindrance}.", "Warning")
                is_told = True
            time.sleep(0.02)
        self._event("Scheduled", f"Successfully assigned {self.name} to node1")
        return not self._is_ending.is_set()

    def _hindrance(self) -> str:
        node = self._node
        if not (self.spec.get("nodeSelector") or {}).items() <= node.labels.items():
            return "1 node(s) didn't match Pod's node affinity/selector"
        for key, effect in node.taints:
            if not any(_tolerates(toleration, key, effect) for toleration in self.spec.get("tolerations") or []):
                return f"1 node(s) had taint {{{key}: }}, that the pod didn't tolerate"
        limits = [(c.get("resources") or {}).get("limits") or {} for c in self.spec["containers"]]
        if sum(int(limit.get("nvidia.com/gpu", 0)) for limit in limits) > node.gpus:
            return "1 Insufficient nvidia.com/gpu"
        return ""

    def _start(self, spec: dict[str, Any]) -> None:
        if spec["image"] not in self._node.images:
            reason = "ErrImageNeverPull" if spec.get("imagePullPolicy") == "Never" else "ErrImagePull"
            raise CannotStartError(reason, f"image {spec['image']} is not there: manifest unknown")
        name = spec["name"]
        self._event("Pulled", f"Container image {json.dumps(spec['image'])} already present on machine")
        container = Container(
            [*(spec.get("command") or []), *(spec.get("args") or [])],
            env={**machine_environment(), **self._node.images[spec["image"]], **self._environment(spec)},
            root=self._folder / name / "root",
            mounts=dict(self._mounts(spec)),
            hidden=self._node.hidden,
            on_line=lambda line: self.logs[name].append((dt.datetime.now(dt.UTC), line)),
        )
        await_setup(container)
        self.containers[name] = container
        self._set_state(spec, {"running": {"startedAt": now()}})
        for reason in ("Created", "Started"):
            self._event(reason, f"{reason} container {name}")
        with self.lock:
            self.status["phase"] = "Running"

    def _watch(self, spec: dict[str, Any]) -> None:
        name, started = spec["name"], now()
        code = self.containers[name].wait()
        ended: dict[str, Any] = {"exitCode": code, "reason": "Completed" if code == 0 else "Error"}
        if code and spec.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            text = b"".join(line for _, line in self.logs[name][-_MESSAGE_LINES:])
            ended["message"] = text[-_MESSAGE_BYTES:].decode(errors="replace")
        self._set_state(spec, {"terminated": {**ended, "startedAt": started, "finishedAt": now()}})

    def _limit_time(self) -> None:
        if limit := self.spec.get("activeDeadlineSeconds"):
            timer = threading.Timer(float(limit), lambda: self._end(1.0, "DeadlineExceeded"))
            timer.daemon = True
            timer.start()

    def _environment(self, spec: dict[str, Any]) -> dict[str, str]:
        values: dict[str, str] = {}
        for source in spec.get("envFrom") or []:
            values |= self._secret(source["secretRef"]["name"])
        for entry in spec.get("env") or []:
            reference = (entry.get("valueFrom") or {}).get("secretKeyRef")
            values[entry["name"]] = (
                self._secret(reference["name"])[reference["key"]] if reference else entry.get("value") or ""
            )
        return values

    def _secret(self, name: str) -> Mapping[str, str]:
        if name not in self._node.secrets:
            raise CannotStartError("CreateContainerConfigError", f'secret "{name}" not found')
        return {key: base64.b64decode(value).decode() for key, value in self._node.secrets[name].items()}

    def _mounts(self, spec: dict[str, Any]) -> list[tuple[str, Path]]:
        volumes = {volume["name"]: volume for volume in self.spec.get("volumes") or []}
        found = []
        for mount in spec.get("volumeMounts") or []:
            volume = volumes[mount["name"]]
            if "hostPath" in volume:
                folder = Path(volume["hostPath"]["path"])
            elif "persistentVolumeClaim" in volume:
                claim = volume["persistentVolumeClaim"]["claimName"]
                if claim not in self._node.claims:
                    raise CannotStartError("FailedMount", f'persistentvolumeclaim "{claim}" not found')
                folder = self._node.claims[claim]
            else:
                folder = self._folder / "volumes" / mount["name"]
            folder = folder / mount["subPath"] if mount.get("subPath") else folder
            folder.mkdir(parents=True, exist_ok=True)
            found.append((mount["mountPath"].rstrip("/"), folder))
        return found

    def _set_state(self, spec: dict[str, Any], state: dict[str, Any]) -> None:
        with self.lock:
            for status in self.status["containerStatuses"]:
                if status["name"] == spec["name"]:
                    status |= {"state": state, "ready": "running" in state, "started": "running" in state}

    def _event(self, reason: str, message: str, kind: str = "Normal") -> None:
        with self.lock:
            self.events.append(
                {
                    "metadata": {
                        "name": f"{self.name}.{len(self.events)}",
                        "namespace": self.metadata["namespace"],
                        "uid": str(uuid.uuid4()),
                        "resourceVersion": str(len(self.events) + 1),
                    },
                    "involvedObject": {"kind": "Pod", "name": self.name, "namespace": self.metadata["namespace"]},
                    "reason": reason,
                    "message": message,
                    "type": kind,
                    "lastTimestamp": now(),
                }
            )


def _waiting(spec: dict[str, Any], reason: str, message: str) -> dict[str, Any]:
    return {
        "name": spec["name"],
        "image": spec["image"],
        "imageID": "",
        "restartCount": 0,
        "ready": False,
        "state": {"waiting": {"reason": reason, "message": message}},
    }


def _tolerates(toleration: dict[str, Any], key: str, effect: str) -> bool:
    return toleration.get("key") in (None, key) and toleration.get("effect") in (None, effect)
