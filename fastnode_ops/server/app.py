"""The HTTP interface of the graph data server (specification 5.2): JSON in, JSON out, errors as plain text."""

from __future__ import annotations

import asyncio
import faulthandler
import html
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, TypeVar

import orjson
import psutil
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, Response
from pydantic import BaseModel, Field

from fastnode_ops.server.jobs import FindImports, MadeStep
from fastnode_ops.server.metrics import SAMPLES, SERVER, SESSIONS, Metrics, prometheus_text
from fastnode_ops.server.sessions import Session, Sessions
from fastnode_ops.server.symbols import HashRequest, ScoresRequest, SymbolAnswers, SymbolRequest
from fastnode_ops.server.workers import URGENT, WorkerPool
from fastnode_ops.web.answers import json_answer, make_app
from fastnode_ops.web.wire import json_response, parse_json, parse_model, read_body

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may ask of the server.

    Args:
        session_bytes: Size of a session's request, which holds the whole vocabulary.
        body_bytes: Size of any other body.
        body_seconds: How long a body may take to arrive.
        send_seconds: How long a client may take to read a piece of the answer.
    """

    session_bytes: int = 64 * 1024 * 1024
    body_bytes: int = 4 * 1024 * 1024
    body_seconds: float = 60.0
    send_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Service:
    """What the routes stand on.

    Args:
        pool: The workers.
        sessions: The readers.
        answers: What is known of symbols and files.
        corpus_digest: Of all resources; every session's answer carries it.
        packages: Top-level packages with the number of their imports, most frequent first.
    """

    pool: WorkerPool
    sessions: Sessions
    answers: SymbolAnswers
    corpus_digest: str
    packages: list[dict[str, Any]] = field(default_factory=list)
    limits: Limits = Limits()
    metrics: Metrics = field(default_factory=Metrics)
    started: float = field(default_factory=time.time)


class SessionId(BaseModel):
    """The body of a request about a session that exists.

    Args:
        session: Its id.
        start_step: For the next steps: go on with this one. Whoever did not get an answer can so ask for it again.
    """

    session: int
    start_step: Annotated[int, Field(ge=0)] | None = None


def create_app(service: Service) -> FastAPI:
    """Make the application. It ends the sessions and the workers when it ends."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        expiry = asyncio.create_task(_expire(service.sessions))
        yield
        expiry.cancel()
        with suppress(asyncio.CancelledError):
            await expiry
        service.sessions.close()
        await asyncio.to_thread(service.pool.close)

    app = make_app(lifespan)
    _add_session_routes(app, service)
    _add_symbol_routes(app, service)
    _add_debug_routes(app, service)
    return app


async def _expire(sessions: Sessions) -> None:
    while True:
        await asyncio.sleep(1)
        sessions.expire()


def _add_session_routes(app: FastAPI, service: Service) -> None:
    sessions, limits = service.sessions, service.limits

    async def named(request: Request) -> SessionId:
        body = await read_body(request, limits.body_bytes, limits.body_seconds)
        return parse_model(SessionId, parse_json(body))

    @app.post("/session")
    async def session(request: Request) -> Response:
        body = await read_body(request, limits.session_bytes, limits.body_seconds)
        value = await asyncio.to_thread(parse_json, body)
        if isinstance(value, dict) and not value.get("session"):
            one, start_step = await sessions.create(body), None
        else:
            asked = parse_model(SessionId, value)
            one, start_step = sessions.get(asked.session), asked.start_step
        del body, value
        with service.metrics.timed(SESSIONS, "get batch for session"):
            first_step, steps = await sessions.next_steps(one, start_step)
        _record(service.metrics, steps)
        with service.metrics.timed(SESSIONS, "encode batch for session"):
            content = _session_json(one, first_step, steps, service.corpus_digest)
        response = await json_response(content, request.headers.get("accept-encoding", ""), limits.send_seconds)
        response.on_sent = partial(service.metrics.add, SESSIONS, "transfer batch for session")
        return response

    @app.post("/session/ping")
    async def ping(request: Request) -> Response:
        sessions.get((await named(request)).session)
        return Response()

    @app.post("/session/kill")
    async def kill(request: Request) -> Response:
        sessions.kill((await named(request)).session)
        return Response()

    @app.get("/sessions/info")
    async def info() -> Response:
        return json_answer(sessions.info())


def _session_json(session: Session, first_step: int, steps: list[MadeStep], corpus_digest: str) -> bytes:
    """Join the texts of the steps to the answer; `first_step` and `corpus_digest` are additions to the reference's."""
    head = f'{{"session":{session.id},"first_step":{first_step},"corpus_digest":"{corpus_digest}","samples":['
    return head.encode() + b",".join(b'{"data":{"expr":' + step.json + b"}}" for step in steps) + b"]}"


def _record(metrics: Metrics, steps: list[MadeStep]) -> None:
    for step in steps:
        metrics.add(SAMPLES, "graphs per infer-expr sample", step.num_samples)
        for (section, name), values in step.seconds.items():
            for value in values:
                metrics.add(section, name, value)


def _add_symbol_routes(app: FastAPI, service: Service) -> None:
    answers, limits = service.answers, service.limits

    async def parsed(request: Request, model: type[M]) -> M:
        body = await read_body(request, limits.body_bytes, limits.body_seconds)
        return parse_model(model, await asyncio.to_thread(parse_json, body))

    def add(path: str, model: type[M], look_up: Callable[[M], dict[str, Any]]) -> None:
        async def answer(request: Request) -> Response:
            asked = await parsed(request, model)
            with service.metrics.timed(SERVER, "fetch hash"):
                content = await asyncio.to_thread(lambda: orjson.dumps(look_up(asked)))
            return await json_response(content, request.headers.get("accept-encoding", ""), limits.send_seconds)

        app.add_api_route(path, answer, methods=["POST"])

    add("/symbol/scores", ScoresRequest, answers.scores)
    add("/symbol/meta-info", SymbolRequest, answers.meta_info)
    add("/symbol/members", SymbolRequest, answers.members)
    add("/symbol/sources", SymbolRequest, answers.sources)
    add("/hash/source", HashRequest, answers.source)

    @app.post("/symbol/imports")
    async def imports(request: Request) -> Response:
        asked = await parsed(request, SymbolRequest)
        files, total = await asyncio.to_thread(answers.import_files, asked)
        share = -(-len(files) // service.pool.num_workers) or 1
        parts = [FindImports(tuple(files[start : start + share])) for start in range(0, len(files), share)]
        found = await asyncio.gather(*(asyncio.wrap_future(service.pool.submit(part, URGENT)) for part in parts))
        return json_answer({"imports": [names for part in found for names in part], "total": total})

    @app.get("/symbol/packages")
    async def packages() -> Response:
        return json_answer(service.packages)


def _add_debug_routes(app: FastAPI, service: Service) -> None:
    @app.get("/healthz")
    async def health() -> Response:
        return json_answer(
            {"status": "ready", "corpus_digest": service.corpus_digest, "sessions": len(service.sessions)}
        )

    @app.get("/metrics")
    async def metrics() -> Response:
        text = prometheus_text(service.metrics.snapshot(), len(service.sessions))
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    @app.get("/debug/status-json")
    async def status_json() -> Response:
        return json_answer(service.metrics.snapshot())

    @app.get("/debug/status")
    async def status() -> Response:
        return HTMLResponse(_status_page(service.metrics.snapshot()))

    @app.get("/debug/vars")
    async def variables() -> Response:
        process = psutil.Process()
        workers = {}
        for process_id in service.pool.process_ids():
            with suppress(psutil.NoSuchProcess):
                workers[str(process_id)] = psutil.Process(process_id).memory_info().rss
        return json_answer(
            {
                "cmdline": sys.argv,
                "uptime_seconds": time.time() - service.started,
                "resident_bytes": process.memory_info().rss,
                "open_files": process.num_fds(),
                "worker_resident_bytes": workers,
                "worker_restarts": service.pool.num_restarts,
                "sessions": len(service.sessions),
            }
        )

    @app.get("/debug/pprof/")
    @app.get("/debug/pprof/threads")
    async def threads() -> Response:
        with tempfile.TemporaryFile() as file:
            faulthandler.dump_traceback(file)
            file.seek(0)
            return PlainTextResponse(f"process {os.getpid()}\n" + file.read().decode())


def _status_page(sections: dict[str, dict[str, dict[str, Any]]]) -> str:
    rows = []
    for section, found in sections.items():
        rows.append(f"<tr><th colspan=7 align=left>{html.escape(section)}</th></tr>")
        for name, metric in found.items():
            cells = [name, metric["events"], *metric["percentiles"].values()]
            texts = (
                f"{cell:.6g}" if isinstance(cell, float) else str(cell if cell is not None else "") for cell in cells
            )
            rows.append("<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in texts) + "</tr>")
    head = "<tr><th>metric</th><th>events</th><th>25 %</th><th>50 %</th><th>75 %</th><th>95 %</th><th>99 %</th></tr>"
    return f"<!doctype html><title>graph data server</title><table>{head}{''.join(rows)}</table>"
