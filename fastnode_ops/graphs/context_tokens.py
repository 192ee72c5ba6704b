"""The context tokens of a site: the words nearest to it in the graph.

One rule for training and completions, unlike the reference's two (specification 6.9, 13.4, D18, D19): breadth-first
from the site over the tree and the token chain; a terminal counts unless it is punctuation; the nearest ten are taken.
The site and what hangs below it do not count, since they are where the answer will stand.
"""

from __future__ import annotations

from collections import deque

from fastnode_ops.analysis.nodes import Node, Token, TokenKind
from fastnode_ops.graphs.program import GraphNode, Made, ProgramGraph

_PUNCTUATION = frozenset("([{,.)]};:`")
_MAX_VISITS = 2_000


def context_tokens(graph: ProgramGraph, site: Node | Token, max_tokens: int) -> list[GraphNode]:
    """Return the context tokens in the order in which they are reached; the start of file when there is none.

    Args:
        graph: The program.
        site: Where the prediction is made.
        max_tokens: How many to return at most.
    """
    found: list[GraphNode] = []
    seen: set[GraphNode] = {site}
    if isinstance(site, Node):
        for below in site.walk():
            seen.add(below)
            seen.update(below.tokens)
    queue: deque[GraphNode] = deque([site])
    num_visits = 0
    while queue and len(found) < max_tokens and num_visits < _MAX_VISITS:
        node = queue.popleft()
        num_visits += 1
        if node is not site and _counts(graph, node):
            found.append(node)
        for neighbour in graph.neighbours(node):
            if neighbour not in seen:
                seen.add(neighbour)
                queue.append(neighbour)
    return found or [graph.start_of_file]


def _counts(graph: ProgramGraph, node: GraphNode) -> bool:
    if isinstance(node, Made):
        return True
    if node not in graph.place:
        return False
    return not (isinstance(node, Token) and (node.text in _PUNCTUATION or node.kind is TokenKind.EOF))
