"""How often each symbol stands in one file, in which contexts (specification 3.3), and which samples it can give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from fastnode_ops.analysis.analysis import Analysis
from fastnode_ops.analysis.nodes import Node, is_expression
from fastnode_ops.analysis.sites import NO_SITE, Site, is_variable_base, sites_of_call
from fastnode_ops.analysis.symbols_at import Occurrence, members_at, symbols_at

CONTEXTS = ("import", "attribute", "name", "call_func", "expr")
"""What is counted; the context "all" is their sum."""

_IMPORTS = frozenset(("ImportNameStmt", "ImportFromStmt"))


@dataclass(slots=True)
class Hits:
    """Counts of one file by symbol and context, under the path as written and under the canonical path.

    Attributes:
        written_sites, canonical_sites: Which kinds of places there are of a symbol; only of those that have any.
    """

    written: Counter[tuple[str, str]] = field(default_factory=Counter)
    canonical: Counter[tuple[str, str]] = field(default_factory=Counter)
    written_sites: dict[str, Site] = field(default_factory=dict)
    canonical_sites: dict[str, Site] = field(default_factory=dict)

    def add(self, occurrences: Collection[Occurrence], contexts: Sequence[str], site: Site = NO_SITE) -> None:
        """Count what stands at one node: every path once."""
        for found, counts, sites in (
            ({occurrence.path for occurrence in occurrences}, self.written, self.written_sites),
            ({occurrence.canonical for occurrence in occurrences}, self.canonical, self.canonical_sites),
        ):
            for path in found:
                for context in contexts:
                    counts[path, context] += 1
                if site:
                    sites[path] = sites.get(path, NO_SITE) | site


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
            if is_expression(function) and (called := symbols_at(analysis, function)):
                hits.add(called, ("call_func",), sites_of_call(analysis, node))
            hits.add(symbols_at(analysis, node), ("expr",))
        elif node.kind == "NameExpr":
            is_base = is_variable_base(analysis, node)
            hits.add(symbols_at(analysis, node), ("name", "expr"), Site.BASE if is_base else NO_SITE)
        elif node.kind == "AttributeExpr":
            is_member = bool(members_at(analysis, node))
            hits.add(symbols_at(analysis, node), ("attribute", "expr"), Site.MEMBER if is_member else NO_SITE)
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
