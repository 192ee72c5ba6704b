"""Walks over the symbols of a package (specification 4.2)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

from fastnode_ops.symbols.store import SymbolStore
from fastnode_ops.symbols.symbol import Symbol, SymbolKind

Skip = Callable[[str], bool]

_WITH_CHILDREN = frozenset((SymbolKind.MODULE, SymbolKind.TYPE))

# Where the standard library defines what its public modules offer: `os.path.join` is `posixpath.join`, `io.StringIO` is
# `_io.StringIO`. A canonical walk that stays within `os` would never see them.
_PRIVATE = frozenset(name for name in sys.stdlib_module_names if name.startswith("_") and not name.startswith("__"))
_IMPLEMENTATIONS = _PRIVATE | {"genericpath", "posixpath"}


def walk(
    symbols: SymbolStore, package: str, visited: set[str], *, canonical: bool, skip: Skip | None = None
) -> Iterator[tuple[Symbol, Symbol | None]]:
    """Yield every symbol of a package with the one it was reached from (None for the package), depth first.

    Members come in alphabetical order; only modules and types are descended into. What is not visited: what cannot be
    resolved, what was visited before, what does not lie below the package (or, for one of the standard library, in a
    module that implements it), what a rule skips.

    Args:
        symbols: The store.
        package: A top-level name.
        visited: Paths that were visited; shared by the walks of all packages, and added to.
        canonical: Whether every symbol is replaced by its canonical one first.
        skip: Says which paths are skipped.
    """
    root = _resolve(symbols, package, canonical)
    if root is None or root.path in visited:
        return
    visited.add(root.path)
    stack: list[tuple[Symbol, Symbol | None]] = [(root, None)]
    while stack:
        symbol, parent = stack.pop()
        if parent is not None:
            if symbol.path in visited:  # since it was put on the stack
                continue
            visited.add(symbol.path)
        yield symbol, parent
        if symbol.kind not in _WITH_CHILDREN:
            continue
        for name in reversed(symbols.children(symbol.path)):
            child = _resolve(symbols, f"{symbol.path}.{name}", canonical)
            if child is None or child.path in visited or (skip is not None and skip(child.path)):
                continue
            if _is_within(child.path, package):
                stack.append((child, symbol))


def _is_within(path: str, package: str) -> bool:
    top = path.partition(".")[0]
    return top == package or (top in _IMPLEMENTATIONS and package in sys.stdlib_module_names)


def _resolve(symbols: SymbolStore, path: str, canonical: bool) -> Symbol | None:
    symbol = symbols.find(path)
    if symbol is not None and canonical and symbol.canonical != symbol.path:
        symbol = symbols.find(symbol.canonical)
    return symbol
