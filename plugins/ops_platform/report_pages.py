"""The reports of runs as pages of the Airflow web server, for people who are logged in and may see the DAG.

    /ops/runs/<dag id>/<run id>/reports/evaluation.html
    /ops/runs, /ops/trend, /ops/compare, /ops/lineage     (run_pages/routes.py)
    /ops/examples/                                        (example_pages.py)

Airflow mounts the application of a plugin without any login, so the check is made here, for every route at once.
"""

from __future__ import annotations

import html
import mimetypes
import re
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fastnode_ops.pipeline_dir import PipelineDir
from ops_common.run_facts import work_dir_of
from ops_platform import settings
from ops_platform.run_folders import STANDALONE_DAG, run_dir

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response

URL_PREFIX = "/ops"
EXAMPLES_PATH = "/examples"
RUNS_PATH, TREND_PATH, LINEAGE_PATH = "/runs", "/trend", "/lineage"
EVALUATION_PAGE, VALIDATION_PAGE, RUN_PAGE = "evaluation.html", "attributes.html", "run.html"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# The pages are self-contained. Should a report hold a stray script or link all the same, it reaches nothing.
_CONTENT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src 'self' data:; "
    "font-src data:; frame-ancestors 'self'"
)
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def report_url(dag_id: str, run_id: str, file: str = EVALUATION_PAGE) -> str:
    """The path of a run's report on the Airflow web server."""
    return f"{URL_PREFIX}/runs/{quote(dag_id, safe='')}/{quote(run_id, safe='')}/reports/{quote(file, safe='')}"


class LazyApp:
    """The application, made when the first request arrives: every Airflow process loads plugins, one serves pages."""

    def __init__(self) -> None:
        self._app: FastAPI | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if self._app is None:
            self._app = _build_app()
        await self._app(scope, receive, send)


def _build_app() -> FastAPI:
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
    from airflow.api_fastapi.core_api.security import get_user, requires_access_dag
    from fastapi import Depends, FastAPI, HTTPException
    from fastapi.exceptions import RequestValidationError

    from ops_platform.example_pages import add_example_pages
    from ops_platform.metrics.page import add_metrics_page
    from ops_platform.run_pages.airflow_runs import ask_airflow
    from ops_platform.run_pages.readable import readable_dags
    from ops_platform.run_pages.routes import add_run_pages

    app = FastAPI(dependencies=[Depends(get_user)], openapi_url=None, docs_url=None, redoc_url=None)
    may_see_runs = Depends(requires_access_dag(method="GET", access_entity=DagAccessEntity.RUN))
    app.add_api_route(
        "/runs/{dag_id}/{run_id}/reports/{file}", _serve_report, dependencies=[may_see_runs], response_model=None
    )
    may_see_training = Depends(
        requires_access_dag(method="GET", access_entity=DagAccessEntity.RUN, param_dag_id=STANDALONE_DAG)
    )
    add_example_pages(app, EXAMPLES_PATH, [may_see_training])
    add_run_pages(app, readable_dags, ask_airflow)
    add_metrics_page(app)
    app.add_exception_handler(HTTPException, _answer_error)
    app.add_exception_handler(RequestValidationError, _answer_bad_address)
    return app


async def _serve_report(dag_id: str, run_id: str, file: str) -> Response:
    from starlette.responses import Response

    path = _find_report(run_dir(settings.load().runs_root, dag_id, run_id), file)
    if path is None:
        text = f"This run has no report {file!r} (yet): it is written by the task that evaluates or validates."
        return _page(404, text)
    kind = mimetypes.guess_type(file)[0] or "application/octet-stream"
    headers = {"Content-Security-Policy": _CONTENT_POLICY, "X-Content-Type-Options": "nosniff"}
    return Response(path.read_bytes(), media_type=kind, headers=headers)


def _find_report(folder: Path, file: str) -> Path | None:
    """A report of a run's own folders; the evaluation of a completion model is its validation of attributes."""
    if not _FILE_NAME.fullmatch(file):
        return None
    names = (file, VALIDATION_PAGE) if file == EVALUATION_PAGE else (file,)
    places = (folder / "reports", PipelineDir(work_dir_of(folder)).reports)
    return next((place / name for name in names for place in places if (place / name).is_file()), None)


async def _answer_error(request: Request, error: Exception) -> Response:
    """A person without a login is sent to the login page and back; a program gets the status."""
    from starlette.responses import JSONResponse, RedirectResponse

    status = getattr(error, "status_code", 500)
    wants_page = "text/html" in request.headers.get("accept", "")
    if status == 401 and wants_page:
        return RedirectResponse(f"/api/v2/auth/login?next={quote(str(request.url), safe='')}")
    if wants_page:
        return _page(status, str(getattr(error, "detail", error)))
    return JSONResponse({"detail": getattr(error, "detail", str(error))}, status_code=status)


async def _answer_bad_address(_request: Request, error: Exception) -> Response:
    """An address with a parameter that cannot be; says which."""
    errors: Any = getattr(error, "errors", list)()
    told = "; ".join(f"{one['loc'][-1]}: {one['msg']}" for one in errors)
    return _page(422, f"This address cannot be understood: {told}.")


def _page(status: int, text: str) -> Response:
    from starlette.responses import HTMLResponse

    body = (
        f"<!doctype html><meta charset=utf-8><title>Reports</title><p style='font: 16px sans-serif'>{html.escape(text)}"
    )
    return HTMLResponse(body, status_code=status)
