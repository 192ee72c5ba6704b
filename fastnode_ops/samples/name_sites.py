"""The neighbourhood of a site of the name decoder: one function for training and completions."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from fastnode_ops.analysis.analysis import Analysis
from fastnode_ops.analysis.dataflow import data_flow
from fastnode_ops.analysis.markers import INFER_NAME
from fastnode_ops.analysis.nodes import Node
from fastnode_ops.analysis.scopes import Variable
from fastnode_ops.analysis.visibility import ScopeFilter, variables_in_scope
from fastnode_ops.graphs.expansion import Marks, SplitGraph, split
from fastnode_ops.graphs.features import literal_of, types_of
from fastnode_ops.graphs.neighbourhood import TooManyNodes, neighbourhood
from fastnode_ops.graphs.program import GraphNode, Made, ProgramGraph
from fastnode_ops.samples.sample import NameFeed, Rejected, SampleContext

MAX_CANDIDATES = 200
Usages = dict[Made, Sequence[tuple[GraphNode, GraphNode]]]


def name_feed(
    analysis: Analysis,
    site: Node,
    context: SampleContext,
    *,
    scope: ScopeFilter,
    types: Sequence[str],
    subtokens: Sequence[str],
) -> tuple[SplitGraph, NameFeed, list[Variable]]:
    """Build both graphs and the decoder's input for a name site (specification 7.2).

    Args:
        analysis: The edited text.
        site: The dummy that stands for the name. The answer is not in the text, so it cannot be in the graph.
        context: What samples are made with.
        scope: Which variables are candidates.
        types: Type strings of the decoder's features.
        subtokens: Words of the decoder's features.

    Returns:
        The graphs, the decoder's input, and the candidates in its order.

    Raises:
        Rejected: There are fewer than two candidates, the graph is too large, or the dummy is assigned somewhere.
    """
    variables = variables_in_scope(analysis, site, scope)[-MAX_CANDIDATES:]
    if analysis.scopes.variable_of(site) is not None:
        raise Rejected("dummy_is_a_variable")
    usages = _usages(analysis, site, variables)
    if len(usages) < 2:
        raise Rejected("too_few_candidates")
    graph = ProgramGraph(analysis)
    try:
        kept = neighbourhood(
            graph, [site], max_hops=context.graph.max_hops, max_nodes=context.graph.max_nodes, usages=usages
        )
    except TooManyNodes:
        raise Rejected("too_many_nodes") from None
    made = list(usages)
    marks = Marks({site: INFER_NAME}, {site: (INFER_NAME,)})
    parts = split(kept, graph, context.vocabulary, only_in_expansion=[site, *made], wanted=[], marks=marks)
    if not any(len(pairs) for pairs in parts.expansion_edges.values()):
        raise Rejected("no_expansion_edge")
    candidates = [node.variable for node in made if node.variable is not None]
    feed = NameFeed(
        site=parts.expansion_numbers[site],
        usages=[parts.expansion_numbers[node] for node in made],
        types=context.vocabulary.type_rows(tuple(types)),
        subtokens=context.vocabulary.name_rows(subtokens),
        names=[_joined(context.vocabulary.subtokens(literal_of(node))) for node in made],
        type_names=[_joined(context.vocabulary.types(types_of(node, analysis))) for node in made],
    )
    return parts, feed, candidates


def _usages(analysis: Analysis, site: Node, variables: Sequence[Variable]) -> Usages:
    """Place each variable at the site: the edges of the data flow that it would have there; none: no candidate."""
    order = {node: rank for rank, node in enumerate(analysis.scopes.names)}
    rank = order.get(site, len(order))
    usages: Usages = {}
    for variable in variables:
        references = variable.references
        place = bisect_left(references, rank, key=order.__getitem__)
        placed = [*references[:place], site, *references[place:]]
        made = Made("usage", variable)
        edges: list[tuple[GraphNode, GraphNode]] = []
        for first, second in data_flow(analysis.tree, placed):
            if first is site and second is not site:
                edges.append((made, second))
            elif second is site and first is not site:
                edges.append((first, made))
        if edges:
            usages[made] = edges
    return usages


def _joined(words: Sequence[str]) -> str:
    return "".join(character if character.isascii() else "#" for character in ":".join(words))
