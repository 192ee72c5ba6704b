"""The tasks about the next argument of a call: arg_type, kwarg_name, arg_placeholder (specification 7.5 to 7.7)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from fastnode_ops.analysis.analysis import Analysis
from fastnode_ops.analysis.calls import CallSite, calls_of, find_call, is_keyword, keyword_of
from fastnode_ops.analysis.markers import (
    INFER_ARG_PLACEHOLDER,
    INFER_ARG_TYPE,
    INFER_KWARG_NAME,
    KWARG_VALUE_PLACEHOLDER,
    UNKNOWN_TYPE,
)
from fastnode_ops.analysis.nodes import Node, enclosing_statement
from fastnode_ops.graphs.expansion import SplitGraph
from fastnode_ops.samples.production_sites import production_feed
from fastnode_ops.samples.sample import (
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

ARG_TYPES = ("stop", "positional", "keyword")
PLACEHOLDERS = ("no_placeholder", "placeholder")
KEYWORD_DUMMY = f"{INFER_KWARG_NAME}={KWARG_VALUE_PLACEHOLDER}"
"""The argument that stands where a keyword is asked for."""

Feed = tuple[SplitGraph, ProductionFeed]


def make_arg_type(analysis: Analysis, symbol: str, rng: np.random.Generator, context: SampleContext) -> GraphSample:
    """Make a sample of what kind of argument comes next; see `make_sample`."""
    sites = [
        CallSite(call, index)
        for call in calls_of(analysis, context.canonical(symbol))
        if call.parts["right_paren"] is not None
        for index in range(len(call.parts["arguments"]) + 1)
    ]
    sites = [site for site in sites if site.argument is None or not site.argument.parts["star"]]
    site = sites[choose(rng, len(sites))]
    argument = site.argument
    kind = "stop" if argument is None else "keyword" if is_keyword(argument) else "positional"
    options = [option for option in ARG_TYPES if not (option == "positional" and site.is_after_keyword)]
    if kind not in options:
        raise Rejected("positional_after_keyword")
    edited, placed = cut_argument(analysis, site, INFER_ARG_TYPE, context)
    rows = arg_type_rows(symbol, options, context)
    answer = answer_of(rng, options.index(kind), len(rows), context.num_negatives)
    with released(edited):
        graph, feed = arg_type_feed(edited, placed, rows, context)
    return GraphSample("arg_type", graph, feed, answer)


def make_kwarg_name(analysis: Analysis, symbol: str, rng: np.random.Generator, context: SampleContext) -> GraphSample:
    """Make a sample of which keyword is used; see `make_sample`."""
    keywords = [name for name in context.keywords.get(symbol, ()) if _keyword_row(symbol, name, context) is not None]
    if len(keywords) < 2:
        raise Rejected("too_few_keywords")
    sites = [
        CallSite(call, index)
        for call in calls_of(analysis, context.canonical(symbol))
        for index, argument in enumerate(call.parts["arguments"])
        if keyword_of(argument) in keywords
    ]
    site = sites[choose(rng, len(sites))]
    assert site.argument is not None  # a keyword's
    edited, placed = cut_argument(analysis, site, KEYWORD_DUMMY, context)
    rows = keyword_rows(symbol, keywords, context)
    answer = answer_of(rng, keywords.index(keyword_of(site.argument)), len(rows), context.num_negatives)
    with released(edited):
        graph, feed = keyword_feed(edited, placed, rows, context)
    return GraphSample("kwarg_name", graph, feed, answer)


def make_arg_placeholder(
    analysis: Analysis, symbol: str, rng: np.random.Generator, context: SampleContext, is_placeholder: bool
) -> GraphSample:
    """Make a sample of whether an argument is left open; see `make_sample`.

    Args:
        is_placeholder: Which class to make: an argument that is no plain name, or one that is.
    """
    function = context.canonical(symbol)
    pattern = context.patterns(function)
    if pattern is None:
        raise Rejected("no_call_pattern")
    sites = []
    for call in calls_of(analysis, function):
        for index, argument in enumerate(call.parts["arguments"]):
            is_open = argument.parts["value"].kind != "NameExpr"
            if is_open == is_placeholder and not argument.parts["star"]:
                name = pattern.argument_name(keyword_of(argument), index)
                rows = placeholder_rows(symbol, name, context) if name else None
                if rows is not None:
                    sites.append((CallSite(call, index), rows))
    site, rows = sites[choose(rng, len(sites))]
    assert site.argument is not None
    types, _ = pattern.feed(keyword_of(site.argument), site.index)
    edited, placed = cut_argument(analysis, site, INFER_ARG_PLACEHOLDER, context)
    answer = answer_of(rng, int(is_placeholder), len(rows), context.num_negatives)
    with released(edited):
        graph, feed = placeholder_feed(edited, placed, rows, types, context)
    return GraphSample("arg_placeholder", graph, feed, answer)


def arg_type_feed(edited: Analysis, placed: Node, rows: list[int], context: SampleContext) -> Feed:
    """Build the graphs of an argument whose kind is asked for."""
    return production_feed(edited, placed, INFER_ARG_TYPE, rows, context, scope="call")


def keyword_feed(edited: Analysis, placed: Node, rows: list[int], context: SampleContext) -> Feed:
    """Build the graphs of an argument whose keyword is asked for: the site is the keyword.

    Raises:
        Rejected: The argument has none.
    """
    name = placed.parts["name"]
    if name is None:
        raise Rejected("site_not_found_again")
    return production_feed(edited, name, INFER_KWARG_NAME, rows, context, scope="call")


def placeholder_feed(
    edited: Analysis, placed: Node, rows: list[int], types: Sequence[str], context: SampleContext
) -> Feed:
    """Build the graphs of an argument that may be left open: it shows the types that the parameter has (D20)."""
    known = [name for name in types if name != UNKNOWN_TYPE]
    return production_feed(edited, placed, INFER_ARG_PLACEHOLDER, rows, context, scope="call", site_types=known)


def cut_argument(analysis: Analysis, site: CallSite, text: str, context: SampleContext) -> tuple[Analysis, Node]:
    """Put a text and a closing parenthesis in the place of an argument and of what follows the call's start.

    Returns:
        The analysis of the edited text, and the argument in it.

    Raises:
        Rejected: The call or the argument does not stand where it was put.
    """
    call, source = site.call, analysis.source
    arguments = call.parts["arguments"]
    if site.argument is not None:
        cut, insertion = site.argument.start, f"{text})"
    elif arguments:
        cut, insertion = arguments[-1].end, f", {text})"
    else:
        cut, insertion = call.parts["left_paren"].end, f"{text})"
    end = trim_end(source, max(call.end - 1, cut), enclosing_statement(call))
    edited = analyse_edited(source[:cut] + insertion.encode() + source[end:], context.symbols, analysis.tree)
    return edited, find_argument(edited, call.parts["left_paren"].start, site.index)


def find_argument(edited: Analysis, paren_start: int, index: int) -> Node:
    """Return the last argument of the call whose opening parenthesis is at a position.

    Raises:
        Rejected: There is no such call, or it has another number of arguments.
    """
    call = find_call(edited, paren_start)
    if call is None or len(call.parts["arguments"]) != index + 1:
        raise Rejected("site_not_found_again")
    argument: Node = call.parts["arguments"][index]
    return argument


def arg_type_rows(function: str, options: list[str], context: SampleContext) -> list[int]:
    """Return the production rows of kinds of arguments.

    Raises:
        Rejected: The function has no productions.
    """
    return _all(context.row(f"choose_argtype:{function}:{option}") for option in options)


def keyword_rows(function: str, keywords: list[str], context: SampleContext) -> list[int]:
    """Return the production rows of keywords."""
    return _all(_keyword_row(function, name, context) for name in keywords)


def placeholder_rows(function: str, argument: str, context: SampleContext) -> list[int] | None:
    """Return the production rows of `no_placeholder` and `placeholder` of an argument; None when it has none."""
    rows = [context.row(f"choose_arg_placeholder:{function}:{argument}:{option}") for option in PLACEHOLDERS]
    found = [row for row in rows if row is not None]
    return found if len(found) == len(PLACEHOLDERS) else None


def _keyword_row(function: str, keyword: str, context: SampleContext) -> int | None:
    return context.row(f"choose_kwarg:{function}:{keyword}")


def _all(rows: Iterable[int | None]) -> list[int]:
    found = []
    for row in rows:
        if row is None:
            raise Rejected("no_production")
        found.append(row)
    return found
