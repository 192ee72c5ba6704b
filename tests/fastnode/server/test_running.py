"""The server's process: start, ports, signals, clients that are slow."""

import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from fastnode_ops.web.running import bind
from ops_common.errors import ConfigError, ServiceError
from ops_common.processes import wait_until
from tests.fastnode.server.servers import ROOT, RunningServer, session_values, toy_server


def address(server: RunningServer) -> tuple[str, int]:
    host, port = server.url.removeprefix("http://").split(":")
    return host, int(port)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_and_its_workers(tmp_path: Path, number: signal.Signals) -> None:
    with toy_server(tmp_path, num_workers=2) as server:
        server.post("/session", session_values())
        process = psutil.Process(server.process_id)
        children = process.children(recursive=True)
        assert len(children) >= 2
        os.kill(server.process_id, number)
        # the context ends a server that is left; one that has ended by itself has said so
        psutil.wait_procs([process, *children], timeout=30)
        assert "ended after" in server.log.read_text()
        assert not any(child.is_running() for child in children)
        assert "Traceback" not in server.log.read_text()


def test_a_waiting_request_is_told_of_the_end(tmp_path: Path) -> None:
    with toy_server(tmp_path) as server:
        session = server.post("/session", session_values()).json()["session"]
        (worker,) = server.get("/debug/vars").json()["worker_resident_bytes"]
        os.kill(int(worker), signal.SIGSTOP)
        with ThreadPoolExecutor(1) as thread:
            answer = thread.submit(server.post, "/session", {"session": session, "start_step": 500})

            def is_waiting() -> bool:
                return bool(server.get("/sessions/info").json()[str(session)]["NextStep"] == 500)

            wait_until(is_waiting, 30, "the request")
            os.kill(server.process_id, signal.SIGTERM)
            assert (answer.result().status_code, answer.result().text) == (500, "session was shut down")
        wait_until(lambda: "ended after" in server.log.read_text(), 30, "the end of the server")


def test_an_unfinished_request_does_not_hinder_the_end(tmp_path: Path) -> None:
    with toy_server(tmp_path) as server, socket.create_connection(address(server)) as client:
        client.sendall(b"POST /session HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n{")
        os.kill(server.process_id, signal.SIGTERM)
        wait_until(lambda: "ended after" in server.log.read_text(), 30, "the end of the server")


def test_a_private_server_ends_with_its_parent(tmp_path: Path) -> None:
    ready = tmp_path / "url"
    code = (
        "import subprocess, sys, time\n"
        "options = '{\"ends_with_parent\": true}'\n"
        "command = [sys.executable, '-m', 'tests.fastnode.server.toy_server', sys.argv[1], options]\n"
        "print(subprocess.Popen(command).pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(ready)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    server = psutil.Process(int(parent.stdout.readline()))
    wait_until(ready.exists, 60, "the toy server")
    parent.kill()
    parent.wait()
    wait_until(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE, 30, "the end of the server")


def test_a_taken_port_is_told() -> None:
    with bind("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ServiceError, match=f"port {port} on 127.0.0.1 is taken") as caught:
            bind("127.0.0.1", port)
        assert caught.value.hint == "stop the program that uses it, or choose another port"


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 65536), ("127.0.0.1", -1), ("no.such.host.invalid", 0)])
def test_what_cannot_be_listened_on_is_told(host: str, port: int) -> None:
    with pytest.raises(ConfigError, match=r"is not a port|cannot listen on no\.such\.host\.invalid, port 0"):
        bind(host, port)


def test_a_connection_without_a_request_is_closed(tmp_path: Path) -> None:
    with toy_server(tmp_path, header_seconds=0.3) as server:
        with socket.create_connection(address(server), timeout=30) as client:
            client.sendall(b"POST /session HTTP/1.1\r\nhost: x\r\n")
            with suppress(ConnectionResetError):  # the same, said more rudely
                assert client.recv(100) == b""
        assert server.get("/healthz").status_code == 200


def test_a_body_that_does_not_arrive_is_given_up(tmp_path: Path) -> None:
    with toy_server(tmp_path, limits={"body_seconds": 0.3}) as server:
        with socket.create_connection(address(server), timeout=30) as client:
            client.sendall(b"POST /session HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n{")
            answer = b""
            while part := client.recv(1_000):
                answer += part
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert answer.endswith(b"\r\n\r\nthe body did not arrive within 0.3 s")


def test_a_client_that_does_not_read_is_left(tmp_path: Path) -> None:
    with toy_server(tmp_path, limits={"send_seconds": 0.3}) as server:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            client.connect(address(server))
            body = str(session_values(num_batches=1_000)).replace("'", '"').replace("False", "false").encode()
            head = f"POST /session HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
            client.sendall(head.encode() + body)
            told = "a client did not take its answer for 0.3 s; it is left"
            wait_until(lambda: told in server.log.read_text(), 60, "the server's patience")
        assert server.get("/healthz").status_code == 200
