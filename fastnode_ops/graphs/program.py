"""The graph of a program: what stands beside what (specification 6.2 and 6.5).

Nothing is built for the whole file. The graph knows the neighbours of each of its nodes, and what is kept of a file is
found by walking from the site; so a sample costs what its surroundings cost. The nodes are the syntax nodes and tokens
themselves, and a few made ones: the start of file, scope nodes, usage nodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fastnode_ops.analysis.analysis import Analysis
from fastnode_ops.analysis.dataflow import data_flow
from fastnode_ops.analysis.nodes import Node, Token, TokenKind, is_terminal
from fastnode_ops.analysis.scopes import Variable


class Made:
    """A node that is not in the text.

    Args:
        what: "sof", "scope" or "usage".
        variable: The variable that a scope or usage node stands for.
    """

    __slots__ = ("variable", "what")

    def __init__(self, what: str, variable: Variable | None = None) -> None:
        self.what = what
        self.variable = variable


GraphNode = Node | Token | Made
Flow = Sequence[tuple[Node, Node]]


class ProgramGraph:
    """The graph of one analysed file.

    Args:
        analysis: The file.
    """

    def __init__(self, analysis: Analysis) -> None:
        self.analysis = analysis
        self.start_of_file = Made("sof")
        self.terminals: list[GraphNode] = [self.start_of_file, *_terminals(analysis.tree.tokens)]
        self.place = {node: index for index, node in enumerate(self.terminals)}
        self._flows: dict[int, Flow] = {}
        self._flow_neighbours: dict[int, dict[Node, list[Node]]] = {}

    def flow(self, variable: Variable) -> Flow:
        """Return the data flow between the references of a variable."""
        pairs = self._flows.get(variable.index)
        if pairs is None:
            references = variable.references
            # most names of imports and definitions stand alone: only a loop lets one flow, to itself
            alone = len(references) == 1 and not _is_in_loop(references[0])
            pairs = self._flows[variable.index] = [] if alone else data_flow(self.analysis.tree, references)
        return pairs

    def neighbours(self, node: GraphNode) -> list[GraphNode]:
        """Return what an edge leads to or comes from, in a fixed order; without scope and usage nodes."""
        found: list[GraphNode] = []
        if isinstance(node, Node):
            if node.parent is not None:
                found.append(node.parent)
            found += node.children
            if not is_terminal(node):
                found += self.own_tokens(node)
                if node.kind == "Module":
                    found.append(self.start_of_file)
        elif isinstance(node, Token):
            found.append(node.node)
        elif node.what == "sof":
            found.append(self.analysis.tree.root)
        place = self.place.get(node)
        if place is not None:
            found += self.terminals[max(place - 1, 0) : place]
            found += self.terminals[place + 1 : place + 2]
        if isinstance(node, Node) and node.kind == "NameExpr":
            found += self._flow_neighbours_of(node)
        return found

    def next_terminal(self, node: GraphNode) -> GraphNode | None:
        """Return the terminal after one, None after the last and for what is none."""
        place = self.place.get(node)
        return None if place is None or place + 1 == len(self.terminals) else self.terminals[place + 1]

    @staticmethod
    def own_tokens(node: Node) -> list[Token]:
        """Return the tokens that are graph nodes below a syntax node that is no terminal."""
        return [token for token in node.tokens if token.kind is not TokenKind.BAD]

    def _flow_neighbours_of(self, node: Node) -> list[Node]:
        variable = self.analysis.scopes.variable_of(node)
        if variable is None:
            return []
        neighbours = self._flow_neighbours.get(variable.index)
        if neighbours is None:
            neighbours = self._flow_neighbours[variable.index] = {}
            for first, second in self.flow(variable):
                neighbours.setdefault(first, []).append(second)
                neighbours.setdefault(second, []).append(first)
        return neighbours.get(node, [])


def _terminals(tokens: Sequence[Token]) -> list[GraphNode]:
    """Return the terminals in the order of the text: terminal syntax nodes, and tokens that are in none."""
    found: list[GraphNode] = []
    last: Node | None = None
    for token in tokens:
        if token.kind is TokenKind.BAD:
            continue
        owner = token.node
        if not is_terminal(owner):
            found.append(token)
        elif owner is not last:  # all tokens of a terminal stand side by side
            found.append(owner)
            last = owner
    return found


def _is_in_loop(node: Node) -> bool:
    above = node.parent
    while above is not None and above.kind not in ("ForStmt", "WhileStmt"):
        above = above.parent
    return above is not None


def order_of(nodes: Iterable[GraphNode]) -> list[GraphNode]:
    """Put nodes in the order of construction: pre-order, each with its tokens after it; then the made ones."""
    return sorted(nodes, key=_order)


def _order(node: GraphNode) -> int:
    if isinstance(node, Node):
        return node.index << 24
    if isinstance(node, Token):
        return (node.node.index << 24) + node.start + 1
    return 1 << 62
