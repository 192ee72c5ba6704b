"""The example viewer as a web application: routes, limits and headers. What the pages show is made in `pages.py`.

It can stand alone or be mounted under a path of another application; all links begin with that path.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from fastapi.staticfiles import StaticFiles

from fastnode_ops.viewer import pages
from fastnode_ops.viewer.collection import open_collection
from fastnode_ops.viewer.comparison import Comparison, compare
from fastnode_ops.viewer.live import LiveCompleter
from fastnode_ops.viewer.templating import STATIC_DIR, render
from ops_common.errors import DataError

MAX_BODY_BYTES = 1_000_000

HEADERS = {
    # nothing from elsewhere, no inline script or style, no form to elsewhere: a buffer cannot become more than text
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


def create_app(collection_paths: Sequence[Path], completer: LiveCompleter | None = None) -> FastAPI:
    """Make the application; the collections are read now.

    Args:
        collection_paths: Files or folders of examples. The first is shown at the start, any two can be compared.
        completer: Who answers on the live page; None: the page says that there is no model.

    Raises:
        ArtifactError: There is no such file or folder.
        DataError: One holds no example that can be used.
        ValueError: There is no path.
    """
    if not collection_paths:
        raise ValueError("at least one collection is needed")
    viewer = _Viewer(collection_paths, completer)
    app = FastAPI(title="Example viewer", docs_url=None, redoc_url=None, openapi_url=None)
    app.mount("/static", StaticFiles(directory=STATIC_DIR), name="static")
    app.get("/")(viewer.overview)
    app.get("/examples")(viewer.examples)
    app.get("/example")(viewer.example)
    app.get("/raw")(viewer.raw)
    app.get("/compare")(viewer.compare)
    app.get("/live")(viewer.live)
    app.post("/live")(viewer.complete)
    app.middleware("http")(_with_headers)
    app.exception_handler(pages.NoSuchPage)(_not_found)
    app.exception_handler(404)(_not_found)
    app.exception_handler(DataError)(_changed)
    app.exception_handler(RequestValidationError)(_bad_address)
    return app


class _Viewer:
    """The routes. Addresses carry the whole state: `c` is the number of the collection."""

    def __init__(self, paths: Sequence[Path], completer: LiveCompleter | None) -> None:
        self._collections = tuple(open_collection(path) for path in paths)
        self._names = tuple(_names(paths))
        self._completer = completer
        self._compare = cache(self._compared)

    def overview(self, request: Request, c: int = 0, sort: str = "", page: int = 1) -> HTMLResponse:
        return HTMLResponse(pages.overview_page(self._shown(request, c), sort, page))

    def examples(self, request: Request, c: int = 0, symbol: str = "", sort: str = "", page: int = 1) -> HTMLResponse:
        return HTMLResponse(pages.list_page(self._shown(request, c), symbol, sort, page))

    def example(
        self,
        request: Request,
        idx: int = 0,
        c: int = 0,
        symbol: str = "",
        sort: str = "",
        buffer: str = "",
        view: str = "",
    ) -> HTMLResponse:
        return HTMLResponse(pages.example_page(self._shown(request, c), idx, symbol, sort, buffer, view))

    def raw(self, request: Request, idx: int = 0, c: int = 0, buffer: str = "") -> PlainTextResponse:
        collection = self._shown(request, c).collection
        example = collection.example(idx % len(collection.entries))
        return PlainTextResponse(pages.buffer_of(example, buffer)[0])

    def compare(
        self,
        request: Request,
        before: int = 0,
        after: int = 1,
        provider: str = "",
        change: str = "",
        page: int = 1,
    ) -> HTMLResponse:
        if len(self._collections) < 2:
            raise pages.NoSuchPage("there is only one collection; start the viewer with a second one to compare them")
        self._shown(request, before)
        shown = self._shown(request, after)
        comparison = self._compare(before, after)
        return HTMLResponse(pages.compare_page(shown, comparison, before, after, provider, change, page))

    def live(self, request: Request, c: int = 0, idx: int | None = None) -> HTMLResponse:
        return HTMLResponse(pages.live_page(self._shown(request, c), idx))

    async def complete(self, request: Request) -> JSONResponse:
        if self._completer is None:
            return JSONResponse({"problem": "The viewer was started without a model."}, 503)
        # a page of another origin can send a form, but not this type without being asked first
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return JSONResponse({"problem": "The question must be JSON."}, 415)
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                return JSONResponse({"problem": f"The question has more than {MAX_BODY_BYTES:,d} bytes."}, 413)
        question = _question(bytes(body))
        if question is None:
            return JSONResponse({"problem": "The question must be an object with a text 'code' and a 'cursor'."}, 422)
        return JSONResponse(await run_in_threadpool(self._completer.complete, *question))

    def _shown(self, request: Request, number: int) -> pages.Shown:
        if not 0 <= number < len(self._collections):
            raise pages.NoSuchPage(f"there is no collection number {number}")
        return pages.Shown(_root(request), self._names, number, self._collections[number], self._completer is not None)

    def _compared(self, before: int, after: int) -> Comparison:
        return compare(self._collections[before], self._collections[after])


def _names(paths: Sequence[Path]) -> list[str]:
    """Name collections by the end of their paths, by more of it when two would be called the same."""
    parts = [Path(path).resolve().parts for path in paths]
    length = 1
    while length < max(map(len, parts)) and len({part[-length:] for part in parts}) < len(set(parts)):
        length += 1
    return ["/".join(part[-length:]) for part in parts]


def _question(body: bytes) -> tuple[str, int] | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    code = value.get("code") if isinstance(value, dict) else None
    cursor = value.get("cursor") if isinstance(value, dict) else None
    if not isinstance(code, str) or type(cursor) is not int or not 0 <= cursor <= MAX_BODY_BYTES:
        return None
    return code, cursor


def _root(request: Request) -> str:
    root: str = request.scope.get("root_path", "")
    return root.rstrip("/")


async def _with_headers(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await answer(request)
    response.headers.update(HEADERS)
    return response


def _problem(request: Request, title: str, text: str, status: int) -> HTMLResponse:
    return HTMLResponse(render("problem", _root(request), title=title, text=text), status)


def _not_found(request: Request, error: Exception) -> HTMLResponse:
    text = str(error) if isinstance(error, pages.NoSuchPage) else "There is no such page."
    return _problem(request, "Not found", text, 404)


def _changed(request: Request, error: Any) -> HTMLResponse:
    return _problem(request, "This example cannot be shown", str(error), 409)


def _bad_address(request: Request, error: Any) -> HTMLResponse:
    names = ", ".join(sorted({str(one["loc"][-1]) for one in error.errors()}))
    return _problem(request, "The address is wrong", f"A number is expected for: {names}.", 400)
