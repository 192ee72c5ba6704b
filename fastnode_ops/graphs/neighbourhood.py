"""What is kept of a program around a site, in numbers (specification 6.10 and 7.10).

`Neighbourhood` prunes the program to the nodes within some hops of a start set and numbers them; `split` takes the site
and its candidates out into the expansion graph. Training and completions both come through here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fastnode_ops.analysis.analysis import Analysis
from fastnode_ops.analysis.nodes import Node, is_terminal
from fastnode_ops.analysis.scopes import Variable
from fastnode_ops.graphs.features import literal_of, types_of
from fastnode_ops.graphs.program import GraphNode, Made, ProgramGraph, order_of
from fastnode_ops.graphs.vocabulary import Vocabulary

Pairs = npt.NDArray[np.int32]
Edges = dict[str, Pairs]
"""Per edge key the pairs (from, to), sorted. int32 [E, 2]."""

Rows = list[list[int]]
_NO_PAIRS = np.zeros((0, 2), np.int32)


class TooManyNodes(Exception):
    """The neighbourhood has more nodes than a graph may have."""


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
class Neighbourhood:
    """The kept nodes, numbered, and the edges between them.

    Args:
        nodes: Kept nodes in the order of their numbers; made ones at the end, in the order given.
        numbers: Number of each kept node.
        forward: Per edge type its pairs in the forward direction.
    """

    nodes: list[GraphNode]
    numbers: dict[GraphNode, int]
    forward: dict[str, list[tuple[int, int]]]


def neighbourhood(
    graph: ProgramGraph,
    start: Iterable[GraphNode],
    *,
    max_hops: int,
    max_nodes: int,
    scope_nodes: Sequence[Made] = (),
    usages: Mapping[Made, Sequence[tuple[GraphNode, GraphNode]]] | None = None,
) -> Neighbourhood:
    """Keep what is within `max_hops` undirected steps of the start set.

    Args:
        graph: The program.
        start: Where to start from.
        max_hops: How far to go.
        max_nodes: How many nodes may be kept.
        scope_nodes: Made nodes fed by every reference of their variable.
        usages: Made nodes with their data-flow edges (from, to), of which they are one end.

    Raises:
        TooManyNodes: More nodes would be kept.
    """
    usages = usages or {}
    made = [*scope_nodes, *usages]
    first = dict.fromkeys(start)
    first.update(dict.fromkeys(made))
    kept = _within(graph, first, usages, max_hops, max_nodes)
    nodes = [*order_of(node for node in kept if not (isinstance(node, Made) and node.variable)), *made]
    numbers = {node: number for number, node in enumerate(nodes)}
    forward = _tree_edges(graph, nodes, numbers)
    forward["data_flow"] = _flow_edges(graph, nodes, numbers)
    for edges in usages.values():
        forward["data_flow"] += [(numbers[a], numbers[b]) for a, b in edges if a in numbers and b in numbers]
    forward["scope"] = [
        (numbers[reference], numbers[node])
        for node in scope_nodes
        if node.variable is not None
        for reference in node.variable.references
        if reference in numbers
    ]
    return Neighbourhood(nodes, numbers, forward)


def _within(
    graph: ProgramGraph,
    start: dict[GraphNode, None],
    usages: Mapping[Made, Sequence[tuple[GraphNode, GraphNode]]],
    max_hops: int,
    max_nodes: int,
) -> dict[GraphNode, None]:
    kept = dict(start)
    front: list[GraphNode] = list(start)
    for _ in range(max_hops):
        following: list[GraphNode] = []
        for node in front:
            for neighbour in graph.neighbours(node):
                if neighbour not in kept:
                    kept[neighbour] = None
                    following.append(neighbour)
            for pair in usages.get(node, ()) if isinstance(node, Made) else ():
                for end in pair:
                    if end not in kept:
                        kept[end] = None
                        following.append(end)
        if len(kept) > max_nodes:
            raise TooManyNodes
        front = following
    return kept


def _tree_edges(
    graph: ProgramGraph, nodes: list[GraphNode], numbers: dict[GraphNode, int]
) -> dict[str, list[tuple[int, int]]]:
    children: list[tuple[int, int]] = []
    chain: list[tuple[int, int]] = []
    for number, node in enumerate(nodes):
        if isinstance(node, Node):
            below: list[GraphNode] = list(node.children)
            if not is_terminal(node):
                below += graph.own_tokens(node)
                if node.kind == "Module":
                    below.append(graph.start_of_file)
            children += [(number, numbers[child]) for child in below if child in numbers]
        following = graph.next_terminal(node)
        if following is not None and following in numbers:
            chain.append((number, numbers[following]))
    return {"ast_child": children, "next_token": chain}


def _flow_edges(graph: ProgramGraph, nodes: list[GraphNode], numbers: dict[GraphNode, int]) -> list[tuple[int, int]]:
    variables: dict[int, Variable] = {}
    for node in nodes:
        if isinstance(node, Node) and node.kind == "NameExpr":
            variable = graph.analysis.scopes.variable_of(node)
            if variable is not None:
                variables[variable.index] = variable
    pairs: list[tuple[int, int]] = []
    for index in sorted(variables):
        for first, second in graph.flow(variables[index]):
            if first in numbers and second in numbers:
                pairs.append((numbers[first], numbers[second]))
    return pairs


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
    """Take the site and its candidates out of the context graph (specification 7.10; a source is listed once, D22).

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
    renumbered = np.full(len(kept.nodes), -1, np.int32)
    renumbered[[kept.numbers[node] for node in context]] = np.arange(len(context), dtype=np.int32)
    edges, into = _parted(kept, renumbered)

    numbers = {kept.numbers[node]: place for place, node in enumerate(wanted)}
    for pairs in into.values():
        for source, _ in pairs:
            if renumbered[source] >= 0 and source not in numbers:
                numbers[source] = len(numbers)
    context_nodes = [int(renumbered[old]) for old in numbers]
    for node in only_in_expansion:
        numbers[kept.numbers[node]] = len(numbers)
    expansion_edges = {
        f"{name}_forward": _sorted(np.asarray([(numbers[a], numbers[b]) for a, b in pairs], np.int32).reshape(-1, 2))
        for name, pairs in into.items()
    }
    features = _Features(graph.analysis, vocabulary, marks)
    return SplitGraph(
        subtokens=features.subtokens(context),
        types=features.types(context),
        edges=edges,
        expansion_edges=expansion_edges,
        context_nodes=context_nodes,
        lookup_subtokens=features.subtokens(only_in_expansion),
        lookup_types=features.types(only_in_expansion),
        expansion_numbers={node: numbers[kept.numbers[node]] for node in (*wanted, *only_in_expansion)},
    )


def _parted(kept: Neighbourhood, renumbered: npt.NDArray[np.int32]) -> tuple[Edges, dict[str, list[tuple[int, int]]]]:
    """Part the edges: those of the context graph, and the forward ones that end in a node that was taken out."""
    is_taken = renumbered < 0
    edges: Edges = {}
    into: dict[str, list[tuple[int, int]]] = {}
    for name, pairs in kept.forward.items():
        array = np.asarray(pairs, np.int32).reshape(-1, 2)
        ahead = renumbered[array[~is_taken[array].any(axis=1)]]
        edges[f"{name}_forward"] = _sorted(ahead)
        if name != "scope":  # a reference feeds its scope node; nothing flows back
            edges[f"{name}_backward"] = _sorted(ahead[:, ::-1])
            into[name] = [(int(a), int(b)) for a, b in array[is_taken[array[:, 1]]]]
    return edges, into


@dataclass(frozen=True, slots=True)
class _Features:
    """Rows of nodes, with marks in the place of a node's own features."""

    analysis: Analysis
    vocabulary: Vocabulary
    marks: Marks

    def subtokens(self, nodes: Sequence[GraphNode]) -> Rows:
        given = self.marks.literals
        return [self.vocabulary.literal_rows(given.get(node) or literal_of(node)) for node in nodes]

    def types(self, nodes: Sequence[GraphNode]) -> Rows:
        given = self.marks.types
        return [self.vocabulary.type_rows(given.get(node) or types_of(node, self.analysis)) for node in nodes]


def _sorted(pairs: Pairs) -> Pairs:
    if not len(pairs):
        return _NO_PAIRS
    return np.ascontiguousarray(pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))])
