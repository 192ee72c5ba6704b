"""The neighbourhood of a site of the production decoder: one function for training and completions."""

from __future__ import annotations

from collections.abc import Sequence

from fastnode_ops.analysis.analysis import Analysis
from fastnode_ops.analysis.nodes import Node, Token
from fastnode_ops.analysis.scopes import Variable
from fastnode_ops.analysis.visibility import ScopeFilter, variables_in_scope
from fastnode_ops.graphs.context_tokens import context_tokens
from fastnode_ops.graphs.expansion import Marks, SplitGraph, split
from fastnode_ops.graphs.neighbourhood import TooManyNodes, neighbourhood
from fastnode_ops.graphs.program import GraphNode, Made, ProgramGraph
from fastnode_ops.samples.sample import ProductionFeed, Rejected, SampleContext


def production_feed(
    analysis: Analysis,
    site: Node | Token,
    marker: str,
    targets: list[int],
    context: SampleContext,
    *,
    scope: ScopeFilter,
    also_marked: Sequence[Node] = (),
    site_types: Sequence[str] = (),
) -> tuple[SplitGraph, ProductionFeed]:
    """Build both graphs and the decoder's input for a production site (specification 7.3).

    Args:
        analysis: The edited text.
        site: The prediction node.
        marker: Special token that becomes the site's literal and type.
        targets: Production rows of the candidates.
        context: What samples are made with.
        scope: Which variables are looked at.
        also_marked: Nodes whose types become the marker too, and which are kept like the site.
        site_types: Type strings of the site, instead of the marker.

    Raises:
        Rejected: There is no variable in scope, or the graph is too large.
    """
    at = site if isinstance(site, Node) else site.node
    variables = variables_in_scope(analysis, at, scope)
    if not variables:
        raise Rejected("no_variable_in_scope")
    types: dict[GraphNode, tuple[str, ...]] = {node: (marker,) for node in also_marked}
    types[site] = tuple(site_types) or (marker,)
    return _around(analysis, site, variables, targets, Marks({site: marker}, types), context)


def _around(
    analysis: Analysis,
    site: Node | Token,
    variables: Sequence[Variable],
    targets: list[int],
    marks: Marks,
    context: SampleContext,
) -> tuple[SplitGraph, ProductionFeed]:
    """Keep what is near the site, the variables in scope and the context tokens, and split it."""
    graph = ProgramGraph(analysis)
    scope_nodes = [Made("scope", variable) for variable in variables]
    words = context_tokens(graph, site, context.graph.max_context_tokens)
    references: list[GraphNode] = [node for variable in variables for node in variable.references]
    try:
        kept = neighbourhood(
            graph,
            [*marks.types, *words, *references],
            max_hops=context.graph.max_hops,
            max_nodes=context.graph.max_nodes,
            scope_nodes=scope_nodes,
        )
    except TooManyNodes:
        raise Rejected("too_many_nodes") from None
    parts = split(
        kept,
        graph,
        context.vocabulary,
        only_in_expansion=[site],
        wanted=[*scope_nodes, *words],
        marks=marks,
    )
    numbers = parts.expansion_numbers
    scope_numbers, word_numbers = [numbers[node] for node in scope_nodes], [numbers[node] for node in words]
    return parts, ProductionFeed(numbers[site], targets, scope_numbers, word_numbers)
