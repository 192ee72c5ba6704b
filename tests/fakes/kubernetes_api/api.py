"""The HTTP side: what the operator and its trigger ask of a cluster, and the faults that a cluster can have."""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kubernetes_api import websocket
from kubernetes_api.pods import Node, Pod

_TOKEN = "token-of-the-double"
_TRUE = ("True", "true", "1")

# What a server says that is too busy, or whose node cannot be asked for a log.
_REASONS = {
    400: ("BadRequest", ""),
    409: ("Conflict", ""),
    500: ("InternalError", "Get containerLogs: dial tcp: lookup node1: no such host"),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
    504: ("Timeout", "Timeout: request did not complete within the allotted timeout"),
}


@dataclass
class Fault:
    """Some requests are answered with an error.

    Attributes:
        method: HTTP method.
        path: Regular expression that the path has to hold.
        status: The error's status; 0: the connection is cut.
        times: How many requests.
        is_after: Whether the request is carried out first, so that only its answer is lost.
    """

    method: str
    path: str
    status: int
    times: int = 1
    is_after: bool = False


@dataclass
class Cluster:
    """The double. `start` it, point KUBECONFIG at `kube_config`, `stop` it."""

    folder: Path
    node: Node
    faults: list[Fault] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    pods: dict[tuple[str, str], Pod] = field(default_factory=dict)
    made: list[dict[str, Any]] = field(default_factory=list)
    """Every pod that was ever made, as it was asked for."""
    refused: set[tuple[str, str]] = field(default_factory=set)
    """What may not be done with pods: verb, and part of the pod."""
    things: set[str] = field(default_factory=set)
    """What else there is, as `secrets/NAME` and `persistentvolumeclaims/NAME`, in every namespace."""
    lock: threading.RLock = field(default_factory=threading.RLock)

    def start(self) -> None:
        """Listens on a free port."""
        handler = type("Handler", (_Handler,), {"cluster": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.kube_config.write_text(json.dumps(self._kube_config()))  # JSON is YAML

    def stop(self) -> None:
        """Ends the server and everything that runs in pods."""
        self._server.shutdown()
        self._server.server_close()
        for pod in list(self.pods.values()):
            pod.lose()

    @property
    def kube_config(self) -> Path:
        """File that says where the cluster is."""
        return self.folder / "kubeconfig"

    @property
    def alive(self) -> list[Pod]:
        """The pods that the API knows."""
        with self.lock:
            return [pod for pod in self.pods.values() if not pod.gone.is_set()]

    def fault(self, method: str, path: str) -> Fault | None:
        """The fault that a request meets, if any."""
        with self.lock:
            for fault in self.faults:
                if fault.times and fault.method == method and re.search(fault.path, path):
                    fault.times -= 1
                    return fault
        return None

    def _kube_config(self) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self._server.server_address[1]}"
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "double",
            "clusters": [{"name": "double", "cluster": {"server": url}}],
            "users": [{"name": "double", "user": {"token": _TOKEN}}],
            "contexts": [{"name": "double", "context": {"cluster": "double", "user": "double"}}],
        }


class _Handler(BaseHTTPRequestHandler):
    cluster: Cluster
    protocol_version = "HTTP/1.1"

    def log_message(self, *_arguments: Any) -> None:
        pass

    def _any(self) -> None:
        try:
            self._checked()
        except (BrokenPipeError, ConnectionResetError):  # the client is gone
            self.close_connection = True

    do_GET = do_POST = do_PATCH = do_DELETE = _any

    def _checked(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self._body = json.loads(self.rfile.read(length)) if length else {}
        self.cluster.requests.append(f"{self.command} {self.path}")
        url = urlsplit(self.path)
        self._query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        self._argv = parse_qs(url.query).get("command", [])
        if self.headers.get("Authorization") != f"Bearer {_TOKEN}":
            return self._fail(401, "Unauthorized")
        for name in ("timeoutSeconds", "sinceSeconds", "gracePeriodSeconds"):
            if not self._query.get(name, "0").isdigit():
                return self._fail(400, "BadRequest", f"{name}: not a whole number")
        fault = self.cluster.fault(self.command, self.path)
        if fault is None:
            return self._route(url.path)
        if fault.is_after:
            self._send = lambda *_arguments: None  # type: ignore[method-assign]
            self._route(url.path)
            del self._send
        if fault.status == 0:
            self._cut()
        else:
            self._fail(fault.status, *_REASONS.get(fault.status, ("InternalError", "")))
        return None

    def _route(self, path: str) -> None:
        if path.endswith("/selfsubjectaccessreviews"):
            return self._review()
        if named := re.fullmatch(r"/api/v1/namespaces/[^/]+/((?:secrets|persistentvolumeclaims)/[^/]+)", path):
            found = named[1] in self.cluster.things
            return self._send({"metadata": {"name": named[1]}}) if found else self._fail(404, "NotFound")
        match = re.fullmatch(r"/api/v1/namespaces/([^/]+)/(pods|events)(?:/([^/]+))?(?:/(log|exec))?", path)
        if match is None:
            return self._fail(404, "NotFound")
        namespace, kind, name, part = match.groups()
        if kind == "events":
            return self._events(namespace)
        if name is None:
            return self._create(namespace) if self.command == "POST" else self._list(namespace)
        pod = self.cluster.pods.get((namespace, name))
        if pod is None or pod.gone.is_set():
            return self._fail(404, "NotFound", f'pods "{name}" not found')
        if part == "log":
            return self._log(pod)
        if part == "exec":
            return self._exec(pod)
        return self._one(pod)

    def _review(self) -> None:
        asked = self._body["spec"]["resourceAttributes"]
        is_allowed = (asked["verb"], asked["subresource"]) not in self.cluster.refused
        self._send({**self._body, "status": {"allowed": is_allowed}}, 201)

    def _one(self, pod: Pod) -> None:
        if self.command == "PATCH":
            with pod.lock:
                pod.metadata["labels"] |= self._body["metadata"]["labels"]
        if self.command == "DELETE":
            grace = self._query.get("gracePeriodSeconds", self._body.get("gracePeriodSeconds"))
            pod.delete(None if grace is None else float(grace))
        self._send(pod.as_object())

    def _create(self, namespace: str) -> None:
        name = self._body["metadata"]["name"]
        with self.cluster.lock:
            known = self.cluster.pods.get((namespace, name))
            if known is not None and not known.gone.is_set():
                return self._fail(409, "AlreadyExists", f'pods "{name}" already exists')
            self.cluster.made.append(json.loads(json.dumps(self._body)))
            pod = Pod(self._body, namespace, self.cluster.node, self.cluster.folder / f"pod-{name}")
            self.cluster.pods[namespace, name] = pod
        return self._send(pod.as_object(), 201)

    def _list(self, namespace: str) -> None:
        selector = self._query.get("labelSelector", "")
        with self.cluster.lock:
            items = [
                pod.as_object()
                for (of, _), pod in self.cluster.pods.items()
                if of == namespace and not pod.gone.is_set() and _matches(pod.metadata["labels"], selector)
            ]
        self._send({"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items})

    def _events(self, namespace: str) -> None:
        name = self._query.get("fieldSelector", "").removeprefix("involvedObject.name=")
        pod = self.cluster.pods.get((namespace, name))
        if self._query.get("watch") not in _TRUE:
            items = [*pod.events] if pod else []
            return self._send({"kind": "EventList", "apiVersion": "v1", "metadata": {}, "items": items})
        self._start_stream("application/json")
        num_sent, end = 0, time.monotonic() + float(self._query.get("timeoutSeconds", 30))
        while time.monotonic() < end:
            for event in (pod.events if pod else [])[num_sent:]:
                told = {"type": "ADDED", "object": {"kind": "Event", "apiVersion": "v1", **event}}
                self._chunk(json.dumps(told).encode() + b"\n")
                num_sent += 1
            time.sleep(0.02)
        return self._end_stream()

    def _log(self, pod: Pod) -> None:
        container = self._query.get("container", "base")
        if "waiting" in pod.state(container):
            return self._fail(400, "BadRequest", f'container "{container}" is waiting to start: ContainerCreating')
        since, follow = float(self._query.get("sinceSeconds", 0)), self._query.get("follow") in _TRUE
        start = time.time() - since if since else 0.0
        self._start_stream("text/plain")
        num_sent = 0
        while True:
            has_ended = "terminated" in pod.state(container) or pod.gone.is_set()
            for moment, line in pod.logs[container][num_sent:]:
                num_sent += 1
                if moment.timestamp() >= start:
                    stamp = moment.strftime("%Y-%m-%dT%H:%M:%S.%f000Z ").encode()
                    self._chunk(stamp + line if self._query.get("timestamps") in _TRUE else line)
            if has_ended or not follow:
                return self._end_stream()
            time.sleep(0.02)

    def _exec(self, pod: Pod) -> None:
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", websocket.accept_key(self.headers["Sec-WebSocket-Key"]))
        self.send_header("Sec-WebSocket-Protocol", websocket.PROTOCOL)
        self.end_headers()
        self.close_connection = True
        stdin = websocket.receive(self.rfile)[1:] if self._query.get("stdin") in _TRUE else b""
        finished = pod.containers[self._query["container"]].run(self._argv, stdin)
        for channel, output in ((websocket.STDOUT, finished.stdout), (websocket.STDERR, finished.stderr)):
            if output:
                websocket.send(self.wfile, channel, output)
        status = "Success" if finished.returncode == 0 else "Failure"
        websocket.send(self.wfile, websocket.STATUS, json.dumps({"metadata": {}, "status": status}).encode())
        websocket.close(self.wfile)

    def _send(self, answer: dict[str, Any], status: int = 200) -> None:
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _fail(self, status: int, reason: str, message: str = "") -> None:
        answer = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": status}
        _Handler._send(self, {**answer, "message": message}, status)

    def _start_stream(self, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _chunk(self, content: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))
        self.wfile.flush()

    def _end_stream(self) -> None:
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def _cut(self) -> None:
        """Resets the connection, as a balancer that restarts does."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


def _matches(labels: dict[str, str], selector: str) -> bool:
    return all(_matches_term(labels, term) for term in filter(None, selector.split(",")))


def _matches_term(labels: dict[str, str], term: str) -> bool:
    if "!=" in term:
        name, _, value = term.partition("!=")
        return labels.get(name) != value
    if "=" in term:
        name, _, value = term.replace("==", "=").partition("=")
        return labels.get(name) == value
    return (term[1:] not in labels) if term.startswith("!") else term in labels
