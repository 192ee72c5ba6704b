"""Parsed files that are used again: several samples of a step, and of later steps, come from the same file.

The tree, the variables and the calls of each function are shared. The inference is not: it is bounded in steps and
depth, so what it says may depend on what it was asked before; each sample begins with one that was asked nothing.

Files that a block of steps prefers have a cache of their own: those that are drawn once do not push them out.
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
"""Source bytes of the trees that are kept; a tree takes about a hundred times as much."""

PREFERRED_SHARE = 0.8
"""How much of that is for files that are preferred."""


@dataclass(frozen=True, slots=True)
class _Original:
    """A file: its tree, its variables, and its calls by function once they were asked for."""

    tree: Tree
    scopes: Scopes
    calls: dict[str, list[Node]] = field(default_factory=dict)


class _Cache:
    """Files that were used last, up to so many bytes of source, and at least one."""

    def __init__(self, max_bytes: float) -> None:
        self._max_bytes = max_bytes
        self._num_bytes = 0
        self._kept: OrderedDict[str, _Original] = OrderedDict()

    def get(self, file_id: str) -> _Original | None:
        kept = self._kept.get(file_id)
        if kept is not None:
            self._kept.move_to_end(file_id)
        return kept

    def put(self, file_id: str, original: _Original) -> None:
        self._kept[file_id] = original
        self._num_bytes += len(original.tree.source)
        while self._num_bytes > self._max_bytes and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._num_bytes -= len(oldest.tree.source)
            oldest.tree.unlink()


class Originals:
    """The files of a corpus, parsed.

    Args:
        corpus: Holds the files.
        symbols: The symbol store to analyse with.
        max_cached_bytes: How many bytes of source to keep parsed.

    Attributes:
        num_parsed: How many files were parsed, each as often as it was.
    """

    def __init__(self, corpus: Corpus, symbols: SymbolStore, max_cached_bytes: int = MAX_CACHED_BYTES) -> None:
        self._corpus = corpus
        self._symbols = symbols
        self.num_parsed = 0
        self._preferred = _Cache(max_cached_bytes * PREFERRED_SHARE)
        self._others = _Cache(max_cached_bytes * (1 - PREFERRED_SHARE))

    def source(self, file_id: str) -> bytes:
        """Return the text of a file.

        Raises:
            KeyError: The corpus has no such file.
        """
        kept = self._find(file_id)
        return kept.tree.source if kept is not None else self._corpus.source(file_id)

    def analysis(self, file_id: str, source: bytes, *, is_preferred: bool = False) -> Analysis:
        """Return an analysis of a file that was not asked anything.

        Args:
            file_id: The file.
            source: Its text.
            is_preferred: Whether more draws of the same file are to be expected; the answer does not depend on it.

        Raises:
            SourceError: It cannot be parsed.
        """
        kept = self._find(file_id)
        if kept is None:
            tree = parse(source, keep=True)
            kept = _Original(tree, resolve_scopes(tree))
            self.num_parsed += 1
            (self._preferred if is_preferred else self._others).put(file_id, kept)
        kept.tree.reclaim()  # from a sample that was given up
        return Analysis(kept.tree, kept.scopes, self._symbols, calls=kept.calls)

    def _find(self, file_id: str) -> _Original | None:
        return self._preferred.get(file_id) or self._others.get(file_id)
