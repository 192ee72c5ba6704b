"""The six tasks on small files, worked out by hand; and on files of the standard library, by their properties."""

import os
from pathlib import Path

import numpy as np
import pytest

from fastnode_ops.analysis.analysis import Analysis, analyse
from fastnode_ops.config import GraphConfig
from fastnode_ops.models.checking import check_batch
from fastnode_ops.samples.assembly import assemble
from fastnode_ops.samples.drawing import rng
from fastnode_ops.samples.making import make_sample
from fastnode_ops.samples.sample import GraphSample, Rejected
from fastnode_ops.symbols.store import SymbolStore
from tests.fastnode.sample_world import (
    KEYWORDS,
    PATTERNS,
    Readable,
    World,
    batch_bytes,
    make_world,
    read,
    vocabulary_sizes,
)

COPY = "import shutil\ndef f(a, b):\n    shutil.copyfile(%s)\n"


@pytest.fixture(scope="module")
def world(symbols: SymbolStore) -> World:
    return make_world(symbols)


def make(world: World, task, source: str, symbol: str, *, key: int = 0, **options) -> Readable:
    analysis = analyse(source.encode(), world.context.symbols)
    return read(make_sample(task, analysis, symbol, rng(key), world.context, **options), world)


def all_answers(world: World, task, source: str, symbol: str, **options) -> set[str]:
    """Answers of all sites: of enough draws."""
    return {make(world, task, source, symbol, key=key, **options).answer for key in range(40)}


def reason(world: World, task, source: str, symbol: str, **options) -> str:
    with pytest.raises(Rejected) as info:
        make(world, task, source, symbol, **options)
    return info.value.reason


def test_attr_by_hand(world: World) -> None:
    sample = make(world, "attr", "import os\nx = 1\nos.sep\ny = x\n", "os.sep")
    # the site is the last word of `os.<dummy>`; everything is within three steps of it, `x` and `os`
    assert sample.site == "ATTRPLACEHOLDER/ATTRPLACEHOLDER"
    assert sample.expansion_edges == {
        "ast_child_forward": ["ATTRIBUTEEXPR > ATTRPLACEHOLDER"],
        "next_token_forward": [". > ATTRPLACEHOLDER"],
        "data_flow_forward": [],
    }
    assert sample.nodes == [
        "MODULE/NA_TYPE",
        "EOF/na",
        "IMPORTNAMESTMT/NA_TYPE",
        "import/na",
        "DOTTEDASNAME/NA_TYPE",
        "DOTTEDEXPR/NA_TYPE",
        "os/os",
        "ASSIGNSTMT/NA_TYPE",
        "=/na",
        "x/instance.int",
        "NUMBER/instance.int",
        "EXPRSTMT/NA_TYPE",
        "ATTRIBUTEEXPR/ATTRPLACEHOLDER",
        "./na",
        "os/os",
        "ASSIGNSTMT/NA_TYPE",
        "=/na",
        "y/instance.int",
        "x/instance.int",
        "SOF/na",
        "os/os",
        "x/instance.int",
    ]
    assert sample.scope == ["os/os", "x/instance.int"]
    # `y` is the next word, `os` hangs below the same expression; `.` is no word; then by distance
    assert sample.tokens[:2] == ["y/instance.int", "os/os"]
    assert len(sample.tokens) == 10
    assert sample.edges["next_token_forward"] == [
        "import > os",
        "os > x",
        "= > NUMBER",
        "x > =",
        "NUMBER > os",
        "os > .",
        "= > x",
        "y > =",
        "x > EOF",
        "SOF > import",
    ]
    assert sample.edges["data_flow_forward"] == ["os > os", "x > x"]
    assert sample.edges["data_flow_backward"] == ["os > os", "x > x"]
    assert sample.edges["scope_forward"] == ["os > os", "x > x", "os > os", "x > x"]
    assert "scope_backward" not in sample.edges
    assert sample.answer == "os.sep"
    members = [name for name in world.attributes if name.startswith("os.") and name.count(".") == 1]
    assert sorted(sample.candidates) == sorted(members)


def test_what_follows_on_the_line_and_in_the_statement_is_cut_away(world: World) -> None:
    tails = (", beside,\n  behind]\nkept\n", ", beside]; behind\nkept\n")
    for tail in tails:
        words = " ".join(make(world, "attr", f"import os\nz = [os.sep{tail}", "os.sep").nodes)
        assert "kept" in words
        assert "beside" not in words
        assert "behind" not in words


def test_attr_of_an_alias_is_a_sample_of_the_parent_as_asked_for(world: World) -> None:
    sample = make(world, "attr", "import posixpath as p\np.join\n", "os.path.join")
    assert sample.answer == "os.path.join"
    assert all(candidate.startswith("os.path.") for candidate in sample.candidates)


def test_arg_type_asks_at_every_argument_and_behind_the_last(world: World) -> None:
    source = "import json\ndef f(a, b):\n    json.dumps(a, 3, indent=4)\n"
    prefix = "choose_argtype:json.dumps:"
    assert all_answers(world, "arg_type", source, "json.dumps") == {
        f"{prefix}{k}" for k in ("stop", "positional", "keyword")
    }
    for key in range(20):
        sample = make(world, "arg_type", source, "json.dumps", key=key)
        # behind a keyword nothing is passed by position any more
        is_after_keyword = any("indent" in node for node in sample.nodes)
        assert (f"{prefix}positional" in sample.candidates) != is_after_keyword
        assert sample.site == "ARGNODE/ARGNODE"
        assert sample.expansion_edges["ast_child_forward"] == ["CALLEXPR > ARGNODE"]


def test_starred_arguments_are_no_sites(world: World) -> None:
    source = "import json\ndef f(a, b):\n    json.dumps(*a, **b)\n"
    assert all_answers(world, "arg_type", source, "json.dumps") == {"choose_argtype:json.dumps:stop"}
    assert reason(world, "call", COPY % "*a, **b", "shutil.copyfile") == "no_site"


def test_kwarg_name_asks_for_known_keywords(world: World) -> None:
    source = "import json\ndef f(a, b):\n    json.dumps(a, indent=4, unknown=3, sort_keys=b)\n"
    answers = all_answers(world, "kwarg_name", source, "json.dumps")
    assert answers == {"choose_kwarg:json.dumps:indent", "choose_kwarg:json.dumps:sort_keys"}
    sample = make(world, "kwarg_name", source, "json.dumps")
    assert sample.candidates == [f"choose_kwarg:json.dumps:{name}" for name in KEYWORDS["json.dumps"]]
    assert sample.site == "KWARGNAME/KWARGNAME"
    assert sample.expansion_edges["ast_child_forward"] == ["ARGUMENT > KWARGNAME"]
    assert sample.expansion_edges["next_token_forward"] == [", > KWARGNAME"]
    assert reason(world, "kwarg_name", source, "builtins.len") == "too_few_keywords"


def test_arg_placeholder_makes_the_class_that_is_asked_for(world: World) -> None:
    source = "import shutil\ndef f(a, b):\n    shutil.copyfile(a, b + 'x')\n"
    closed = make(world, "arg_placeholder", source, "shutil.copyfile", is_placeholder=False)
    left_open = make(world, "arg_placeholder", source, "shutil.copyfile", is_placeholder=True)
    prefix = "choose_arg_placeholder:shutil.copyfile:"
    assert closed.candidates == [f"{prefix}src:no_placeholder", f"{prefix}src:placeholder"]
    assert closed.answer == closed.candidates[0]
    assert left_open.answer == f"{prefix}dst:placeholder"
    # the site shows the types of the parameter, the marker when they are not known
    assert closed.site == "ARGPLACEHOLDER/instance.str"
    assert left_open.site == "ARGPLACEHOLDER/ARGPLACEHOLDER"
    only_names = "import shutil\ndef f(a, b):\n    shutil.copyfile(a, b)\n"
    assert reason(world, "arg_placeholder", only_names, "shutil.copyfile", is_placeholder=True) == "no_site"


def test_call_by_hand(world: World) -> None:
    source = "import shutil\ndef f(a, b):\n    shutil.copyfile(a, 1)\n    a\n"
    sample = make(world, "call", source, "shutil.copyfile")
    assert sample.candidates == ["a", "b"]
    assert sample.answer == "a"
    assert sample.site == "CONTEXTNODE/CONTEXTNODE"
    assert sample.expansion_nodes[-3:] == ["CONTEXTNODE/CONTEXTNODE", "a/UNKNOWN_TYPE", "b/UNKNOWN_TYPE"]
    assert sample.expansion_edges == {
        "ast_child_forward": ["ARGUMENT > CONTEXTNODE"],
        "next_token_forward": ["( > CONTEXTNODE"],
        "data_flow_forward": ["a > a", "b > b"],
    }
    # the parameter flows to the last line past the call; the second argument is cut away
    assert sample.edges["data_flow_forward"] == ["a > a"]
    assert not any(node.startswith("NUMBER") for node in sample.nodes)


def test_features_of_the_name_decoder_are_those_of_the_parameter(world: World) -> None:
    analysis = analyse(b"import shutil\ndef f(a, b):\n    shutil.copyfile(a, 1)\n", world.context.symbols)
    feed = make_sample("call", analysis, "shutil.copyfile", rng(0), world.context).feed
    # the type as words, not as one path that no index has (D21)
    assert world.types.words(feed.types) == "instance.str"
    assert world.names.words(feed.subtokens) == "src"


def test_calls_beyond_the_pattern_and_of_unknown_functions_are_no_sites(world: World) -> None:
    for arguments in ("a, b, a", "a, nope=b", "1, 2", ""):
        assert reason(world, "call", COPY % arguments, "shutil.copyfile") == "no_site"
    assert reason(world, "call", COPY % "a, b", "shutil.rmtree") == "no_call_pattern"


def test_attr_base_replaces_the_whole_piece_by_a_dummy(world: World) -> None:
    source = "def f(x):\n    a = str(x)\n    b = str(x)\n    n = a.strip().join(b)\n    return n\n"
    sample = make(world, "attr_base", source, "builtins.str")
    assert sample.answer == "a"
    assert sample.candidates == ["x", "a", "b"]
    assert sample.site == "CONTEXTNODE/CONTEXTNODE"
    assert sample.expansion_edges["ast_child_forward"] == ["ASSIGNSTMT > CONTEXTNODE"]
    assert not any(node.startswith(("strip", "join")) for node in sample.nodes)
    assert any(node.startswith("return") for node in sample.nodes)


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("if a.strip():\n        gone_not", "gone_not"),
        ("for k in a.split():\n        gone_not", "gone_not"),
        ("while a.strip():\n        gone_not", "gone_not"),
        ("with a.strip() as gone:\n        gone_not", "gone_not"),
        ("assert gone_not, a.strip()", "gone_not"),
        ("x = a.strip()", "x"),
        ("x += a.strip()", "x"),
        ("gone_not[a.strip()] = 3", ""),
        ("raise ValueError(a.strip())", "raise"),
        ("return a.strip()", "return"),
    ],
)
def test_attr_base_in_statements(world: World, line: str, kept: str) -> None:
    source = f"def f(x):\n    a = str(x)\n    b = a\n    {line}\n    print(a, b)\n"
    sample = make(world, "attr_base", source, "builtins.str")
    assert sample.answer == "a"
    words = {node.split("/")[0] for node in sample.nodes}
    assert not words & {"strip", "split", "gone"}
    assert {kept.replace("_", "."), "print"} - {""} <= words


def test_no_variable_is_shadowed_among_the_candidates(world: World) -> None:
    source = "a = 1\ndef f(a, b):\n    c = str(a)\n    c.strip()\n    print(a, b, c)\n"
    assert make(world, "attr_base", source, "builtins.str").candidates == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("task", "source", "symbol", "expected"),
    [
        ("attr", "x = 1\n", "os.sep", "no_site"),
        ("attr", "import os\nos.sep\n", "os.no_such_name", "no_site"),
        ("attr_base", "import os\nos.sep\n", "os", "answer_is_no_candidate"),
        ("arg_type", "import json\njson.dumps(1)\n", "json.dumps", "no_variable_in_scope"),
        ("arg_type", "import shutil\nx = 1\nshutil.rmtree(x)\n", "shutil.rmtree", "no_production"),
        ("call", "len(1)", "builtins.len", "no_site"),
        (
            "attr_base",
            "def f(a, b):\n    try:\n        pass\n    finally:\n        global a\n",
            "builtins.str",
            "no_site",
        ),
    ],
)
def test_what_gives_no_sample_says_why(world: World, task, source: str, symbol: str, expected: str) -> None:
    assert reason(world, task, source, symbol) == expected


def test_a_production_without_other_candidates_is_rejected(world: World, symbols: SymbolStore) -> None:
    lonely = make_world(symbols)
    production = lonely.context.productions
    parent = next(p for p in production.productions.values() if len(p.children) > 2)
    parent.children[:] = parent.children[:1]
    symbol = lonely.ids[production.indices[str(parent.children[0])]]
    owner = lonely.context.attr_parents[symbol]
    assert reason(lonely, "attr", f"import {owner}\nx = 1\n{symbol}\n", symbol) == "no_negatives"


def test_a_graph_may_be_too_large(symbols: SymbolStore) -> None:
    small = make_world(symbols, graph=GraphConfig(max_nodes=15))
    assert reason(small, "attr", "import os\nx = 1\nos.sep\ny = x\n", "os.sep") == "too_many_nodes"


FILES = [path for path in sorted(Path(os.__file__).parent.glob("*.py")) if 2_000 < path.stat().st_size < 25_000][::14]
ATTRIBUTES = ("os.path.join", "builtins.str.join", "builtins.list.append", "sys.stderr", "builtins.dict.get")
JOBS = (
    [(task, name, {}) for task in ("call", "arg_type", "kwarg_name") for name in PATTERNS]
    + [("arg_placeholder", name, {"is_placeholder": flag}) for name in PATTERNS for flag in (False, True)]
    + [("attr_base", name, {}) for name in ("os", "builtins.str", "builtins.list", "re")]
    + [("attr", name, {}) for name in ATTRIBUTES]
)


def samples_of(analysis: Analysis, world: World, key: str) -> list[GraphSample]:
    made = []
    for task, symbol, options in JOBS:
        try:
            made.append(make_sample(task, analysis, symbol, rng(key, task, symbol), world.context, **options))
        except Rejected as rejected:
            assert rejected.reason.replace("_", "").isalpha()
    return made


@pytest.fixture(scope="module")
def real_samples(world: World) -> list[GraphSample]:
    return [
        sample
        for path in FILES
        for sample in samples_of(analyse(path.read_bytes(), world.context.symbols), world, path.name)
    ]


def test_samples_of_real_files_pass_all_checks(world: World, real_samples: list[GraphSample]) -> None:
    assert {sample.task for sample in real_samples} == {
        "call",
        "attr",
        "attr_base",
        "arg_type",
        "kwarg_name",
        "arg_placeholder",
    }
    assert len(real_samples) > 40
    for first in range(0, len(real_samples), 40):
        check_batch(assemble(real_samples[first : first + 40]), vocabulary_sizes(world))


def test_every_sample_is_whole(real_samples: list[GraphSample]) -> None:
    for sample in real_samples:
        batch = assemble([sample])
        part = batch.infer_name if len(batch.infer_name.labels) else batch.infer_production
        assert len(part.corrupted) >= 1  # D23
        assert int(part.labels[0]) not in part.corrupted.indices
        assert len(set(part.corrupted.indices.tolist())) == len(part.corrupted) <= 5
        nodes = batch.expansion_graph.context_graph_nodes
        assert len(np.unique(nodes)) == len(nodes)  # D22
        ends = {int(end) for pairs in batch.expansion_graph.edges.values() for end in pairs[:, 1]}
        assert ends <= set(batch.expansion_graph.lookup_to_expansion.tolist())
        assert int(part.prediction_nodes[0]) in ends
        for key, pairs in batch.context_graph.edges.items():
            name, _, way = key.rpartition("_")
            if way == "backward":
                forward = batch.context_graph.edges[f"{name}_forward"]
                assert sorted(map(tuple, pairs[:, ::-1].tolist())) == sorted(map(tuple, forward.tolist()))
            assert pairs.tolist() == sorted(pairs.tolist())


def test_the_same_key_gives_the_same_bytes(symbols: SymbolStore) -> None:
    # in worlds of their own: the rows of words are given in the order in which they are asked for
    def once() -> bytes:
        fresh = make_world(symbols)
        return batch_bytes(*samples_of(analyse(FILES[3].read_bytes(), symbols), fresh, "key"))

    assert once() == once()
