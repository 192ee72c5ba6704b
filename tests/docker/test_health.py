"""The health check of the images, against real servers."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.docker.image_files import ROOT

STATE = {"metadatabase": {"status": "healthy"}, "triggerer": {"status": None}, "scheduler": {"status": "unhealthy"}}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response({"/api/v2/monitor/health": 200, "/silent": 200, "/nothing": 204}.get(self.path, 503))
        self.end_headers()
        if self.path not in {"/silent", "/nothing"}:
            self.wfile.write(json.dumps(STATE).encode())

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def _status(*arguments: str, api: str = "") -> int:
    environment = {**os.environ, "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{api}/execution/"}
    command = [sys.executable, "-I", "-S", ROOT / "docker" / "health.py", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, timeout=30, check=False).returncode


def test_a_component_is_healthy_when_airflow_says_so(address: str) -> None:
    assert _status("airflow", "metadatabase", api=address) == 0
    assert _status("airflow", "scheduler", api=address) == 1
    assert _status("airflow", "triggerer", api=address) == 1
    assert _status("airflow", "dag_processor", api=address) == 1


def test_an_address_must_answer_with_200(address: str) -> None:
    assert _status("http", f"{address}/api/v2/monitor/health") == 0
    assert _status("http", f"{address}/broken") == 1
    assert _status("http", f"{address}/silent") == 0
    assert _status("http", f"{address}/nothing") == 1


def test_a_server_must_greet_as_expected() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"127.0.0.1:{server.getsockname()[1]}"

        def greet() -> None:
            for _ in range(2):
                connection, _ = server.accept()
                with connection:
                    connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        assert _status("greeting", place, "SSH-2.0") == 0
        assert _status("greeting", place, "220 mail") == 1
        thread.join()
    assert _status("greeting", place, "SSH-2.0") == 1  # nobody listens any more
