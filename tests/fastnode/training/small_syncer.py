"""A syncer between two folders of this machine, with the endpoints of the real one."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import orjson

from fastnode_ops.sample_files.names import SampleFileName
from fastnode_ops.sample_files.reading import finished_files


class SmallSyncer:
    """Brings finished files from `remote` to `local`, at most `max_files`, and takes used ones away.

    Attributes:
        used: Every report, in order.
        num_resets: How often an epoch began.
        can_reset: False: as if used files had been deleted on the hosts.
    """

    def __init__(self, remote: Path, local: Path, max_files: int = 1_000) -> None:
        self.remote, self.local, self.max_files = remote, local, max_files
        self.used: list[str] = []
        self.num_resets = 0
        self.can_reset = True
        self.url = ""
        self._marks: set[str] = set()
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    @property
    def is_paused(self) -> bool:
        return len(finished_files(self.local)) >= self.max_files

    def answer(self, path: str, body: bytes) -> tuple[int, object]:
        with self._lock:
            if path == "/used":
                names = orjson.loads(body)["used"]
                self.used.extend(names)
                self._marks.update(names)
            elif path == "/reset":
                if not self.can_reset:
                    return 409, {"detail": "files were deleted on the hosts"}
                self.num_resets += 1
                self._marks.clear()
            elif path == "/state":
                return 200, {"epoch": self.num_resets, "num_used": len(self._marks), "paused": self.is_paused}
        return 200, {}

    def sync(self) -> None:
        """Copy and delete until stopped."""
        self.local.mkdir(parents=True, exist_ok=True)
        while not self._stopped.wait(0.02):
            with self._lock:
                here = finished_files(self.local)
                for name in here:
                    if name.file_name in self._marks:
                        (self.local / name.index_name).unlink()
                        (self.local / name.file_name).unlink()
                for name in finished_files(self.remote):
                    if name not in here and name.file_name not in self._marks and not self.is_paused:
                        self._copy(name)

    def _copy(self, name: SampleFileName) -> None:
        for part in (name.file_name, name.index_name):
            shutil.copy(self.remote / part, self.local / f"{part}.part")
            (self.local / f"{part}.part").replace(self.local / part)

    @contextmanager
    def running(self) -> Iterator["SmallSyncer"]:
        syncer = self

        class Handler(BaseHTTPRequestHandler):
            def _respond(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                status, value = syncer.answer(self.path, body)
                content = orjson.dumps(value)
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = _respond

            def log_message(self, *_: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            self.url = f"http://127.0.0.1:{server.server_address[1]}"
            threads = [threading.Thread(target=self.sync), threading.Thread(target=server.serve_forever)]
            for thread in threads:
                thread.start()
            try:
                yield self
            finally:
                self._stopped.set()
                server.shutdown()
                for thread in threads:
                    thread.join()
