"""The HTTP interface of the syncer (specification 11.3, 20.7): what is ready, what was used, how it stands."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from fastnode_ops.sample_files.names import parse_name
from fastnode_ops.sync.copying import HostWorker, Sync
from fastnode_ops.web.answers import json_answer, make_app
from fastnode_ops.web.refusals import RefusedError
from fastnode_ops.web.wire import parse_json, parse_model, read_body

MAX_BODY_BYTES = 4 * 1024 * 1024
BODY_SECONDS = 30.0

_NUM_NAMED = 3


class Used(BaseModel):
    """The body of `/used`.

    Args:
        used: Local names of files that are not needed any more in this epoch.
    """

    model_config = ConfigDict(extra="forbid")

    used: Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=100_000)]


def create_app(sync: Sync, workers: Sequence[HostWorker]) -> FastAPI:
    """Make the application."""
    app = make_app()

    @app.post("/list")
    async def ready(request: Request) -> Response:
        await read_body(request, MAX_BODY_BYTES, BODY_SECONDS)
        return json_answer(await asyncio.to_thread(sync.state.ready))

    @app.get("/verified")
    async def verified() -> Response:
        return json_answer(await asyncio.to_thread(sync.state.verified))

    @app.post("/used")
    async def used(request: Request) -> Response:
        body = await read_body(request, MAX_BODY_BYTES, BODY_SECONDS)
        named = parse_model(Used, parse_json(body)).used
        await asyncio.to_thread(_mark_used, sync, named)
        return json_answer({"num_marked": len(set(named))})

    @app.post("/reset")
    async def reset(request: Request) -> Response:
        await read_body(request, MAX_BODY_BYTES, BODY_SECONDS)
        return json_answer({"epoch": await asyncio.to_thread(_reset, sync)})

    @app.get("/state")
    async def state() -> Response:
        return json_answer(await asyncio.to_thread(state_of, sync, workers))

    @app.get("/healthz")
    async def health() -> Response:
        return json_answer({"status": "ready", "num_hosts": len(workers)})

    @app.get("/metrics")
    async def metrics() -> Response:
        found = await asyncio.to_thread(state_of, sync, workers)
        return PlainTextResponse(metrics_text(found), media_type="text/plain; version=0.0.4")

    return app


def _mark_used(sync: Sync, names: list[str]) -> None:
    unknown = sync.state.mark_used(names)
    sync.budget.passed(parse_name(name) for name in set(names) - set(unknown))
    sync.remove_used()
    if unknown:
        raise RefusedError(400, f"no such files were ever listed; all others are marked: {_some(unknown)}")


def _reset(sync: Sync) -> int:
    epoch, lost = sync.state.reset()
    if lost:
        raise RefusedError(409, f"there is no other epoch: used files were deleted on the hosts: {_some(lost)}")
    sync.budget.restart()
    return epoch


def state_of(sync: Sync, workers: Sequence[HostWorker]) -> dict[str, Any]:
    """Return how it stands, as `/state` answers."""
    totals = sync.state.totals()
    num_ignored = sum(worker.status.num_ignored for worker in workers)
    pause_reason = sync.budget.pause_reason
    return {
        "epoch": totals.epoch,
        "num_ready": totals.num_ready,
        "num_used": totals.num_used,
        "num_verified": totals.num_ready + totals.num_used,
        "num_batches_verified": totals.num_batches,
        "local_bytes": totals.local_bytes,
        "max_local_bytes": sync.budget.max_bytes,
        "paused": bool(pause_reason),
        "pause_reason": pause_reason,
        "num_duplicates": totals.num_duplicates,
        "refused": totals.refused | ({"name": num_ignored} if num_ignored else {}),
        "hosts": [asdict(worker.status) for worker in workers],
    }


def metrics_text(state: dict[str, Any]) -> str:
    """Return the state in the text form of Prometheus."""
    gauges = ("epoch", "num_ready", "num_used", "num_verified", "local_bytes", "max_local_bytes", "num_duplicates")
    lines = [f"fastnode_sync_{name} {state[name]}" for name in (*gauges, "num_batches_verified")]
    lines += [f"fastnode_sync_paused {int(state['paused'])}"]
    lines += [f'fastnode_sync_refused{{reason="{reason}"}} {count}' for reason, count in state["refused"].items()]
    for host in state["hosts"]:
        label = host["name"].replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        lines.append(f'fastnode_sync_host_up{{host="{label}"}} {int(host["state"] == "ok")}')
    return "\n".join(lines) + "\n"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NUM_NAMED} more" if len(names) > _NUM_NAMED else ""
    return ", ".join(repr(name) for name in names[:_NUM_NAMED]) + more
