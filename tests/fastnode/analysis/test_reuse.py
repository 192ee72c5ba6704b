"""Trees of edited texts: those that use what was kept are those that the text alone gives."""

import gc
import random

import pytest

from fastnode_ops.analysis import syntax
from fastnode_ops.analysis.finishing import InPiecesError
from fastnode_ops.analysis.nodes import Node, Token, Tree
from fastnode_ops.analysis.reuse import Statements
from fastnode_ops.analysis.syntax import SourceError, parse
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
    rng = random.Random(path.stem)
    for text in edits(source, rng):
        if text.isascii():
            tree = parse(text, edited=original)
            assert described(tree) == described(parse(text))
            check_tree(tree)
            if rng.random() < 0.5:  # else the next one takes back what was borrowed
                tree.unlink()
                assert described(original) == before
    original.reclaim()
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
        (b"    def other", b"    @cached\n    def other"),
        (TEXT, b""),
    ],
)
def test_edits_by_hand(old, new):
    text = TEXT.replace(old, new)
    for first, second in ((TEXT, text), (text, TEXT)):
        original = parse(first, keep=True)
        before = described(original)
        assert described(parse(second, edited=original)) == described(parse(second))
        original.reclaim()
        assert described(original) == before


def test_statements_that_did_not_change_are_borrowed(monkeypatch):
    asked = []
    lend = Statements.lend

    def recorded(self, kind, start, end):
        found = lend(self, kind, start, end)
        asked.append((kind, found is not None))
        return found

    monkeypatch.setattr(Statements, "lend", recorded)
    original = parse(TEXT, keep=True)
    tree = parse(TEXT.replace(b"x = 1", b"x = 17"), edited=original)
    assert [kind for kind, is_borrowed in asked if not is_borrowed] == ["class_definition", "expression_statement"]
    borrowed = set(map(id, original.nodes))
    own = [(node.kind, tree.text(node)) for node in tree.nodes if id(node) not in borrowed][5:]  # after the import
    assert own == [*own[:2], ("AssignStmt", "x = 17"), ("NameExpr", "x"), ("NumberExpr", "17")]
    assert [kind for kind, _ in own[:2]] == ["ClassDefStmt", "NameExpr"]
    assert original.text(original.nodes[-1]) != tree.text(original.nodes[-1])  # it has moved
    tree.unlink()
    assert original.text(original.nodes[-1]) == "3"


def test_a_borrowed_statement_that_comes_apart_is_given_back(monkeypatch):
    # of all shapes only that of decorators takes a statement apart, and for it none is borrowed; here one is
    is_known = syntax._Builder._is_known
    monkeypatch.setattr(syntax._Builder, "_is_known", lambda self, *args: is_known(self, *args[:-1], ""))
    original = parse(TEXT, keep=True)
    text = TEXT.replace(b"    def other", b"    @cached\n    def other")
    before, expected = described(original), described(parse(text))
    with pytest.raises(InPiecesError):
        syntax._parse(text, keep=False, known=original.statements)
    original.statements.take_back(in_pieces=True)
    assert described(original) == before
    assert described(parse(text, edited=original)) == expected
    original.reclaim()
    assert described(original) == before


def test_a_text_that_is_refused_gives_everything_back():
    original = parse(TEXT, keep=True)
    before = described(original)
    with pytest.raises(SourceError):
        parse(TEXT.replace(b"x = 1", b"x = " + b"(" * 500 + b"1" + b")" * 500), edited=original)
    assert described(original) == before


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
