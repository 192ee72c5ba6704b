"""Several graph samples as one training batch: numbers are shifted, lists are concatenated (specification 7.12)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from fastnode_ops.config import EDGE_TYPES
from fastnode_ops.graphs.expansion import Edges
from fastnode_ops.samples.batch import (
    ContextGraph,
    ExpansionGraph,
    Ints,
    NameSamples,
    ProductionSamples,
    Segmented,
    TrainingBatch,
)
from fastnode_ops.samples.sample import GraphSample, NameFeed, ProductionFeed

CONTEXT_EDGES = tuple(
    f"{name}_{way}" for name in EDGE_TYPES for way in ("forward", "backward") if (name, way) != ("scope", "backward")
)
EXPANSION_EDGES = ("ast_child_forward", "next_token_forward", "data_flow_forward")


@dataclass(frozen=True, slots=True)
class _Placed:
    """A sample with the numbers that its own numbers are shifted by."""

    sample: GraphSample
    context: int
    expansion: int


def assemble(samples: Sequence[GraphSample]) -> TrainingBatch:
    """Put samples into one batch: those of the name decoder first, each decoder's in the order given."""
    names = [sample for sample in samples if isinstance(sample.feed, NameFeed)]
    others = [sample for sample in samples if isinstance(sample.feed, ProductionFeed)]
    placed = _place([*names, *others])
    return TrainingBatch(
        _context_graph(placed),
        _expansion_graph(placed),
        _name_samples(placed[: len(names)]),
        _production_samples(placed[len(names) :]),
    )


def _place(samples: Sequence[GraphSample]) -> list[_Placed]:
    placed, context, expansion = [], 0, 0
    for sample in samples:
        placed.append(_Placed(sample, context, expansion))
        context += len(sample.graph.subtokens)
        expansion += len(sample.graph.context_nodes) + len(sample.graph.lookup_subtokens)
    return placed


def _context_graph(placed: Sequence[_Placed]) -> ContextGraph:
    graphs = [item.sample.graph for item in placed]
    edges = [(item.sample.graph.edges, item.context) for item in placed]
    return ContextGraph(
        Segmented.from_lists([rows for graph in graphs for rows in graph.subtokens]),
        Segmented.from_lists([rows for graph in graphs for rows in graph.types]),
        {key: _edges(edges, key) for key in CONTEXT_EDGES},
    )


def _expansion_graph(placed: Sequence[_Placed]) -> ExpansionGraph:
    graphs = [item.sample.graph for item in placed]
    edges = [(item.sample.graph.expansion_edges, item.expansion) for item in placed]
    nodes = [np.asarray(item.sample.graph.context_nodes, np.int32) + item.context for item in placed]
    copied: list[int] = []
    looked_up: list[int] = []
    for item in placed:
        num_context = len(item.sample.graph.context_nodes)
        copied += range(item.expansion, item.expansion + num_context)
        first = item.expansion + num_context
        looked_up += range(first, first + len(item.sample.graph.lookup_subtokens))
    return ExpansionGraph(
        edges={key: _edges(edges, key) for key in EXPANSION_EDGES},
        context_graph_nodes=np.concatenate([np.zeros(0, np.int32), *nodes]).astype(np.int32),
        context_to_expansion=_ints(copied),
        lookup_types=Segmented.from_lists([rows for graph in graphs for rows in graph.lookup_types]),
        lookup_subtokens=Segmented.from_lists([rows for graph in graphs for rows in graph.lookup_subtokens]),
        lookup_to_expansion=_ints(looked_up),
    )


def _name_samples(placed: Sequence[_Placed]) -> NameSamples:
    feeds = [item.sample.feed for item in placed if isinstance(item.sample.feed, NameFeed)]
    labels, negatives = _answers(placed, [len(feed.usages) for feed in feeds])
    return NameSamples(
        prediction_nodes=_ints(item.expansion + feed.site for item, feed in zip(placed, feeds)),
        labels=labels,
        corrupted=negatives,
        types=Segmented.from_lists([feed.types for feed in feeds]),
        subtokens=Segmented.from_lists([feed.subtokens for feed in feeds]),
        usages=_shifted(placed, [feed.usages for feed in feeds]),
        names=[name for feed in feeds for name in feed.names],
        type_names=[name for feed in feeds for name in feed.type_names],
        tasks=[item.sample.task for item in placed],
    )


def _production_samples(placed: Sequence[_Placed]) -> ProductionSamples:
    feeds = [item.sample.feed for item in placed if isinstance(item.sample.feed, ProductionFeed)]
    labels, negatives = _answers(placed, [len(feed.targets) for feed in feeds])
    return ProductionSamples(
        prediction_nodes=_ints(item.expansion + feed.site for item, feed in zip(placed, feeds)),
        labels=labels,
        decoder_targets=Segmented.from_lists([feed.targets for feed in feeds]),
        corrupted=negatives,
        scope_encoder=_shifted(placed, [feed.scope_nodes for feed in feeds]),
        context_tokens=_shifted(placed, [feed.context_tokens for feed in feeds]),
        tasks=[item.sample.task for item in placed],
    )


def _answers(placed: Sequence[_Placed], sizes: Sequence[int]) -> tuple[Ints, Segmented]:
    """Return labels and negatives counted over all candidates of the decoder's samples."""
    labels, negatives, before = [], [], 0
    for item, size in zip(placed, sizes):
        answer = item.sample.answer
        labels.append(before + answer.label)
        negatives.append([before + wrong for wrong in answer.negatives])
        before += size
    return _ints(labels), Segmented.from_lists(negatives)


def _shifted(placed: Sequence[_Placed], lists: Sequence[Sequence[int]]) -> Segmented:
    return Segmented.from_lists([[item.expansion + node for node in nodes] for item, nodes in zip(placed, lists)])


def _edges(parts: Iterable[tuple[Edges, int]], key: str) -> Ints:
    """Concatenate the pairs of one key; the samples' numbers ascend, so sorted parts give a sorted whole."""
    pairs = [edges[key] + shift for edges, shift in parts if key in edges and len(edges[key])]
    return np.concatenate(pairs).astype(np.int32) if pairs else np.zeros((0, 2), np.int32)


def _ints(values: Iterable[int]) -> Ints:
    return np.asarray(list(values), np.int32)
