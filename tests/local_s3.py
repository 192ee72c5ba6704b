"""The real local S3 server for tests, ways to hurt it, and a proxy that hurts the network."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from ops_platform import s3_server

from ops_common.object_store import ObjectStore, RetryPolicy

HOST = "127.0.0.1"
ACCESS_KEY, SECRET_KEY = "tests-access", "tests-secret-8f2c"

# One try of each request, and pauses that take no time: a dead server is given up after a few tries at once.
IMPATIENT = RetryPolicy(total_seconds=8, request_attempts=1, sleep=lambda seconds: None)

# What does not answer is not asked again at all.
ONE_TRY = RetryPolicy(total_seconds=0, request_attempts=1)


class LocalS3:
    """A server with a data folder and a port of its own; may be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self.data_dir, self.log_path = folder / "s3", folder / "s3.log"
        self.port = s3_server.free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://{HOST}:{self.port}"

    def start(self) -> None:
        self._process = s3_server.start(
            self.data_dir, HOST, self.port, self.log_path, access_key=ACCESS_KEY, secret_key=SECRET_KEY
        )

    def stop(self) -> None:
        if self._process is not None:
            s3_server.stop(self._process)
            self._process = None

    def kill(self) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    @property
    def process_id(self) -> int:
        assert self._process is not None
        return self._process.pid

    def flip_byte(self, content: bytes) -> None:
        """Changes one byte of stored content (random bytes, which are not compressed) as a failing disk would."""
        for path in self.data_dir.glob("*.dat"):
            volume = bytearray(path.read_bytes())
            position = volume.find(content[:64])
            if position >= 0:
                volume[position + 32] ^= 1
                path.write_bytes(volume)
                return
        raise AssertionError("the content is in no volume of the server")


class Proxy:
    """Stands between a client and a server; passes `num_puts` writes, then cuts or holds connections.

    It can also change the bytes `needle` in answers to `nEedle`, as often as `num_flips` says, and hold the first
    request to read something whose address has `hold_reads_of` in it.
    """

    def __init__(
        self,
        server_port: int,
        *,
        num_puts: int | None = None,
        hold: bool = False,
        num_flips: int = 0,
        hold_reads_of: str = "",
    ) -> None:
        self._hold_reads_of = hold_reads_of.encode()
        self._server_port, self._num_puts, self._hold, self.num_flips = server_port, num_puts, hold, num_flips
        self.refused = threading.Event()
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server((HOST, 0))
        self.endpoint = f"http://{HOST}:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for item in (self._listener, *self._sockets):
            item.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection((HOST, self._server_port))
            except OSError:
                return
            self._sockets += [client, server]
            for pair, is_answer in (((client, server), False), ((server, client), True)):
                threading.Thread(target=self._pump, args=(*pair, is_answer), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, is_answer: bool) -> None:
        try:
            while data := source.recv(1 << 16):
                if not is_answer and self._is_held(data):
                    self.refused.set()
                    return
                if not is_answer and data.startswith(b"PUT ") and not self._may_pass():
                    if self._hold:
                        return  # and leave the connection open, without an answer for ever
                    break
                target.sendall(self._flipped(data) if is_answer else data)
        except OSError:
            pass
        for item in (source, target):
            item.close()

    def _is_held(self, request: bytes) -> bool:
        first_line = request.partition(b"\r\n")[0]
        return bool(self._hold_reads_of) and first_line.startswith(b"GET ") and self._hold_reads_of in first_line

    def _may_pass(self) -> bool:
        with self._lock:
            if self._num_puts is None:
                return True
            self._num_puts -= 1
            if self._num_puts < 0:
                self.refused.set()
            return self._num_puts >= 0

    def _flipped(self, data: bytes) -> bytes:
        with self._lock:
            if self.num_flips > 0 and b"needle" in data:
                self.num_flips -= 1
                return data.replace(b"needle", b"nEedle")
        return data


def use_endpoint(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """Points this process's S3 clients at a server, with the keys of the tests."""
    for name, value in s3_server.client_environment(endpoint, ACCESS_KEY, SECRET_KEY).items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def shared_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalS3]:
    """One running server for all tests that do it no harm."""
    server = LocalS3(tmp_path_factory.mktemp("shared-s3"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def destination(shared_s3: LocalS3, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new, empty place of the shared server, at which the environment points."""
    use_endpoint(monkeypatch, shared_s3.endpoint)
    uri = f"s3://tests/{uuid.uuid4().hex[:12]}/models"
    ObjectStore.from_uri(uri, policy=IMPATIENT).ensure_bucket(create=True)
    return uri


@pytest.fixture
def own_s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalS3]:
    """A running server of this test alone, with the bucket `own`, at which the environment points."""
    server = LocalS3(tmp_path / "own")
    server.start()
    use_endpoint(monkeypatch, server.endpoint)
    ObjectStore.from_uri("s3://own", policy=IMPATIENT).ensure_bucket(create=True)
    yield server
    server.stop()
