"""Parsed files that are used again: several samples of a step, and of later steps, come from the same file.

Only the tree and the variables are shared. The inference is bounded in steps and depth, so what it says may depend on
what it was asked before; each sample therefore begins with one that was asked nothing.
"""

from __future__ import annotations

from collections import OrderedDict

from fastnode_ops.analysis.analysis import Analysis
from fastnode_ops.analysis.nodes import Tree
from fastnode_ops.analysis.scopes import Scopes, resolve_scopes
from fastnode_ops.analysis.syntax import parse
from fastnode_ops.corpus.store import Corpus
from fastnode_ops.symbols.store import SymbolStore

MAX_CACHED_BYTES = 1_000_000
"""Source bytes of the trees that are kept; a tree takes a few hundred times as much."""


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
        self._kept: OrderedDict[str, tuple[Tree, Scopes]] = OrderedDict()

    def source(self, file_id: str) -> bytes:
        """Return the text of a file.

        Raises:
            KeyError: The corpus has no such file.
        """
        kept = self._kept.get(file_id)
        return kept[0].source if kept is not None else self._corpus.source(file_id)

    def analysis(self, file_id: str, source: bytes) -> Analysis:
        """Return an analysis of a file that was not asked anything.

        Raises:
            SourceError: It cannot be parsed.
        """
        kept = self._kept.get(file_id)
        if kept is None:
            kept = self._keep(file_id, source)
        self._kept.move_to_end(file_id)
        return Analysis(*kept, self._symbols)

    def _keep(self, file_id: str, source: bytes) -> tuple[Tree, Scopes]:
        tree = parse(source, keep=True)
        kept = self._kept[file_id] = (tree, resolve_scopes(tree))
        self._num_bytes += len(source)
        while self._num_bytes > self._max_bytes and len(self._kept) > 1:
            _, (oldest, _) = self._kept.popitem(last=False)
            self._num_bytes -= len(oldest.source)
            oldest.unlink()
        return kept
