import pytest

from fastnode_ops.analysis.analysis import analyse
from fastnode_ops.analysis.markers import UNKNOWN_TOKEN, UNKNOWN_TYPE
from fastnode_ops.statistics.call_records import ArgumentRecord, CallRecord, FileCalls, contradicts, find_calls
from fastnode_ops.statistics.calls import CallPattern
from fastnode_ops.statistics.signatures import Limits, Signatures, summarize
from fastnode_ops.symbols.store import SymbolStore
from fastnode_ops.symbols.symbol import Parameter, ParameterKind

HEAD = "import json, collections, textwrap\n"
EITHER = ParameterKind.EITHER


def calls(source: str, symbols: SymbolStore, file_id: str = "f") -> FileCalls:
    return find_calls(analyse((HEAD + source).encode(), symbols), file_id)


def test_a_call(symbols: SymbolStore) -> None:
    [call] = calls("json.dumps([1], indent=width, default=str)\n", symbols).calls
    assert call.function == "json.dumps"
    assert call.arguments == (
        ArgumentRecord("", ("builtins.list",), "[1]"),
        ArgumentRecord("indent", (), "width"),
        ArgumentRecord("default", ("builtins.type",), "str"),
    )


def test_call_of_a_class_is_credited_to_its_constructor(symbols: SymbolStore) -> None:
    [call] = calls("textwrap.TextWrapper(70)\n", symbols).calls
    assert call.function == "textwrap.TextWrapper.__init__"
    assert calls("object()\n", symbols).calls == []


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("json.dumps(x, (1 +)\ny = 1\n", "syntax_error"),
        ("json.dumps(x", "syntax_error"),
        ("json.dumps(indent=1, x)\n", "positional_after_keyword"),
        ("json.dumps(*x)\n", "starred"),
        ("json.dumps(x, **y)\n", "starred"),
        ("json.dumps(a, b, c)\n", "contradicts_parameters"),
        ("json.loads(a, s=b)\n", "contradicts_parameters"),
        (
            "class W(textwrap.TextWrapper):\n    def f(self):\n        textwrap.TextWrapper.fill(self, a)\n",
            "explicit_receiver",
        ),
        (f"print({', '.join(['x'] * 65)})\n", "too_many_arguments"),
    ],
)
def test_calls_that_are_left_out(source: str, reason: str, symbols: SymbolStore) -> None:
    found = calls(source, symbols)
    left_out = ("json.", "print", "builtins.print", "textwrap.TextWrapper.fill")
    assert [call for call in found.calls if call.function.startswith(left_out)] == []
    assert found.dropped[reason] >= 1


def test_self_is_an_argument_like_others_where_it_is_no_receiver(symbols: SymbolStore) -> None:
    source = "class C:\n    def f(self):\n        textwrap.TextWrapper(9).fill(self)\n        json.dumps(self)\n"
    assert {call.function for call in calls(source, symbols).calls} >= {"textwrap.TextWrapper.fill", "json.dumps"}


def test_keywords_of_every_call_are_counted(symbols: SymbolStore) -> None:
    source = "json.dumps(x, indent=1)\n" * 7 + "json.dumps(indent=1, **x)\njson.loads(x, cls=y)\n"
    found = calls(source, symbols)
    # D7: the reference stopped at the first new function of a file
    assert found.keywords == {("json.dumps", "indent"): 8, ("json.loads", "cls"): 1}


def test_five_calls_per_function_and_file(symbols: SymbolStore) -> None:
    source = "".join(f"json.loads(x{number})\n" for number in range(20)) + "json.dumps(y)\n"
    found = calls(source, symbols)
    assert [call.function for call in found.calls] == ["json.dumps", *["json.loads"] * 5]
    assert found.dropped == {"more_per_file": 15}
    assert calls(source, symbols).calls == found.calls
    assert calls(source, symbols, "another").calls != found.calls


def parameter(name: str, kind: ParameterKind = EITHER) -> Parameter:
    return Parameter(name, kind)


@pytest.mark.parametrize(
    ("num_positional", "keywords", "expected"),
    [
        (2, [], False),
        (3, [], True),
        (1, ["b", "c"], False),
        (2, ["b"], True),
        (0, ["a"], True),
        (1, ["c", "c"], True),
        (1, ["d"], True),
        (0, [], False),
    ],
)
def test_contradictions(num_positional: int, keywords: list[str], expected: bool) -> None:
    parameters = [
        parameter("a", ParameterKind.POSITIONAL),
        parameter("b"),
        parameter("c", ParameterKind.KEYWORD),
    ]
    assert contradicts(parameters, num_positional, keywords) is expected


def test_open_parameter_lists_are_not_contradicted() -> None:
    parameters = [parameter("a"), parameter("more", ParameterKind.VARARG), parameter("rest", ParameterKind.KWARG)]
    assert not contradicts(parameters, 9, ["x", "y"])
    assert contradicts(parameters, 1, ["a"])


def call(*arguments: str) -> CallRecord:
    """Arguments are `keyword=text:type`, keyword and type optional."""
    records = []
    for argument in arguments:
        keyword, _, rest = argument.rpartition("=")
        text, _, kind = rest.partition(":")
        records.append(ArgumentRecord(keyword, (kind,) if kind else (), text))
    return CallRecord("f", 0, tuple(records))


NO_LIMITS = Limits(1, 1)
PARAMETERS = [parameter("path"), parameter("mode")]


def test_limits() -> None:
    assert summarize([call("x")] * 4, None, Limits()) is None
    assert summarize([call("x"), call(), call("a=x"), call("b=x"), call("c=x")], None, Limits()) is None
    found = summarize([call("x")] * 4 + [call()], None, Limits())
    assert found is not None and found.count == 4


def test_signature_statistics() -> None:
    found = summarize(
        [call("p:str", "m:int"), call("p:str", "mode=m:str"), call("q:int", "m:str"), call("path=z:bytes")],
        PARAMETERS,
        NO_LIMITS,
    )
    assert found is not None
    assert found.count == 4
    assert [(record.name, record.count) for record in found.positional] == [("path", 4), ("mode", 3)]
    assert found.positional[1] is found.by_name["mode"]
    assert found.by_name["mode"].types == [("str", 2), ("int", 1)]
    assert found.by_name["path"].types == [("str", 2), ("bytes", 1), ("int", 1)]


def test_at_most_five_types() -> None:
    found = summarize([call(f"x:t{number}") for number in range(9)], None, NO_LIMITS)
    assert found is not None
    assert [path for path, _ in found.positional[0].types] == ["t0", "t1", "t2", "t3", "t4"]


def test_popular_signatures() -> None:
    rare = [call("x", "y", "z")]
    many = [call("x")] * 60 + [call("x", "y")] * 39
    found = summarize(many + rare, None, NO_LIMITS)
    assert found is not None
    assert [(len(s.positional), s.count) for s in found.popular] == [(1, 60), (2, 39)]  # 1 of 100 is below 2 %
    shapes = [[call(*["x"] * number)] * (10 - number) for number in range(8)]
    five = summarize([one for shape in shapes for one in shape], None, NO_LIMITS)
    assert five is not None and [len(s.positional) for s in five.popular] == [0, 1, 2, 3, 4]


def test_a_position_needs_a_name() -> None:
    named = summarize([call("self"), call("buffer"), call("buffer"), call("None"), call("1 + 1")], None, NO_LIMITS)
    assert named is not None and named.popular[0].positional[0].name == "buffer"
    unnamed = summarize([call("self"), call("None")], None, NO_LIMITS)
    assert unnamed is not None and unnamed.popular == []


def test_three_examples_per_type() -> None:
    found = summarize([call(f"{name}:str") for name in "aabbccd"] + [call("n:int")] * 2, PARAMETERS, NO_LIMITS)
    assert found is not None
    assert found.popular[0].positional[0].examples == ("n", "a", "b", "c")


def test_json_round_trip() -> None:
    found = summarize([call("p:str", "7"), call("x", "y", "z=1")], [parameter("path")], NO_LIMITS)
    assert found is not None
    again = Signatures.from_json(found.to_json())
    assert again == found
    assert again.positional[0] is again.by_name["path"]


@pytest.fixture
def pattern() -> CallPattern:
    made = [call("fileName:str", "mode=how:str"), call("x:str", "key_word=1"), call("x:str")]
    parameters = [*PARAMETERS, parameter("rare"), parameter("key_word", ParameterKind.KEYWORD)]
    found = summarize(made, parameters, NO_LIMITS)
    assert found is not None
    return CallPattern(found, parameters)


def test_matches(pattern: CallPattern) -> None:
    assert pattern.matches(1, [])
    assert pattern.matches(1, ["mode", "key_word"])
    assert not pattern.matches(2, [])  # no popular signature has two by position
    assert not pattern.matches(1, ["other"])
    assert not pattern.matches(1, [""])  # **x


def test_names(pattern: CallPattern) -> None:
    assert pattern.argument_names == ["key_word", "mode", "path"]
    assert pattern.max_arguments == 3
    assert pattern.argument_name("mode", 7) == "mode"
    assert pattern.argument_name("other", 0) == ""
    assert pattern.argument_name("", 0) == "path"
    assert pattern.argument_name("", 1) == "mode"  # through the parameters
    assert pattern.argument_name("", 2) == ""  # never seen
    assert pattern.argument_name("", 3) == ""  # by keyword only
    assert [pattern.positional_ok(position) for position in range(4)] == [True, True, False, False]
    assert pattern.keyword_ok("key_word") and not pattern.keyword_ok("rare")


def test_feed(pattern: CallPattern) -> None:
    assert pattern.feed("", 0) == (["str.INSTANCE"], ["path", "x", "file", "name"])
    assert pattern.feed("mode", 0) == (["str.INSTANCE"], ["mode", "how"])
    assert pattern.feed("key_word", 0) == ([UNKNOWN_TYPE], ["key", "word"])
    assert pattern.feed("", 9) == ([UNKNOWN_TYPE], [UNKNOWN_TOKEN])


def test_feed_has_nine_words_at_most() -> None:
    found = summarize([call("a_b_c_d_e_f_g_h_i_j")], None, NO_LIMITS)
    assert found is not None
    assert CallPattern(found, ()).feed("", 0)[1] == list("abcdefghi")
