"""Which reference of a variable may be touched next (specification 6.7, with D17 repaired).

The rules work on statements. Only statements with a reference matter, so the cost depends on the number of references
and on how deep they lie, not on the size of the file. Recursion goes along the nesting of statements, which is at most
`syntax.MAX_DEPTH`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from fastnode_ops.analysis.nodes import Node, Tree

Names = list[Node]


class _Flow:
    """The flow of one variable.

    Args:
        references: Its references, in the order of evaluation.
        root: The node that all of them are below.
    """

    def __init__(self, references: Collection[Node], root: Node) -> None:
        self.edges: set[tuple[int, int]] = set()
        self._order = {node: number for number, node in enumerate(references)}
        self._below: dict[Node, Names] = {}  # the references in each node that has some
        self._children: dict[Node | None, list[Node]] = {}  # the children that have some, in source order
        for reference in references:
            node: Node | None = reference
            while node is not root.parent and node is not None:
                if node not in self._below:
                    self._below[node] = []
                    self._children.setdefault(node.parent, []).append(node)
                self._below[node].append(reference)
                node = node.parent
        for children in self._children.values():
            children.sort(key=_index)

    def names(self, *nodes: Node | None) -> Names:
        """Return the references in nodes, in the order of evaluation."""
        found = [name for node in nodes if node is not None for name in self._below.get(node, ())]
        return sorted(set(found), key=self._order.__getitem__) if len(nodes) > 1 else found

    def add(self, sources: Iterable[Node], targets: Names) -> None:
        """Let all sources flow to all targets."""
        for source in sources:
            for target in targets:
                self.edges.add((self._order[source], self._order[target]))

    # what may be touched first and last in a statement, and whether nothing gets past it

    def entry(self, statement: Node) -> Names:
        """Return the references that may be touched first in a statement."""
        rule = _ENTRIES.get(statement.kind)
        return self.names(statement) if rule is None else rule(self, statement)

    def exit(self, statement: Node) -> Names:
        """Return the references that may be touched last in a statement."""
        rule = _EXITS.get(statement.kind)
        return self.names(statement) if rule is None else rule(self, statement)

    def blocks(self, statement: Node) -> bool:
        """Say whether the variable is certainly touched in a statement that has references."""
        parts = statement.parts
        match statement.kind:
            case "IfStmt":
                first = [parts["subject"]] if parts["subject"] else [b.parts["condition"] for b in parts["branches"]]
                return bool(first and self.names(first[0]))
            case "ForStmt":
                return bool(self.names(parts["iterable"]))
            case "WhileStmt":
                return bool(self.names(parts["condition"]))
            case "WithStmt":
                return bool(parts["items"] and self.names(parts["items"][0].parts["value"]))
            case "ClassDefStmt" | "FunctionDefStmt" | "TryStmt":
                return False
        return True

    def first_of(self, body: list[Node]) -> Names:
        """Return E of a suite: that of the first statement with an entry."""
        for statement in self._touched(body):
            if entry := self.entry(statement):
                return entry
        return []

    def last_of(self, body: list[Node]) -> Names:
        """Return X of a suite: that of the last statement with an exit."""
        for statement in reversed(self._touched(body)):
            if exits := self.exit(statement):
                return exits
        return []

    def _touched(self, body: list[Node]) -> list[Node]:
        """Return the statements of a suite that have references."""
        if not body:
            return []
        first, last = body[0].index, body[-1].index
        return [child for child in self._children.get(body[0].parent, ()) if first <= child.index <= last]

    # flow inside of statements

    def suite(self, body: list[Node]) -> None:
        """Add the flow along and inside the statements of a suite."""
        last: dict[Node, None] = {}
        for statement in self._touched(body):
            self.add(last, self.entry(statement))
            rule = _INSIDE.get(statement.kind)
            if rule is not None:
                rule(self, statement)
            exits = dict.fromkeys(self.exit(statement))
            last = exits if self.blocks(statement) else last | exits


def _index(node: Node) -> int:
    return node.index


def _value(statement: Node) -> Node:
    value: Node = statement.parts["value"]
    return value


def _targets(flow: _Flow, statement: Node) -> Names:
    parts = statement.parts
    return flow.names(*parts["targets"]) if "targets" in parts else flow.names(parts["target"])


def _assignment_entry(flow: _Flow, statement: Node) -> Names:
    return flow.names(_value(statement)) or _targets(flow, statement) or flow.names(statement)


def _assignment_exit(flow: _Flow, statement: Node) -> Names:
    return _targets(flow, statement) or flow.names(_value(statement)) or flow.names(statement)


def _assignment(flow: _Flow, statement: Node) -> None:
    first, last = _assignment_entry(flow, statement), _assignment_exit(flow, statement)
    if first != last:
        flow.add(first, last)


def _conditions(flow: _Flow, statement: Node) -> list[tuple[Names, list[Node]]]:
    """Return the names in the condition and the body of each branch; the subject of a `match` is a first condition."""
    parts = statement.parts
    first: list[tuple[Names, list[Node]]] = []
    if parts["subject"] is not None:
        first.append((flow.names(parts["subject"]), []))
    branches = [branch.parts for branch in parts["branches"]]
    return [*first, *((flow.names(branch["condition"], branch["guard"]), branch["body"]) for branch in branches)]


def _if_entry(flow: _Flow, statement: Node) -> Names:
    entry: Names = []
    for condition, body in _conditions(flow, statement):
        if condition:
            return entry + condition
        entry += flow.first_of(body)
    return entry + flow.first_of(statement.parts["else_body"])


def _if_exit(flow: _Flow, statement: Node) -> Names:
    branches = _conditions(flow, statement)
    exits = [name for condition, _ in branches for name in condition]
    exits += [name for _, body in branches for name in flow.last_of(body)]
    return exits + flow.last_of(statement.parts["else_body"])


def _if(flow: _Flow, statement: Node) -> None:
    latest: Names = []
    for condition, body in _conditions(flow, statement):
        if condition:
            flow.add(latest, condition)
            latest = condition
        flow.add(latest, flow.first_of(body))
        flow.suite(body)
    else_body = statement.parts["else_body"]
    flow.add(latest, flow.first_of(else_body))
    flow.suite(else_body)


def _loop_head(flow: _Flow, statement: Node) -> tuple[Names, Names]:
    """Return the names in the iterable or condition, and in the targets."""
    if statement.kind == "WhileStmt":
        return flow.names(statement.parts["condition"]), []
    return flow.names(statement.parts["iterable"]), _targets(flow, statement)


def _loop_entry(flow: _Flow, statement: Node) -> Names:
    head, targets = _loop_head(flow, statement)
    if head:
        return head
    return flow.first_of(statement.parts["else_body"]) + (targets or flow.first_of(statement.parts["body"]))


def _loop_exit(flow: _Flow, statement: Node) -> Names:
    head, targets = _loop_head(flow, statement)
    return flow.last_of(statement.parts["else_body"]) + head + flow.last_of(statement.parts["body"]) + targets


def _loop(flow: _Flow, statement: Node) -> None:
    body, else_body = statement.parts["body"], statement.parts["else_body"]
    head, targets = _loop_head(flow, statement)
    first, last = flow.first_of(body), flow.last_of(body)
    flow.add(head, targets)
    flow.add(targets or head, first)
    flow.add(head or targets, flow.first_of(else_body))
    flow.add(last, flow.first_of(else_body))
    flow.add(last or head or targets, head or targets or first)
    flow.suite(body)
    flow.suite(else_body)


def _with_entry(flow: _Flow, statement: Node) -> Names:
    items = statement.parts["items"]
    first = flow.names(items[0].parts["value"]) if items else []
    if first:
        return first
    entry = [name for item in items for name in _item_entry(flow, item)]
    return entry or flow.first_of(statement.parts["body"])


def _item_entry(flow: _Flow, item: Node) -> Names:
    return flow.names(item.parts["value"]) or flow.names(item.parts["target"])


def _item_exit(flow: _Flow, item: Node) -> Names:
    return flow.names(item.parts["target"]) or flow.names(item.parts["value"])


def _with_exit(flow: _Flow, statement: Node) -> Names:
    return flow.names(*statement.parts["items"]) + flow.last_of(statement.parts["body"])


def _with(flow: _Flow, statement: Node) -> None:
    body = statement.parts["body"]
    for item in statement.parts["items"]:
        flow.add(_item_exit(flow, item), flow.first_of(body))
    flow.suite(body)


def _definition_head(flow: _Flow, statement: Node) -> Names:
    """Return the names outside of the body of a definition, parameters' own names excluded."""
    parts = statement.parts
    head: list[Node | None] = [*parts["decorators"], parts["name"], *parts.get("arguments", ())]
    head.append(parts.get("returns"))
    for part in (*parts.get("parameters", ()), parts.get("vararg"), parts.get("kwarg")):
        if part is not None:
            head += [part.parts.get("default"), part.parts["annotation"]]
    return flow.names(*head)


def _function(flow: _Flow, statement: Node) -> None:
    parameters = [part.parts["name"] for part in statement.parts["parameters"]]
    flow.add(flow.names(*parameters, None), flow.first_of(statement.parts["body"]))
    flow.suite(statement.parts["body"])


def _class(flow: _Flow, statement: Node) -> None:
    flow.suite(statement.parts["body"])


def _handler_head(flow: _Flow, handler: Node) -> Names:
    return flow.names(handler.parts["type"], handler.parts["target"])


def _try_entry(flow: _Flow, statement: Node) -> Names:
    parts = statement.parts
    entry = flow.first_of(parts["body"])
    if entry:
        return entry
    for handler in parts["handlers"]:
        entry += _handler_head(flow, handler) or flow.first_of(handler.parts["body"])
    return entry + flow.first_of(parts["else_body"]) + flow.first_of(parts["finally_body"])


def _try_exit(flow: _Flow, statement: Node) -> Names:
    parts = statement.parts
    finally_exit = flow.last_of(parts["finally_body"])
    if finally_exit:
        return finally_exit
    exits = flow.last_of(parts["else_body"]) + flow.last_of(parts["body"])
    for handler in parts["handlers"]:
        exits += flow.last_of(handler.parts["body"]) or _handler_head(flow, handler)
    return exits


def _try(flow: _Flow, statement: Node) -> None:
    parts = statement.parts
    tried = flow.last_of(parts["body"])
    finally_entry = flow.first_of(parts["finally_body"])
    flow.suite(parts["body"])
    ends = flow.last_of(parts["else_body"]) or tried
    for handler in parts["handlers"]:
        head, body = _handler_head(flow, handler), handler.parts["body"]
        flow.add(tried, head or flow.first_of(body))
        flow.add(head, flow.first_of(body))
        flow.suite(body)
        ends = ends + (flow.last_of(body) or head)
    flow.add(tried, flow.first_of(parts["else_body"]))
    flow.suite(parts["else_body"])
    flow.add(ends, finally_entry)
    flow.suite(parts["finally_body"])


_Rule = Callable[[_Flow, Node], Names]
_ASSIGNMENTS = ("AssignStmt", "AugAssignStmt")
_LOOPS = ("ForStmt", "WhileStmt")
_DEFINITIONS = ("ClassDefStmt", "FunctionDefStmt")
_ENTRIES: dict[str, _Rule] = {
    **dict.fromkeys(_ASSIGNMENTS, _assignment_entry),
    **dict.fromkeys(_LOOPS, _loop_entry),
    **dict.fromkeys(_DEFINITIONS, _definition_head),
    "IfStmt": _if_entry,
    "WithStmt": _with_entry,
    "TryStmt": _try_entry,
}
_EXITS: dict[str, _Rule] = {
    **dict.fromkeys(_ASSIGNMENTS, _assignment_exit),
    **dict.fromkeys(_LOOPS, _loop_exit),
    **dict.fromkeys(_DEFINITIONS, _definition_head),
    "IfStmt": _if_exit,
    "WithStmt": _with_exit,
    "TryStmt": _try_exit,
}
_INSIDE: dict[str, Callable[[_Flow, Node], None]] = {
    **dict.fromkeys(_ASSIGNMENTS, _assignment),
    **dict.fromkeys(_LOOPS, _loop),
    "ClassDefStmt": _class,
    "FunctionDefStmt": _function,
    "IfStmt": _if,
    "WithStmt": _with,
    "TryStmt": _try,
}


def data_flow(tree: Tree, references: Collection[Node]) -> list[tuple[Node, Node]]:
    """Return the pairs (reference, reference that may be touched next) of one variable.

    Args:
        tree: The tree that the references are in.
        references: All references of the variable, in the order of evaluation; more (a site to complete) may be added.

    Returns:
        The pairs, sorted by the numbers of the references in `references`. A pair of a reference with itself stands
        for a loop.
    """
    order = list(references)
    if not order or (len(order) == 1 and not _is_in_loop(order[0])):
        return []
    root = _function_around(order) or tree.root
    flow = _Flow(order, root)
    if root is tree.root:
        flow.suite(root.parts["body"])
    else:
        _function(flow, root)
    return [(order[source], order[target]) for source, target in sorted(flow.edges)]


def _is_in_loop(reference: Node) -> bool:
    node = reference.parent
    while node is not None and node.kind not in _LOOPS:
        node = node.parent
    return node is not None


def _function_around(references: list[Node]) -> Node | None:
    """Return the innermost function whose parameters and body have all references; nothing flows into or out of it."""
    node = references[0].parent
    while node is not None:
        if node.kind == "FunctionDefStmt" and all(_is_inside(reference, node) for reference in references):
            return node
        node = node.parent
    return None


def _is_inside(reference: Node, function: Node) -> bool:
    body, place = function.parts["body"], reference.parent
    if body and body[0].start <= reference.start and reference.end <= body[-1].end:
        return True
    return place is not None and place.parent is function and place.parts.get("name") is reference
