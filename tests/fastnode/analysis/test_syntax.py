"""Trees of texts that are right: kinds, parts, tokens, and their agreement with Python's own parser."""

import ast
from pathlib import Path

import pytest

from fastnode_ops.analysis.nodes import TokenKind
from fastnode_ops.analysis.syntax import (
    MAX_BYTES,
    SourceError,
    enclosing_statement,
    is_expression,
    is_statement,
    is_terminal,
    parse,
)
from tests.fastnode.analysis.trees import check_tree, find, outline_of, stdlib_files

OUTLINES = {
    "x = y = z, 1": "AssignStmt(x y TupleExpr(z NumberExpr))",
    "x: int = 3": "AssignStmt(x int NumberExpr)",
    "x: list[int]": "AnnotationStmt(x IndexExpr(list IndexSubscript(int)))",
    "x += yield": "AugAssignStmt(x YieldExpr)",
    "yield x": "YieldStmt(x)",
    "(a)": "ExprStmt(a)",
    "a, b": "ExprStmt(TupleExpr(a b))",
    "f(a, *b, k=c, **d)": "ExprStmt(CallExpr(f Argument(a) Argument(b) Argument(k c) Argument(d)))",
    "f(x for x in y if x)": "ExprStmt(CallExpr(f Argument(ComprehensionExpr(x Generator(x y x)))))",
    "a.b.c": "ExprStmt(AttributeExpr(AttributeExpr(a)))",
    "a[b, 1:2, ::c]": "ExprStmt(IndexExpr(a IndexSubscript(b) SliceSubscript(NumberExpr NumberExpr) "
    "SliceSubscript(c)))",
    "a < b not in c": "ExprStmt(BinaryExpr(BinaryExpr(a b) c))",
    "(a := b)": "ExprStmt(BinaryExpr(a b))",
    "not -a": "ExprStmt(UnaryExpr(UnaryExpr(a)))",
    "{a: b, **c}": "ExprStmt(DictExpr(KeyValuePair(a b) KeyValuePair(c)))",
    "{a: b for a in c}": "ExprStmt(DictComprehensionExpr(KeyValuePair(a b) Generator(a c)))",
    "[*a, b]": "ExprStmt(ListExpr(UnaryExpr(a) b))",
    "a if b else c": "ExprStmt(IfExpr(a b c))",
    "lambda x, *y, z=1: x": "ExprStmt(LambdaExpr(Parameter(x) ArgsParameter(y) Parameter(z NumberExpr) x))",
    "await a": "ExprStmt(AwaitExpr(a))",
    "...": "ExprStmt(EllipsisExpr)",
    "None": "ExprStmt(None)",
    "'a' 'b'": "ExprStmt(StringExpr)",
    "f'a{b}c{d:{e}}'": "ExprStmt(StringExpr(b d e))",
    "import a.b as c, d": "ImportNameStmt(DottedAsName(DottedExpr(a b) c) DottedAsName(DottedExpr(d)))",
    "from .a.b import (c as d, e)": "ImportFromStmt(DottedExpr(a b) ImportAsName(c d) ImportAsName(e))",
    "from a import *": "ImportFromStmt(DottedExpr(a))",
    "from __future__ import a": "ImportFromStmt(DottedExpr(__future__) ImportAsName(a))",
    "if a: b\nelif c: d\nelse: e": "IfStmt(Branch(a ExprStmt(b)) Branch(c ExprStmt(d)) ExprStmt(e))",
    "for a, b in c: d\nelse: e": "ForStmt(a b c ExprStmt(d) ExprStmt(e))",
    "while a: pass": "WhileStmt(a PassStmt)",
    "try: a\nexcept b as c: d\nexcept* e: f\nelse: g\nfinally: h": "TryStmt(ExprStmt(a) ExceptClause(b c ExprStmt(d)) "
    "ExceptClause(e ExprStmt(f)) ExprStmt(g) ExprStmt(h))",
    "with a as b, c: d": "WithStmt(WithItem(a b) WithItem(c) ExprStmt(d))",
    "with (a as b, c): d": "WithStmt(WithItem(a b) WithItem(c) ExprStmt(d))",
    "with (a, b): c": "WithStmt(WithItem(a) WithItem(b) ExprStmt(c))",
    "@a\nclass B(C, m=D): pass": "ClassDefStmt(a B Argument(C) Argument(m D) PassStmt)",
    "class A[T: b](C): pass": "ClassDefStmt(A Parameter(T b) Argument(C) PassStmt)",
    "type A[T] = B": "AssignStmt(IndexExpr(A IndexSubscript(T)) B)",
    "def f(a, b: c = 1) -> d: pass": "FunctionDefStmt(f Parameter(a) Parameter(b c NumberExpr) d PassStmt)",
    "match a:\n case B(c, d=1) | [e, *_] if f: g\n case h.i: j": "IfStmt(a Branch(BinaryExpr(CallExpr(B Argument(c) "
    "Argument(d NumberExpr)) ListExpr(e UnaryExpr(_))) f ExprStmt(g)) Branch(AttributeExpr(h) ExprStmt(j)))",
    "del a, b": "DelStmt(a b)",
    "global a, b": "GlobalStmt(a b)",
    "nonlocal a": "NonLocalStmt(a)",
    "raise a from b": "RaiseStmt(a b)",
    "assert a, b": "AssertStmt(a b)",
    "return a, b": "ReturnStmt(TupleExpr(a b))",
    "a; break; continue": "ExprStmt(a) BreakStmt ContinueStmt",
    "print >>a, b": "PrintStmt(a b)",
    "exec a in b": "ExecStmt(a b)",
    "print(a)": "ExprStmt(CallExpr(print Argument(a)))",
}


@pytest.mark.parametrize("source", OUTLINES)
def test_outlines(source: str) -> None:
    assert outline_of(source) == OUTLINES[source]
    check_tree(parse(source.encode()))


def test_parts_of_a_function() -> None:
    tree = parse(b"async def f(a, /, b, *c, d: int = 1, **e) -> None:\n    pass\n")
    parts = find(tree, "FunctionDefStmt").parts
    assert [(p.parts["name"].text, p.parts["passing"]) for p in parts["parameters"]] == [
        ("a", "positional"),
        ("b", "either"),
        ("d", "keyword"),
    ]
    assert (parts["vararg"].parts["name"].text, parts["kwarg"].parts["name"].text) == ("c", "e")
    assert (parts["returns"].text, parts["is_async"], parts["name"].text) == ("None", True, "f")
    assert parts["parameters"][2].parts["annotation"].text == "int"
    assert tree.text(parts["parameters"][2].parts["default"]) == "1"


def test_parts_of_a_call_and_its_brackets() -> None:
    tree = parse(b"(f)((a), k=b)")
    call = find(tree, "CallExpr")
    first, second = call.parts["arguments"]
    assert call.parts["left_paren"].start == 3
    assert call.parts["right_paren"].end == 13
    assert (tree.text(first), tree.text(second)) == ("(a)", "k=b")
    assert (second.parts["name"].text, second.parts["value"].text, first.parts["star"]) == ("k", "b", "")


def test_parts_of_an_attribute() -> None:
    parts = find(parse(b"a . b"), "AttributeExpr").parts
    assert (parts["value"].text, parts["dot"].start, parts["attribute"].text) == ("a", 2, "b")
    assert parts["attribute"].kind is TokenKind.IDENT


def test_tokens_and_their_nodes() -> None:
    tree = parse(b"x = not  y  is   not z # comment\n")
    assert [(token.text, token.kind.name, token.node.kind) for token in tree.tokens] == [
        ("x", "IDENT", "NameExpr"),
        ("=", "OPERATOR", "AssignStmt"),
        ("not", "KEYWORD", "UnaryExpr"),
        ("y", "IDENT", "NameExpr"),
        ("is not", "KEYWORD", "BinaryExpr"),
        ("z", "IDENT", "NameExpr"),
        ("", "EOF", "Module"),
    ]


def test_tokens_of_an_f_string_are_the_pieces_between_expressions() -> None:
    tree = parse(b"f'a{b!r:>{c}}d' 'e'")
    assert [token.text for token in tree.tokens] == [
        "f'a",
        "{",
        "b",
        "!r",
        ":",
        ">",
        "{",
        "c",
        "}",
        "}",
        "d'",
        "'e'",
        "",
    ]


def test_nodes_at_positions() -> None:
    tree = parse("é = foo(bar)\n".encode())
    assert tree.node_at(0).text == "é"
    assert tree.node_at(1).text == "é"
    assert tree.node_at(9).text == "bar"
    assert tree.node_at(8).kind == "CallExpr"
    assert tree.node_at(13).kind == "Module"
    token = tree.token_at(9)
    assert token is not None and token.text == "bar"
    assert tree.token_at(2) is None


def test_helpers() -> None:
    tree = parse(b"def f():\n    return a.b")
    name = find(tree, "NameExpr", "a")
    assert is_expression(name) and is_terminal(name) and not is_statement(name)
    statement = enclosing_statement(name)
    assert statement is not None and statement.kind == "ReturnStmt" and is_statement(statement)
    assert enclosing_statement(statement) is statement
    assert enclosing_statement(tree.root) is None
    assert not is_terminal(find(parse(b"f'{a}'"), "StringExpr"))
    assert is_terminal(find(parse(b"'a'"), "StringExpr"))


@pytest.mark.parametrize(
    "source", ["", "\n", "# only a comment", "\ufeffx = 1", "x\r\ny\r\n", "if x:\n\ty\n", "x = 1 \\\n + 2"]
)
def test_texts_without_much(source: str) -> None:
    tree = parse(source.encode())
    check_tree(tree)
    assert not [node for node in tree.nodes if node.kind.startswith("Bad")]


@pytest.mark.parametrize(
    ("source", "reason", "message"),
    [
        (b"x = 1\0", "null_byte", "null byte at byte 5"),
        (b"x = '\xff'", "not_utf8", "no UTF-8 at byte 5"),
        (b"#" * (MAX_BYTES + 1), "too_large", "1000001 bytes, more than 1000000"),
        (b"(" * 2000, "too_deep", "nested deeper than 400 levels"),
        (b"[" * 500 + b"]" * 500, "too_deep", "nested deeper"),
        (b"a" + b".b" * 1000, "too_deep", "nested deeper"),
        (b"a" + b"<b" * 1000, "too_deep", "nested deeper"),
        (b"\n".join(b" " * i + b"if x:" for i in range(150)), "too_deep", "100 blocks"),
        (b"\\\n" * 1000, "too_deep", "continues a line more than 200 times"),
        (b"\x7fELF\x02\x01\x01\0\0", "null_byte", "is it a binary file?"),
    ],
)
def test_refused_sources(source: bytes, reason: str, message: str) -> None:
    with pytest.raises(SourceError) as caught:
        parse(source)
    assert caught.value.reason == reason
    assert message in str(caught.value)


def _spans(tree: ast.AST, source: bytes) -> dict[str, set[tuple[int, int]]]:
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    kinds = {ast.Attribute: "AttributeExpr", ast.Call: "CallExpr", ast.Return: "ReturnStmt", ast.Assign: "AssignStmt"}
    kinds |= {ast.For: "ForStmt", ast.If: "IfStmt", ast.With: "WithStmt", ast.Try: "TryStmt", ast.Expr: "ExprStmt"}
    kinds |= {ast.AsyncFor: "ForStmt", ast.AsyncWith: "WithStmt", ast.TryStar: "TryStmt", ast.Match: "IfStmt"}
    result: dict[str, set[tuple[int, int]]] = {name: set() for name in kinds.values()}
    for node in ast.walk(tree):
        kind = kinds.get(type(node))
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            kind = "AssignStmt"
        if kind == "ExprStmt" and isinstance(node.value, ast.Yield | ast.YieldFrom):  # type: ignore[attr-defined]
            continue
        if kind is not None:
            first, last = node.lineno - 1, node.end_lineno - 1  # type: ignore[attr-defined]
            result[kind].add((starts[first] + node.col_offset, starts[last] + node.end_col_offset))  # type: ignore[attr-defined]
    return result


def _without_elif(spans: set[tuple[int, int]], source: bytes) -> set[tuple[int, int]]:
    """Python's `elif` is an `if` in the `else`; ours is a branch."""
    return {span for span in spans if not source.startswith(b"elif", span[0])}


def check_spans(path: Path) -> None:
    """Check that spans equal those of Python's parser.

    It knows no positions inside of f-strings before 3.12, and has its own kinds of patterns.
    """
    source = path.read_bytes()
    tree = parse(source)
    check_tree(tree)
    assert not [node for node in tree.nodes if node.kind.startswith("Bad")]
    left_out = [node.parts["condition"] for node in tree.nodes if node.kind == "Branch" and node.parts["is_case"]]
    left_out += [node for node in tree.nodes if node.kind == "StringExpr" and node.children]
    ranges = [(node.start, node.end) for node in left_out]
    for kind, spans in _spans(ast.parse(source), source).items():
        ours = {(node.start, node.end) for node in tree.nodes if node.kind == kind}
        theirs = _without_elif(spans, source)
        differ = {s for s in ours ^ theirs if not any(start <= s[0] and s[1] <= end for start, end in ranges)}
        assert not differ, (path, kind, sorted(differ)[:5])


@pytest.mark.parametrize("path", stdlib_files(40), ids=lambda path: path.name)
def test_spans_equal_those_of_python(path: Path) -> None:
    check_spans(path)


@pytest.mark.slow
def test_spans_equal_those_of_python_in_many_files() -> None:
    for path in stdlib_files(5):
        if "lib2to3" not in path.parts:
            check_spans(path)
