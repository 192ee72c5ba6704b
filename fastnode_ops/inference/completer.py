"""Completions of attributes and calls (specification 13, with D41 to D46 repaired).

Both are asked of the model exactly as it was trained: the buffer is edited, analysed and turned into graphs by the same
functions as a training sample (`samples/*_tasks.py`). There is no second way to build an input.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from fastnode_ops.analysis.analysis import Analysis, analyse
from fastnode_ops.analysis.calls import find_call
from fastnode_ops.analysis.nodes import Node
from fastnode_ops.analysis.syntax import SourceError
from fastnode_ops.config import GraphConfig
from fastnode_ops.graphs.vocabulary import Vocabulary
from fastnode_ops.inference.call_search import search_calls
from fastnode_ops.inference.completions import CallCompletion, Completion
from fastnode_ops.inference.unsupported import Unsupported
from fastnode_ops.pipeline_dir import GRAPH_CONFIG_NAME
from fastnode_ops.samples.assembly import assemble
from fastnode_ops.samples.attribute_tasks import attribute_feed, cut_attribute
from fastnode_ops.samples.batch import TrainingBatch
from fastnode_ops.samples.metainfo import MetaInfo
from fastnode_ops.samples.sample import DUMMY, Answer, CallPattern, GraphSample, Rejected, SampleContext, released
from fastnode_ops.symbols.store import SymbolStore
from ops_common.artifacts import read_json
from ops_common.config import build_config
from ops_common.errors import DataError

Floats = npt.NDArray[np.float32]
_DEFAULT_GRAPH = GraphConfig()


class Model(Protocol):
    """The part of `models.serving.ServingModel` that is needed here."""

    metainfo: MetaInfo

    def probabilities(self, batch: TrainingBatch) -> tuple[Floats, Floats]:
        """Return the probability of each candidate of the name samples, and of each target of the others."""


class Calls(Protocol):
    """The part of `statistics.calls.CallStatistics` that is needed here."""

    def pattern(self, function: str) -> CallPattern | None:
        """Return what is known of the calls of a function."""


class Resources(Protocol):
    """The part of `statistics.resources.Resources` that is needed here."""

    @property
    def symbols(self) -> SymbolStore:
        """The symbols."""

    @property
    def calls(self) -> Calls:
        """The statistics of calls."""


class Completer:
    """Completes with one model.

    Args:
        model: The model.
        symbols: The symbol store.
        patterns: Call patterns by canonical function.
        graph: How much of a buffer the model sees; that of its training.
    """

    def __init__(
        self,
        model: Model,
        symbols: SymbolStore,
        patterns: Callable[[str], CallPattern | None],
        graph: GraphConfig = _DEFAULT_GRAPH,
    ) -> None:
        self.model = model
        metainfo = model.metainfo
        self._aliases: Mapping[str, list[str]] = metainfo.attr.CanonToSyms
        self._context = SampleContext(
            symbols=symbols,
            patterns=patterns,
            vocabulary=Vocabulary(
                metainfo.name_subtoken_index,
                metainfo.type_subtoken_index,
                graph.max_subtokens,
                graph.max_type_subtokens,
            ),
            productions=metainfo.production_index,
            keywords={name: info.kwarg_names for name, info in metainfo.call.infos.items()},
            graph=graph,
        )

    @classmethod
    def load(cls, model_dir: Path, resources: Resources) -> Completer:
        """Load the model of a folder such as `out/serve`; without a `graph-config.json` there the defaults hold.

        Raises:
            ArtifactError: A file is missing or torn.
            ConfigError: `graph-config.json` holds something else.
            DataError: The metainfo cannot be used.
        """
        from fastnode_ops.models.serving import ServingModel

        limits = model_dir / GRAPH_CONFIG_NAME
        graph = build_config(GraphConfig, read_json(limits), str(limits)) if limits.exists() else _DEFAULT_GRAPH
        return cls(ServingModel.load(model_dir), resources.symbols, resources.calls.pattern, graph)

    def attributes(self, source: bytes, cursor: int, prefix: str = "") -> list[Completion]:
        """Complete the attribute at a cursor (specification 13.5).

        Args:
            source: The buffer.
            cursor: BYTE offset just after the dot and the prefix.
            prefix: What is typed of the name; completions begin with it.

        Returns:
            All candidates that begin with the prefix, best first.

        Raises:
            Unsupported: There is no attribute, or the model knows no candidates.
        """
        sample, names = self.attribute_sample(source, cursor, prefix)
        probabilities = self.probabilities(sample)
        order = sorted(range(len(names)), key=lambda index: (-probabilities[index], names[index]))
        return [Completion(names[index], probabilities[index]) for index in order]

    def attribute_sample(self, source: bytes, cursor: int, prefix: str = "") -> tuple[GraphSample, list[str]]:
        """Return what the model is asked about an attribute: the sample, and the name of each candidate.

        Raises:
            Unsupported: As of `attributes`.
        """
        dot_end = cursor - len(prefix.encode())
        try:
            analysis, attribute = self._attribute_at(source, dot_end, prefix)
            edited, site = cut_attribute(analysis, attribute, self._context)
            with released(analysis), released(edited):
                candidates = self._candidates(edited, site.node.parts["value"])
                rows = sorted(row for row, name in candidates.items() if name.startswith(prefix))
                if not rows:
                    raise Unsupported("no candidate begins with the prefix" if candidates else "no supported type")
                graph, feed = attribute_feed(edited, site, rows, self._context)
        except Rejected as rejected:
            raise Unsupported(rejected.reason) from None
        except SourceError as error:
            raise Unsupported(error.reason) from None
        return GraphSample("attr", graph, feed, Answer(0, [])), [candidates[row] for row in rows]

    def _attribute_at(self, source: bytes, dot_end: int, prefix: str) -> tuple[Analysis, Node]:
        typed = prefix.encode()
        if not 0 < dot_end <= len(source) or source[dot_end - 1 : dot_end + len(typed)] != b"." + typed:
            raise Unsupported("no dot before the prefix")
        # without a name behind the dot a parser would take the first one of the next line for it
        has_name = source[dot_end : dot_end + 1].isalpha() or source[dot_end : dot_end + 1] == b"_"
        text = source if has_name else source[:dot_end] + DUMMY.encode() + source[dot_end:]
        analysis = analyse(text, self._context.symbols, keep=True)
        dot = analysis.tree.token_at(dot_end - 1)
        if dot is None or dot.node.kind != "AttributeExpr" or dot.node.parts["dot"] is not dot:
            raise Unsupported("no attribute")
        return analysis, dot.node

    def _candidates(self, edited: Analysis, base: Node) -> dict[int, str]:
        """Return the candidates of the first of a base's symbols that has some: production row to name (13.1)."""
        for symbol in edited.symbols_of(base):
            for path in dict.fromkeys([symbol.path, *self._aliases.get(symbol.canonical, ()), symbol.canonical]):
                rows = {self._context.row(f"{path}.{name}"): name for name in self._context.symbols.children(path)}
                if found := {row: name for row, name in rows.items() if row is not None}:
                    return found
        return {}

    def calls(self, source: bytes, cursor: int) -> list[CallCompletion]:
        """Complete the arguments of a call (specification 13.6).

        Args:
            source: The buffer.
            cursor: BYTE offset just after the opening parenthesis. What stands behind it in the call is not looked at.

        Returns:
            Calls, best first; no two have the same arguments.

        Raises:
            Unsupported: There is no call, or the model does not know the function.
        """
        try:
            analysis, call = self._call_at(source, cursor)
            with released(analysis):
                function = self._known_function(analysis, call)
                return search_calls(analysis, call, function, self._context, self.probabilities)
        except Rejected as rejected:
            raise Unsupported(rejected.reason) from None
        except SourceError as error:
            raise Unsupported(error.reason) from None

    def _call_at(self, source: bytes, cursor: int) -> tuple[Analysis, Node]:
        if not 0 < cursor <= len(source) or source[cursor - 1 : cursor] != b"(":
            raise Unsupported("no parenthesis before the cursor")
        for text in (source, source[:cursor] + b")" + source[cursor:]):
            analysis = analyse(text, self._context.symbols, keep=True)
            call = find_call(analysis, cursor - 1)
            right = None if call is None else call.parts["right_paren"]
            if call is not None and right is not None and right.end > right.start:
                return analysis, call
        raise Unsupported("no call")

    def _known_function(self, analysis: Analysis, call: Node) -> str:
        for symbol in analysis.symbols_of(call.parts["function"]):
            for path in dict.fromkeys([symbol.canonical, symbol.path]):
                if path in self._context.keywords and self._context.patterns(symbol.canonical) is not None:
                    return path
        raise Unsupported("no supported function")

    def probabilities(self, sample: GraphSample) -> list[float]:
        """Ask the model; return the probability of each candidate of a sample.

        Raises:
            DataError: The model answers with something that is no probability.
        """
        result = [float(value) for found in self.model.probabilities(assemble([sample])) for value in found]
        if not all(math.isfinite(value) for value in result):
            raise DataError("the model's probabilities are not finite", "was the training stable? see its losses")
        return result
