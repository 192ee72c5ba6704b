"""Shapes of imports; see `shaping.py`."""

from __future__ import annotations

from typing import Any

from fastnode_ops.analysis.nodes import Item, Node, Token
from fastnode_ops.analysis.shaping import Items, Shape, find_token, is_token, nodes_of


def _import(_: str, items: Items) -> Node:
    for at, item in enumerate(items):
        if type(item) is Node and item.kind == "DottedExpr":
            items[at] = Node("DottedAsName", [item], {"path": item, "alias": None})
    return Node("ImportNameStmt", items, {"names": [node for node in nodes_of(items) if node.kind == "DottedAsName"]})


def _aliased_import(_: str, items: Items) -> Node | Items:
    found = nodes_of(items)
    if not found or found[0].kind != "DottedExpr":
        return items
    return Node("DottedAsName", items, {"path": found[0], "alias": found[1] if len(found) > 1 else None})


def _dotted_name(_: str, items: Items) -> Node:
    return Node("DottedExpr", items, {"names": nodes_of(items)})


def _import_from(_: str, items: Items) -> Node:
    at = next((at for at, item in enumerate(items) if is_token(item, "import")), len(items))
    head, rest = items[:at], items[at:]
    packages = [node for node in nodes_of(head) if node.kind == "DottedExpr"]
    names = nodes_of(head)
    if not packages and names:  # `__future__`
        place = head.index(names[0])
        packages = [Node("DottedExpr", [names[0]], {"names": [names[0]]})]
        head[place] = packages[0]
    rest = [_import_as_name(item) for item in rest]
    parts: dict[str, Any] = {"level": sum(item.text.count(".") for item in head if type(item) is Token)}
    parts |= {"package": packages[0] if packages else None, "wildcard": find_token(rest, "*")}
    parts["names"] = [node for node in nodes_of(rest) if node.kind == "ImportAsName"]
    return Node("ImportFromStmt", [*head, *rest], parts)


def _import_as_name(item: Item) -> Item:
    if type(item) is not Node or item.kind not in ("DottedExpr", "DottedAsName"):
        return item
    path = item if item.kind == "DottedExpr" else item.parts["path"]
    if not path.parts["names"]:
        return item
    own = [*path.items(), *(part for part in item.items() if part is not path and item is not path)]
    return Node("ImportAsName", own, {"name": path.parts["names"][0], "alias": item.parts.get("alias")})


IMPORT_SHAPES: dict[str, Shape] = {
    "aliased_import": _aliased_import,
    "dotted_name": _dotted_name,
    "future_import_statement": _import_from,
    "import_from_statement": _import_from,
    "import_statement": _import,
}
