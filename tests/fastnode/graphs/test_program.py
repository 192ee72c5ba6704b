"""The graph of a program: its nodes, their neighbours, what is kept around a site, what is shown of a node."""

import pytest

from fastnode_ops.analysis.analysis import Analysis, analyse
from fastnode_ops.analysis.markers import SPECIAL_TOKENS, UNKNOWN_TOKEN
from fastnode_ops.analysis.nodes import Node, Token
from fastnode_ops.analysis.visibility import variables_in_scope
from fastnode_ops.graphs.context_tokens import context_tokens
from fastnode_ops.graphs.features import literal_of, types_of
from fastnode_ops.graphs.neighbourhood import TooManyNodes, neighbourhood
from fastnode_ops.graphs.program import GraphNode, ProgramGraph
from fastnode_ops.graphs.vocabulary import Vocabulary
from fastnode_ops.symbols.store import SymbolStore
from ops_common.errors import DataError


def program(text: str, symbols: SymbolStore) -> ProgramGraph:
    return ProgramGraph(analyse(text.encode(), symbols))


def name(analysis: Analysis, text: str, number: int = 0) -> Node:
    return [node for node in analysis.tree.nodes if node.kind == "NameExpr" and node.text == text][number]


def shown(node: GraphNode) -> str:
    return literal_of(node).removeprefix("FASTNODE_")


def reachable(graph: ProgramGraph, start: GraphNode, hops: int) -> set[str]:
    kept = neighbourhood(graph, [start], max_hops=hops, max_nodes=1_000)
    return {shown(node) for node in kept.nodes}


def test_terminals_are_a_chain_from_the_start_to_the_end_of_the_file(symbols: SymbolStore) -> None:
    graph = program('x = f"{a}" + "b" "c"  # d\npass\n', symbols)
    words = [shown(node) for node in graph.terminals]
    assert words[0] == "SOF"
    assert words[-1] == "EOF"
    # the two strings are one node; a comment is none; an f-string with a name in it is no terminal
    assert words[-4:-1] == ["+", "STRING", "PASS"]
    assert "a" in words


def test_neighbourhoods_grow_by_hops(symbols: SymbolStore) -> None:
    graph = program("a = 1\nb = a\n", symbols)
    start = name(graph.analysis, "b")
    assert reachable(graph, start, 1) == {"b", "ASSIGNSTMT", "NUMBER", "="}
    # the module is one step from the statement; `a` one from `=`, and the other `a` is joined to it by data flow
    assert reachable(graph, start, 2) == {"b", "ASSIGNSTMT", "NUMBER", "=", "MODULE", "a"}
    assert reachable(graph, start, 3) == {"b", "ASSIGNSTMT", "NUMBER", "=", "MODULE", "a", "SOF", "EOF"}


def test_every_step_goes_both_ways(symbols: SymbolStore) -> None:
    graph = program("import os\ndef f(a, *b):\n    while a:\n        a = os.path.join(a, *b)\n    return a\n", symbols)
    seen: dict[GraphNode, None] = {graph.start_of_file: None}
    for node in seen.copy():
        queue = [node]
        while queue:
            current = queue.pop()
            for other in graph.neighbours(current):
                assert current in graph.neighbours(other)
                if other not in seen:
                    seen[other] = None
                    queue.append(other)
    own_tokens = [node for node in graph.terminals if isinstance(node, Token)]
    assert len(seen) == 1 + len(graph.analysis.tree.nodes) + len(own_tokens)


def test_too_many_nodes_are_not_kept(symbols: SymbolStore) -> None:
    graph = program("a = 1\nb = a\n", symbols)
    with pytest.raises(TooManyNodes):
        neighbourhood(graph, [name(graph.analysis, "b")], max_hops=3, max_nodes=8)


def test_context_tokens_are_words_numbers_and_strings_nearest_first(symbols: SymbolStore) -> None:
    graph = program('import os\nx = 5\ny = "s"\nos.path(x, y)\n', symbols)
    call = next(node for node in graph.analysis.tree.nodes if node.kind == "CallExpr")
    tokens = context_tokens(graph, call.parts["arguments"][1], 10)
    words = [shown(node) for node in tokens]
    assert len(tokens) == len(set(tokens)) == 10
    # names, strings and numbers count (D18), brackets and commas do not
    assert {"x", "path", "os", "NUMBER", "STRING"} <= set(words)
    assert not {"(", ",", "."} & set(words)
    # what hangs below the site is the answer's place
    assert name(graph.analysis, "y", 1) not in tokens
    assert context_tokens(graph, call.parts["arguments"][1], 3) == tokens[:3]


def test_there_is_always_a_context_token(symbols: SymbolStore) -> None:
    graph = program("x", symbols)
    assert [shown(node) for node in context_tokens(graph, name(graph.analysis, "x"), 10)] == ["SOF"]


def test_literals_and_types(symbols: SymbolStore) -> None:
    graph = program("import collections\nd = collections.OrderedDict()\nd.moveToEnd\nx = ...\nunknown\n", symbols)
    analysis = graph.analysis
    assert types_of(name(analysis, "d"), analysis) == ("collections.OrderedDict.INSTANCE",)
    assert types_of(name(analysis, "unknown"), analysis) == ("FASTNODE_UNKNOWN_TYPE",)
    token = next(t for t in analysis.tree.tokens if t.text == "moveToEnd")
    assert isinstance(token, Token)
    assert (literal_of(token), types_of(token, analysis)) == ("moveToEnd", ("NA",))
    statement = analysis.tree.root.children[0]
    assert (literal_of(statement), types_of(statement, analysis)) == (
        "FASTNODE_IMPORTNAMESTMT",
        ("FASTNODE_NA_TYPE",),
    )
    dots = next(node for node in analysis.tree.nodes if node.kind == "EllipsisExpr")
    assert types_of(dots, analysis) == ("FASTNODE_NA_TYPE",)


WORDS = ("move", "to", "end", "dict", "instance", "ordered", "join", "na", "return")


@pytest.fixture
def vocabulary() -> Vocabulary:
    index = {word: row for row, word in enumerate([*SPECIAL_TOKENS, *WORDS])}
    return Vocabulary(index, index)


def rows(*words: str) -> list[int]:
    index = {word: row for row, word in enumerate([*SPECIAL_TOKENS, *WORDS])}
    return [index.get(word, index[UNKNOWN_TOKEN]) for word in words]


@pytest.mark.parametrize(
    ("types", "words"),
    [
        (("os.path.join",), ["join"]),
        (("collections.OrderedDict.INSTANCE",), ["dict", "instance", "ordered"]),
        (("NA",), ["na"]),
        (("json.loads.RETURN",), ["loads", "return"]),
        (("FASTNODE_UNKNOWN_TYPE",), ["FASTNODE_UNKNOWN_TYPE"]),
        (("a.ToJoin", "b.join"), ["join", "to"]),
        (("aa_bb_cc_dd_ee_ff_gg_hh_ii_jj",), ["aa", "bb", "cc", "dd", "ee", "ff", "gg", "hh", "ii"]),
    ],
)
def test_words_of_types(vocabulary: Vocabulary, types: tuple[str, ...], words: list[str]) -> None:
    assert vocabulary.types(types) == words
    assert vocabulary.type_rows(types) == rows(*words)


def test_words_of_names(vocabulary: Vocabulary) -> None:
    assert vocabulary.literal_rows("moveToEnd") == rows("move", "to", "end")  # also of attributes (D16)
    assert vocabulary.literal_rows("FASTNODE_STRING") == rows("FASTNODE_STRING")
    assert vocabulary.literal_rows("nowhere") == rows(UNKNOWN_TOKEN)
    assert len(vocabulary.literal_rows("a_b_c_d_e_f_g_h_i_j_k")) == 9
    # each marker of a type has a row of its own (D9)
    unknown, not_applicable = (vocabulary.type_rows((text,)) for text in ("FASTNODE_UNKNOWN_TYPE", "FASTNODE_NA_TYPE"))
    assert len({*unknown, *not_applicable, *rows(UNKNOWN_TOKEN)}) == 3


def test_an_index_without_a_row_for_unknown_words_is_refused() -> None:
    with pytest.raises(DataError, match="type_subtoken_index has no row"):
        Vocabulary({UNKNOWN_TOKEN: 0}, {})


SCOPES = """import os
import collections
class Local: pass
top = "text"
def outer(given):
    alias = os
    number = 3
    made = collections.OrderedDict()
    local = Local()
    shape = collections.OrderedDict
    here
"""


@pytest.mark.parametrize(
    ("which", "names"),
    [
        ("call", ["given", "number", "made", "shape"]),
        ("attribute", ["given", "alias", "number", "made", "local", "shape"]),
        ("attribute_base", ["os", "collections", "top", "given", "alias", "number", "made", "shape"]),
    ],
)
def test_scope_filters(symbols: SymbolStore, which, names: list[str]) -> None:
    analysis = analyse(SCOPES.encode(), symbols)
    found = variables_in_scope(analysis, name(analysis, "here"), which)
    assert [variable.name for variable in found] == names


def test_a_shadowed_variable_is_not_in_scope(symbols: SymbolStore) -> None:
    analysis = analyse(b"x = 1\ndef f(x):\n    here\n", symbols)
    (variable,) = variables_in_scope(analysis, name(analysis, "here"), "attribute_base")
    assert variable.origin.parent is not None
    assert variable.origin.parent.kind == "Parameter"
