"""How often each symbol stands in one file, and in which contexts (specification 3.3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from fastnode_ops.analysis.analysis import Analysis
from fastnode_ops.analysis.nodes import Node, is_expression
from fastnode_ops.analysis.symbols_at import Occurrence, symbols_at

CONTEXTS = ("import", "attribute", "name", "call_func", "expr")
"""What is counted; the context "all" is their sum."""

_IMPORTS = frozenset(("ImportNameStmt", "ImportFromStmt"))


@dataclass(slots=True)
class Hits:
    """Counts of one file by symbol and context, under the path as written and under the canonical path."""

    written: Counter[tuple[str, str]] = field(default_factory=Counter)
    canonical: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, occurrences: Iterable[Occurrence], contexts: Sequence[str]) -> None:
        """Count what stands at one node: every path once."""
        for found, counts in (
            ({occurrence.path for occurrence in occurrences}, self.written),
            ({occurrence.canonical for occurrence in occurrences}, self.canonical),
        ):
            for path in found:
                for context in contexts:
                    counts[path, context] += 1


def find_hits(analysis: Analysis) -> Hits:
    """Return the hits of a file."""
    hits = Hits()
    stack = [analysis.tree.root]
    while stack:
        node = stack.pop()
        if node.kind in _IMPORTS:
            _add_import(analysis, node, hits)
            continue
        if node.kind == "CallExpr":
            function = node.parts["function"]
            hits.add(symbols_at(analysis, function) if is_expression(function) else (), ("call_func",))
            hits.add(symbols_at(analysis, node), ("expr",))
        elif node.kind == "NameExpr":
            hits.add(symbols_at(analysis, node), ("name", "expr"))
        elif node.kind == "AttributeExpr":
            hits.add(symbols_at(analysis, node), ("attribute", "expr"))
        elif is_expression(node):
            hits.add(symbols_at(analysis, node), ("expr",))
        stack.extend(node.children)
    return hits


def _add_import(analysis: Analysis, statement: Node, hits: Hits) -> None:
    """Count the modules that are named and what is taken from them. Relative imports name nothing that is known."""
    if statement.kind == "ImportNameStmt":
        for entry in statement.parts["names"]:
            hits.add(_imported(analysis, _dotted(entry.parts["path"])), ("import",))
    elif not statement.parts["level"] and statement.parts["package"] is not None:
        package = _dotted(statement.parts["package"])
        hits.add(_imported(analysis, package), ("import",))
        for entry in statement.parts["names"]:
            hits.add(_imported(analysis, f"{package}.{entry.parts['name'].text}"), ("import",))


def _dotted(path: Node) -> str:
    return ".".join(name.text for name in path.parts["names"])


def _imported(analysis: Analysis, path: str) -> list[Occurrence]:
    symbol = analysis.symbols.find(path) if path else None
    if symbol is None or symbol.path != path:  # the bare name of a builtin is no module
        return []
    return [Occurrence(symbol.path, symbol.canonical)]
