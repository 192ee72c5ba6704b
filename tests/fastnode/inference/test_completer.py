"""Completions: the feeds are those of training, the answers are the model's."""

import numpy as np
import orjson
import pytest

from fastnode_ops.analysis.analysis import analyse
from fastnode_ops.inference.completer import Completer
from fastnode_ops.inference.unsupported import Unsupported
from fastnode_ops.samples.assembly import assemble
from fastnode_ops.samples.drawing import rng
from fastnode_ops.samples.making import make_sample
from fastnode_ops.samples.metainfo import AttrInfo, CallInfo, FunctionInfo, MetaInfo
from fastnode_ops.samples.sample import GraphSample
from fastnode_ops.symbols.store import SymbolStore
from ops_common.errors import DataError
from tests.fastnode.sample_world import KEYWORDS, PATTERNS, World, make_world, read

SOURCE = """import json
import os
import shutil

def save(path, data, other):
    text = "of json"
    shutil.copyfile(path, other)
    result = os.path.join(path, text)
    print(data)
"""


class PreferenceModel:
    """Answers by a table: the weight of each production row, and of each candidate by its words."""

    def __init__(self, world: World, rows: dict[str, float], names: dict[str, float]) -> None:
        by_id = {text: row for row, text in world.ids.items()}
        self.rows = {by_id[text]: weight for text, weight in rows.items()}
        self.names = names
        self.asked: list[str] = []
        context = world.context
        self.metainfo = MetaInfo(
            attr=AttrInfo(CanonToSyms={"posixpath.join": ["os.path.join"]}),
            call=CallInfo(infos={name: FunctionInfo(kwarg_names=words) for name, words in KEYWORDS.items()}),
            name_subtoken_index=world.names,
            type_subtoken_index=world.types,
            production_index=context.productions,
        )

    def probabilities(self, batch):
        nothing = np.zeros(0, np.float32)
        if len(batch.infer_name.prediction_nodes):
            return self.name_probabilities(batch.infer_name), nothing
        return nothing, self.production_probabilities(batch.infer_production)

    def name_probabilities(self, samples):
        self.asked.append("name")
        weights = np.array([self.names.get(name, 1.0) for name in samples.names], np.float32)
        return weights / weights.sum()

    def production_probabilities(self, samples):
        self.asked.append(samples.tasks[0])
        weights = np.array([self.rows.get(row, 1.0) for row in samples.decoder_targets.indices.tolist()], np.float32)
        return weights / weights.sum()


@pytest.fixture(scope="module")
def world(symbols: SymbolStore) -> World:
    """A world that knows the words of the source: a model's metainfo is a copy of its indexes as they are now."""
    world = make_world(symbols)
    analysis = analyse(SOURCE.encode(), symbols)
    make_sample("attr", analysis, "os.path.join", rng(0), world.context)
    for key in range(10):
        for task in ("call", "arg_type", "arg_placeholder"):
            make_sample(task, analysis, "shutil.copyfile", rng(key), world.context)
    return world


def completer(world: World, rows: dict[str, float] | None = None, names: dict[str, float] | None = None) -> Completer:
    return Completer(PreferenceModel(world, rows or {}, names or {}), world.context.symbols, PATTERNS.get)


def cursor_after(source: str, text: str) -> int:
    return len(source[: source.index(text) + len(text)].encode())


def feed(sample: GraphSample) -> bytes:
    value = assemble([sample]).to_json()
    for decoder in ("infer_name", "infer_production"):
        for key in ("labels", "corrupted", "tasks"):
            del value[decoder][key]
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def test_an_attribute_is_asked_as_it_is_trained(world: World) -> None:
    analysis = analyse(SOURCE.encode(), world.context.symbols)
    trained = make_sample("attr", analysis, "os.path.join", rng(0), world.context)
    asked, names = completer(world).attribute_sample(SOURCE.encode(), cursor_after(SOURCE, "os.path."))
    assert len(world.names) > 30  # the words are told apart
    assert feed(asked) == feed(trained)
    assert names == [text.removeprefix("os.path.") for text in read(trained, world).candidates]


def test_what_is_typed_so_far_does_not_change_the_graph(world: World) -> None:
    whole, _ = completer(world).attribute_sample(SOURCE.encode(), cursor_after(SOURCE, "os.path."))
    for typed in ("", "jo", "jo\n", "\n", "jo)", "xyz(1, 2)"):
        source = SOURCE.replace("os.path.join(path, text)\n", f"os.path.{typed}\n")
        sample, _ = completer(world).attribute_sample(source.encode(), cursor_after(source, "os.path."))
        assert feed(sample) == feed(whole)


def test_attributes_come_best_first_and_begin_with_the_prefix(world: World) -> None:
    weights = {"os.path.isdir": 5.0, "os.path.isfile": 9.0, "os.path.join": 50.0}
    source = "import os\nos.path.is"
    found = completer(world, weights).attributes(source.encode(), len(source), "is")
    assert [one.identifier for one in found[:3]] == ["isfile", "isdir", "isabs"]
    assert all(one.identifier.startswith("is") for one in found)
    assert sum(one.score for one in found) == pytest.approx(1)
    scores = [one.score for one in found]
    assert scores == sorted(scores, reverse=True)
    # without a prefix nothing is filtered (D46)
    everything = completer(world, weights).attributes(b"import os\nos.path.", 18)
    assert everything[0].identifier == "join"
    assert len(everything) == sum(name.startswith("os.path.") for name in world.attributes)


def test_positions_are_bytes(world: World) -> None:
    source = 's = "\u00e9\u5b66"\nimport os\nos.path.'.encode()
    assert completer(world).attributes(source, len(source))


@pytest.mark.parametrize(
    ("source", "cursor", "prefix", "reason"),
    [
        ("import os\nos", 12, "", "no dot before the prefix"),
        ("import os\nos.pa", 15, "xx", "no dot before the prefix"),
        ("import os\nos.pa", 99, "", "no dot before the prefix"),
        ("import os\nos.pa", -1, "", "no dot before the prefix"),
        ("x = 3.", 6, "", "no attribute"),
        ("# os.", 5, "", "no attribute"),
        ("import os\nos.path.zzz", 21, "zzz", "no candidate begins with the prefix"),
        ("def f(x, y):\n    x.", 19, "", "no supported type"),
        ("\0os.", 4, "", "null_byte"),
    ],
)
def test_where_there_is_no_attribute_to_complete(
    world: World, source: str, cursor: int, prefix: str, reason: str
) -> None:
    with pytest.raises(Unsupported) as info:
        completer(world).attributes(source.encode(), cursor, prefix)
    assert info.value.reason == reason


def test_the_first_argument_of_a_call_is_asked_as_it_is_trained(world: World) -> None:
    analysis = analyse(SOURCE.encode(), world.context.symbols)
    wanted = {"arg_type": "positional", "arg_placeholder": ":src:no_placeholder", "call": "path"}
    trained = {}
    for task, ending in wanted.items():
        samples = [make_sample(task, analysis, "shutil.copyfile", rng(key), world.context) for key in range(20)]
        trained[task] = {feed(sample) for sample in samples if read(sample, world).answer.endswith(ending)}
    asked: dict[str, list[bytes]] = {}
    completing = completer(world)
    plain = completing.probabilities
    completing.probabilities = lambda sample: asked.setdefault(sample.task, []).append(feed(sample)) or plain(sample)
    completing.calls(SOURCE.encode(), cursor_after(SOURCE, "shutil.copyfile("))
    for task, feeds in trained.items():
        assert asked[task][0] in feeds


def test_a_call_is_completed(world: World) -> None:
    prefix = "choose_arg_placeholder:shutil.copyfile:"
    rows = {
        "choose_argtype:shutil.copyfile:positional": 40.0,
        f"{prefix}src:no_placeholder": 9.0,
        f"{prefix}dst:placeholder": 9.0,
    }
    found = completer(world, rows, {"other": 12.0}).calls(SOURCE.encode(), cursor_after(SOURCE, "shutil.copyfile("))
    assert found[0].text == "other, FASTNODE_PLACEHOLDER"
    assert found[0].is_complete
    assert [argument.value for argument in found[0].arguments] == ["other", ""]
    # positional is one of three kinds, `other` one of four variables
    assert found[0].arguments[0].probability == pytest.approx(40 / 42 * 9 / 10 * 12 / 15, rel=1e-5)
    assert sum(call.score for call in found) == pytest.approx(1)
    assert [call.score for call in found] == sorted((call.score for call in found), reverse=True)
    assert len({(call.text, call.is_complete) for call in found}) == len(found)


def test_the_score_of_a_call_is_the_mean_of_its_logarithms(world: World) -> None:
    found = completer(world).calls(b"def f(a, b):\n    len(", 21)
    by_text = {call.text: call.score for call in found if call.is_complete}
    # len has one parameter and one keyword of the same name: nothing; a position; a keyword
    stop, half = 1 / 3, 1 / 2
    open_value = (1 / 3 * half) ** (1 / 2)
    named = (1 / 3 * half * half) ** (1 / 2)
    # after one argument nothing is left to choose
    assert by_text["FASTNODE_PLACEHOLDER"] / by_text[""] == pytest.approx(open_value / stop, rel=1e-5)
    assert by_text["a"] / by_text[""] == pytest.approx(named / stop, rel=1e-5)
    assert by_text["obj=b"] / by_text["a"] == pytest.approx(1, rel=1e-5)


def test_keywords_come_last_and_once(world: World) -> None:
    rows = {"choose_argtype:json.dumps:keyword": 90.0}
    source = b"import json\ndef f(a, b):\n    json.dumps("
    for call in completer(world, rows).calls(source, len(source)):
        keywords = [argument.keyword for argument in call.arguments]
        used = [word for word in keywords if word]
        assert len(used) == len(set(used))
        assert keywords == sorted(keywords, key=bool)
        assert len(keywords) <= PATTERNS["json.dumps"].max_arguments
        assert not (keywords[:1] == [""] and "obj" in used)  # the first one is `obj` itself


def test_the_work_for_a_call_is_bounded(world: World) -> None:
    completing = completer(world)
    found = completing.calls(b"def f(a, b):\n    print(", 23)
    assert len(completing.model.asked) <= 48
    assert found


@pytest.mark.parametrize(
    ("source", "cursor", "reason"),
    [
        ("f(1)", 1, "no parenthesis before the cursor"),
        ("f(1)", 99, "no parenthesis before the cursor"),
        ("x = (1, 2)", 5, "no call"),
        ("def f(a, b): pass", 6, "no call"),
        ("f(1)", 2, "no supported function"),
        ("import shutil\nshutil.rmtree(1)", 28, "no supported function"),
    ],
)
def test_where_there_is_no_call_to_complete(world: World, source: str, cursor: int, reason: str) -> None:
    with pytest.raises(Unsupported) as info:
        completer(world).calls(source.encode(), cursor)
    assert info.value.reason == reason


def test_a_model_that_answers_no_numbers_is_an_error(world: World) -> None:
    with pytest.raises(DataError, match="not finite"):
        completer(world, {"os.path.join": float("nan")}).attributes(b"import os\nos.path.", 18)
