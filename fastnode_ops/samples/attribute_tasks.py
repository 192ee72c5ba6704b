"""The task attr: which attribute follows a dot (specification 7.4)."""

from __future__ import annotations

import numpy as np

from fastnode_ops.analysis.analysis import Analysis
from fastnode_ops.analysis.markers import INFER_ATTR
from fastnode_ops.analysis.nodes import Node, Token, enclosing_statement
from fastnode_ops.analysis.symbols_at import members_at
from fastnode_ops.graphs.expansion import SplitGraph
from fastnode_ops.samples.metainfo import production_id
from fastnode_ops.samples.production_sites import production_feed
from fastnode_ops.samples.sample import (
    DUMMY,
    GraphSample,
    ProductionFeed,
    Rejected,
    SampleContext,
    analyse_edited,
    answer_of,
    choose,
    released,
    trim_end,
)


def make_attr(analysis: Analysis, symbol: str, rng: np.random.Generator, context: SampleContext) -> GraphSample:
    """Make a sample of an attribute expression that names a symbol; see `make_sample`."""
    canonical = context.canonical(symbol)
    sites = [
        node
        for node in analysis.tree.nodes
        if node.kind == "AttributeExpr"
        and node.parts["attribute"].text == symbol.rpartition(".")[2]
        and any(member.canonical == canonical for member in members_at(analysis, node))
    ]
    chosen = sites[choose(rng, len(sites))]
    parent = context.attr_parents.get(symbol)
    production = context.productions.productions.get(str(production_id(parent))) if parent else None
    if production is None:
        raise Rejected("no_production")
    indices = context.productions.indices
    rows = sorted(indices[str(child)] for child in production.children if str(child) in indices)
    true_row = context.row(symbol)
    if true_row is None or true_row not in rows:
        raise Rejected("no_production")
    answer = answer_of(rng, rows.index(true_row), len(rows), context.num_negatives)
    edited, site = cut_attribute(analysis, chosen, context)
    with released(edited):
        graph, feed = attribute_feed(edited, site, rows, context)
    return GraphSample("attr", graph, feed, answer)


def cut_attribute(analysis: Analysis, attribute: Node, context: SampleContext) -> tuple[Analysis, Token]:
    """Put a dummy in the place of an attribute's name and of what follows it, and analyse the text anew.

    Returns:
        The analysis of the edited text, and the dummy's token in it.

    Raises:
        Rejected: The dummy is no attribute of the same dot in the edited text.
    """
    dot = attribute.parts["dot"].end
    source = analysis.source
    end = trim_end(source, dot, enclosing_statement(attribute))
    edited = analyse_edited(source[:dot] + DUMMY.encode() + source[end:], context.symbols, analysis.tree)
    return edited, find_dummy(edited, dot)


def attribute_feed(
    edited: Analysis, site: Token, rows: list[int], context: SampleContext
) -> tuple[SplitGraph, ProductionFeed]:
    """Build the graphs of the name of an attribute; neither it nor the attribute expression shows a type."""
    return production_feed(edited, site, INFER_ATTR, rows, context, scope="attribute", also_marked=[site.node])


def find_dummy(edited: Analysis, dot_end: int) -> Token:
    """Return the dummy's token behind a dot.

    Raises:
        Rejected: There is no attribute expression with it.
    """
    token: Token | None = edited.tree.token_at(dot_end)
    if token is None or token.text != DUMMY or token.start != dot_end or token.node.kind != "AttributeExpr":
        raise Rejected("site_not_found_again")
    expected: object = token.node.parts["attribute"]
    if expected is not token:
        raise Rejected("site_not_found_again")
    return token
