"""A worker process of the server: opens the corpus once, keeps the sessions' makers and the analysed files."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from fastnode_ops.analysis.syntax import SourceError, parse
from fastnode_ops.config import GraphConfig
from fastnode_ops.samples.maker import SampleMaker
from fastnode_ops.samples.originals import Originals
from fastnode_ops.server.imports import imports_of
from fastnode_ops.server.jobs import (
    FindImports,
    Job,
    MadeStep,
    MakeStep,
    OpenedSession,
    OpenSession,
    read_request,
)
from fastnode_ops.server.metrics import GRAPHS, SAMPLES, SERVER, Stopwatch
from fastnode_ops.statistics.resources import Resources, open_resources

MAX_MAKERS = 10
"""Sessions that a worker is prepared for; one more takes the place of the one that was asked longest ago."""


def open_handler(corpus_dir: Path) -> Handler:
    """Open the corpus; called in a worker process."""
    return Handler(open_resources(corpus_dir))


class Handler:
    """Does the jobs of a worker."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._originals = Originals(resources.corpus, resources.symbols)
        self._makers: OrderedDict[Path, SampleMaker] = OrderedDict()
        self._watch = Stopwatch()

    def __call__(self, job: Job) -> OpenedSession | MadeStep | list[list[str]]:
        """Do a job."""
        match job:
            case OpenSession(path):
                return self._open(path)
            case MakeStep(path, step):
                return self._make(path, step)
            case FindImports(file_ids):
                return [found for file_id in file_ids if (found := self._imports(file_id)) is not None]

    def _open(self, path: Path) -> OpenedSession:
        self._forget_ended(path)
        request = read_request(path)
        maker = SampleMaker(self._resources, request, originals=self._originals, observe=self._observe)
        self._makers[path] = maker
        while len(self._makers) > MAX_MAKERS:
            self._makers.popitem(last=False)
        return OpenedSession(request.num_batches, request.start_step)

    def _forget_ended(self, wanted: Path) -> None:
        """Let go of other sessions whose request was removed; one may take a hundred megabytes."""
        for path in [path for path in self._makers if path != wanted and not path.exists()]:
            del self._makers[path]

    def _make(self, path: Path, step: int) -> MadeStep:
        if path not in self._makers:
            self._open(path)
        self._forget_ended(path)
        self._makers.move_to_end(path)
        with self._watch.timed(SAMPLES, "build infer-expr train sample"):
            made = self._makers[path].make(step)
        return MadeStep(made.batch.to_json_text(), made.batch.num_samples, made.drops, self._watch.take())

    def _observe(self, name: str, seconds: float) -> None:
        self._watch.add(SERVER if name in ("fetch source", "get sample inputs") else GRAPHS, name, seconds)

    def _imports(self, file_id: str) -> list[str] | None:
        """Return what a file imports; None when it is too large or cannot be read."""
        try:
            source = self._resources.corpus.source(file_id)
            if len(source) > GraphConfig().max_file_bytes:
                return None
            return imports_of(parse(source), self._resources.symbols)
        except (KeyError, SourceError):
            return None
