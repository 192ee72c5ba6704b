"""Broken texts: what is put in, what the tree keeps, and what holds for every broken text."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastnode_ops.analysis.dataflow import data_flow
from fastnode_ops.analysis.nodes import Node
from fastnode_ops.analysis.repairs import repair
from fastnode_ops.analysis.scopes import resolve_scopes
from fastnode_ops.analysis.syntax import enclosing_statement, parse
from tests.fastnode.analysis.trees import check_tree, find, outline, outline_of, parses, stdlib_files

REPAIRED = {
    "x = foo(a,\ny = 3\n": "x = foo(a,)\ny = 3\n",
    "foo(os.path.X\ny = bar(x)\n": "foo(os.path.X)\ny = bar(x)\n",
    "f(\ny = 3\nz": "f()\ny = 3\nz",
    "if foo(os.X\nz = 3": "if foo(os.X):\nz = 3",
    "if x:\n    foo(\nelse:\n    y\n": "if x:\n    foo()\nelse:\n    y\n",
    "def f(a:\n  x = 3\n": "def f(a):\n  x = 3\n",
    "def \nx": "def _ (): \nx",
    "def f(*,\n  a=b.X\n\n    async def g(): pass": "def f(*,\n  a=b.X):\n\n    async def g(): pass",
    "    f(a,\n      b=c.X\n\n    async def g(): pass": "    f(a,\n      b=c.X)\n\n    async def g(): pass",
    "x = os.path.\ny = 3": "x = os.path. _ \ny = 3",
    "f(a., b)\n": "f(a. _ , b)\n",
    "f(x=, y)\n": "f(x= _ , y)\n",
    "x = [foo(a, b]\ny": "x = [foo(a, b)]\ny",
    "a = b if os.X\ny": "a = b if os.X else _ \ny",
    "[a if b\ny": "[a if b else _ ]\ny",
    "[x for x in os.X\ny": "[x for x in os.X]\ny",
    "[x for x\ny": "[x for x in _ ]\ny",
    "lambda a=os.X\ny": "lambda a=os.X: _ \ny",
    "@os.X\nx=1": "@os.X\ndef _(): pass\nx=1",
    "@os.X\n\nclass A: pass": "@os.X\n\nclass A: pass",
    "from os import\nx": "from os import _ \nx",
    "match a.X\nb": "match a.X:\nb",
    'foo("abc\nx=1': 'foo("abc")\nx=1',
    'foo(f"a{b.X\nx=1': 'foo(f"a{b.X}")\nx=1',
    # nothing lacks: brackets that go on at a low indentation, strings in brackets, stars of imports and parameters
    "x = [\n1,\n2,\n]\n": "x = [\n1,\n2,\n]\n",
    "f('a'\n'b')": "f('a'\n'b')",
    "from a import *\ndef f(a, /, *, b): pass": "from a import *\ndef f(a, /, *, b): pass",
    "(yield)\nx[1:]\nx = (a if b\nelse c)": "(yield)\nx[1:]\nx = (a if b\nelse c)",
}


@pytest.mark.parametrize("source", REPAIRED)
def test_what_is_inserted(source: str) -> None:
    text, insertions = repair(source.encode())
    assert text.decode() == REPAIRED[source]
    assert sum(len(inserted) for _, inserted in insertions) == len(text) - len(source.encode())


OUTLINES = {
    "x = os.path.\ny = 3": "AssignStmt(x AttributeExpr(AttributeExpr(os))) AssignStmt(y NumberExpr)",
    "x = f(\ny = 3": "AssignStmt(x CallExpr(f)) AssignStmt(y NumberExpr)",
    "x = f(a, g(b\ny": "AssignStmt(x CallExpr(f Argument(a) Argument(CallExpr(g Argument(b))))) ExprStmt(y)",
    "f(k=\ny": "ExprStmt(CallExpr(f Argument(k BadExpr))) ExprStmt(y)",
    "x =\ny = 1": "AssignStmt(x BadExpr) AssignStmt(y NumberExpr)",
    "if a.\n    b": "IfStmt(Branch(AttributeExpr(a) ExprStmt(b)))",
    "for x in\n    y": "ForStmt(x BadExpr ExprStmt(y))",
    "with open(a\n    b": "WithStmt(WithItem(CallExpr(open Argument(a))) ExprStmt(b))",
    "class A(b.\n    c": "ClassDefStmt(A Argument(AttributeExpr(b)))",
    "@a.b\nx": "FunctionDefStmt(AttributeExpr(a) BadExpr) ExprStmt(x)",
    "a = b if c\nd": "AssignStmt(a IfExpr(b c BadExpr)) ExprStmt(d)",
    "import a.\nb": "ImportNameStmt(DottedAsName(DottedExpr(a BadExpr))) ExprStmt(b)",
    "a $ b": "BadStmt(a) ExprStmt(b)",
    ")": "BadStmt",
}


@pytest.mark.parametrize("source", OUTLINES)
def test_trees_of_broken_texts(source: str) -> None:
    assert outline_of(source) == OUTLINES[source]
    check_tree(parse(source.encode()))


def test_what_is_inserted_has_no_length() -> None:
    source = b"x = f(os.path.\ny = 3\n"
    tree = parse(source)
    call = find(tree, "CallExpr")
    attribute = find(tree, "AttributeExpr").parts["attribute"]
    assert (attribute.text, attribute.start, attribute.end) == ("", 14, 14)
    assert (call.end, call.parts["right_paren"]) == (14, None)
    assert [token.text for token in tree.tokens] == ["x", "=", "f", "(", "os", ".", "path", ".", "", "y", "=", "3", ""]


DUMMY = b"GUESS_ME__34578032"


def cut_attribute(source: bytes, attribute: Node) -> bytes:
    """Edit a text as the sampling does (specification 7.1): after the dot a dummy, the rest of the statement cut."""
    statement = enclosing_statement(attribute)
    assert statement is not None
    cut = attribute.parts["dot"].end
    line_end = source.find(b"\n", cut)
    return source[:cut] + DUMMY + source[max(len(source) if line_end < 0 else line_end, statement.end) :]


def check_cuts(source: bytes, every: int) -> None:
    """Check that cut sites keep their place: same base, and no bad node in the text above."""
    sites = [node for node in parse(source).nodes if node.kind == "AttributeExpr"]
    for site in sites[::every]:
        text = cut_attribute(source, site)
        tree = parse(text)
        check_tree(tree)
        token = tree.token_at(site.parts["dot"].end)
        assert token is not None and token.text == DUMMY.decode()
        attribute = token.node
        assert attribute.kind == "AttributeExpr" and attribute.parts["attribute"] is token
        assert (attribute.start, outline(attribute)) == (site.start, outline(site))
        bad = [node for node in tree.nodes if node.kind.startswith("Bad") and node.end > node.start]
        assert not bad, text[max(site.start - 200, 0) : site.end + 100].decode()


@pytest.mark.parametrize("path", stdlib_files(60), ids=lambda path: path.name)
def test_cut_sites_keep_their_tree(path: object) -> None:
    source = path.read_bytes()  # type: ignore[attr-defined]
    check_cuts(source, 1 + len(source) // 1000)


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("foo(a, MARKER)\nrest = 1\n", "Argument"),
        ("g(foo(a, k=MARKER)\nrest = 1\n", "Argument"),
        ("x = {a: foo(b, MARKER)\nrest = 1\n", "Argument"),
        ("def f():\n    return [foo(a, MARKER)\n\n    def g(): pass\n", "Argument"),
        ("with foo(MARKER)\nrest = 1\n", "Argument"),
        ("while MARKER\nrest = 1\n", "WhileStmt"),
    ],
)
def test_markers_stand_where_they_were_put(source: str, kind: str) -> None:
    tree = parse(source.encode())
    marker = find(tree, "NameExpr", "MARKER")
    assert marker.parent is not None and marker.parent.kind == kind
    assert not [node for node in tree.nodes if node.kind.startswith("Bad")]


SOURCES = [path.read_bytes()[:4000].decode(errors="ignore") for path in stdlib_files(30)]
PIECES = st.one_of(
    st.sampled_from(
        ["(", ")", "]", "}", ".", ",", ":", '"', "'''", "{", "\n", "    ", "if ", "lambda ", "=", 'f"{', "@"]
    ),
    st.sampled_from(
        ["def ", "class ", "for ", " as ", "match ", "case ", "\\", "import ", "from ", "global ", "except "]
    ),
    st.text(max_size=4),
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(SOURCES), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 200), PIECES), max_size=4))
def test_any_edit_gives_a_tree(source: str, edits: list[tuple[float, int, str]]) -> None:
    for where, length, piece in edits:
        start = int(where * len(source))
        source = source[:start] + piece + source[start + length :]
    tree = parses(source.encode(errors="ignore"))
    if tree is None:
        return
    scopes = resolve_scopes(tree)
    for node in tree.nodes[::11]:
        visible = scopes.in_scope(node, False)
        assert set(scopes.in_scope(node, True)) <= set(visible)
        assert [v.index for v in visible] == sorted({v.index for v in visible})
    for variable in scopes.variables:
        assert {node for pair in data_flow(tree, variable.references) for node in pair} <= set(variable.references)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SOURCES), st.floats(0, 1))
def test_any_beginning_gives_a_tree(source: str, where: float) -> None:
    parses(source[: int(where * len(source))].encode())


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_any_text_gives_a_tree(source: str) -> None:
    parses(source.encode(errors="ignore"))
