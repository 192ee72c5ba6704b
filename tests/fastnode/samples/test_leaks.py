"""The answer is nowhere in a sample: with another answer in the source, only the label is another."""

import orjson
import pytest

from fastnode_ops.analysis.analysis import analyse
from fastnode_ops.samples.assembly import assemble
from fastnode_ops.samples.drawing import rng
from fastnode_ops.samples.making import make_sample
from fastnode_ops.samples.sample import GraphSample
from fastnode_ops.symbols.store import SymbolStore
from tests.fastnode.sample_world import World, make_world, read

BEFORE = """import json
import os
import shutil

def save(path, data, other):
    text = "of json"
    name = str(other)
    print(text, name)
    %s
    print(path, data, other, text, name)
"""


@pytest.fixture(scope="module")
def world(symbols: SymbolStore) -> World:
    return make_world(symbols)


def sample_with_answer(world: World, task, line: str, symbol: str, answer: str, **options) -> GraphSample:
    """Draw until the site is the one with an answer; the other sites of the line are no matter here."""
    analysis = analyse((BEFORE % line).encode(), world.context.symbols)
    for attempt in range(50):
        sample = make_sample(task, analysis, symbol, rng(attempt), world.context, **options)
        if read(sample, world).answer.endswith(answer):
            return sample
    raise AssertionError(f"no site of {line!r} has the answer {answer}")


def without_answer(sample: GraphSample) -> bytes:
    value = assemble([sample]).to_json()
    for decoder in ("infer_name", "infer_production"):
        del value[decoder]["labels"], value[decoder]["corrupted"]
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


@pytest.mark.parametrize(
    ("task", "cases", "options"),
    [
        (
            "attr",
            [
                ("result = os.path.join(path, text)", "os.path.join", "join"),
                ("result = os.path.exists(path)", "os.path.exists", "exists"),
                ("result = os.path.sep", "os.path.sep", "sep"),
            ],
            [{}, {}, {}],
        ),
        (
            "arg_type",
            [
                ("result = json.dumps()", "json.dumps", ":stop"),
                ("result = json.dumps(data)", "json.dumps", ":positional"),
                ("result = json.dumps(indent=len(text))", "json.dumps", ":keyword"),
            ],
            [{}, {}, {}],
        ),
        (
            "kwarg_name",
            [
                ("result = json.dumps(data, indent=4)", "json.dumps", ":indent"),
                ("result = json.dumps(data, sort_keys=text, skipkeys=1)", "json.dumps", ":sort_keys"),
            ],
            [{}, {}],
        ),
        (
            "arg_placeholder",
            [
                ("shutil.copyfile(path + '.bak', other)", "shutil.copyfile", ":src:placeholder"),
                ("shutil.copyfile(path, other)", "shutil.copyfile", ":src:no_placeholder"),
            ],
            [{"is_placeholder": True}, {"is_placeholder": False}],
        ),
        (
            "call",
            [
                ("shutil.copyfile(other, path)", "shutil.copyfile", "other"),
                ("shutil.copyfile(text, name)", "shutil.copyfile", "text"),
                ("shutil.copyfile(data, name)", "shutil.copyfile", "data"),
            ],
            [{}, {}, {}],
        ),
        (
            "attr_base",
            [
                ("result = text.strip(name)", "builtins.str", "text"),
                ("result = [name.upper().lower() for _ in text]", "builtins.str", "name"),
            ],
            [{}, {}],
        ),
    ],
)
def test_only_the_label_differs(world: World, task, cases, options) -> None:
    samples = [sample_with_answer(world, task, *case, **option) for case, option in zip(cases, options)]
    assert len({sample.answer.label for sample in samples}) == len(samples)
    assert len({without_answer(sample) for sample in samples}) == 1


def test_the_test_sees_a_difference(world: World) -> None:
    one = sample_with_answer(world, "call", "shutil.copyfile(other, path)", "shutil.copyfile", "other")
    two = sample_with_answer(world, "call", "shutil.copyfile(path, other)", "shutil.copyfile", "other")
    assert without_answer(one) != without_answer(two)


@pytest.mark.parametrize("name", ["x", "answer_of_mine"])
def test_the_name_of_an_answer_is_seen_where_it_is_a_candidate_only(world: World, name: str) -> None:
    source = f"import shutil\ndef f({name}, b):\n    shutil.copyfile({name}, b)\n".encode()
    analysis = analyse(source, world.context.symbols)
    answers = set()
    for attempt in range(20):
        sample = read(make_sample("call", analysis, "shutil.copyfile", rng(attempt), world.context), world)
        answers.add(sample.answer)
        if sample.answer == name.replace("_", ":"):
            # the parameter itself; the argument is a dummy
            assert sum(node.startswith(name.replace("_", ".")) for node in sample.nodes) == 1
    assert answers == {name.replace("_", ":"), "b"}
