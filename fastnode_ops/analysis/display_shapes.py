"""Shapes of displays and comprehensions; see `shaping.py`."""

from __future__ import annotations

from fastnode_ops.analysis.expression_shapes import pattern_operand
from fastnode_ops.analysis.kinds import KIND_OF
from fastnode_ops.analysis.nodes import Item, Node, Token
from fastnode_ops.analysis.shaping import (
    Items,
    Shape,
    empty_expression,
    find_token,
    inside_brackets,
    is_token,
    listing,
    nodes_of,
    operand,
    operand_after,
    single,
    split_items,
    unwrap_tuple,
    widened,
)


def _pair(_: str, items: Items) -> Node:
    key = operand(items)
    colon = next((at for at, item in enumerate(items) if is_token(item, ":")), len(items) - 1)
    value = operand_after(items, colon + 1)
    return Node("KeyValuePair", items, {"key": key, "value": value, "star": ""})


def _entry(items: Items) -> Node:
    """Make an entry of what stands between two commas of a dictionary."""
    node = single(items)
    if node.kind == "KeyValuePair":
        return widened(items, node)
    if node.kind == "UnaryExpr" and node.parts["operator"].text == "**":
        at = items.index(node)
        items[at : at + 1] = node.items()
        return Node("KeyValuePair", items, {"key": None, "value": node.parts["value"], "star": "**"})
    colon = find_token(items, ":")
    if colon is not None:
        return _pair("pair", items)
    return Node("KeyValuePair", items, {"key": None, "value": node, "star": ""})


def _dict(_: str, items: Items) -> Node:
    items = inside_brackets(items, _dict_entry)
    return Node("DictExpr", items, {"entries": [node for node in nodes_of(items) if node.kind == "KeyValuePair"]})


def _dict_entry(items: Items) -> Node:
    colon = find_token(items, ":")
    if colon is None or len(nodes_of(items)) != 2:
        return _entry(items)
    key, value = (pattern_operand(group) if nodes_of(group) else None for group in split_items(items, ":"))
    if key is None or value is None:
        return _entry(items)
    return Node("KeyValuePair", items, {"key": key, "value": value, "star": ""})


def _for_in(_: str, items: Items) -> Node:
    is_async = is_token(items[0], "async")
    start = next((at for at, item in enumerate(items) if is_token(item, "for")), 0)
    inside = next((at for at, item in enumerate(items) if is_token(item, "in")), len(items))
    before, after = items[:inside], items[inside:]
    target = operand_after(before, start + 1)
    if not after:
        after = [empty_expression(before[-1].end)]
    iterable = operand(after)
    parts = {"targets": unwrap_tuple(before, target), "iterable": iterable, "conditions": [], "is_async": is_async}
    return Node("Generator", [*before, *after], parts)


def _comprehension(kind: str, items: Items) -> Node:
    element = next((node for node in nodes_of(items) if node.kind != "Generator"), None)
    if element is None:
        element = empty_expression(items[0].end)
        items.insert(1, element)
    grouped: Items = []
    for item in items:
        last = grouped[-1] if grouped else None
        if type(last) is Node and last.kind == "Generator" and not _ends_generator(item):
            _extend(last, item)
        else:
            grouped.append(item)
    generators = [node for node in nodes_of(grouped) if node.kind == "Generator"]
    return Node(KIND_OF[kind], grouped, {"element": element, "generators": generators})


def _ends_generator(item: Item) -> bool:
    return (is_token(item, ")", "]", "}") and not item.role) or (type(item) is Node and item.kind == "Generator")


def _extend(generator: Node, item: Item) -> None:
    """Add a part of an `if` clause to the generator before it."""
    generator.end = item.end
    if type(item) is Node:
        generator.children.append(item)
        generator.parts["conditions"].append(item)
    elif type(item) is Token:
        generator.tokens.append(item)


def _if_clause(_: str, items: Items) -> Items:
    for item in items:
        item.role = "guard"
    return items


DISPLAY_SHAPES: dict[str, Shape] = {
    "dict_pattern": _dict,
    "dictionary": _dict,
    "dictionary_comprehension": _comprehension,
    "expression_list": listing("elements"),
    "for_in_clause": _for_in,
    "generator_expression": _comprehension,
    "if_clause": _if_clause,
    "list": listing("elements"),
    "list_comprehension": _comprehension,
    "list_pattern": listing("elements"),
    "pair": _pair,
    "pattern_list": listing("elements"),
    "set": listing("elements"),
    "set_comprehension": _comprehension,
    "tuple": listing("elements"),
    "tuple_pattern": listing("elements"),
}
