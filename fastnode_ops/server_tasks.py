"""The graph data server of one run, part of `tasks.py`: started before the training, stopped after it in any case.

It runs on its own, beside the tasks that ask it; `tmp/server.json` of the pipeline's folder says which process it is.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fastnode_ops.pipeline_dir import PipelineDir
from ops_common.errors import ServiceError

if TYPE_CHECKING:
    from ops_common.own_server import OwnServer

LOG = logging.getLogger(__name__)

Result = dict[str, str | int | float | bool]


def start_server(*, work_dir: str, corpus_dir: str, port: int = 0, num_workers: int = 1, server: str = "") -> Result:
    """Start the graph data server of a run, and wait until it answers.

    Args:
        work_dir: The pipeline's folder.
        corpus_dir: Folder of the corpus.
        port: Port to listen on; 0: a free one.
        num_workers: Processes that make samples.
        server: Base URL of a server that runs already; then that one is used, and none is started.
    """
    from ops_common.own_server import is_healthy

    if server:
        if not is_healthy(server):
            raise ServiceError(f"the graph data server {server} does not answer", "start it, or leave `server` empty")
        return {"url": server.rstrip("/"), "process_id": 0, "is_started": False}
    own = own_server(work_dir)
    wanted = {"corpus_dir": str(Path(corpus_dir).absolute()), "num_workers": num_workers}
    state = own.running(wanted)
    if state:
        LOG.info("the server of this run answers already")
    else:
        own.stop()  # one that was started for something else, or does not answer
        options = [f"--corpus-dir={wanted['corpus_dir']}", f"--workers={num_workers}", f"--port={port}"]
        command = [sys.executable, "-m", "fastnode_ops.server", *options, f"--ready-file={own.ready_path}"]
        state = own.start(command, wanted)
    return {"url": state["url"], "process_id": state["process_id"], "is_started": True}


def stop_server(*, work_dir: str) -> Result:
    """Stop the graph data server that was started for a run, if it is running.

    Args:
        work_dir: The pipeline's folder.
    """
    return {"was_running": own_server(work_dir).stop()}


def own_server(work_dir: str) -> OwnServer:
    """The server of a run, running or not."""
    from ops_common.own_server import OwnServer

    path = PipelineDir(Path(work_dir).absolute()).tmp / "server.json"
    return OwnServer(path, f"the graph data server of {work_dir}")
