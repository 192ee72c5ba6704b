"""Trees of edited texts: those that use what was kept are those that the text alone gives."""

import gc
import random

import pytest

from fastnode_ops.analysis.nodes import Node, Token, Tree
from fastnode_ops.analysis.reuse import Statements
from fastnode_ops.analysis.syntax import parse
from tests.fastnode.analysis.trees import check_tree, stdlib_files

TEXT = b"""import os

def first(a, b):
    if a:
        return os.path.join(a, b)
    return None  # a comment

class Some:
    x = 1; y = 2

    @property
    def name(self): return self.x

    def other(self):
        try:
            return None
        finally:
            print(f"{self.x!r:>{3}} is")

last = first(Some().name, 3)
"""


def described(tree: Tree) -> list[object]:
    """All that is known of a tree, without the identities of its nodes and tokens."""
    numbers = {token: number for number, token in enumerate(tree.tokens)}

    def plain(value: object) -> object:
        if isinstance(value, Node):
            return value.kind, value.index
        if isinstance(value, Token):
            return numbers.get(value), value.kind, value.text, value.start, value.end, value.role, value.node.index
        return [plain(item) for item in value] if isinstance(value, list) else value

    def node(node: Node) -> object:
        own = node.kind, node.index, node.start, node.end, node.text, node.role
        parts = {name: plain(part) for name, part in node.parts.items()}
        return own, node.parent and node.parent.index, plain(node.children), plain(node.tokens), parts

    return [tree.source, [node(item) for item in tree.nodes], plain(tree.tokens)]


def edits(source: bytes, rng: random.Random):
    """Cut, double and overwrite pieces of a text, as samples do and in other ways."""
    lines = source.splitlines(keepends=True)
    for _ in range(6):
        start = rng.randrange(len(source))
        end = min(start + rng.randrange(1, 60), len(source))
        line_end = max(source.find(b"\n", start), start)
        first = rng.randrange(len(lines))
        yield source[:start] + b"GUESS_ME)" + source[line_end:]
        yield source[:start] + source[end:]
        yield source[:start] + b"\nif x:\n" + source[start:]
        yield b"".join([*lines[:first], *lines[first + 1 :]])
        yield b"".join([*lines[:first], *lines[first - 5 :]])
        yield source[:start] + source[start:end] + b"(" + source[end:]


@pytest.mark.parametrize("path", stdlib_files(every=45), ids=lambda path: path.stem)
def test_an_edited_text_has_the_tree_that_it_has_by_itself(path):
    source = path.read_bytes()[:12_000]
    source = source[: source.rfind(b"\n")]
    original = parse(source, keep=True)
    before = described(original)
    for text in edits(source, random.Random(path.stem)):
        if text.isascii():
            tree = parse(text, edited=original)
            assert described(tree) == described(parse(text))
            check_tree(tree)
    assert described(original) == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"    x = 1", b"    x = (1"),
        (b"class Some:", b"class Some"),
        (b"    return None  # a comment", b""),
        (b"import os\n", b"import os\n\n\nif 1:\n    pass\n"),
        (b"def first", b"    def first"),
        (b"class Some:\n", b"class Some:\n    class Inner:\n        def name(self): return self.x\n"),
        (b"return None", b"return None"),
        (b"import os", b"\xef\xbb\xbfimport os"),
        (b"\n\nlast", b"\n\n)last"),
        (b"last = first(", b"last = first(os.\nlast = first("),
        (TEXT, b""),
    ],
)
def test_edits_by_hand(old, new):
    text = TEXT.replace(old, new)
    assert described(parse(text, edited=parse(TEXT, keep=True))) == described(parse(text))
    assert described(parse(TEXT, edited=parse(text, keep=True))) == described(parse(TEXT))


def test_statements_that_did_not_change_are_copied(monkeypatch):
    copied = []
    copy = Statements.copy

    def recorded(self, kind, text, start):
        found = copy(self, kind, text, start)
        copied.append((kind, found is not None))
        return found

    monkeypatch.setattr(Statements, "copy", recorded)
    original = parse(TEXT, keep=True)
    tree = parse(TEXT.replace(b"x = 1", b"x = 17"), edited=original)
    assert [kind for kind, is_copied in copied if not is_copied] == ["class_definition", "expression_statement"]
    assert not set(map(id, tree.nodes)) & set(map(id, original.nodes))
    assert not set(map(id, tree.tokens)) & set(map(id, original.tokens))


def test_nothing_is_kept_unless_asked_for():
    original = parse(TEXT)
    assert original.statements is None
    assert described(parse(TEXT + b"\nx", edited=original)) == described(parse(TEXT + b"\nx"))


def test_an_unlinked_tree_is_gone_without_a_garbage_collection():
    gc.collect()
    gc.disable()
    try:
        num_before = len(gc.get_objects())
        other = parse(TEXT)
        assert len(gc.get_objects()) > num_before + len(other.nodes)
        other.unlink()
        del other
        assert len(gc.get_objects()) < num_before + 100
    finally:
        gc.enable()
