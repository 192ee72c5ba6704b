"""Start the real command, and ask it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from ops_common.processes import start_process, stop_process_group, wait_until

ROOT = Path(__file__).parents[3]
SECONDS = 120.0


class Syncer:
    """A syncer's process."""

    def __init__(self, root: Path, hosts: Sequence[str], options: Sequence[str]) -> None:
        self.local, self.log, self._ready = root / "local", root / "sync.log", root / "sync.url"
        self._ready.unlink(missing_ok=True)
        given = [word for host in hosts for word in ("--hosts", host)]
        fixed = ["--port=0", "--poll-seconds=0.3", "--max-wait-seconds=1", f"--ready-file={self._ready}"]
        command = [sys.executable, "-m", "fastnode_ops", "sync", f"--local-dir={self.local}", *fixed, *given, *options]
        self.process = start_process(command, self.log, cwd=ROOT)
        wait_until(self._ready.exists, SECONDS, "the syncer", process=self.process, log_path=self.log)
        self.url = self._ready.read_text()

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(f"{self.url}/state", timeout=60).json()
        return found

    def host(self, index: int) -> dict[str, Any]:
        found: dict[str, Any] = self.state()["hosts"][index]
        return found

    def ready(self) -> list[str]:
        found: list[str] = httpx.post(f"{self.url}/list", timeout=60).json()
        return found

    def use(self, names: Sequence[str]) -> None:
        httpx.post(f"{self.url}/used", json={"used": list(names)}, timeout=60).raise_for_status()

    def wait_for(self, num_ready: int) -> None:
        wait_until(lambda: len(self.ready()) >= num_ready, SECONDS, "files", process=self.process, log_path=self.log)

    def is_amid_a_file(self, host: str = "") -> bool:
        """Whether some of a file has come, from any host or from one."""
        folders = (self.local / ".sync" / "partial").glob(f"*{host}*")
        return any(path.stat().st_size > 0 for folder in folders for path in folder.rglob(".*.samples.*"))

    def kill(self) -> None:
        """End it as a power cut does, and what it started."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


@contextmanager
def syncer(root: Path, hosts: Sequence[str], *options: str) -> Iterator[Syncer]:
    started = Syncer(root, hosts, options)
    try:
        yield started
    finally:
        try:
            stop_process_group(started.process)
        except subprocess.TimeoutExpired:
            started.kill()
