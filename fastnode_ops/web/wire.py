"""Bodies of requests and answers: bounded in size and time, JSON, optionally compressed."""

from __future__ import annotations

import asyncio
import gzip
import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

import orjson
import zstandard
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from fastnode_ops.web.refusals import RefusedError, problems_text

M = TypeVar("M", bound=BaseModel)

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 256 * 1024
_MIN_COMPRESSED_BYTES = 1_000


async def read_body(request: Request, max_bytes: int, seconds: float) -> bytes:
    """Return a request's body.

    Raises:
        RefusedError: It is too large (413), or takes too long to arrive (408), or the client has left (400).
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise _too_large(max_bytes)
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                size += len(part)
                if size > max_bytes:
                    raise _too_large(max_bytes)
                parts.append(part)
    except TimeoutError:
        raise RefusedError(408, f"the body did not arrive within {seconds:g} s") from None
    except ClientDisconnect:
        raise RefusedError(400, "the body is incomplete") from None
    return b"".join(parts)


def parse_json(body: bytes) -> Any:
    """Return the value of a JSON body, whatever its content type says.

    Raises:
        RefusedError: It is not JSON (400).
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RefusedError(400, f"the body is not JSON: {error}") from None


def parse_model(model: type[M], value: Any) -> M:
    """Check a value against a model.

    Raises:
        RefusedError: It does not fit (400); the text names the first fields that do not.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise RefusedError(400, problems_text(error)) from None


class JsonResponse(Response):
    """A JSON answer that is sent piece by piece; a client that does not take a piece in time is left.

    Args:
        content: The JSON text.
        encoding: Its compression, if any: "gzip" or "zstd".
        send_seconds: How long a client may take for a piece of 256 KiB.
    """

    media_type = "application/json"

    def __init__(self, content: bytes, *, encoding: str = "", send_seconds: float = 60.0) -> None:
        headers = {"vary": "Accept-Encoding"} | ({"content-encoding": encoding} if encoding else {})
        super().__init__(content, headers=headers)
        self._send_seconds = send_seconds
        self.on_sent: Callable[[float], None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the ASGI signature
        """Send it, and report the seconds that took to `on_sent`."""
        started = time.perf_counter()
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        content = memoryview(self.body)
        for start in range(0, max(len(content), 1), _CHUNK_BYTES):
            piece = bytes(content[start : start + _CHUNK_BYTES])
            more = start + _CHUNK_BYTES < len(content)
            try:
                async with asyncio.timeout(self._send_seconds):
                    await send({"type": "http.response.body", "body": piece, "more_body": more})
            except TimeoutError:
                logger.warning("a client did not take its answer for %g s; it is left", self._send_seconds)
                return
        if self.on_sent is not None:
            self.on_sent(time.perf_counter() - started)


async def json_response(content: bytes, accept_encoding: str, send_seconds: float) -> JsonResponse:
    """Make an answer, compressed when the client says that it can read that and it is worth it."""
    encoding = choose_encoding(accept_encoding) if len(content) >= _MIN_COMPRESSED_BYTES else ""
    if encoding:
        content = await asyncio.to_thread(_compress, content, encoding)
    return JsonResponse(content, encoding=encoding, send_seconds=send_seconds)


def choose_encoding(accept_encoding: str) -> str:
    """Return "zstd" or "gzip", whichever the client accepts, zstd first; empty when it accepts neither."""
    accepted = set()
    for item in accept_encoding.lower().split(","):
        name, _, parameters = item.partition(";")
        weight = parameters.strip().removeprefix("q=").strip()
        if not weight or any(digit in "123456789" for digit in weight):
            accepted.add(name.strip())
    return next((name for name in ("zstd", "gzip") if name in accepted), "")


def _compress(content: bytes, encoding: str) -> bytes:
    if encoding == "zstd":
        return zstandard.ZstdCompressor(level=1).compress(content)
    return gzip.compress(content, compresslevel=1, mtime=0)  # no time in it: same batch, same bytes


def _too_large(max_bytes: int) -> RefusedError:
    return RefusedError(413, f"the body is larger than {max_bytes} bytes")
