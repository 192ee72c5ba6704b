"""The addresses of the pages about runs, their headers, and who may see them.

/ops/runs                    all runs, to filter and sort
/ops/runs/<dag id>/<run>     one run
/ops/trend                   figures over the nights
/ops/compare?run=..&run=..   two runs side by side
/ops/lineage                 from data sets to released models
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles

from ops_platform import settings
from ops_platform.run_pages.airflow_runs import AskAirflow
from ops_platform.run_pages.listing import Wanted
from ops_platform.run_pages.pages import NoSuchPage, RunPages, Visit
from ops_platform.run_pages.templating import STATIC_DIR

HEADERS = {
    # nothing from elsewhere, no inline script or style: the name of a run cannot become more than text
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}

_MAX_TEXT = 200
"""Longest word to look for, and longest name."""

ReadableDags = Callable[..., frozenset[str]]


def add_run_pages(app: FastAPI, readable: ReadableDags, ask_airflow: AskAirflow) -> None:
    """Add the pages to an application.

    Args:
        app: The application; it sees to it that people are logged in.
        readable: A dependency that gives the workflows whose runs the person may see.
        ask_airflow: Gives Airflow's runs.
    """
    routes = _Routes(ask_airflow)

    def remember(request: Request, dag_ids: frozenset[str] = Depends(readable)) -> None:
        request.state.readable_dags = dag_ids

    for path, made_by in (
        ("/", routes.start),
        ("/runs", routes.runs),
        ("/runs/{dag_id}/{name}", routes.run),
        ("/runs/{dag_id}/{name}/files/{file}", routes.raw),
        ("/trend", routes.trend),
        ("/compare", routes.compare),
        ("/lineage", routes.lineage),
    ):
        app.add_api_route(path, made_by, methods=["GET"], dependencies=[Depends(remember)], response_model=None)
    app.mount("/static", StaticFiles(directory=STATIC_DIR), name="static")


class _Routes:
    """The routes. Addresses carry the whole state of a page."""

    def __init__(self, ask_airflow: AskAirflow) -> None:
        self._pages_over = lru_cache(maxsize=2)(partial(RunPages, ask_airflow))

    def start(self, request: Request) -> Response:
        return RedirectResponse(f"{_visit(request).root}/runs")

    def runs(
        self,
        request: Request,
        family: str = "",
        state: str = "",
        decision: str = "",
        text: str = Query("", max_length=_MAX_TEXT),
        sort: str = Query("-started", max_length=_MAX_TEXT),
        page: int = 1,
    ) -> Response:
        wanted = Wanted(family, state, decision, text.strip(), sort, page)
        return self._answer(request, lambda pages, visit: pages.runs(visit, wanted))

    def run(self, request: Request, dag_id: str, name: str) -> Response:
        return self._answer(request, lambda pages, visit: pages.run(visit, dag_id, name))

    def raw(self, request: Request, dag_id: str, name: str, file: str) -> Response:
        def read(pages: RunPages, visit: Visit) -> Response:
            return FileResponse(
                pages.raw_file(visit, dag_id, name, file), media_type="text/plain; charset=utf-8", headers=HEADERS
            )

        return self._answer(request, read)

    def trend(self, request: Request, family: str = "", span: int = 90) -> Response:
        return self._answer(request, lambda pages, visit: pages.trend(visit, family, span))

    def compare(self, request: Request) -> Response:
        keys = request.query_params.getlist("run")
        return self._answer(request, lambda pages, visit: pages.compare(visit, keys))

    def lineage(self, request: Request, family: str = "", page: int = 1) -> Response:
        return self._answer(request, lambda pages, visit: pages.lineage(visit, family, page))

    def _answer(self, request: Request, make: Callable[[RunPages, Visit], str | Response]) -> Response:
        config, visit = settings.load(), _visit(request)
        pages = self._pages_over(config.runs_root, config.tensorboard_url)
        try:
            made = make(pages, visit)
        except NoSuchPage as missing:
            return HTMLResponse(pages.problem(visit, str(missing)), status_code=404, headers=HEADERS)
        return HTMLResponse(made, headers=HEADERS) if isinstance(made, str) else made


def _visit(request: Request) -> Visit:
    return Visit(request.scope.get("root_path", ""), request.state.readable_dags)
