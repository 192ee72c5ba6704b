"""Variables and scope: the worked example of Appendix B.2, and agreement with `symtable`."""

import symtable
import warnings
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from fastnode_ops.analysis.binding import Binder, Scope
from fastnode_ops.analysis.scopes import Scopes, resolve_scopes
from fastnode_ops.analysis.syntax import parse
from tests.fastnode.analysis.trees import find, stdlib_files

EXAMPLE = """a = 1
def f(p, *q):
    if p:
        b = 2
        'at1'
    else:
        c = 3
        'at2'
    'at3'
for k in a:
    d = k
else:
    'at4'
'at5'
"""


@pytest.mark.parametrize(
    ("at", "everywhere", "in_function"),
    [
        ("at1", "a p q b", "p q b"),
        ("at2", "a p q c", "p q c"),
        ("at3", "a p q b c", "p q b c"),
        ("at4", "a f k d", "a f k d"),
        ("at5", "a f k d", "a f k d"),
    ],
)
def test_worked_example(at: str, everywhere: str, in_function: str) -> None:
    tree = parse(EXAMPLE.encode())
    scopes = resolve_scopes(tree)
    node = find(tree, "StringExpr", f"'{at}'")
    assert " ".join(v.name for v in scopes.in_scope(node, False)) == everywhere
    assert " ".join(v.name for v in scopes.in_scope(node, True)) == in_function


def visible(source: str, stop_at_function: bool = False) -> str:
    """Return the names in scope at the string 'at'."""
    tree = parse(source.encode())
    node = find(tree, "StringExpr", "'at'")
    return " ".join(v.name for v in resolve_scopes(tree).in_scope(node, stop_at_function))


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("x = 'at'\ny = 1", ""),
        ("import a.b, c.d as e\nfrom f import g, h as i\n'at'", "a e g i"),
        ("def f(): 'at'", ""),
        ("def f(a, b='at'): pass", ""),
        ("class A:\n  x = 1\n  def f(self): 'at'", "self"),
        ("class A:\n  x = 1\n  'at'", ""),
        ("class A: pass\n'at'", "A"),
        ("if a:\n  b = 1\nelif c:\n  d = 1\nelse:\n  'at'", ""),
        ("if a:\n  b = 1\nelif c:\n  d = 1\n'at'", "b d"),
        ("with a as b:\n  c = 1\n  'at'", "b c"),
        ("with a as b: c = 1\n'at'", "b c"),
        ("try:\n  a = 1\n  'at'\nfinally: pass", "a"),
        ("try:\n  a = 1\nexcept E as b: c = 1\nexcept F as d: 'at'\n", "a d"),
        ("try:\n  a = 1\nexcept E as b: c = 1\nelse:\n  d = 1\n  'at'\n", "a d"),
        ("try:\n  a = 1\nexcept E as b: c = 1\nfinally: 'at'\n", "a b c"),
        ("try:\n  a = 1\nexcept E as b: c = 1\n'at'\n", "a b c"),
        ("x = [a for a in b]\n'at'", "x"),
        ("x = [(a, 'at') for a in b]\n", "a"),
        ("x = lambda a: 'at'\n", "a"),
        ("if (n := f()):\n  'at'", "n"),
        ("match a:\n  case B(c, d=e) | {'k': f, **g}: 'at'\n  case h: pass", "c e f g"),
        ("def f():\n  global a\n  a = 1\n  'at'", "a"),
        ("for a, (b, *c) in d: 'at'", "a b c"),
        ("while a:\n  b = 1\nelse:\n  'at'", "b"),
        ("x = 1\n'at'\nx = 2", "x"),
    ],
)
def test_scope(source: str, names: str) -> None:
    assert visible(source) == names


def names_of(source: str) -> list[str]:
    """Return all variables with the texts before them: where each reference stands."""
    scopes = resolve_scopes(parse(source.encode()))
    return [f"{v.name}:{','.join(str(node.start) for node in v.references)}" for v in scopes.variables]


@pytest.mark.parametrize(
    ("source", "variables"),
    [
        ("a = a", ["a:4,0"]),
        ("a += a", ["a:5,0"]),
        ("a = b = c\nb", ["a:0", "b:4,10"]),
        ("for a in a: a", ["a:9,4,12"]),
        ("[a for a in a]\na = 1", ["a:12,15", "a:7,1"]),
        ("a if a else a\na=1", ["a:5,0,12,14"]),
        ("def f(): return a\na = 1", ["f:4", "a:18,16"]),
        ("def f(a=a, b=a): a\na=1", ["a:8,13,19", "f:4", "a:6,17", "b:11"]),
        ("f(a=a)\na=1", ["a:4,7"]),
        ("import a.b\na", ["a:7,11"]),
        ("from a import b as c\nc\nb", ["c:19,21"]),
        ("from a import *\nb", []),
        ("print(x)", []),
        ("def f():\n  x = 1\n  def g():\n    nonlocal x\n    x", ["f:4", "x:11,47", "g:23"]),
        ("x = 1\nclass A:\n  x = x\n  def f(self): x", ["x:0,38", "A:12", "x:21,17", "f:29", "self:31"]),
        ("del a\na = 1", ["a:4,6"]),
        ("f'{a}'\na = 1", ["a:3,7"]),
        ("a.b = a[c] = 1\na = c = 2", ["a:0,6,15", "c:8,19"]),
        ("None = True", []),
    ],
)
def test_variables_in_the_order_of_evaluation(source: str, variables: list[str]) -> None:
    assert names_of(source) == variables


def test_private_names_carry_their_class() -> None:
    tree = parse(b"__x = 1\nclass _A:\n  __x = 2\n  def f(self): return __x, _A__x\n")
    scopes = resolve_scopes(tree)
    inside = [node for node in tree.nodes if node.text in ("__x", "_A__x")][2:]
    assert [scopes.variable_of(node) for node in inside] == [None, None]  # not the module's `__x`


def test_keywords_and_import_paths_are_no_references() -> None:
    tree = parse(b"import a.b\nf(a=1)\nglobal a\n")
    scopes = resolve_scopes(tree)
    counts = [scopes.variable_of(node) is not None for node in tree.nodes if node.kind == "NameExpr"]
    assert counts == [True, False, False, False, False]


# agreement with Python's own symbol tables


def _name(scope: Scope) -> str:
    names = {
        "Module": "top",
        "LambdaExpr": "lambda",
        "ComprehensionExpr": "genexpr",
        "ListComprehensionExpr": "listcomp",
    }
    names |= {"SetComprehensionExpr": "setcomp", "DictComprehensionExpr": "dictcomp"}
    return names.get(scope.node.kind) or scope.node.parts["name"].text


class _Comparison:
    def __init__(self, source: bytes) -> None:
        tree = parse(source)
        self.source = source
        self.scopes: Scopes = resolve_scopes(tree)
        binder = Binder(tree)
        same = dict(zip(binder.scopes, self.scopes.tables))
        self.names: dict[Scope, dict[str, Scope | None]] = defaultdict(dict)
        for node, scope in binder.references:
            variable = self.scopes.variable_of(node)
            self.names[same[scope]][scope.spell(node.text)] = variable.scope if variable else None
        self.inner: dict[Scope | None, list[Scope]] = defaultdict(list)
        for scope in self.scopes.tables:
            self.inner[scope.parent].append(scope)
        self.top = symtable.symtable(source, "file", "exec")

    def line(self, scope: Scope) -> int:
        """Return the line of a scope: that of the name for definitions, as decorators do not count."""
        return self.source.count(b"\n", 0, scope.node.parts.get("name", scope.node).start)

    def check(self, table: symtable.SymbolTable, scope: Scope) -> int:
        """Check a table and those inside of it; return how many symbols were compared."""
        count = 0
        for symbol in table.get_symbols():
            used = symbol.is_referenced() or symbol.is_assigned() or symbol.is_parameter() or symbol.is_imported()
            name = symbol.get_name()
            if used and not name.startswith(".") and name not in ("None", "True", "False", "__class__"):
                self.check_symbol(symbol, name, scope)
                count += 1
        theirs: dict[str, list[symtable.SymbolTable]] = defaultdict(list)
        for child in sorted(table.get_children(), key=lambda child: child.get_lineno()):
            theirs[child.get_name()].append(child)
        ours = sorted(self.inner[scope], key=lambda inner: (self.line(inner), inner.node.start))
        assert Counter(_name(inner) for inner in ours) == {name: len(tables) for name, tables in theirs.items()}
        for inner in ours:
            count += self.check(theirs[_name(inner)].pop(0), inner)
        return count

    def check_symbol(self, symbol: symtable.Symbol, name: str, scope: Scope) -> None:
        if name not in self.names[scope]:  # `:=` in a comprehension binds here and stands there
            assert name in scope.bound, (name, scope.node)
            return
        owner = self.names[scope][name]
        if symbol.is_local():
            assert owner is scope, name
        elif symbol.is_free():
            assert owner is not None and owner is not scope and owner.parent is not None, name
        else:
            assert owner is None or owner.parent is None, name
            module = {
                entry.get_name() for entry in self.top.get_symbols() if entry.is_assigned() or entry.is_imported()
            }
            assert owner is not None or name not in module, name


def compare(path: Path) -> int:
    """Compare the scopes of a file with Python's."""
    comparison = _Comparison(path.read_bytes())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return comparison.check(comparison.top, comparison.scopes.tables[0])


@pytest.mark.parametrize("path", stdlib_files(40), ids=lambda path: path.name)
def test_scopes_equal_those_of_python(path: Path) -> None:
    assert compare(path) >= 0


@pytest.mark.slow
def test_scopes_equal_those_of_python_in_many_files() -> None:
    files = [path for path in stdlib_files(3) if "lib2to3" not in path.parts]
    assert len(files) > 100
    assert sum(compare(path) for path in files) > 15_000
