"""The parts of `metainfo.json`, each by itself: weights, walks, productions, packages, words."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from fastnode_ops.analysis.markers import SPECIAL_TOKENS, UNKNOWN_TYPE
from fastnode_ops.samples.metainfo import production_id
from fastnode_ops.symbols.store import SymbolStore
from fastnode_ops.symbols.symbol import Symbol, SymbolKind
from fastnode_ops.traindata.attributes import attribute_weights, build_attributes, is_skipped
from fastnode_ops.traindata.functions import build_bases
from fastnode_ops.traindata.packages import check_packages, read_packages
from fastnode_ops.traindata.productions import Grammar, add_call_productions
from fastnode_ops.traindata.subtoken_indexes import name_index, type_strings
from fastnode_ops.traindata.thresholds import Thresholds, default_thresholds
from fastnode_ops.traindata.walking import walk
from ops_common.errors import ConfigError, DataError

DEFAULT_LIST = Path(__file__).parents[3] / "config/fastnode/packagelist.txt"


def test_weights() -> None:
    """Specification B.4."""
    weights = attribute_weights({"x": 300, "y": 100, "z": 150})
    assert weights == pytest.approx({"x": 12.727, "y": 4.242, "z": 6.364}, abs=0.001)
    assert sum(weights.values()) / math.sqrt(550) == pytest.approx(0.9949, abs=0.0001)
    assert attribute_weights({"only": 7}) == {"only": 0}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("os.path.join", False),
        ("os.path.join.more", True),
        ("os._exit", True),
        ("os.path.__doc__", True),
        ("google.a.b.c.d", False),
        ("google.a.b.c.d.e", True),
    ],
)
def test_skip_rule_of_attributes(path: str, expected: bool) -> None:
    assert is_skipped(path) is expected


class Tree:
    """A store of modules, types and functions: a path per line, `-> canonical` behind it, kind by spelling."""

    def __init__(self, *lines: str) -> None:
        self.canonical = {path: other or path for path, _, other in (line.partition(" -> ") for line in lines)}

    def find(self, path: str) -> Symbol | None:
        if path not in self.canonical:
            return None
        last = self.canonical[path].rpartition(".")[2]
        kind = SymbolKind.TYPE if last[0].isupper() else SymbolKind.FUNCTION if last[0] == "f" else SymbolKind.MODULE
        return Symbol(path, self.canonical[path], kind)

    def children(self, path: str) -> list[str]:
        own = {one[len(path) + 1 :] for one in self.canonical if one.startswith(f"{path}.")}
        return sorted(name for name in own if "." not in name)


def visited(tree: Tree, package: str, **options: object) -> list[str]:
    return [symbol.path for symbol, _ in walk(tree, package, set(), **options)]  # type: ignore[arg-type]


def test_walk_as_written_and_canonical() -> None:
    tree = Tree(
        *("p", "p.b", "p.b.f2", "p.a -> p.b", "p.a.f2 -> p.b.f2", "p.C", "p.C.f3", "p.f1", "p.f1.x"),
        *("p.q -> q", "p.q.f4 -> q.f4", "q", "q.f4"),
    )
    assert visited(tree, "p", canonical=False) == [
        *("p", "p.C", "p.C.f3", "p.a", "p.a.f2", "p.b", "p.b.f2", "p.f1", "p.q", "p.q.f4"),
    ]
    # the alias is its target, what leads out of the package is left, functions have no members
    assert visited(tree, "p", canonical=True) == ["p", "p.C", "p.C.f3", "p.b", "p.b.f2", "p.f1"]
    assert visited(tree, "p", canonical=True, skip=lambda path: path == "p.C") == ["p", "p.b", "p.b.f2", "p.f1"]
    assert visited(tree, "nowhere", canonical=True) == []


def test_packages_share_what_was_visited() -> None:
    tree = Tree("p", "p.f1")
    shared: set[str] = set()
    assert [symbol.path for symbol, _ in walk(tree, "p", shared, canonical=True)] == ["p", "p.f1"]  # type: ignore[arg-type]
    assert list(walk(tree, "p", shared, canonical=True)) == []  # type: ignore[arg-type]


def test_packages_with_a_common_beginning_are_not_mixed() -> None:
    assert visited(Tree("p", "p.x -> pp.x", "pp.x"), "p", canonical=True) == ["p"]


class Counts:
    """Scores from a dictionary; keeps what was asked."""

    def __init__(self, written: dict[str, int], canonical: dict[str, int]) -> None:
        self.tables = {False: written, True: canonical}
        self.asked: list[tuple[list[str], str, bool]] = []

    def __call__(self, symbols: Sequence[str], context: str, *, canonicalize: bool) -> dict[str, int]:
        self.asked.append((list(symbols), context, canonicalize))
        return {symbol: self.tables[canonicalize].get(symbol, 0) for symbol in symbols}


def test_attributes() -> None:
    tree = Tree("p", "p.C", "p.C.f1 -> b.f1", "p.C.f2", "p.f3", "p.f4", "p.f5", "p.only", "p.only.f6")
    scores = Counts(
        {"p.C": 300, "p.f3": 100, "p.f4": 150, "p.f5": 99, "p.only.f6": 500}, {"p.C.f1": 200, "p.C.f2": 200}
    )
    grammar = Grammar()
    dropped: Counter[str] = Counter()
    found = build_attributes(["p"], tree, scores, Thresholds(), grammar, dropped)  # type: ignore[arg-type]
    assert scores.asked == [
        (["p.C.f1", "p.C.f2"], "attribute", True),
        (["p.C", "p.f3", "p.f4", "p.f5", "p.only", "p.only.f6"], "attribute", False),
    ]
    assert {path: round(entry.weight, 3) for path, entry in found.dist.items()} == {
        **{"p.C.f1": 6.931, "p.C.f2": 6.931},  # sqrt(400) * ln 2 / 2
        **{"p.C": 12.727, "p.f3": 4.242, "p.f4": 6.364},
    }
    assert {path: entry.canonicalize for path, entry in found.dist.items()} == {
        **{"p.C.f1": True, "p.C.f2": True},
        **{"p.C": False, "p.f3": False, "p.f4": False},
    }
    assert dropped == {"attribute_too_rare": 2, "attribute_without_sibling": 1}
    assert found.parents == {"p.C.f1": "p.C", "p.C.f2": "p.C", "p.C": "p", "p.f3": "p", "p.f4": "p"}
    assert found.CanonToSyms["b.f1"] == ["p.C.f1"]
    children = {str(production_id(path)) for path in ("p.C", "p.f3", "p.f4")}
    production = grammar.index().productions[str(production_id("p"))]
    assert {str(child) for child in production.children} == children
    assert production.children == sorted(production.children)


def test_google_needs_half_the_score() -> None:
    assert Thresholds().score_of("google.a.b") == 50
    assert Thresholds().score_of("googles.a") == 100


def test_bases() -> None:
    tree = Tree("p", "p._hidden", "p._hidden.C", "p.C", "p.D", "p.f1")
    scores = Counts({}, {"p": 100, "p.C": 150, "p.D": 99, "p._hidden.C": 500, "p.f1": 500})
    dropped: Counter[str] = Counter()
    found = build_bases(["p"], tree, scores, Thresholds(), dropped)  # type: ignore[arg-type]
    assert dropped == {"base_too_rare": 1}
    assert {path: (entry.weight, entry.canonicalize) for path, entry in found.dist.items()} == {
        "p": (100, True),
        "p.C": (150, True),
    }
    assert scores.asked == [(["p", "p.C", "p.D"], "name", True)]


def test_productions_of_a_function() -> None:
    grammar = Grammar()
    add_call_productions(grammar, "m.f", ["k"], ["a", "k"])
    index = grammar.index()
    ids = {
        *("choose_kwarg:m.f", "choose_kwarg:m.f:k", "choose_argtype:m.f", "choose_argtype:m.f:stop"),
        *("choose_argtype:m.f:positional", "choose_argtype:m.f:keyword", "choose_arg_placeholder:m.f"),
        *(f"choose_arg_placeholder:m.f:{name}:{kind}placeholder" for name in "ak" for kind in ("", "no_")),
    }
    assert index.indices.keys() == index.productions.keys() == {str(production_id(text)) for text in ids}
    assert sorted(index.indices, key=int) == sorted(index.indices, key=index.indices.__getitem__)
    assert sorted(index.indices.values()) == list(range(len(ids)))
    assert index.productions[str(production_id("choose_kwarg:m.f:k"))].children == []  # a leaf
    assert len(index.productions[str(production_id("choose_arg_placeholder:m.f"))].children) == 4


def test_function_without_keywords_has_no_choice_of_them() -> None:
    grammar = Grammar()
    add_call_productions(grammar, "m.f", [], ["a"])
    assert grammar.index().row("choose_kwarg:m.f") is None


def test_refused_productions(monkeypatch: pytest.MonkeyPatch) -> None:
    grammar = Grammar()
    grammar.add("p", ["a", "b"])
    with pytest.raises(DataError, match="'p' is there twice"):
        grammar.add("p", ["c"])
    with pytest.raises(DataError, match="'a' is a child of both 'p' and 'q'"):
        grammar.add("q", ["a"])
    monkeypatch.setattr("fastnode_ops.traindata.productions.production_id", len)
    with pytest.raises(DataError, match="'one' and 'two' have the same id 3"):
        Grammar().add("parent", ["one", "two"])


def test_order_of_adding_does_not_matter() -> None:
    first, second = Grammar(), Grammar()
    first.add("p", ["a", "b"])
    first.add("q", ["c"])
    second.add("q", ["c"])
    second.add("p", ["b", "a"])
    assert first.index() == second.index()


def test_default_list(symbols: SymbolStore) -> None:
    names = read_packages(DEFAULT_LIST)
    assert len(names) == len(set(names)) == 103
    assert (names[0], names[3], names[-1]) == ("django", "__future__", "google")
    found = check_packages(names, symbols)
    assert found.renamed == {
        **{"urllib2": "urllib", "urlparse": "urllib", "StringIO": "io", "cStringIO": "io"},
        **{"cPickle": "pickle", "ConfigParser": "configparser", "__builtin__": "builtins"},
    }
    assert {"os", "builtins", "configparser", "urllib"} <= set(found.names)
    assert {"django", "PyQt4", "pylab"} <= set(found.dropped)
    assert len(found.names) == len(set(found.names))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\n \n", "lists no package"),
        (b"os\nos.path\n", "line 2: 'os.path' is not the name of a top-level package"),
        (b"os==1.0\n", "line 1"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"a" * 1_000_001, "more than 1000000 bytes"),
    ],
)
def test_refused_lists(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "packages.txt"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=re.escape(message)):
        read_packages(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_packages(tmp_path)


def test_blank_lines_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "packages.txt"
    path.write_text("os\n\n  json  \n")
    assert read_packages(path) == ["os", "json"]


def test_thresholds() -> None:
    assert default_thresholds(100) == Thresholds(2, 1, 2)
    assert default_thresholds(10_000) == Thresholds(5, 2.5, 5)
    assert default_thresholds(1_000_000) == Thresholds(100, 50, 100)


def test_name_rows() -> None:
    rows = name_index(["self", "x", SPECIAL_TOKENS[3]])
    assert list(rows)[:4] == ["self", "x", SPECIAL_TOKENS[3], SPECIAL_TOKENS[0]]
    assert list(rows.values()) == list(range(len(SPECIAL_TOKENS) + 2))
    assert UNKNOWN_TYPE not in rows


def test_type_strings() -> None:
    assert type_strings(Symbol("m.C", "n.C", SymbolKind.TYPE)) == ["n.C", "n.C.INSTANCE"]
    assert type_strings(Symbol("m.f", "m.f", SymbolKind.FUNCTION)) == ["m.f", "m.f.RETURN"]
    assert type_strings(Symbol("m.f", "m.f", SymbolKind.FUNCTION, returns=("builtins.str",))) == ["m.f"]
    assert type_strings(Symbol("m", "m", SymbolKind.MODULE)) == ["m"]
