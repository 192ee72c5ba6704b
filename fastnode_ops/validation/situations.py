"""Where the model is validated: attribute expressions of files that it did not learn from (specification 14.1).

Which expressions of a file are taken follows from its content alone, so every model is held against the same places.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fastnode_ops.analysis.analysis import Analysis
from fastnode_ops.analysis.nodes import Node
from fastnode_ops.config import Split
from fastnode_ops.symbols.store import SymbolStore
from fastnode_ops.validation.held_out import Files, walk_files
from fastnode_ops.validation.popularity import base_symbols
from fastnode_ops.validation.providers import Question

MAX_PER_FILE = 5
MAX_TRIED_PER_FILE = 50

_NO_SYMBOL = "base is no symbol from outside of the file"
_NO_MEMBERS = "base has no members, as None has none"


@dataclass(frozen=True, slots=True)
class Situation:
    """An attribute that was really written.

    Args:
        file_id: The file that it is from.
        question: The whole file, and the byte after the dot; nothing is typed behind it.
        symbol: Symbol of the base: that of its first value that is not of this file and has members.
        expected: The identifier that stands there.
        parent_kind: Kind of the syntax node around the attribute expression, e.g. "CallExpr".
    """

    file_id: str
    question: Question
    symbol: str
    expected: str
    parent_kind: str


def walk_situations(
    corpus: Files, symbols: SymbolStore, split: Split, dropped: Counter[str], max_per_file: int = MAX_PER_FILE
) -> Iterator[Situation]:
    """Yield the situations of a split, file by file in the order of their ids.

    Args:
        corpus: Where the files are.
        symbols: What is a symbol.
        split: Which files.
        dropped: Counts what was left out, by reason.
        max_per_file: At most this many of a file.
    """
    for file_id, analysis in walk_files(corpus, symbols, split, dropped):
        yield from situations_of(file_id, analysis, dropped, max_per_file)


def situations_of(
    file_id: str, analysis: Analysis, dropped: Counter[str], max_per_file: int = MAX_PER_FILE
) -> list[Situation]:
    """Choose situations of one file: the first of a permutation of its attribute expressions that can be used."""
    found: list[Situation] = []
    nodes = [node for node in analysis.tree.nodes if node.kind == "AttributeExpr"]
    for node in permuted(nodes, analysis.source)[:MAX_TRIED_PER_FILE]:
        if len(found) == max_per_file:
            break
        expected = node.parts["attribute"].text
        if not expected:
            dropped["no identifier behind the dot"] += 1
            continue
        bases = base_symbols(analysis.symbols_of(node.parts["value"]))
        with_members = [base for base in bases if has_members(analysis.symbols, base)]
        if not with_members:
            dropped[_NO_MEMBERS if bases else _NO_SYMBOL] += 1
            continue
        question = Question(analysis.source, node.parts["dot"].end)
        parent = "" if node.parent is None else node.parent.kind
        found.append(Situation(file_id, question, with_members[0], expected, parent))
    return found


def has_members(symbols: SymbolStore, path: str) -> bool:
    """Say whether something can be completed behind a symbol; names with two underscores do not count."""
    return any(not name.startswith("__") for name in symbols.children(path))


def permuted(nodes: Iterable[Node], source: bytes) -> list[Node]:
    """Return syntax nodes in an order that is random, but the same for the same source."""
    seed = hashlib.sha256(source).digest()
    keys = [(hashlib.sha256(seed + index.to_bytes(8, "big")).digest(), node) for index, node in enumerate(nodes)]
    return [node for _, node in sorted(keys, key=lambda pair: pair[0])]


def situations_digest(situations: Iterable[Situation]) -> str:
    """Return the SHA-256 of what was asked: two reports with the same digest are about the same places."""
    digest = hashlib.sha256()
    for one in situations:
        digest.update(f"{one.file_id} {one.question.cursor} {one.symbol} {one.expected}\n".encode())
    return digest.hexdigest()
