"""A graph data server for the duration of a program: the one that runs already, or a private one."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from fastnode_ops.server.client import read_json
from ops_common.errors import ConfigError, DataError, ServiceError
from ops_common.processes import start_process, stop_process_group, wait_until

START_SECONDS = 120.0
_LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")


@contextmanager
def serving(url: str, corpus_dir: Path, *, num_workers: int = 0) -> Iterator[str]:
    """Give the URL of a graph data server for a corpus.

    When one answers at the URL it is used. When none does and the URL is of this machine, a private one is started on a
    free port and stopped at the end.

    Args:
        url: Where a server may be running; empty: start a private one in any case.
        corpus_dir: The corpus.
        num_workers: Worker processes of the private server; 0 for one per core.

    Raises:
        ConfigError: The URL is none.
        DataError: The server there serves another corpus.
        ServiceError: What answers there is no graph data server, none answers on another machine, or the private one
            cannot be started; then the end of its log is in the hint.
    """
    if url and is_serving(url, corpus_dir):
        yield url
        return
    with tempfile.TemporaryDirectory(prefix="graph-data-server-") as folder:
        ready, log = Path(folder) / "url", Path(folder) / "log"
        options = ["--corpus-dir", str(corpus_dir), "--workers", str(num_workers), "--ready-file", str(ready)]
        command = [sys.executable, "-m", "fastnode_ops.server", "--port", "0", "--ends-with-parent", *options]
        process = start_process(command, log, env=_environment())
        try:
            wait_until(ready.exists, START_SECONDS, "the private graph data server", process=process, log_path=log)
            yield ready.read_text(encoding="utf-8")
        finally:
            stop_process_group(process)


def is_serving(url: str, corpus_dir: Path | None) -> bool:
    """Whether a server for the corpus answers at a URL; without a corpus, whether any graph data server does."""
    try:
        parsed = httpx.URL(url)
        is_local = parsed.host in _LOCAL_HOSTS
        response = httpx.get(url.rstrip("/") + "/healthz", timeout=10.0, trust_env=not is_local)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise ConfigError(f"{url!r} is not the URL of a server: {error}", "give http://<host>:<port>") from None
    except httpx.TransportError as error:
        if is_local:
            return False
        raise ServiceError(f"{url}: {error or type(error).__name__}", "start the graph data server there") from None
    digest = read_json(response.content, url).get("corpus_digest") if response.status_code == 200 else None
    if not isinstance(digest, str):
        raise ServiceError(f"what answers at {url} is not a graph data server", "use another port")
    if corpus_dir is not None:
        _check_corpus(url, digest, corpus_dir)
    return True


def _check_corpus(url: str, digest: str, corpus_dir: Path) -> None:
    from fastnode_ops.statistics.resources import open_resources

    own = open_resources(corpus_dir).digest
    if own != digest:
        raise DataError(
            f"the server at {url} serves the corpus {digest[:12]}, not {own[:12]} of {corpus_dir}",
            "stop it, or leave its URL out to have a private one",
        )


def _environment() -> dict[str, str]:
    """Return our environment, with this library to be found wherever the program was started."""
    root = str(Path(__file__).parents[2])
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
