"""The call validation: which calls are taken, how arguments are named, and figures by hand."""

import ast
from collections import Counter

import pytest

from fastnode_ops.analysis.analysis import analyse
from fastnode_ops.symbols.store import SymbolStore
from fastnode_ops.symbols.symbol import Parameter, ParameterKind
from fastnode_ops.validation.call_situations import CallArgument, CallSituation, by_parameter, calls_of, walk_calls
from fastnode_ops.validation.calls import Average, CallMatch, judge_calls, match_call
from tests.fastnode.validation.toy_world import Folder, ToyModel, offered_call

SOURCE = b"""import os
import json

def mine(a):
    return a

def f(data, path):
    mine(data)
    text = json.dumps(data, indent=2)  # with a comment
    os.makedirs(
        path)
    print(os.path.join(path, text))
    os.rename(path, text)
    os.open(*data)
"""


def chosen(symbols: SymbolStore, source: bytes = SOURCE) -> tuple[dict[str, CallSituation], Counter[str]]:
    dropped: Counter[str] = Counter()
    return {one.function: one for one in calls_of("f", analyse(source, symbols), dropped)}, dropped


def test_calls_of_a_statement_on_one_line(symbols: SymbolStore) -> None:
    found, dropped = chosen(symbols)
    assert found.keys() == {"json.dumps", "builtins.print", "os.rename"}
    assert found["json.dumps"].arguments == (CallArgument("", "data"), CallArgument("indent", ""))
    assert found["os.rename"].arguments == (CallArgument("", "path"), CallArgument("", "text"))
    assert found["builtins.print"].arguments == (CallArgument("", ""),)
    assert (found["os.rename"].is_concrete, found["json.dumps"].is_concrete) == (True, False)
    assert dropped == {"function is no symbol from outside of the file": 1, "arguments with a star": 1}


def test_the_line_break_stays(symbols: SymbolStore) -> None:
    dumps = chosen(symbols)[0]["json.dumps"]
    assert dumps.munged == SOURCE.replace(b"data, indent=2)  # with a comment", b")")
    assert dumps.munged[: dumps.cursor].endswith(b"json.dumps(")
    ast.parse(dumps.munged)


def test_a_call_at_the_end_of_the_file(symbols: SymbolStore) -> None:
    found, _ = chosen(symbols, b"print(1)")
    assert found["builtins.print"].munged == b"print()"


def test_the_choice_is_a_function_of_the_content(symbols: SymbolStore) -> None:
    source = b"".join(b"print(%d)\n" % number for number in range(40))
    dropped: Counter[str] = Counter()
    first = calls_of("f", analyse(source, symbols), dropped)
    assert len(first) == 5
    assert first == calls_of("f", analyse(source, symbols), dropped)


PARAMETERS = [
    Parameter("a", ParameterKind.POSITIONAL),
    Parameter("b", ParameterKind.EITHER),
    Parameter("rest", ParameterKind.VARARG),
    Parameter("c", ParameterKind.KEYWORD, "None"),
]


def arguments(*values: str) -> tuple[CallArgument, ...]:
    """Arguments from texts like `x`, `k=x`, `?` for a placeholder."""
    made = []
    for value in values:
        keyword, _, variable = value.rpartition("=")
        made.append(CallArgument(keyword, "" if variable == "?" else variable))
    return tuple(made)


def test_arguments_by_parameter() -> None:
    assert by_parameter(arguments("x", "?", "y", "c=z"), PARAMETERS) == {"a": "x", "b": "", "vararg_2": "y", "c": "z"}
    assert by_parameter(arguments("x", "c=z"), None) == {"vararg_0": "x", "c": "z"}


@pytest.mark.parametrize(
    ("written", "offers", "position", "mispredicted"),
    [
        (("x", "y"), [("x", "y")], 0, -1),
        (("x", "y"), [("y", "x"), ("x",), ("x", "b=y")], 2, -1),  # the same by name
        (("x", "y"), [("x", "?")], -1, -1),  # concrete calls have no placeholder to mispredict
        (("x", "?"), [("x", "y"), ("x", "?")], 1, 0),
        (("x", "?"), [("z", "?"), ("x", "y")], -1, -1),  # the first has its placeholder where it should be
        (("x", "?"), [("x",), ("?", "y"), ("x", "y")], -1, 1),
        ((), [("x",), ()], 1, -1),
        (("x",), [], -1, -1),
    ],
)
def test_a_call_among_those_offered(
    written: tuple[str, ...], offers: list[tuple[str, ...]], position: int, mispredicted: int
) -> None:
    found = match_call(arguments(*written), [arguments(*offer) for offer in offers], PARAMETERS)
    assert found == CallMatch(len(written), "?" not in written, position, mispredicted)


def test_figures_by_hand(symbols: SymbolStore) -> None:
    source = b"""import os
def f(a, b):
    os.rename(a, b)
    os.rename(b, a)
    os.rename(a, 1)
    os.remove(a)
"""
    offered = [
        offered_call(*[("", "b"), ("", "b")]),
        offered_call(*[("src", "a"), ("dst", "b")]),
        offered_call(*[("", "a"), ("", "")]),
    ]
    dropped: Counter[str] = Counter()
    model = ToyModel(calls_offered=offered)
    judged = judge_calls(walk_calls(Folder(source), symbols, "validation", dropped), model, symbols, max_situations=100)
    assert (judged.num_situations, len(judged.matches), judged.files) == (4, 4, {"file-000"})
    one, two = judged.figures()
    assert (one.num_args, one.num_concrete, one.num_placeholder) == (1, 1, 0)
    assert one.exact_concrete == Average(count=1, avg=0.0)
    assert one.exact_placeholder == Average(count=0, avg=None)
    assert (two.num_args, two.num_concrete, two.num_placeholder) == (2, 2, 1)
    assert two.exact_concrete == Average(count=2, avg=0.5)
    assert two.position_concrete == Average(count=1, avg=1.0)
    assert two.exact_placeholder == Average(count=1, avg=1.0)
    assert two.position_placeholder == Average(count=1, avg=2.0)
    assert two.mispredicted_placeholder == Average(count=1, avg=1.0)
    assert two.mispredicted_position == Average(count=1, avg=0.0)
    named = two.named()
    assert named["trim-src-num-args-2: num concrete calls"] == 2
    assert named["trim-src-num-args-2: match position for concrete calls avg"] == 1.0
    assert len(named) == 14


def test_a_model_that_offers_nothing_is_counted(symbols: SymbolStore) -> None:
    dropped: Counter[str] = Counter()
    calls = walk_calls(Folder(b"print(1)\n", b"\xff\xfe"), symbols, "validation", dropped)
    judged = judge_calls(calls, ToyModel(), symbols, max_situations=5)
    assert judged.failures == {"no completion": 1}
    assert (judged.latency, judged.figures()) == (None, [])
    assert dropped == {"file cannot be parsed": 1}
