"""Circles of variables, limits, and independence of the order of questions."""

import random

import pytest

from fastnode_ops.analysis.analysis import Analysis
from fastnode_ops.analysis.inference_cells import MAX_DEPTH, Cells
from fastnode_ops.analysis.inference_terms import Terms, instance, join
from fastnode_ops.symbols.store import SymbolStore
from tests.fastnode.analysis.inferred import analysed, inferred

A, B, C = (instance(f"m.{name}") for name in "ABC")


class Circles:
    """Cells that are unions of constants and of other cells."""

    def __init__(self, rules: dict[str, list[str | Terms]]) -> None:
        self.rules = rules
        self.cells = Cells()
        self.num_evaluated = 0

    def value(self, name: str) -> Terms:
        def compute() -> Terms:
            self.num_evaluated += 1
            return join(self.value(part) if isinstance(part, str) else part for part in self.rules[name])

        return self.cells.cell(name, compute)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"x": ["x"]}, {"x": ()}),
        ({"x": [(A,), "x"]}, {"x": (A,)}),
        ({"x": ["y", (A,)], "y": ["x", (B,)]}, {"x": {A, B}, "y": {A, B}}),
        ({"x": ["y"], "y": ["z"], "z": ["x", (C,)]}, {"x": {C}, "y": {C}, "z": {C}}),
        ({"x": ["y", "z"], "y": ["x", (A,)], "z": ["x", (B,)]}, {"x": {A, B}, "y": {A, B}, "z": {A, B}}),
        ({"w": ["x"], "x": ["y", (A,)], "y": ["x"], "z": ["w", (B,)]}, {"w": {A}, "x": {A}, "y": {A}, "z": {A, B}}),
    ],
)
def test_a_circle_has_its_least_fixed_point_whoever_is_asked_first(
    rules: dict[str, list[str | Terms]], expected: dict[str, set[object]]
) -> None:
    for first in rules:
        circles = Circles(rules)
        circles.value(first)
        assert {name: set(circles.value(name)) for name in rules} == {name: set(e) for name, e in expected.items()}


def test_a_cell_is_evaluated_once() -> None:
    circles = Circles({"x": [(A,)], "y": ["x", "x"]})
    assert circles.value("y") == circles.value("y") == (A,)
    assert circles.num_evaluated == 2


def test_a_circle_of_many_cells_costs_little() -> None:
    size = 40
    rules: dict[str, list[str | Terms]] = {f"c{i}": [f"c{(i + 1) % size}", f"c{(i + 7) % size}"] for i in range(size)}
    rules["c3"].append((A,))
    circles = Circles(rules)
    assert all(circles.value(name) == (A,) for name in rules)
    assert circles.num_evaluated < 10 * size


PROGRAM = """
import os

class Node:
    def __init__(self, parent=None):
        self.parent = parent
        self.next = self
        self.path = os.path.join('a', 'b')

    def last(self):
        node = self
        while node.next:
            node = node.next
        return node

    def root(self):
        return self.parent.root() if self.parent else self

def even(n):
    return True if n == 0 else odd(n - 1)

def odd(n):
    return False if n == 0 else even(n - 1)

a = Node()
b = a.last()
a = b.next.root()
c = even(3)
x = 1
for i in range(3):
    x, y = y, x
y = 'a'
z = [x, [y]]
z = z[0]
w = w + 1
b.path
"""


def test_values_do_not_depend_on_the_order_of_questions(symbols: SymbolStore) -> None:
    def all_values(seed: int | None) -> list[object]:
        analysis: Analysis = analysed(PROGRAM, symbols)
        nodes = list(analysis.tree.nodes)
        if seed is not None:
            random.Random(seed).shuffle(nodes)
        for node in nodes:
            analysis.values(node)
        return [analysis.values(node) for node in analysis.tree.nodes]

    expected = all_values(None)
    assert any(expected)
    for seed in range(20):
        assert all_values(seed) == expected


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("x = x\nx", []),
        ("def f(): return f()\nf()", []),
        ("def f(n): return f(n - 1) if n else 1\nf(2)", ["builtins.int.INSTANCE"]),
        ("class A(A): pass\nA().x", []),
        ("class A(B): pass\nclass B(A): pass\nA().x", []),
        ("x = [x]\nx", ["builtins.list.INSTANCE"]),
        ("x = 1\nx = x + 1.0\nx", ["builtins.float.INSTANCE", "builtins.int.INSTANCE"]),
        (
            "class A:\n    def f(self):\n        self.x = self.y\n        self.y = self.x\n        self.y = 1\nA().x",
            ["builtins.int.INSTANCE"],
        ),
        ("a, b = b, a\na = 1\nb", ["builtins.int.INSTANCE"]),
    ],
)
def test_programs_with_circles(symbols: SymbolStore, program: str, expected: list[str]) -> None:
    assert inferred(program, symbols) == expected


def test_long_chains_are_cut_and_counted_not_a_crash(symbols: SymbolStore) -> None:
    chain = "x0 = 1\n" + "".join(f"x{i + 1} = x{i}\n" for i in range(3 * MAX_DEPTH))
    analysis = analysed(chain, symbols)
    last = analysis.tree.root.parts["body"][-1].parts["targets"][0]
    assert analysis.values(last) == ()
    assert analysis.num_cut >= 1
    near = analysis.tree.root.parts["body"][20].parts["targets"][0]
    assert [value.canonical for value in analysis.values(near)] == ["builtins.int"]


LOCAL = """
class V:
    def __init__(self, inner=None):
        self.inner = inner
        self.v = self.inner
    def __add__(self, other): return V(other)
    def __getitem__(self, key): return V(key)
    def __iter__(self): return self
    def __next__(self): return self
    def m(self, *a): return self
    @property
    def p(self): return self.m()
def f(a): return a
x = V()
"""


@pytest.mark.parametrize(
    "program",
    [
        "f(" * 120 + "1" + ")" * 120,
        "max(" * 120 + "1, 2" + ")" * 120,
        "dict(a=" * 100 + "1" + ")" * 100,
        "x" + ".m()" * 150,
        "x" + ".p" * 150,
        "x" + "[0]" * 150,
        "''" + " + ''" * 300,
        "x" + " + x" * 300,
        "[" * 150 + "1" + "]" * 150,
        "sorted(map(f, " * 60 + "[1]" + "))" * 60,
        "\n".join(f"def g{i}(a): return g{i + 1}(a) + x" for i in range(200)) + "\ng0(1)",
        "\n".join(f"def g{i}(a): return max(g{i + 1}(a), 1)" for i in range(200)) + "\ng0(1)",
        "\n".join(f"class C{i + 1}(C{i}): pass" for i in range(200)) + "\nC200().x",
        "\n".join(f"class C{i}:\n    @property\n    def p(self): return C{i + 1}().p + x" for i in range(99))
        + "\nC0().p",
        "\n".join(f"x{i} = [y for y in x{i + 1}]" for i in range(200)) + "\nx0",
        "\n".join(f"with x{i + 1} as x{i}: pass" for i in range(200)) + "\nx0",
        "\n".join(f"l{i} = lambda: sorted(l{i + 1}())" for i in range(200)) + "\nl0()",
    ],
)
def test_nothing_that_is_nested_exhausts_the_stack(symbols: SymbolStore, program: str) -> None:
    analysis = analysed(LOCAL + program, symbols)
    for node in reversed(analysis.tree.nodes):
        analysis.values(node)


def test_steps_are_bounded_per_file(symbols: SymbolStore) -> None:
    analysis = analysed("\n".join(f"x{i} = {i}" for i in range(50)), symbols)
    bounded = Analysis(analysis.tree, analysis.scopes, symbols, max_steps=10)
    values = [bounded.values(node) for node in bounded.tree.nodes if node.kind == "NumberExpr"]
    assert bounded.steps == 10
    assert all(values[:10]) and not any(values[10:])
    assert bounded.num_cut == 40
