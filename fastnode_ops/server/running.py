"""The server's process: from a corpus to a server."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from fastnode_ops.server.app import Service, create_app
from fastnode_ops.server.handling import open_handler
from fastnode_ops.server.sessions import Sessions
from fastnode_ops.server.symbols import SymbolAnswers, package_scores
from fastnode_ops.server.workers import WorkerPool
from fastnode_ops.statistics.resources import open_resources
from fastnode_ops.web.running import Served, serve_app
from ops_common.errors import ConfigError

DEFAULT_PORT = 3039


def run_server(
    corpus_dir: Path,
    *,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    num_workers: int = 0,
    ready_file: Path | None = None,
    ends_with_parent: bool = False,
) -> None:
    """Serve a corpus until SIGTERM or SIGINT.

    Args:
        corpus_dir: The corpus, with its symbols and statistics.
        host: Address to listen on; `0.0.0.0` for all.
        port: Port to listen on; 0 for a free one.
        num_workers: Worker processes; 0 for one per core.
        ready_file: Where to write the server's URL as soon as it answers.
        ends_with_parent: Whether to end when the process that started us has ended.

    Raises:
        ServiceError: The port is taken.
        ConfigError: The address, the port or the number of workers cannot be used.
        ArtifactError: There is no whole corpus in the folder.
    """
    if num_workers < 0:
        raise ConfigError(f"{num_workers} workers are too few", "give 0 for one per core")
    workers = num_workers or len(os.sched_getaffinity(0))
    serve(
        partial(open_service, corpus_dir, workers),
        host=host,
        port=port,
        ready_file=ready_file,
        ends_with_parent=ends_with_parent,
    )


def open_service(corpus_dir: Path, num_workers: int) -> Service:
    """Open a corpus and start workers for it.

    Raises:
        ArtifactError: There is no whole corpus in the folder.
    """
    resources = open_resources(corpus_dir)
    answers = SymbolAnswers(resources.symbols, resources.index, resources.corpus)
    pool = WorkerPool(partial(open_handler, corpus_dir), num_workers)
    packages = package_scores(resources.index.package_imports())
    return Service(pool, Sessions(pool), answers, resources.digest, packages)


def serve(
    make_service: Callable[[], Service],
    *,
    host: str,
    port: int,
    ready_file: Path | None = None,
    ends_with_parent: bool = False,
    header_seconds: float = 20.0,
) -> None:
    """Serve until SIGTERM or SIGINT; the arguments are those of `serve_app`, but for what opens the service.

    Raises:
        ServiceError: The port is taken.
        ConfigError: The address or the port cannot be used.
    """

    def open_app() -> Served:
        service = make_service()
        # whoever waits for a batch is told of the end, so that we need not wait for it
        return Served(create_app(service), f"corpus {service.corpus_digest[:12]}", service.sessions.close)

    serve_app(
        open_app,
        host=host,
        port=port,
        ready_file=ready_file,
        ends_with_parent=ends_with_parent,
        header_seconds=header_seconds,
    )
