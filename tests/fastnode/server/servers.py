"""Start and stop real servers, and ask them."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from fastnode_ops.samples.request import SessionRequest
from ops_common.processes import start_process, stop_process_group, wait_until

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class RunningServer:
    url: str
    process_id: int
    log: Path

    def post(self, path: str, body: Any, **options: Any) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return httpx.post(self.url + path, content=content, timeout=60, **options)

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=60)


@contextmanager
def toy_server(folder: Path, **options: Any) -> Iterator[RunningServer]:
    folder.mkdir(parents=True, exist_ok=True)
    ready, log = folder / "url", folder / "log"
    ready.unlink(missing_ok=True)
    command = [sys.executable, "-m", "tests.fastnode.server.toy_server", str(ready), json.dumps(options)]
    process = start_process(command, log, cwd=ROOT)
    try:
        wait_until(ready.exists, 60, "the toy server", process=process, log_path=log)
        yield RunningServer(ready.read_text(), process.pid, log)
    finally:
        stop_process_group(process)


def session_values(seed: int = 1, **more: Any) -> dict[str, Any]:
    """The body that creates a session."""
    entry = {"symbol": "json.dumps", "canonicalize": False, "weight": 1.0}
    return {
        "session": 0,
        "config": {"edge_set": ["ast_child", "next_token", "data_flow", "scope"]},
        "random_seed": seed,
        "partition": {"low": 0.0, "high": 1.0},
        "num_batches": 3,
        "max_hops": 3,
        "name_subtoken_index": {"json": 0},
        "type_subtoken_index": {"json": 0},
        "production_index": {"indices": {"17": 0}, "productions": {}},
        "expr": {"max_samples": 4, "call": {"symbols": {"json.dumps": entry}, "batch_proportion": 1.0}},
        **more,
    }


def session_request(seed: int = 1, **more: Any) -> SessionRequest:
    return SessionRequest.model_validate(session_values(seed, **more))
