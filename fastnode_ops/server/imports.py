"""What a file imports from elsewhere (specification 5.2.2, `/symbol/imports`)."""

from __future__ import annotations

from fastnode_ops.analysis.nodes import Node, Tree
from fastnode_ops.symbols.store import SymbolStore


def imports_of(tree: Tree, symbols: SymbolStore) -> list[str]:
    """Return the symbols that a file's absolute imports name, sorted, each once; unknown ones are left out."""
    names = {name for node in tree.nodes for name in _names(node, tree)}
    return sorted(name for name in names if symbols.find(name) is not None)


def _names(node: Node, tree: Tree) -> list[str]:
    if node.kind == "ImportNameStmt":
        return [_text(name.parts["path"], tree) for name in node.parts["names"]]
    if node.kind == "ImportFromStmt" and not node.parts["level"] and node.parts["package"] is not None:
        package = _text(node.parts["package"], tree)
        return [package, *(f"{package}.{_text(name.parts['name'], tree)}" for name in node.parts["names"])]
    return []


def _text(name: Node, tree: Tree) -> str:
    return "".join(tree.text(name).split())  # also `os . path`
