"""The files that a model is validated on, parsed; both kinds of validation go through the same ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Protocol

from fastnode_ops.analysis.analysis import Analysis, analyse
from fastnode_ops.config import Split
from fastnode_ops.symbols.store import SymbolStore
from ops_common.errors import DataError

MAX_BUFFER_BYTES = 300_000


class Files(Protocol):
    """The part of `corpus.store.Corpus` that is needed here."""

    def files(self, split: Split) -> list[str]:
        """Return the ids of a split's files, sorted."""

    def source(self, file_id: str) -> bytes:
        """Return a file's content."""


def walk_files(
    files: Files, symbols: SymbolStore, split: Split, dropped: Counter[str]
) -> Iterator[tuple[str, Analysis]]:
    """Yield the id and the analysis of each file of a split, in the order of the ids.

    Args:
        files: Where the files are.
        symbols: What is a symbol.
        split: Which files.
        dropped: Counts the files that were left out, by reason.
    """
    for file_id in files.files(split):
        source = files.source(file_id)
        if len(source) > MAX_BUFFER_BYTES:
            dropped["file too large"] += 1
            continue
        try:
            analysis = analyse(source, symbols)
        except DataError:
            dropped["file cannot be parsed"] += 1
            continue
        yield file_id, analysis
