"""A graph data server with real processes, sessions and HTTP, whose steps are quick to make and easy to foretell.

``python -m tests.fastnode.server.toy_server <ready file> <JSON of options>``
"""

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from fastnode_ops.samples.batch import (
    ContextGraph,
    ExpansionGraph,
    NameSamples,
    ProductionSamples,
    Segmented,
    TrainingBatch,
)
from fastnode_ops.samples.drawing import rng
from fastnode_ops.samples.request import SessionRequest
from fastnode_ops.server.app import Limits, Service
from fastnode_ops.server.jobs import FindImports, Job, MadeStep, MakeStep, OpenedSession, OpenSession, read_request
from fastnode_ops.server.running import serve
from fastnode_ops.server.sessions import Sessions
from fastnode_ops.server.symbols import SymbolAnswers
from fastnode_ops.server.workers import WorkerPool
from fastnode_ops.symbols.symbol import Symbol, SymbolKind
from ops_common.errors import DataError

DIGEST = "c0ffee" + "0" * 58
FILES = {f"{number:064x}": f"import json\njson.dumps({number})\n" for number in range(25)}
FAILING_STEP = 13
PADDING = 3_000


def batch_of(request: SessionRequest, step: int) -> TrainingBatch:
    """The batch of a step: its numbers say which step of which request it is."""
    numbers = rng(request.random_seed, step).integers(0, 1_000, PADDING).astype(np.int32)
    empty = Segmented.from_lists([])
    nothing = np.zeros(0, np.int32)
    return TrainingBatch(
        ContextGraph(Segmented.from_lists([numbers.tolist()]), Segmented.from_lists([[step]]), {}),
        ExpansionGraph({}, nothing, nothing, empty, empty, nothing),
        NameSamples(nothing, nothing, empty, empty, empty, empty),
        ProductionSamples(nothing, nothing, empty, empty, empty, empty),
    )


def open_toy() -> Callable[[Job], Any]:
    def do(job: Job) -> Any:
        if isinstance(job, FindImports):
            return [["json", "json.dumps"] for _ in job.file_ids]
        request = read_request(job.request)
        if isinstance(job, OpenSession):
            if not request.expr.call.symbols:
                raise DataError("task call: none of its 0 symbols has a usable file")
            return OpenedSession(request.num_batches, request.start_step)
        assert isinstance(job, MakeStep)
        if request.random_seed == FAILING_STEP and job.step == FAILING_STEP:
            raise DataError("step 13: not one graph sample could be made")
        content = orjson.dumps(batch_of(request, job.step).to_json(), option=orjson.OPT_SERIALIZE_NUMPY)
        return MadeStep(content, 1, {"call: too large": job.step % 2})

    return do


class Lookups:
    """A symbol store, an index and a corpus in one."""

    def __init__(self) -> None:
        self.canonical = {"simplejson": "json"} | {name: name for name in ("json", "json.dumps", "json.loads")}

    def find(self, path: str) -> Symbol | None:
        path = {"dumps": "json.dumps"}.get(path, path)
        return Symbol(path, self.canonical[path], SymbolKind.MODULE) if path in self.canonical else None

    def children(self, path: str) -> list[str]:
        return ["dumps", "loads"] if path == "json" else []

    def files(self, symbol: str, context: str, *, canonical: bool, split: str) -> list[str]:
        known = symbol == "json" and context == "attribute" and split != "validation"
        return sorted(FILES)[::2] if known and split == "train" else sorted(FILES)[1::2] if known else []

    def scores(self, symbols: Sequence[str], context: str, *, canonical: bool) -> Mapping[str, int]:
        known = {"json": 40, "json.dumps": 7, "json.loads": 9}
        return {name: known[name] for name in symbols if context != "import"}

    def source(self, file_id: str) -> bytes:
        if file_id == "0" * 64:
            raise KeyError(file_id)
        return FILES[file_id].encode()


def make_service(num_workers: int = 1, limits: dict[str, float] | None = None, idle_seconds: float = 300.0) -> Service:
    pool = WorkerPool(open_toy, num_workers)
    lookups = Lookups()
    answers = SymbolAnswers(lookups, lookups, lookups)
    packages = [{"name": "json", "score": 40}]
    sessions = Sessions(pool, idle_seconds=idle_seconds)
    return Service(pool, sessions, answers, DIGEST, packages, Limits(**(limits or {})))  # type: ignore[arg-type]


def main() -> None:
    options: dict[str, Any] = json.loads(sys.argv[2])
    started = time.monotonic()
    serve(
        lambda: make_service(options.get("num_workers", 1), options.get("limits"), options.get("idle_seconds", 300.0)),
        host="127.0.0.1",
        port=options.get("port", 0),
        ready_file=Path(sys.argv[1]),
        ends_with_parent=options.get("ends_with_parent", False),
        header_seconds=options.get("header_seconds", 20.0),
    )
    print(f"ended after {time.monotonic() - started:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
