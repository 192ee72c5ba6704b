"""The graph data server of one run, part of `tasks.py`: started before the training, stopped after it in any case.

It runs on its own, beside the tasks that ask it. `tmp/server.json` of the pipeline's folder says which process it is,
and when that was started, so that exactly this one is stopped and never another that has its number by now.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

from fastnode_ops.pipeline_dir import PipelineDir
from ops_common.artifacts import write_json
from ops_common.errors import ConfigError, ServiceError

LOG = logging.getLogger(__name__)

Result = dict[str, str | int | float | bool]

_START_SECONDS = 180.0
_ANSWER_SECONDS = 10.0
_CLOCK_SECONDS = 2.0  # the system counts from its own start, whose time moves when the clock is set


def start_server(*, work_dir: str, corpus_dir: str, port: int = 0, num_workers: int = 1, server: str = "") -> Result:
    """Start the graph data server of a run, and wait until it answers.

    Args:
        work_dir: The pipeline's folder.
        corpus_dir: Folder of the corpus.
        port: Port to listen on; 0: a free one.
        num_workers: Processes that make samples.
        server: Base URL of a server that runs already; then that one is used, and none is started.
    """
    if server:
        if not _is_healthy(server):
            raise ServiceError(f"the graph data server {server} does not answer", "start it, or leave `server` empty")
        return {"url": server.rstrip("/"), "process_id": 0, "is_started": False}
    state_path = _state_path(work_dir)
    wanted = {"corpus_dir": str(Path(corpus_dir).absolute()), "num_workers": num_workers}
    state = _running(state_path)
    if state and state.items() >= wanted.items() and state["url"] and _is_healthy(state["url"]):
        LOG.info("the server of this run answers already")
    else:
        stop_server(work_dir=work_dir)  # one that was started for something else, or does not answer
        options = [f"--corpus-dir={wanted['corpus_dir']}", f"--workers={num_workers}", f"--port={port}"]
        ready = f"--ready-file={_ready_path(state_path)}"
        state = _start(state_path, wanted, [sys.executable, "-m", "fastnode_ops.server", *options, ready])
    return {"url": state["url"], "process_id": state["process_id"], "is_started": True}


def stop_server(*, work_dir: str) -> Result:
    """Stop the graph data server that was started for a run, if it is running.

    Args:
        work_dir: The pipeline's folder.
    """
    from ops_common.processes import stop_process_group

    state_path = _state_path(work_dir)
    state = _running(state_path)
    if state:
        stop_process_group(int(state["process_id"]))
    state_path.unlink(missing_ok=True)
    return {"was_running": bool(state)}


def _start(state_path: Path, wanted: dict[str, Any], command: list[str]) -> dict[str, Any]:
    """Start a server that writes its URL to the ready file; returns when it answers."""
    import psutil

    from ops_common.processes import start_process, stop_process_group, wait_until

    ready, log = _ready_path(state_path), state_path.with_name("server.log")
    ready.unlink(missing_ok=True)
    process = start_process(command, log)
    try:
        state = {**wanted, "process_id": process.pid, "started_at": psutil.Process(process.pid).create_time()}
        write_json(state_path, state)  # before anything can fail: whoever stops it must find it
        what = f"the graph data server for {wanted['corpus_dir']}"
        wait_until(ready.exists, _START_SECONDS, what, process=process, log_path=log)
        state["url"] = ready.read_text(encoding="utf-8").strip()
        wait_until(lambda: _is_healthy(state["url"]), _START_SECONDS, what, process=process, log_path=log)
        write_json(state_path, state)
    except BaseException:
        stop_process_group(process)
        state_path.unlink(missing_ok=True)
        raise
    LOG.info("the graph data server answers at %s, its log is %s", state["url"], log)
    return state


def _running(state_path: Path) -> dict[str, Any]:
    """What is known of the run's server while it runs; empty when there is none."""
    import psutil

    try:
        state = json.loads(state_path.read_bytes())
        process = psutil.Process(int(state["process_id"]))
        is_same = abs(process.create_time() - state["started_at"]) < _CLOCK_SECONDS
        is_alive = process.status() != psutil.STATUS_ZOMBIE
        is_ours = os.getsid(process.pid) == process.pid
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return {}
    return {"url": "", **state} if is_same and is_alive and is_ours else {}


def _is_healthy(url: str) -> bool:
    """Whether a graph data server answers; asked without a proxy, which knows nothing of this machine."""
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"{url!r} is not the URL of a server", "give http://<host>:<port>")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with suppress(OSError, ValueError), opener.open(f"{url.rstrip('/')}/healthz", timeout=_ANSWER_SECONDS) as answer:
        return bool(answer.status == 200)
    return False


def _state_path(work_dir: str) -> Path:
    return PipelineDir(Path(work_dir).absolute()).tmp / "server.json"


def _ready_path(state_path: Path) -> Path:
    return state_path.with_name("server.url")
