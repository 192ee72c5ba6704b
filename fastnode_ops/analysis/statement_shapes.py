"""Shapes of statements and their clauses; see `shaping.py`."""

from __future__ import annotations

from typing import Any

from fastnode_ops.analysis.kinds import STATEMENTS
from fastnode_ops.analysis.nodes import Item, Node, Token
from fastnode_ops.analysis.parameter_shapes import parameter, parameter_parts
from fastnode_ops.analysis.shaping import (
    Items,
    Shape,
    as_expression,
    bad_statements,
    empty_expression,
    find_token,
    is_operand,
    is_token,
    listing,
    nodes_of,
    operand,
    operand_after,
    split_items,
    statements_of,
    terminal,
    unwrap_tuple,
)


def _module(_: str, items: Items) -> Node:
    items = bad_statements(items)
    return Node("Module", items, {"body": nodes_of(items)})


def _block(_: str, items: Items) -> Items:
    if not any(type(item) is Node and item.kind == "Branch" for item in items):  # the cases of a `match`
        items = bad_statements(items)
    for item in items:
        item.role = "body"
    return items


def _else(_: str, items: Items) -> Items:
    return _with_role(items, "else")


def _finally(_: str, items: Items) -> Items:
    return _with_role(items, "finally")


def _with_role(items: Items, role: str) -> Items:
    for item in items:
        item.role = role
    return items


def _branch(items: Items, **parts: Any) -> Node:
    condition = operand_after(items, 0)
    body = statements_of(items, "body")
    return Node("Branch", items, {"condition": condition, "guard": None, "body": body, "is_case": False, **parts})


def _if(_: str, items: Items) -> Node:
    end = next((at for at in range(1, len(items)) if _ends_branch(items[at])), len(items))
    items[1:end] = [_branch(items[1:end] or [empty_expression(items[0].end)])]
    branches = [node for node in nodes_of(items) if node.kind == "Branch"]
    return Node("IfStmt", items, {"branches": branches, "else_body": statements_of(items, "else"), "subject": None})


def _ends_branch(item: Item) -> bool:
    return item.role in ("alternative", "else")


def _elif(_: str, items: Items) -> Items:
    return [items[0], _branch(items[1:] or [empty_expression(items[0].end)])]


def _match(_: str, items: Items) -> Node:
    colon = next((at for at, item in enumerate(items) if is_token(item, ":")), len(items))
    subject = _tuple_of(items, 1, colon)
    branches = [node for node in nodes_of(items) if node.kind == "Branch"]
    return Node("IfStmt", items, {"branches": branches, "else_body": [], "subject": subject})


def _tuple_of(items: Items, start: int, end: int) -> Node:
    """Make one expression of the items of a range, in place."""
    own = items[start:end]
    found = nodes_of(own)
    for node in found:
        as_expression(own, node)
    if find_token(own, ",") is not None and found:
        own = [Node("TupleExpr", own, {"elements": nodes_of(own)})]
    items[start:end] = own
    return operand_after(items, start)


def _case(_: str, items: Items) -> Items:
    own = items[1:]
    colon = next((at for at, item in enumerate(own) if is_token(item, ":")), len(own))
    end = next((at for at, item in enumerate(own) if item.role == "guard"), colon)
    guards = [node for node in nodes_of(own) if node.role == "guard"]
    if not own:
        return items
    _tuple_of(own, 0, min(end, colon))
    return [items[0], _branch(own, guard=guards[0] if guards else None, is_case=True)]


def _for(_: str, items: Items) -> Node:
    start = next((at for at, item in enumerate(items) if is_token(item, "for")), 0)
    inside = next((at for at, item in enumerate(items) if is_token(item, "in")), None)
    if inside is None:
        target = operand_after(items, start + 1)
        iterable = operand_after(items, items.index(target) + 1)
    else:
        before = items[:inside]
        target = operand_after(before, start + 1)
        items[:inside] = before
        iterable = operand_after(items, len(before) + 1)
    targets = unwrap_tuple(items, target)
    parts = {"targets": targets, "iterable": iterable, "body": statements_of(items, "body")}
    parts |= {"else_body": statements_of(items, "else"), "is_async": is_token(items[0], "async")}
    return Node("ForStmt", items, parts)


def _while(_: str, items: Items) -> Node:
    condition = operand_after(items, 1)
    parts = {"condition": condition, "body": statements_of(items, "body")}
    return Node("WhileStmt", items, {**parts, "else_body": statements_of(items, "else")})


def _try(_: str, items: Items) -> Node:
    handlers = [node for node in nodes_of(items) if node.kind == "ExceptClause"]
    parts = {"body": statements_of(items, "body"), "handlers": handlers}
    parts |= {"else_body": statements_of(items, "else"), "finally_body": statements_of(items, "finally")}
    return Node("TryStmt", items, parts)


def _except(_: str, items: Items) -> Node:
    colon = next((at for at, item in enumerate(items) if is_token(item, ":")), len(items))
    head, rest = items[:colon], items[colon:]
    is_group = find_token(head, "*") is not None
    for node in nodes_of(head):
        if _is_as(node):
            at = head.index(node)
            head[at : at + 1] = node.items()
    found = [node for node in nodes_of(head) if is_operand(node)]
    type_, target = (*found, None, None)[:2]
    parts = {"type": type_, "target": target, "body": statements_of(rest, "body"), "is_group": is_group}
    return Node("ExceptClause", [*head, *rest], parts)


def _is_as(node: Node) -> bool:
    return node.kind == "BinaryExpr" and node.parts["operator"].text == "as"


def _with_item(_: str, items: Items) -> Items:
    return _with_items(items)


def _with_items(items: Items) -> Items:
    """Make an item of a `with` of its one expression; a tuple in brackets has one item per element."""
    result: Items = []
    for item in items:
        if type(item) is not Node or not is_operand(item):
            result.append(item)
        elif item.kind == "TupleExpr" and is_token(item.items()[0], "("):
            result += [_with_item_of(part) if type(part) is Node else part for part in item.items()]
        else:
            result.append(_with_item_of(item))
    return result


def _with_item_of(node: Node) -> Node:
    if _is_as(node):
        return Node("WithItem", node.items(), {"value": node.parts["left"], "target": node.parts["right"]})
    return Node("WithItem", [node], {"value": node, "target": None})


def _with(_: str, items: Items) -> Node:
    found = [node for node in nodes_of(items) if node.kind == "WithItem"]
    parts = {"items": found, "body": statements_of(items, "body"), "is_async": is_token(items[0], "async")}
    return Node("WithStmt", items, parts)


def _decorator(_: str, items: Items) -> Items:
    for node in nodes_of(items):
        as_expression(items, node).role = "decorator"
    return items


def _decorated(_: str, items: Items) -> Node | Items:
    definition = items[-1]
    if type(definition) is not Node or definition.kind not in ("ClassDefStmt", "FunctionDefStmt"):
        return bad_statements(items)
    decorators = [node for node in nodes_of(items[:-1]) if node.role == "decorator"]
    return Node(definition.kind, [*items[:-1], *definition.items()], definition.parts | {"decorators": decorators})


def _type_parameters(items: Items) -> list[Node]:
    """Wrap the type parameters of a definition, in place."""
    result: list[Node] = []
    for at, item in enumerate(items):
        if type(item) is Node and item.role == "type_parameters":
            node = parameter([item])
            items[at] = node
            result.append(node)
    return result


def _name(items: Items) -> Node:
    """Return the name of a definition."""
    return operand_after(items, 1 + next((at for at, item in enumerate(items) if is_token(item, "def", "class")), -1))


def _class(_: str, items: Items) -> Node:
    name = _name(items)
    parts = {"decorators": [], "name": name, "type_parameters": _type_parameters(items)}
    arguments = [node for node in nodes_of(items) if node.kind == "Argument"]
    return Node("ClassDefStmt", items, parts | {"arguments": arguments, "body": statements_of(items, "body")})


def _function(_: str, items: Items) -> Node:
    name = _name(items)
    parts = {"decorators": [], "name": name, "type_parameters": _type_parameters(items), **parameter_parts(items)}
    arrow = next((at for at, item in enumerate(items) if is_token(item, "->")), None)
    parts["returns"] = None if arrow is None else operand_after(items, arrow + 1)
    parts |= {"body": statements_of(items, "body"), "is_async": is_token(items[0], "async")}
    return Node("FunctionDefStmt", items, parts)


def _expression_statement(_: str, items: Items) -> Node | Items:
    found = nodes_of(items)
    if len(found) == 1 and found[0].kind in STATEMENTS:
        return found[0] if len(items) == 1 else bad_statements(items)
    if len(found) == 1 and found[0].kind == "YieldExpr" and len(items) == 1:
        found[0].kind = "YieldStmt"
        return found[0]
    if find_token(items, ",") is not None and all(is_operand(node) for node in found) and found:
        items = [Node("TupleExpr", items, {"elements": found})]
        found = nodes_of(items)
    if len(found) != 1 or not is_operand(found[0]):
        return Node("BadStmt", items, {})
    return Node("ExprStmt", items, {"value": as_expression(items, found[0])})


def _assignment(_: str, items: Items) -> Node:
    left = operand(items)
    inner = items[-1]
    colon = next((at for at, item in enumerate(items) if is_token(item, ":") and not item.role), None)
    annotation = None if colon is None else operand_after(items, colon + 1)
    equals = next((at for at, item in enumerate(items) if is_token(item, "=")), None)
    if equals is None:
        if annotation is None:
            return Node("BadStmt", items, {})
        return Node("AnnotationStmt", items, {"target": left, "annotation": annotation})
    parts = {"targets": [left], "annotation": annotation}
    if type(inner) is Node and inner.kind == "AssignStmt":
        items[-1:] = inner.items()
        parts["targets"] = [left, *inner.parts["targets"]]
        return Node("AssignStmt", items, parts | {"value": inner.parts["value"]})
    if type(inner) is Node and inner.kind in STATEMENTS:
        return Node("BadStmt", items, {})
    return Node("AssignStmt", items, parts | {"value": operand_after(items, equals + 1)})


def _augmented(_: str, items: Items) -> Node:
    target = operand(items)
    at = items.index(target) + 1
    operator = next((item for item in items[at:] if type(item) is Token and item.text.endswith("=")), None)
    if operator is None:
        return Node("BadStmt", items, {})
    value = operand_after(items, items.index(operator) + 1)
    return Node("AugAssignStmt", items, {"target": target, "operator": operator, "value": value})


def _type_alias(_: str, items: Items) -> Node:
    left = operand_after(items, 1)
    equals = next((at for at, item in enumerate(items) if is_token(item, "=")), len(items) - 1)
    value = operand_after(items, equals + 1)
    target = left.parts["value"] if left.kind == "IndexExpr" else left
    return Node("AssignStmt", items, {"targets": [target], "annotation": None, "value": value})


def _return(_: str, items: Items) -> Node:
    found = nodes_of(items)
    return Node("ReturnStmt", items, {"value": found[0] if found else None})


def _raise(_: str, items: Items) -> Node:
    before, *after = split_items(items, "from")
    found, causes = nodes_of(before), nodes_of(after[0]) if after else []
    parts = {"exception": found[0] if found else None, "cause": causes[0] if causes else None}
    return Node("RaiseStmt", items, parts)


def _assert(_: str, items: Items) -> Node:
    condition = operand(items)
    found = [node for node in nodes_of(items) if is_operand(node)]
    return Node("AssertStmt", items, {"condition": condition, "message": found[1] if len(found) > 1 else None})


def _del(_: str, items: Items) -> Node:
    return Node("DelStmt", items, {"targets": unwrap_tuple(items, operand(items))})


def _chevron(_: str, items: Items) -> Items:
    return _with_role(items, "chevron")


def _print(_: str, items: Items) -> Node:
    found = nodes_of(items)
    destinations = [node for node in found if node.role == "chevron"]
    parts = {"destination": destinations[0] if destinations else None}
    return Node("PrintStmt", items, parts | {"values": [node for node in found if node.role != "chevron"]})


STATEMENT_SHAPES: dict[str, Shape] = {
    "assert_statement": _assert,
    "assignment": _assignment,
    "augmented_assignment": _augmented,
    "block": _block,
    "break_statement": terminal,
    "case_clause": _case,
    "chevron": _chevron,
    "class_definition": _class,
    "continue_statement": terminal,
    "decorated_definition": _decorated,
    "decorator": _decorator,
    "delete_statement": _del,
    "elif_clause": _elif,
    "else_clause": _else,
    "except_clause": _except,
    "exec_statement": listing("values"),
    "expression_statement": _expression_statement,
    "finally_clause": _finally,
    "for_statement": _for,
    "function_definition": _function,
    "global_statement": listing("names"),
    "if_statement": _if,
    "match_statement": _match,
    "module": _module,
    "nonlocal_statement": listing("names"),
    "pass_statement": terminal,
    "print_statement": _print,
    "raise_statement": _raise,
    "return_statement": _return,
    "try_statement": _try,
    "type_alias_statement": _type_alias,
    "while_statement": _while,
    "with_item": _with_item,
    "with_statement": _with,
}
