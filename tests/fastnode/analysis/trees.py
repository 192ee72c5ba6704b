"""What the tests of syntax trees share: outlines of trees, and what holds for every tree."""

import re
import sysconfig
from itertools import pairwise
from pathlib import Path

from fastnode_ops.analysis.kinds import KINDS, PARTS
from fastnode_ops.analysis.nodes import Node, Tree
from fastnode_ops.analysis.syntax import SourceError, parse

STDLIB = Path(sysconfig.get_path("stdlib"))


def stdlib_files(every: int = 1) -> list[Path]:
    """Return files of the standard library that are no tests, each `every`-th."""
    found = [*STDLIB.glob("*.py"), *STDLIB.glob("asyncio/*.py"), *STDLIB.glob("[b-l]*/*.py")]
    return sorted(path for path in found if "test" not in path.parts)[::every]


def outline(node: Node) -> str:
    """Return the kinds of a tree in one line; names are their text."""
    if node.kind == "NameExpr":
        return node.text
    inner = " ".join(outline(child) for child in node.children)
    return f"{node.kind}({inner})" if inner else node.kind


def outline_of(source: str) -> str:
    """Return the outline of a text's statements."""
    return " ".join(outline(child) for child in parse(source.encode()).root.children)


def find(tree: Tree, kind: str, text: str = "") -> Node:
    """Return the first node of a kind (with a text)."""
    return next(node for node in tree.nodes if node.kind == kind and (not text or tree.text(node) == text))


def check_tree(tree: Tree) -> None:
    """Check what holds for every tree."""
    _check_tokens(tree)
    assert [node.index for node in tree.nodes] == list(range(len(tree.nodes)))
    assert list(tree.root.walk()) == tree.nodes
    for node in tree.nodes:
        assert node.kind in KINDS
        _check_parts(node)
        assert all(child.parent is node for child in node.children)
        assert all(token.node is node for token in node.tokens)
        items = node.items()
        assert all(first.end <= second.start for first, second in pairwise(items))
        assert all(node.start <= item.start <= item.end <= node.end for item in items)


def _check_tokens(tree: Tree) -> None:
    """Tokens are in order, do not overlap, and cover all text but blanks and comments."""
    covered = 0
    for token in tree.tokens:
        assert token.start >= covered
        gap = re.sub(rb"#[^\r\n]*", b"", tree.source[covered : token.start])
        assert not gap.replace(b"\\", b"").strip(b" \t\r\n\f\v\x1c\x1d\x1e\x1f\xef\xbb\xbf"), gap
        covered = token.end
    assert covered == len(tree.source)
    assert {token for node in tree.nodes for token in node.tokens} == set(tree.tokens)


def _check_parts(node: Node) -> None:
    names = {name.rstrip("?*"): name for name in PARTS[node.kind].split()}
    assert node.parts.keys() <= names.keys()
    for name, part in node.parts.items():
        nodes = part if isinstance(part, list) else [part]
        for value in nodes:
            if isinstance(value, Node):
                assert node.encloses(value)
        if isinstance(part, list):
            assert names[name].endswith("*")
        elif part is None:
            assert names[name].endswith("?")
    assert names.keys() == node.parts.keys() or node.kind in ("Module", "StringExpr")


def parses(source: bytes) -> Tree | None:
    """Return the checked tree of a text, None when it is refused."""
    try:
        tree = parse(source)
    except SourceError:
        return None
    check_tree(tree)
    return tree
