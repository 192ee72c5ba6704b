"""One training batch of a session: a pure function of the resources, the session's request and the number of the step.

For every slot of the batch symbols and files are drawn until one gives a sample (specification 5.5 and 20.5).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from fastnode_ops.analysis.analysis import Analysis
from fastnode_ops.analysis.syntax import SourceError
from fastnode_ops.config import TASKS, TaskName
from fastnode_ops.graphs.vocabulary import Vocabulary
from fastnode_ops.samples.assembly import assemble
from fastnode_ops.samples.batch import TrainingBatch
from fastnode_ops.samples.drawing import Draw, Feeder, SymbolFiles, makes_placeholder
from fastnode_ops.samples.making import make_sample
from fastnode_ops.samples.originals import Originals
from fastnode_ops.samples.request import SessionRequest
from fastnode_ops.samples.sample import GraphSample, Rejected, SampleContext
from fastnode_ops.samples.site_filter import SiteFilter
from fastnode_ops.statistics.resources import Resources
from ops_common.errors import DataError

MAX_SLOT_FILES = 10
"""A slot is given up when the files it has tried are together as large as this many of the largest ones."""

NO_SITE = "no_site"
TOO_MUCH_WORK = "too_much_work"

Observer = Callable[[str, float], None]


@dataclass(frozen=True, slots=True, eq=False)
class MadeBatch:
    """A training batch.

    Args:
        batch: The batch.
        drops: Attempts that gave no sample, by "<task>: <reason>"; and slots that stayed empty, as
            "<task>: slot_given_up".
    """

    batch: TrainingBatch
    drops: dict[str, int]


def metric_of(task: TaskName) -> str:
    """Return the name under which the making of a task's samples is observed, such as "Predict Expr Attr Base"."""
    return f"Predict Expr {task.replace('_', ' ').title()}"


def _unobserved(name: str, seconds: float) -> None:
    pass


class SampleMaker:
    """Makes the steps of one session.

    Args:
        resources: Corpus, symbols and statistics.
        request: The session's.
        originals: Analysed files, to be shared between makers; a cache of its own by default.
        observe: Told the name and the seconds of each part of the work.

    Raises:
        DataError: A task that is to be drawn has no symbol or no file.
    """

    def __init__(
        self,
        resources: Resources,
        request: SessionRequest,
        *,
        originals: Originals | None = None,
        observe: Observer = _unobserved,
    ) -> None:
        draws, graph = request.draws, request.graph.model_copy(update={"max_hops": request.max_hops})
        self._originals = originals or Originals(resources.corpus, resources.symbols)
        self._observe = observe
        self._max_attempts = draws.max_attempts
        self._max_file_bytes = graph.max_file_bytes
        self._edge_types = tuple(request.config.edge_set)
        self._counts = {task: count for task, count in request.expr.counts().items() if count}
        self._filter = SiteFilter(request.expr.kwarg_name.keywords)
        self._context = SampleContext(
            symbols=resources.symbols,
            patterns=resources.calls.pattern,
            vocabulary=Vocabulary(
                request.name_subtoken_index,
                request.type_subtoken_index,
                graph.max_subtokens,
                graph.max_type_subtokens,
            ),
            productions=request.production_index,
            attr_parents=request.expr.attr.parents,
            keywords=request.expr.kwarg_name.keywords,
            graph=graph,
            num_negatives=draws.num_negatives,
        )
        too_large = resources.corpus.larger_than(graph.max_file_bytes)
        files = SymbolFiles(
            resources.index,
            self._context.canonical,
            seed=request.random_seed,
            partition=request.partition,
            split=request.split,
            usable=[file_id for file_id in resources.corpus.files(request.split) if file_id not in too_large],
            limit=draws.max_files_per_symbol,
        )
        self._feeders = {
            task: Feeder(task, request.expr.task(task).symbols, files, request.random_seed) for task in self._counts
        }

    def make(self, step: int) -> MadeBatch:
        """Make the batch of a step.

        Raises:
            DataError: Not one sample could be made.
        """
        drops: Counter[str] = Counter()
        found = [
            self._fill(task, step, slot, drops)
            for task in TASKS
            if task in self._counts
            for slot in range(self._counts[task])
        ]
        made = [sample for sample in found if sample is not None]
        if not made:
            reasons = ", ".join(f"{reason} x {count}" for reason, count in drops.most_common(3))
            raise DataError(
                f"step {step}: not one graph sample could be made ({reasons})",
                "use a larger corpus, or the corpus that metainfo.json was made from",
            )
        started = time.perf_counter()
        batch = self._with_edges(assemble(made))
        self._observe("Build context graph", time.perf_counter() - started)
        return MadeBatch(batch, dict(sorted(drops.items())))

    def _fill(self, task: TaskName, step: int, slot: int, drops: Counter[str]) -> GraphSample | None:
        """Make the sample of one slot; None when no attempt gave one."""
        num_bytes = 0
        for attempt in range(self._max_attempts):
            try:
                draw = self._draw(task, step, slot, attempt)
                source = self._source(draw.file_id)
                if not self._filter.may_have_site(task, draw.entry.symbol, source):
                    raise Rejected(NO_SITE)
                num_bytes += len(source)
                if num_bytes > MAX_SLOT_FILES * self._max_file_bytes:
                    raise Rejected(TOO_MUCH_WORK)
                return self._sample(task, slot, draw, source)
            except Rejected as rejected:
                drops[f"{task}: {rejected.reason}"] += 1
                if rejected.reason == TOO_MUCH_WORK:
                    break
        drops[f"{task}: slot_given_up"] += 1
        return None

    def _draw(self, task: TaskName, step: int, slot: int, attempt: int) -> Draw:
        draw = self._feeders[task].draw(step, slot, attempt)
        if draw is None:
            raise Rejected("no_file")
        return draw

    def _source(self, file_id: str) -> bytes:
        started = time.perf_counter()
        try:
            source = self._originals.source(file_id)
        except KeyError:
            raise Rejected("file_missing") from None
        self._observe("fetch source", time.perf_counter() - started)
        return source

    def _sample(self, task: TaskName, slot: int, draw: Draw, source: bytes) -> GraphSample:
        is_placeholder = makes_placeholder(slot)
        symbol = draw.entry.symbol
        place = (task, symbol, draw.file_id, is_placeholder)
        if self._filter.is_known(place):
            raise Rejected(NO_SITE)
        analysis = self._analysis(draw, source)
        started = time.perf_counter()
        try:
            return make_sample(task, analysis, symbol, draw.rng, self._context, is_placeholder=is_placeholder)
        except Rejected as rejected:
            if rejected.reason == NO_SITE:
                self._filter.add(place)
            raise
        finally:
            analysis.close()
            self._observe(metric_of(task), time.perf_counter() - started)

    def _analysis(self, draw: Draw, source: bytes) -> Analysis:
        started = time.perf_counter()
        try:
            return self._originals.analysis(draw.file_id, source, is_preferred=draw.is_preferred)
        except SourceError as error:
            raise Rejected(f"file_{error.reason}") from None
        finally:
            self._observe("get sample inputs", time.perf_counter() - started)

    def _with_edges(self, batch: TrainingBatch) -> TrainingBatch:
        """Leave out the edge types that were not asked for."""
        prefixes = tuple(f"{name}_" for name in self._edge_types)
        context, expansion = (
            {name: pairs for name, pairs in edges.items() if name.startswith(prefixes)}
            for edges in (batch.context_graph.edges, batch.expansion_graph.edges)
        )
        return replace(
            batch,
            context_graph=replace(batch.context_graph, edges=context),
            expansion_graph=replace(batch.expansion_graph, edges=expansion),
        )
