"""The split of what is kept into context graph and expansion graph (specification 7.10; a source counts once, D22)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fastnode_ops.graphs.features import literal_of, types_of
from fastnode_ops.graphs.neighbourhood import Neighbourhood
from fastnode_ops.graphs.program import GraphNode, ProgramGraph
from fastnode_ops.graphs.vocabulary import Vocabulary

Pairs = npt.NDArray[np.int32]
Edges = dict[str, Pairs]
"""Per edge key the pairs (from, to), sorted. int32 [E, 2]."""

Rows = list[list[int]]


@dataclass(frozen=True, slots=True)
class Marks:
    """What stands in the place of a node's own features.

    Args:
        literals: Literals by node.
        types: Type strings by node.
    """

    literals: Mapping[GraphNode, str] = field(default_factory=dict)
    types: Mapping[GraphNode, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SplitGraph:
    """A context graph without the site, and the expansion graph with it; all numbers are this sample's own.

    Args:
        subtokens: Rows of the subtoken table per context node.
        types: Rows of the type table per context node.
        edges: Edges of the context graph.
        expansion_edges: Edges of the expansion graph.
        context_nodes: Context nodes in the expansion graph; those have the numbers 0, 1, ... there.
        lookup_subtokens: Rows per node that only the expansion graph has; numbered after the context nodes.
        lookup_types: Likewise for types.
        expansion_numbers: Number in the expansion graph of each node that was asked for.
    """

    subtokens: Rows
    types: Rows
    edges: Edges
    expansion_edges: Edges
    context_nodes: list[int]
    lookup_subtokens: Rows
    lookup_types: Rows
    expansion_numbers: dict[GraphNode, int]


def split(
    kept: Neighbourhood,
    graph: ProgramGraph,
    vocabulary: Vocabulary,
    *,
    only_in_expansion: Sequence[GraphNode],
    wanted: Sequence[GraphNode],
    marks: Marks,
) -> SplitGraph:
    """Take the site and its candidates out of the context graph.

    Args:
        kept: The neighbourhood.
        graph: The program.
        vocabulary: Rows of words.
        only_in_expansion: The site first, then its candidates.
        wanted: Context nodes that the decoder reads, in order, without repetitions.
        marks: Features that replace a node's own.
    """
    taken = set(only_in_expansion)
    context = [node for node in kept.nodes if node not in taken]
    numbers = {node: number for number, node in enumerate([*context, *only_in_expansion])}
    renumbered = np.array([numbers[node] for node in kept.nodes], np.int32)
    forward = {
        name: renumbered[np.array(pairs, np.int32).reshape(-1, 2)] if pairs else _NO_PAIRS
        for name, pairs in kept.forward.items()
    }
    copied, expansion_edges = _expansion_edges(forward, len(context), len(numbers), [numbers[node] for node in wanted])
    rows = [_features(node, graph, vocabulary, marks) for node in numbers]
    places = {number: place for place, number in enumerate([*copied, *range(len(context), len(numbers))])}
    return SplitGraph(
        subtokens=[subtokens for subtokens, _ in rows[: len(context)]],
        types=[types for _, types in rows[: len(context)]],
        edges=_context_edges(forward, len(context)),
        expansion_edges=expansion_edges,
        context_nodes=copied,
        lookup_subtokens=[subtokens for subtokens, _ in rows[len(context) :]],
        lookup_types=[types for _, types in rows[len(context) :]],
        expansion_numbers={node: places[numbers[node]] for node in (*wanted, *only_in_expansion)},
    )


_NO_PAIRS = np.zeros((0, 2), np.int32)


def _context_edges(forward: Edges, num_context: int) -> Edges:
    """Return the edges without a taken node, in both directions; scope edges in one."""
    edges: Edges = {}
    for name, pairs in forward.items():
        inside = pairs[(pairs < num_context).all(axis=1)]
        edges[f"{name}_forward"] = _sorted(inside)
        if name != "scope":
            edges[f"{name}_backward"] = _sorted(inside[:, ::-1])
    return edges


def _expansion_edges(
    forward: Edges, num_context: int, num_nodes: int, wanted: Sequence[int]
) -> tuple[list[int], Edges]:
    """Return the edges that end in a taken node, and the context nodes that are copied: what is wanted, then sources.

    Taken nodes have the numbers from `num_context` on; in the expansion graph they come after the copies.
    """
    leading = {name: pairs[pairs[:, 1] >= num_context] for name, pairs in forward.items() if name != "scope"}
    copied = dict.fromkeys(wanted)
    for pairs in leading.values():
        copied.update(dict.fromkeys(source for source in pairs[:, 0].tolist() if source < num_context))
    renumbered = np.full(num_nodes, -1, np.int32)
    renumbered[list(copied)] = np.arange(len(copied), dtype=np.int32)
    renumbered[num_context:] = len(copied) + np.arange(num_nodes - num_context, dtype=np.int32)
    return list(copied), {f"{name}_forward": _sorted(renumbered[pairs]) for name, pairs in leading.items()}


def _features(
    node: GraphNode, graph: ProgramGraph, vocabulary: Vocabulary, marks: Marks
) -> tuple[list[int], list[int]]:
    literal = marks.literals.get(node) or literal_of(node)
    types = marks.types.get(node) or types_of(node, graph.analysis)
    return vocabulary.literal_rows(literal), vocabulary.type_rows(types)


def _sorted(pairs: Pairs) -> Pairs:
    return np.ascontiguousarray(pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]) if len(pairs) else _NO_PAIRS
