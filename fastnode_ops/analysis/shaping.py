"""What becomes of each node type of the parser: from its finished items to one of our nodes.

The tree is built bottom-up. The items of a node are its finished child nodes and tokens in source order, each with the
`role` that the grammar gives it. A shape returns a node, or a list of items that go to the node around it. Because the
parser repairs errors by leaving things out and putting wrong things in, shapes take nothing for granted: what lacks is
an empty `BadExpr`, what is too much stays a child.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fastnode_ops.analysis.kinds import EXPRESSIONS, KIND_OF, STATEMENTS
from fastnode_ops.analysis.nodes import Item, Node, Token, TokenKind

Items = list[Item]
Shape = Callable[[str, Items], "Node | Items"]


def nodes_of(items: Iterable[Item]) -> list[Node]:
    """Return the nodes among items."""
    return [item for item in items if type(item) is Node]


def is_token(item: Item, *texts: str) -> bool:
    """Say whether an item is a token with one of these texts."""
    return type(item) is Token and item.text in texts


def find_token(items: Items, *texts: str) -> Token | None:
    """Return the first token with one of these texts."""
    for item in items:
        if type(item) is Token and item.text in texts:
            return item
    return None


def empty_expression(position: int) -> Node:
    """Return the expression that stands where the text lacks one."""
    node = Node("BadExpr", (Token(TokenKind.BAD, "", position, position),), {})
    node.tokens = []
    return node


def is_operand(item: Item) -> bool:
    """Say whether an item can be an operand; statements and clauses cannot."""
    return type(item) is Node and (item.kind in EXPRESSIONS or item.kind == "DottedExpr")


def statements_of(items: Items, role: str) -> list[Node]:
    """Return the statements with a role."""
    return [item for item in items if type(item) is Node and item.role == role and item.kind in STATEMENTS]


def operand(items: Items, at: int = 0) -> Node:
    """Return the expression number `at` among items; an empty one is put at their end when there are fewer."""
    found = [item for item in items if is_operand(item)]
    if len(found) > at:
        return as_expression(items, found[at])  # type: ignore[arg-type]
    new = empty_expression(items[-1].end if items else 0)
    items.append(new)
    return new


def operand_after(items: Items, index: int) -> Node:
    """Return the first expression at or after an index; an empty one is put there when there is none before a colon."""
    for place in range(index, len(items)):
        if is_operand(items[place]):
            return as_expression(items, items[place])  # type: ignore[arg-type]
        if is_token(items[place], ":"):
            break
    new = empty_expression(items[index - 1].end if index else items[0].start)
    items.insert(index, new)
    return new


def as_expression(items: Items, node: Node) -> Node:
    """Turn a dotted name among items into the expression it reads as, in place."""
    if node.kind != "DottedExpr":
        return node
    parts = node.items()
    result = parts[0]
    for index in range(1, len(parts) - 1, 2):
        name = parts[index + 1]
        if type(result) is not Node or type(name) is not Node or not name.tokens:
            return node
        attribute = name.tokens[0]
        own: Items = [result, parts[index], attribute]
        result = Node("AttributeExpr", own, {"value": result, "dot": parts[index], "attribute": attribute})
    if type(result) is not Node:
        return node
    result.role = node.role
    items[items.index(node)] = result
    return result


def split_items(items: Items, separator: str) -> list[Items]:
    """Cut items into groups at the separator; the separators belong to no group."""
    groups: list[Items] = [[]]
    for item in items:
        if is_token(item, separator):
            groups.append([])
        else:
            groups[-1].append(item)
    return groups


def single(items: Items) -> Node:
    """Return the one expression that a non-empty group of items is; several become a `BadExpr`."""
    found = nodes_of(items)
    if len(found) == 1:
        return as_expression(items, found[0])
    if not found:
        return operand(items)
    bad = Node("BadExpr", items, {})
    items[:] = [bad]
    return bad


def widened(items: Items, node: Node) -> Node:
    """Return a node among items with the tokens around it as its own."""
    if len(items) == 1:
        return node
    at = items.index(node)
    return Node(node.kind, [*items[:at], *node.items(), *items[at + 1 :]], node.parts)


def wrap_groups(items: Items, wrap: Callable[[Items], Node]) -> Items:
    """Wrap what stands between commas; groups without nodes stay as they are."""
    result: Items = []
    group: Items = []
    for item in items:
        if is_token(item, ","):
            result += [wrap(group)] if any(type(member) is Node for member in group) else group
            result.append(item)
            group = []
        else:
            group.append(item)
    return result + ([wrap(group)] if any(type(member) is Node for member in group) else group)


def inside_brackets(items: Items, wrap: Callable[[Items], Node]) -> Items:
    """Wrap the groups between a pair of brackets at the ends of items, as far as the brackets are there."""
    first = 1 if items and is_token(items[0], "(", "[", "{") else 0
    last = len(items) - 1 if len(items) > first and is_token(items[-1], ")", "]", "}") else len(items)
    return [*items[:first], *wrap_groups(items[first:last], wrap), *items[last:]]


def splice(_: str, items: Items) -> Items:
    """Add no node."""
    return items


def unwrap_tuple(items: Items, node: Node) -> list[Node]:
    """Put the elements of a tuple without brackets in its place; return the elements, or the node itself."""
    if node.kind != "TupleExpr" or is_token(node.items()[0], "("):
        return [node]
    at = items.index(node)
    items[at : at + 1] = node.items()
    for child in node.children:
        child.role = node.role
    elements: list[Node] = node.parts["elements"]
    return elements


def bad_statements(items: Items) -> Items:
    """Make a `BadStmt` of each run of items that are no statements; what separates statements stays."""
    result: Items = []
    run: Items = []

    def finish() -> None:
        if run:
            result.append(Node("BadStmt", list(run), {}))
            run.clear()

    for item in items:
        if type(item) is Node and item.kind in STATEMENTS:
            finish()
            result.append(item)
        elif is_token(item, ";") and not run:
            result.append(item)
        else:
            run.append(item)
    finish()
    return result


def error(parent_type: str, items: Items) -> Node | Items:
    """Shape what the parser could not parse; it stands inside a node of the parent type."""
    found = nodes_of(items)
    if parent_type in ("module", "block", "ERROR") or any(node.kind in STATEMENTS for node in found):
        return bad_statements(items)
    if not found:
        return items
    if len(items) == 1:
        return items
    return Node("BadExpr", items, {})


def listing(part: str) -> Shape:
    """Return a shape with one part: the list of its nodes."""

    def shape(kind: str, items: Items) -> Node:
        for node in nodes_of(items):
            as_expression(items, node)
        return Node(KIND_OF[kind], items, {part: nodes_of(items)})

    return shape


def terminal(kind: str, items: Items) -> Node:
    """Shape a statement that is one keyword."""
    return Node(KIND_OF[kind], items, {}) if not nodes_of(items) else Node("BadStmt", items, {})
