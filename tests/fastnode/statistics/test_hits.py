"""Every row of the table of contexts (specification 3.3)."""

import pytest

from fastnode_ops.analysis.analysis import analyse
from fastnode_ops.analysis.sites import NO_SITE, Site
from fastnode_ops.statistics.hits import Hits, find_hits
from fastnode_ops.symbols.store import SymbolStore


def hits(source: str, symbols: SymbolStore) -> Hits:
    return find_hits(analyse(source.encode(), symbols))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import os.path", {("os.path", "import"): 1}),
        ("import json as j, csv", {("json", "import"): 1, ("csv", "import"): 1}),
        ("from os import path, sep as s", {("os", "import"): 1, ("os.path", "import"): 1, ("os.sep", "import"): 1}),
        ("from os import *", {("os", "import"): 1}),
        ("from . import os", {}),
        ("from .os import path", {}),
        ("import nobody_knows", {}),
        ("import len", {}),
        ("import os; from nowhere import os", {("os", "import"): 1}),
    ],
)
def test_imports(source: str, expected: dict[tuple[str, str], int], symbols: SymbolStore) -> None:
    assert hits(source, symbols).written == expected


def test_names_calls_and_attributes(symbols: SymbolStore) -> None:
    found = hits("import os\nos.path.join(os.sep)\n", symbols)
    assert found.written == {
        ("os", "import"): 1,
        ("os", "name"): 2,
        ("os", "expr"): 2,
        ("os.path", "attribute"): 1,
        ("os.path", "expr"): 1,
        ("os.path.join", "attribute"): 1,
        ("os.path.join", "expr"): 1,
        ("os.path.join", "call_func"): 1,
        ("os.sep", "attribute"): 1,
        ("os.sep", "expr"): 1,
        ("builtins.str", "expr"): 1,  # what the call returns
    }
    assert found.canonical["posixpath.join", "call_func"] == 1
    assert found.canonical["posixpath", "attribute"] == 1
    assert ("os.path.join", "call_func") not in found.canonical


@pytest.mark.parametrize(
    ("source", "path", "expected"),
    [
        ("json.dumps(1, indent=2)", "json.dumps", Site.MEMBER | Site.ARGUMENT | Site.KEYWORD | Site.OPEN),
        ("dumps(*p, **q)", "json.dumps", Site.ARGUMENT),
        ("dumps(a, b)", "json.dumps", Site.ARGUMENT | Site.NAME),  # no variables
        ("dumps(p)", "json.dumps", Site.ARGUMENT | Site.NAME | Site.VARIABLE),
        ("dumps(p", "json.dumps", Site.NAME | Site.VARIABLE),
        ("from json import dumps\nf = dumps", "json.dumps", NO_SITE),
        ("import os\nos.sep", "os", Site.BASE),
        ("import os\nf = os", "os", NO_SITE),
        ("str.join", "builtins.str", NO_SITE),  # no variable
        ("x = 'a'\nx.join(x)", "builtins.str", Site.BASE),
        ("import pathlib\npathlib.Path", "pathlib.Path", Site.MEMBER),
    ],
)
def test_kinds_of_places(source: str, path: str, expected: Site, symbols: SymbolStore) -> None:
    if "\n" not in source:
        source = f"import json, os\nfrom json import dumps\ndef f(p, q):\n    {source}"
    found = hits(source + "\n", symbols)
    assert found.written_sites.get(path, NO_SITE) == expected
    assert any(symbol == path for symbol, _ in found.written)


@pytest.mark.parametrize(
    ("head", "expected"),
    [("", NO_SITE), ("x = 1\n", Site.ARGUMENT | Site.OPEN), ("def f(x):\n  ", Site.ARGUMENT | Site.OPEN)],
)
def test_a_call_without_a_variable_in_scope_has_no_place(head: str, expected: Site, symbols: SymbolStore) -> None:
    found = hits(f"from json import dumps\n{head}dumps(1)\n", symbols)
    assert found.written_sites.get("json.dumps", NO_SITE) == expected
    assert found.written["json.dumps", "call_func"] == 1


def test_one_variable_cannot_be_guessed(symbols: SymbolStore) -> None:
    found = hits("from json import dumps\ndef f(x):\n    dumps(x)\n", symbols)
    assert found.written_sites["json.dumps"] == Site.ARGUMENT | Site.NAME


def test_an_attribute_whose_value_is_a_type_is_no_member_of_that_name(symbols: SymbolStore) -> None:
    found = hits("from pathlib import Path\nclass A:\n    p = Path()\nA.p\n", symbols)
    assert found.written["pathlib.Path", "attribute"] == 1
    assert Site.MEMBER not in found.written_sites.get("pathlib.Path", NO_SITE)


def test_places_are_known_under_both_paths(symbols: SymbolStore) -> None:
    found = hits("import os\nx = 1\nos.path.join(os.sep)\n", symbols)
    expected = Site.MEMBER | Site.ARGUMENT | Site.OPEN
    assert (found.written_sites["os.path.join"], found.canonical_sites["posixpath.join"]) == (expected, expected)
    assert "os.path.join" not in found.canonical_sites


def test_variables_of_modules_count_as_themselves(symbols: SymbolStore) -> None:
    found = hits("import os\nos.environ\n", symbols)
    assert found.written["os.environ", "attribute"] == 1
    assert ("os._Environ", "attribute") not in found.written


def test_other_expressions(symbols: SymbolStore) -> None:
    found = hits("[1]\n{}\n'a'\n(2, 3)\n", symbols)
    assert found.written == {
        ("builtins.list", "expr"): 1,
        ("builtins.dict", "expr"): 1,
        ("builtins.str", "expr"): 1,
        ("builtins.tuple", "expr"): 1,
        ("builtins.int", "expr"): 3,
    }


def test_instances_count_as_their_type(symbols: SymbolStore) -> None:
    found = hits("import collections\nc = collections.OrderedDict()\nc.popitem\n", symbols)
    assert found.written["collections.OrderedDict", "name"] == 2
    assert found.written["collections.OrderedDict.popitem", "attribute"] == 1


def test_one_node_counts_a_path_once(symbols: SymbolStore) -> None:
    found = hits("x = 1\nx = 2\nx = 'a'\nx\n", symbols)
    assert found.written["builtins.int", "name"] == 4
    assert found.written["builtins.str", "name"] == 4


def test_what_the_file_defines_counts_nothing(symbols: SymbolStore) -> None:
    assert hits("def f(): pass\nf()\nclass A: pass\nA().x\n", symbols).written.keys() <= {("types.NoneType", "expr")}
