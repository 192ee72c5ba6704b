"""The tasks of the name decoder: call and attr_base (specification 7.8, 7.9)."""

from __future__ import annotations

import numpy as np

from fastnode_ops.analysis.analysis import Analysis
from fastnode_ops.analysis.calls import CallSite, calls_of, is_keyword, keyword_of
from fastnode_ops.analysis.dataflow import data_flow
from fastnode_ops.analysis.markers import ATTR_BASE_NAME_DECODER
from fastnode_ops.analysis.nodes import Node, enclosing_statement
from fastnode_ops.analysis.scopes import Variable
from fastnode_ops.analysis.sites import is_variable_base, variable_arguments
from fastnode_ops.analysis.symbols_at import is_occurrence
from fastnode_ops.analysis.visibility import variables_in_scope
from fastnode_ops.samples.argument_tasks import find_argument
from fastnode_ops.samples.name_sites import name_feed
from fastnode_ops.samples.removal import removed_span
from fastnode_ops.samples.sample import (
    DUMMY,
    CallPattern,
    GraphSample,
    Rejected,
    SampleContext,
    analyse_edited,
    answer_of,
    choose,
    released,
    trim_end,
)

_MAX_TRIED = 20


def make_call(analysis: Analysis, symbol: str, rng: np.random.Generator, context: SampleContext) -> GraphSample:
    """Make a sample of which variable is passed as an argument; see `make_sample`."""
    function = context.canonical(symbol)
    pattern = context.patterns(function)
    if pattern is None:
        raise Rejected("no_call_pattern")
    calls = [call for call in calls_of(analysis, function) if _matches(pattern, call)]
    by_call = [sites for call in calls if (sites := variable_arguments(analysis, call))]
    sites = by_call[choose(rng, len(by_call))]
    site = sites[choose(rng, len(sites))]
    assert site.argument is not None
    true_name = site.argument.parts["value"].text
    edited, placed = cut_at_value(analysis, site, context)
    types, words = pattern.feed(keyword_of(site.argument), site.index)
    with released(edited):
        graph, feed, candidates = name_feed(edited, placed, context, scope="call", types=types, subtokens=words)
    label = _label(candidates, true_name)
    answer = answer_of(rng, label, len(candidates), context.num_negatives)
    return GraphSample("call", graph, feed, answer)


def _matches(pattern: CallPattern, call: Node) -> bool:
    arguments = call.parts["arguments"]
    keywords = [keyword_of(argument) for argument in arguments if is_keyword(argument)]
    return pattern.matches(len(arguments) - len(keywords), keywords)


def cut_at_value(analysis: Analysis, site: CallSite, context: SampleContext) -> tuple[Analysis, Node]:
    """Put a dummy in the place of an argument's value, end the call after it, cut the rest away, analyse anew.

    The reference leaves the name in the text and hides it in the graph only; a dummy is what stands there when a call
    is completed, too.

    Returns:
        The analysis of the edited text, and the dummy in it.

    Raises:
        Rejected: The dummy is not that argument's value in the edited text.
    """
    call, source = site.call, analysis.source
    assert site.argument is not None
    start = site.argument.parts["value"].start
    end = trim_end(source, max(call.end - 1, start), enclosing_statement(call))
    edited = analyse_edited(source[:start] + DUMMY.encode() + b")" + source[end:], context.symbols, analysis.tree)
    value: Node = find_argument(edited, call.parts["left_paren"].start, site.index).parts["value"]
    if value.kind != "NameExpr" or value.text != DUMMY or value.start != start:
        raise Rejected("site_not_found_again")
    return edited, value


def make_attr_base(analysis: Analysis, symbol: str, rng: np.random.Generator, context: SampleContext) -> GraphSample:
    """Make a sample of which variable an attribute is taken of; see `make_sample`."""
    canonical = context.canonical(symbol)
    bases = [
        node
        for node in analysis.tree.nodes
        if is_variable_base(analysis, node) and is_occurrence(analysis, node, canonical)
    ]
    base = _first_possible(analysis, [bases[place] for place in rng.permutation(len(bases))])
    start, end = removed_span(base)
    source = analysis.source
    edited = analyse_edited(source[:start] + DUMMY.encode() + source[end:], context.symbols, analysis.tree)
    placed = edited.tree.node_at(start)
    if placed.kind != "NameExpr" or placed.text != DUMMY or placed.start != start:
        raise Rejected("site_not_found_again")
    marker = [ATTR_BASE_NAME_DECODER]
    with released(edited):
        graph, feed, candidates = name_feed(
            edited, placed, context, scope="attribute_base", types=marker, subtokens=marker
        )
    label = _label(candidates, base.text)
    answer = answer_of(rng, label, len(candidates), context.num_negatives)
    return GraphSample("attr_base", graph, feed, answer)


def _first_possible(analysis: Analysis, bases: list[Node]) -> Node:
    """Return the first base that can be a site: a part is removable, and it is one of several variables in scope.

    Raises:
        Rejected: There is none.
    """
    reason = "no_site"
    for base in bases[:_MAX_TRIED]:
        try:
            removed_span(base)
        except Rejected as rejected:
            reason = rejected.reason
            continue
        variables = variables_in_scope(analysis, base, "attribute_base")
        variable = analysis.scopes.variable_of(base)
        if len(variables) >= 2 and variable in variables and _has_flow(analysis, variable, base):
            return base
        reason = "answer_is_no_candidate"
    raise Rejected(reason)


def _has_flow(analysis: Analysis, variable: Variable, name: Node) -> bool:
    """Say whether a reference is joined to others: without flow, its variable would be no candidate there."""
    flow = data_flow(analysis.tree, variable.references)
    return any((first is name) != (second is name) for first, second in flow)


def _label(candidates: list[Variable], name: str) -> int:
    """Return the index of the candidate with a name; no two have the same.

    Raises:
        Rejected: It is not among the candidates.
    """
    for index, variable in enumerate(candidates):
        if variable.name == name:
            return index
    raise Rejected("answer_is_no_candidate")
