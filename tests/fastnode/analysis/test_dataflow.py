"""Data flow: the worked examples of Appendix B.3, with D17 repaired, and further rules of 6.7."""

import pytest

from fastnode_ops.analysis.dataflow import data_flow
from fastnode_ops.analysis.scopes import resolve_scopes
from fastnode_ops.analysis.syntax import parse
from tests.fastnode.analysis.trees import find


def flow(source: str, name: str) -> dict[int, list[int]]:
    """Return the successors of each reference of the first variable with a name."""
    tree = parse(source.encode())
    variable = next(v for v in resolve_scopes(tree).variables if v.name == name)
    number = {node: at for at, node in enumerate(variable.references)}
    result: dict[int, list[int]] = {}
    for source_node, target in data_flow(tree, variable.references):
        result.setdefault(number[source_node], []).append(number[target])
    return result


EXAMPLES = {
    "A": (
        "total = 0\nwhile total < 9:\n    total += step(total)\nreport(total)",
        "total",
        {0: [1], 1: [2, 4], 2: [3], 3: [1, 4]},
    ),
    "B": (
        "buf = read()\nif ready():\n    buf = trim(buf)\nelse:\n    log(buf)\nsend(buf)",
        "buf",
        {0: [1, 3, 4], 1: [2], 2: [4], 3: [4]},
    ),
    "C": ("for row in table:\n    use(row)\nprint(row)", "row", {0: [1, 2], 1: [0, 2]}),
    "D": ("n = 1\nn = 2\nn", "n", {0: [1], 1: [2]}),
    "E": (
        "path = find()\ntry:\n    load(path)\nexcept Missing:\n    path = None\nfinish(path)",
        "path",
        {0: [1, 3], 1: [2, 3], 2: [3]},
    ),
    "F": ("key = 1\nwith lock(key):\n    a(key)\n    b(key)\nc(key)", "key", {0: [1], 1: [2, 4], 2: [3], 3: [4]}),
    "G": ("def area(w):\n    k = w * w\n    return k + w", "w", {0: [1, 2], 1: [3], 2: [3]}),
}


@pytest.mark.parametrize("case", EXAMPLES)
def test_worked_examples(case: str) -> None:
    source, name, expected = EXAMPLES[case]
    assert flow(source, name) == expected


RULES = {
    # a condition flows to each body, to the next condition and past the statement; the first one blocks
    "if x: a(x)\nelif x: b(x)\nelse: c(x)\nx = 1": {0: [1, 2, 5], 1: [5], 2: [3, 4, 5], 3: [5], 4: [5]},
    # a body without references flows to itself through the condition
    "while x: pass\nx = 1": {0: [0, 1]},
    "for a in x: pass\nx = 1": {0: [0, 1]},
    "for x in y: pass": {0: [0]},
    "for x in x: f(x)\nelse: g(x)": {0: [1, 3], 1: [2], 2: [0, 3]},
    # else and finally are processed (D17): their statements flow on
    "try:\n    x = 1\nelse:\n    f(x)\n    g(x)\nfinally:\n    h(x)\n    i(x)": {0: [1], 1: [2], 2: [3], 3: [4]},
    "try:\n    x = 1\nexcept E:\n    f(x)\nfinally:\n    g(x)": {0: [1, 2], 1: [2]},
    "with x as y: f(x)\nx = 1": {0: [1, 2], 1: [2]},
    "import x\nx": {0: [1]},
    "class A:\n    x = 1\n    f(x)": {0: [1]},
    "x = 1\ndef f(): return x": {},
    "def f(x): pass\n": {},
    "x = x + x": {0: [2], 1: [2]},
    "match x:\n    case 1: f(x)\n    case 2: g(x)\nx = 1": {0: [1, 2, 3], 1: [3], 2: [3]},
}


@pytest.mark.parametrize("source", RULES)
def test_rules(source: str) -> None:
    assert flow(source, "x") == RULES[source]


def test_a_site_can_be_added_to_the_references() -> None:
    tree = parse(b"x = 1\nf(SITE)\ng(x)")
    variable = resolve_scopes(tree).variables[0]
    site = find(tree, "NameExpr", "SITE")
    flows = data_flow(tree, [*variable.references, site])
    assert [(a.start, b.start) for a, b in flows] == [(0, 8), (8, 16)]


def test_deep_nesting_does_not_recurse_too_far() -> None:
    lines = [" " * depth + "if x:" for depth in range(98)] + [" " * 98 + "x = 1"]
    assert len(flow("\n".join(lines), "x")) == 98
