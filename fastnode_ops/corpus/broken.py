"""How much of a file is no Python: the share of its bytes that the parser cannot place."""

from __future__ import annotations

from functools import cache

import tree_sitter
import tree_sitter_python

MAX_BROKEN = 0.1
"""Files with a larger share of bytes in errors are left out: templates, other languages, and the like."""


def is_broken(text: bytes) -> bool:
    """Say whether more than `MAX_BROKEN` of a text's bytes are in errors of the parser.

    What the parser understood within an error, a whole function for example, does not count.
    """
    tree = _parser().parse(text)
    if not tree.root_node.has_error:
        return False
    num_bytes = 0
    waiting = [tree.root_node]
    while waiting:  # only what holds an error is looked into
        node = waiting.pop()
        if node.is_error:
            understood = (child for child in node.children if child.child_count)
            num_bytes += (
                node.end_byte - node.start_byte - sum(child.end_byte - child.start_byte for child in understood)
            )
        waiting += (child for child in node.children if child.has_error)
    return num_bytes > MAX_BROKEN * len(text)


@cache
def _parser() -> tree_sitter.Parser:
    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_python.language()))
