"""Parsed files that are used again: several samples of a step, and of later steps, come from the same file.

The tree, the variables and the calls of each function are shared. The inference is not: it is bounded in steps and
depth, so what it says may depend on what it was asked before; each sample begins with one that was asked nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from fastnode_ops.analysis.analysis import Analysis
from fastnode_ops.analysis.nodes import Node, Tree
from fastnode_ops.analysis.scopes import Scopes, resolve_scopes
from fastnode_ops.analysis.syntax import parse
from fastnode_ops.corpus.store import Corpus
from fastnode_ops.symbols.store import SymbolStore

MAX_CACHED_BYTES = 1_000_000
"""Source bytes of the trees that are kept; a tree takes a few hundred times as much."""


@dataclass(frozen=True, slots=True)
class _Original:
    """A file: its tree, its variables, and its calls by function once they were asked for."""

    tree: Tree
    scopes: Scopes
    calls: dict[str, list[Node]] = field(default_factory=dict)


class Originals:
    """The files of a corpus, parsed.

    Args:
        corpus: Holds the files.
        symbols: The symbol store to analyse with.
        max_cached_bytes: How many bytes of source to keep parsed.
    """

    def __init__(self, corpus: Corpus, symbols: SymbolStore, max_cached_bytes: int = MAX_CACHED_BYTES) -> None:
        self._corpus = corpus
        self._symbols = symbols
        self._max_bytes = max_cached_bytes
        self._num_bytes = 0
        self._kept: OrderedDict[str, _Original] = OrderedDict()

    def source(self, file_id: str) -> bytes:
        """Return the text of a file.

        Raises:
            KeyError: The corpus has no such file.
        """
        kept = self._kept.get(file_id)
        return kept.tree.source if kept is not None else self._corpus.source(file_id)

    def analysis(self, file_id: str, source: bytes) -> Analysis:
        """Return an analysis of a file that was not asked anything.

        Raises:
            SourceError: It cannot be parsed.
        """
        kept = self._kept.get(file_id)
        if kept is None:
            kept = self._keep(file_id, source)
        self._kept.move_to_end(file_id)
        return Analysis(kept.tree, kept.scopes, self._symbols, calls=kept.calls)

    def _keep(self, file_id: str, source: bytes) -> _Original:
        tree = parse(source, keep=True)
        kept = self._kept[file_id] = _Original(tree, resolve_scopes(tree))
        self._num_bytes += len(source)
        while self._num_bytes > self._max_bytes and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._num_bytes -= len(oldest.tree.source)
            oldest.tree.unlink()
        return kept
