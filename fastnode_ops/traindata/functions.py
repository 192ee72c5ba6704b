"""The functions whose calls are learned, and the modules and types whose members are (specification 4.4, 4.5)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from fastnode_ops.samples.metainfo import AttrBaseInfo, CallInfo, Distribution, Entry, FunctionInfo
from fastnode_ops.statistics.calls import CallStatistics
from fastnode_ops.symbols.store import SymbolStore
from fastnode_ops.symbols.symbol import SymbolKind
from fastnode_ops.traindata.productions import Grammar, add_call_productions
from fastnode_ops.traindata.scores import Scores
from fastnode_ops.traindata.thresholds import Thresholds
from fastnode_ops.traindata.walking import walk


def build_calls(
    packages: Iterable[str],
    symbols: SymbolStore,
    calls: CallStatistics,
    scores: Scores,
    thresholds: Thresholds,
    grammar: Grammar,
    dropped: Counter[str],
) -> CallInfo:
    """Return the functions of some packages, and add the choices about their arguments to the grammar.

    Args:
        packages: Top-level names.
        symbols: The store.
        calls: What is known of the calls of functions.
        scores: How often symbols occur.
        thresholds: What is too rare.
        grammar: Gets the productions of each function.
        dropped: Gets the functions and keywords that are left out, by reason.
    """
    visited: set[str] = set()
    functions = []
    for package in packages:
        for symbol, _ in walk(symbols, package, visited, canonical=True):
            if symbol.kind is not SymbolKind.FUNCTION:
                continue
            if "tests" in symbol.path.lower():
                dropped["function_of_tests"] += 1
            elif calls.pattern(symbol.path) is None:
                dropped["function_without_call_pattern"] += 1
            else:
                functions.append(symbol.path)
    distribution = _distribution(functions, "call_func", scores, thresholds)
    dropped["function_too_rare"] += len(functions) - len(distribution)
    infos = {}
    for function in distribution:
        pattern = calls.pattern(function)
        assert pattern is not None  # functions without were left out
        counts = calls.keyword_counts(function)
        keywords = [word for word, count in counts.items() if count > thresholds.min_keyword_count]
        dropped["keyword_too_rare"] += len(counts) - len(keywords)
        infos[function] = FunctionInfo(kwarg_names=keywords)
        add_call_productions(grammar, function, keywords, pattern.argument_names)
    return CallInfo(infos=infos, dist=distribution)


def build_bases(
    packages: Iterable[str], symbols: SymbolStore, scores: Scores, thresholds: Thresholds, dropped: Counter[str]
) -> AttrBaseInfo:
    """Return the modules and types of some packages; see `build_calls` for the arguments."""
    visited: set[str] = set()
    bases = [
        symbol.path
        for package in packages
        for symbol, _ in walk(symbols, package, visited, canonical=True, skip=_is_private)
        if symbol.kind in (SymbolKind.MODULE, SymbolKind.TYPE)
    ]
    distribution = _distribution(bases, "name", scores, thresholds)
    dropped["base_too_rare"] += len(bases) - len(distribution)
    return AttrBaseInfo(dist=distribution)


def _is_private(path: str) -> bool:
    return path.rpartition(".")[2].startswith("_")


def _distribution(paths: list[str], context: str, scores: Scores, thresholds: Thresholds) -> Distribution:
    counts = scores(paths, context, canonicalize=True)
    return {
        path: Entry(symbol=path, canonicalize=True, weight=counts[path])
        for path in sorted(counts)
        if counts[path] > 0 and counts[path] >= thresholds.score_of(path)
    }
