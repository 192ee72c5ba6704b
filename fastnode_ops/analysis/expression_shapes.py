"""Shapes of expressions, arguments and patterns; see `shaping.py`."""

from __future__ import annotations

from fastnode_ops.analysis.kinds import KIND_OF
from fastnode_ops.analysis.nodes import Item, Node, Token, TokenKind
from fastnode_ops.analysis.shaping import (
    Items,
    Shape,
    empty_expression,
    find_token,
    inside_brackets,
    is_operand,
    is_token,
    nodes_of,
    operand,
    operand_after,
    single,
    splice,
    split_items,
    widened,
)


def _attribute(_: str, items: Items) -> Node | Items:
    dot = find_token(items, ".")
    if dot is None or (not is_operand(items[0]) and len(items) < 3):
        return items
    name = items[-1]
    if type(name) is Node and name.kind == "NameExpr" and len(name.tokens) == 1:  # a type's member
        name = items[-1] = name.tokens[0]
    if type(name) is not Token or name.kind is not TokenKind.IDENT:
        name = Token(TokenKind.IDENT, "", items[-1].end, items[-1].end)
        items.append(name)
    return Node("AttributeExpr", items, {"value": operand(items), "dot": dot, "attribute": name})


def _call(_: str, items: Items) -> Node:
    function = operand(items)
    last = items[-1]
    if type(last) is Node and last.kind == "ComprehensionExpr" and last is not function:
        items[-1:] = _bare_generator(last)
    brackets = [item for item in items if item.role == "arguments" and type(item) is Token]
    left = find_token(list(brackets), "(")
    right = brackets[-1] if brackets and brackets[-1].text == ")" else None
    if left is None:
        return Node("BadExpr", items, {})
    arguments = [node for node in nodes_of(items) if node.kind == "Argument"]
    parts = {"function": function, "arguments": arguments, "left_paren": left, "right_paren": right}
    return Node("CallExpr", items, parts)


def _bare_generator(generator: Node) -> Items:
    """Give the brackets of a generator that is the only argument to the call."""
    inner = generator.items()
    left = [inner.pop(0)] if is_token(inner[0], "(") else []
    right = [inner.pop()] if len(inner) > 1 and is_token(inner[-1], ")") else []
    bare = Node(generator.kind, inner, generator.parts)
    items: Items = [*left, Node("Argument", [bare], {"name": None, "value": bare, "star": ""}), *right]
    for item in items:
        item.role = "arguments"
    return items


def argument(items: Items) -> Node:
    """Make an argument of what stands between two commas of a call."""
    node = single(items)
    if node.kind == "Argument":
        return widened(items, node)
    if node.kind == "UnaryExpr" and node.parts["operator"].text in ("*", "**"):
        at = items.index(node)
        items[at : at + 1] = node.items()
        return Node(
            "Argument", items, {"name": None, "value": node.parts["value"], "star": node.parts["operator"].text}
        )
    return Node("Argument", items, {"name": None, "value": node, "star": ""})


def _keyword_argument(_: str, items: Items) -> Node:
    name = items[0]
    equals = next((at for at, item in enumerate(items) if is_token(item, "=")), 0)
    value = operand_after(items, equals + 1)
    if type(name) is not Node or name.kind != "NameExpr":
        return Node("Argument", items, {"name": None, "value": value, "star": ""})
    return Node("Argument", items, {"name": name, "value": value, "star": ""})


def _arguments(_: str, items: Items) -> Items:
    return inside_brackets(items, argument)


def _class_pattern(_: str, items: Items) -> Node:
    operand(items)
    for item in items[1:]:
        item.role = "arguments"
    items[1:] = inside_brackets(items[1:], argument)
    for item in items[1:]:
        item.role = "arguments"
    return _call("call", items)


def _subscript(items: Items) -> Node:
    node = single(items)
    if node.kind == "SliceSubscript":
        return widened(items, node)
    return Node("IndexSubscript", items, {"value": node})


def _index(_: str, items: Items) -> Node:
    value = operand(items)
    after = items.index(value) + 1
    left = next((at for at in range(after, len(items)) if is_token(items[at], "[")), len(items))
    items[left:] = inside_brackets(items[left:], _subscript)
    subscripts = [node for node in nodes_of(items) if node.kind in ("IndexSubscript", "SliceSubscript")]
    return Node("IndexExpr", items, {"value": value, "subscripts": subscripts})


def _slice(_: str, items: Items) -> Node:
    groups = [single(group) if nodes_of(group) else None for group in split_items(items, ":")]
    lower, upper, step = [*groups, None, None, None][:3]
    return Node("SliceSubscript", items, {"lower": lower, "upper": upper, "step": step})


_OPERATOR_WORDS = "+ - * ** / // % @ & | ^ << >> < > <= >= == != <> in is and or := as"
_OPERATORS = frozenset([*_OPERATOR_WORDS.split(), "not in", "is not"])


def _is_operator(item: Item) -> bool:
    return type(item) is Token and item.text in _OPERATORS


def _binary(_: str, items: Items) -> Node:
    """Shape operands with operators between them; a chain nests to the left."""
    operands: list[Items] = [[]]
    operators: Items = []
    has_node = False
    for item in items:
        if has_node and _is_operator(item):
            operators.append(item)
            operands.append([])
            has_node = False
        else:
            operands[-1].append(item)
            has_node = has_node or type(item) is Node
    if not operators:
        return Node("BadExpr", items, {})
    left = operands[0]
    for operator, right in zip(operators, operands[1:]):
        right = right or [empty_expression(operator.end)]
        parts = {"left": pattern_operand(left), "operator": operator, "right": pattern_operand(right)}
        node = Node("BinaryExpr", [*left, operator, *right], parts)
        left = [node]
    return node


def pattern_operand(items: Items) -> Node:
    """Return the operand that items are; a signed number of a pattern is not yet a node."""
    if len(items) == 2 and is_token(items[0], "-", "+"):
        value = single(items[1:])
        items[:] = [Node("UnaryExpr", list(items), {"operator": items[0], "value": value})]
    return single(items)


def _case_pattern(_: str, items: Items) -> Items:
    if nodes_of(items):
        pattern_operand(items)
    return items


def _unary(kind: str, items: Items) -> Node:
    if type(items[0]) is not Token:
        return Node("BadExpr", items, {})
    return Node(KIND_OF.get(kind, "UnaryExpr"), items, {"operator": items[0], "value": operand(items)})


def _await(_: str, items: Items) -> Node:
    return Node("AwaitExpr", items, {"value": operand(items)})


def _yield(_: str, items: Items) -> Node:
    found = nodes_of(items)
    is_from = find_token(items, "from") is not None
    return Node("YieldExpr", items, {"value": found[0] if found else None, "is_from": is_from})


def _conditional(_: str, items: Items) -> Node:
    parts = {name: operand(items, at) for at, name in enumerate(("body", "condition", "else_value"))}
    return Node("IfExpr", items, parts)


def _string(_: str, items: Items) -> Node:
    """Shape a string, an f-string or several side by side; the pieces between expressions are one token each."""
    expressions = [node for node in nodes_of(items) if node.kind != "StringExpr" or node.role == "expression"]
    flat: Items = []
    for item in items:
        if type(item) is Node and item.kind == "StringExpr" and item.role != "expression":
            flat += item.items()
            expressions += item.children
        else:
            flat.append(item)
    expressions.sort(key=lambda node: node.start)
    return Node("StringExpr", _joined(flat), {"expressions": expressions})


JOINED = "joined"
"""The role of a token that has become part of the one before it."""


def _joined(items: Items) -> Items:
    """Make one token of string pieces without a gap between them."""
    result: Items = []
    for item in items:
        last = result[-1] if result else item
        if _is_piece(item) and _is_piece(last) and last.end == item.start:
            last.text += item.text
            last.end = item.end
            item.role = JOINED
        else:
            result.append(item)
    return result


def _is_piece(item: Item) -> bool:
    return type(item) is Token and item.kind is TokenKind.STRING


EXPRESSION_SHAPES: dict[str, Shape] = {
    "argument_list": _arguments,
    "as_pattern": _binary,
    "attribute": _attribute,
    "await": _await,
    "binary_operator": _binary,
    "boolean_operator": _binary,
    "call": _call,
    "case_pattern": _case_pattern,
    "class_pattern": _class_pattern,
    "comparison_operator": _binary,
    "complex_pattern": _binary,
    "conditional_expression": _conditional,
    "dictionary_splat": _unary,
    "dictionary_splat_pattern": _unary,
    "generic_type": _index,
    "keyword_argument": _keyword_argument,
    "keyword_pattern": _keyword_argument,
    "list_splat": _unary,
    "list_splat_pattern": _unary,
    "member_type": _attribute,
    "named_expression": _binary,
    "not_operator": _unary,
    "parenthesized_expression": splice,
    "slice": _slice,
    "splat_pattern": _unary,
    "splat_type": _unary,
    "string": _string,
    "concatenated_string": _string,
    "subscript": _index,
    "unary_operator": _unary,
    "union_pattern": _binary,
    "union_type": _binary,
    "yield": _yield,
}
