"""Rows of the words of names and of types (specification 4.8)."""

from __future__ import annotations

import math
from collections.abc import Iterable

from fastnode_ops.analysis.markers import INSTANCE_TAIL, NA_TYPE, RETURN_TAIL, SPECIAL_TOKENS, UNKNOWN_TYPE
from fastnode_ops.graphs.vocabulary import type_subtokens
from fastnode_ops.statistics.index import SymbolIndex
from fastnode_ops.symbols.store import SymbolStore
from fastnode_ops.symbols.symbol import Symbol, SymbolKind
from fastnode_ops.traindata.thresholds import Thresholds
from fastnode_ops.traindata.walking import walk

BUILTINS = "builtins"


def name_index(words: Iterable[str]) -> dict[str, int]:
    """Return the rows of words: those of the corpus in their order, then the special tokens."""
    return _numbered([*words, *SPECIAL_TOKENS])


def type_index(symbols: SymbolStore, index: SymbolIndex, thresholds: Thresholds) -> dict[str, int]:
    """Return the rows of the words of types: of all builtins, and of what stands in the corpus often enough."""
    strings = {UNKNOWN_TYPE, NA_TYPE, *SPECIAL_TOKENS}
    for symbol, _ in walk(symbols, BUILTINS, set(), canonical=True):
        strings.update(type_strings(symbol))
    for path in index.symbols("all", max(1, math.ceil(thresholds.min_type_count)), canonical=True):
        found = symbols.find(path)
        if found is not None:
            strings.update(type_strings(found))
    return _numbered([*(word for string in sorted(strings) for word in type_subtokens(string)), *SPECIAL_TOKENS])


def type_strings(symbol: Symbol) -> list[str]:
    """Return the type strings that a symbol may give to a node."""
    strings = [symbol.canonical]
    if symbol.kind is SymbolKind.TYPE:
        strings.append(f"{symbol.canonical}.{INSTANCE_TAIL}")
    elif symbol.kind is SymbolKind.FUNCTION and not symbol.returns:
        strings.append(f"{symbol.canonical}.{RETURN_TAIL}")
    return strings


def _numbered(words: Iterable[str]) -> dict[str, int]:
    return {word: row for row, word in enumerate(dict.fromkeys(words))}
