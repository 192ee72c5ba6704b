"""Who may read /ops/metrics, and the export to a real collector over HTTP."""

import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from airflow.api_fastapi.app import create_auth_manager
from fastapi import Depends, FastAPI, HTTPException
from fastapi.testclient import TestClient
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from ops_platform.metrics.page import add_metrics_page

from ops_common.metrics import append_metrics
from ops_common.rundir import RunDir

pytestmark = pytest.mark.airflow

ROOT = Path(__file__).parents[3]
TOKEN = "a-token-of-thirty-two-characters"


def refuse() -> None:
    raise HTTPException(401, "Not authenticated")


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    create_auth_manager()
    monkeypatch.setenv("OPS_HOME", str(tmp_path))
    app = FastAPI(dependencies=[Depends(refuse)])
    add_metrics_page(app)
    return TestClient(app)


def status(client: TestClient, header: str | None) -> int:
    return client.get("/metrics", headers={"Authorization": header} if header else {}).status_code


def test_only_the_token_opens_it_without_a_login(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert status(client, None) == 401
    assert status(client, f"Bearer {TOKEN}") == 403  # no token is set: nothing opens it
    monkeypatch.setenv("OPS_METRICS_TOKEN", TOKEN)
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert "ops_disk_free_bytes{" in answer.text
    for header in (None, "Bearer ", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN):
        assert status(client, header) in (401, 403), header


class Collector(HTTPServer):
    """Takes what an exporter sends."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.names: dict[str, list[Any]] = {}
        self.service = ""
        self.came = threading.Event()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def log_message(self, *_arguments: Any) -> None:
        pass

    def do_POST(self) -> None:
        request = ExportMetricsServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
        for resource in request.resource_metrics:
            attributes = {one.key: one.value.string_value for one in resource.resource.attributes}
            self.server.service = attributes["service.name"]
            for scope in resource.scope_metrics:
                self.server.names |= {one.name: list(one.gauge.data_points) for one in scope.metrics}
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.server.came.set()


def test_a_collector_gets_the_same_metrics(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path / "runs" / "gematria_train" / "x", {})
    append_metrics(run.metrics_path, 7, {"loss": 0.5})
    collector = Collector()
    told = {
        "OPS_HOME": str(tmp_path),
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
        "OTEL_METRIC_EXPORT_INTERVAL": "200",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}",
    }
    command = [sys.executable, "-m", "ops_platform.metrics.export"]
    process = subprocess.Popen(command, env={**os.environ, **told}, cwd=ROOT)
    try:
        assert collector.came.wait(120)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        collector.shutdown()
        collector.server_close()
    assert collector.service == "model-training"
    (point,) = collector.names["ops_training_step"]
    assert (point.as_double, point.attributes[0].value.string_value) == (7.0, "gematria_train")
    assert len(collector.names["ops_disk_free_bytes"]) == 3


def test_an_export_to_nowhere_is_refused() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    environment["PYTHONPATH"] = f"{ROOT}:{ROOT / 'plugins'}"
    command = [sys.executable, "-m", "ops_platform.metrics.export"]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, "OTEL_EXPORTER_OTLP_ENDPOINT" in done.stderr) == (3, True)
