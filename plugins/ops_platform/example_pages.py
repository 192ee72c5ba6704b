"""The example viewer of the completion model as pages of the Airflow web server, over the examples of finished runs.

    /ops/examples/          the newest run's curated examples; any two collections can be compared

Who may see the runs of the training may see these pages: the check stands before the viewer, which knows no users.
Imported when the first request arrives (`report_pages.py`), so it may import what serves pages.
"""

from __future__ import annotations

import threading
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from fastnode_ops.pipeline_dir import PipelineDir
from fastnode_ops.viewer.app import create_app
from fastnode_ops.viewer.collection import open_collection
from ops_common.errors import OpsError
from ops_platform import settings
from ops_platform.run_folders import STANDALONE_DAG

MAX_RUNS = 10
"""Examples of this many runs are shown, the newest."""

Scope = MutableMapping[str, Any]


class ExampleViewers:
    """The viewer over the collections that there are now; made anew when a run has come or changed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made_of: tuple[tuple[Path, int], ...] = ()
        self._app: FastAPI | None = None

    def current(self, runs_root: Path) -> FastAPI | None:
        """The application; None when no run has examples that can be shown."""
        with self._lock:
            found = tuple((path, path.stat().st_mtime_ns) for path in find_collections(runs_root))
            if found != self._made_of:
                self._app, self._made_of = _make_app([path for path, _ in found]), found
            return self._app


def find_collections(runs_root: Path) -> list[Path]:
    """Files and folders of examples of the newest runs, the curated ones of a run first."""
    runs: list[tuple[int, list[Path]]] = []
    for folder in (runs_root / STANDALONE_DAG).glob("*"):
        place = PipelineDir(folder)
        paths = [path for path in (place.curated_examples, place.uncurated_examples) if path.exists()]
        if paths:
            runs.append((max(path.stat().st_mtime_ns for path in paths), paths))
    newest = sorted(runs, key=lambda run: (-run[0], run[1]))[:MAX_RUNS]
    return [path for _, paths in newest for path in paths]


def add_example_pages(app: FastAPI, path: str, dependencies: list[Any]) -> None:
    """Add the pages to an application.

    Args:
        app: The application.
        path: Where they stand, from the application's own path.
        dependencies: What has to hold for who asks.
    """
    viewers = ExampleViewers()

    async def show(request: Request) -> Response:
        viewer = await run_in_threadpool(viewers.current, settings.load().runs_root)
        if viewer is None:
            return PlainTextResponse(f"No run of {STANDALONE_DAG} has examples yet.", status_code=404)
        return _Forwarded(viewer, request, path)

    app.add_api_route(f"{path}/{{rest:path}}", show, methods=["GET"], dependencies=dependencies, response_model=None)


class _Forwarded(Response):
    """The answer of another application, as if it were mounted under a path of ours."""

    def __init__(self, app: FastAPI, request: Request, path: str) -> None:
        super().__init__()
        kept = ("type", "asgi", "http_version", "method", "scheme", "path", "raw_path", "query_string", "headers")
        self._scope: Scope = {
            name: request.scope[name] for name in (*kept, "client", "server") if name in request.scope
        }
        self._scope |= {"root_path": f"{request.scope.get('root_path', '')}{path}", "state": {}}
        self._app = app

    async def __call__(self, _scope: Scope, receive: Any, send: Any) -> None:
        """Let the other application answer."""
        await self._app(self._scope, receive, send)


def _make_app(paths: list[Path]) -> FastAPI | None:
    usable = []
    for path in paths:
        try:
            open_collection(path)
        except OpsError:
            continue  # one damaged file must not hide the examples of all other runs
        usable.append(path)
    return create_app(usable) if usable else None
