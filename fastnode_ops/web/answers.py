"""An application whose errors are answered as plain text, and answers in JSON."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, Response
from starlette.exceptions import HTTPException

from fastnode_ops.web.refusals import RefusedError
from ops_common.errors import OpsError

logger = logging.getLogger(__name__)


def make_app(lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]] | None = None) -> FastAPI:
    """Make an application without routes.

    Args:
        lifespan: What surrounds its time.
    """
    app = FastAPI(lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.add_exception_handler(RefusedError, _refused)
    app.add_exception_handler(OpsError, _failed)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _bug)
    return app


def json_answer(value: Any) -> Response:
    """Return a value as JSON."""
    return Response(orjson.dumps(value), media_type="application/json")


def _text(status: int, text: str) -> PlainTextResponse:
    # what is left of a body that we did not read must not be taken for the next request
    headers = {"connection": "close"} if status in (408, 413) else None
    return PlainTextResponse(text, status, headers)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    return _text(error.status, error.message)


async def _failed(request: Request, error: Exception) -> Response:
    logger.error("%s %s: %s", request.method, request.url.path, error)
    return _text(500, error.message if isinstance(error, OpsError) else str(error))


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return _text(404, "404 page not found")  # scripts wait for exactly this text (specification 5.1)
    return _text(error.status_code, f"{error.status_code} {error.detail.lower()}")


async def _bug(request: Request, error: Exception) -> Response:
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _text(500, f"internal error: {type(error).__name__}")
