"""What is kept of a program around a site: the nodes within some hops of a start set, numbered (specification 6.10)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fastnode_ops.analysis.nodes import Node, is_terminal
from fastnode_ops.analysis.scopes import Variable
from fastnode_ops.graphs.program import GraphNode, Made, ProgramGraph, order_of


class TooManyNodes(Exception):
    """The neighbourhood has more nodes than a graph may have."""


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
