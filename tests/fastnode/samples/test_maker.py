"""Training batches of a real corpus (specification 5.5, 5.6, 20.5)."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from fastnode_ops.config import (
    EDGE_TYPES,
    TASKS,
    DrawConfig,
    ExpressionConfig,
    GraphConfig,
    SampleConfig,
    TaskName,
    TrainConfig,
)
from fastnode_ops.graphs.vocabulary import Vocabulary
from fastnode_ops.samples import maker as maker_module
from fastnode_ops.samples.batch import Segmented
from fastnode_ops.samples.drawing import Feeder, SymbolFiles, rng, site_of
from fastnode_ops.samples.maker import MadeBatch, SampleMaker
from fastnode_ops.samples.making import make_sample
from fastnode_ops.samples.metainfo import MetaInfo, ProductionIndex, production_id
from fastnode_ops.samples.originals import Originals
from fastnode_ops.samples.request import Partition, SessionRequest, TaskRequest, session_request
from fastnode_ops.samples.sample import Rejected, SampleContext
from fastnode_ops.samples.site_filter import SiteFilter
from fastnode_ops.statistics.resources import Resources, open_resources
from ops_common.errors import DataError

NUM_STEPS = 3


@pytest.fixture(scope="module")
def resources(corpus_dir: Path) -> Resources:
    return open_resources(corpus_dir)


@pytest.fixture(scope="module")
def request_(metainfo: MetaInfo) -> SessionRequest:
    return session_request(
        metainfo, ExpressionConfig(samples=SampleConfig(max_samples=12), train=TrainConfig(seed=7)), num_batches=1
    )


@pytest.fixture(scope="module")
def made(resources: Resources, request_: SessionRequest) -> list[MadeBatch]:
    maker = SampleMaker(resources, request_)
    return [maker.make(step) for step in range(NUM_STEPS)]


def written(made: MadeBatch) -> bytes:
    return orjson.dumps([made.batch.to_json(), made.drops], option=orjson.OPT_SERIALIZE_NUMPY)


def only(request: SessionRequest, **weights: float) -> SessionRequest:
    """The request with some tasks only; the others have no symbols at all."""
    tasks: dict[str, Any] = {}
    for task in TASKS:
        part = request.expr.task(task)
        if task in weights:
            tasks[task] = part.model_copy(update={"batch_proportion": weights[task]})
        else:
            tasks[task] = type(part)() if task in ("attr", "kwarg_name") else TaskRequest()
    return request.model_copy(update={"expr": request.expr.model_copy(update={**tasks, "max_samples": 6})})


def test_a_step_depends_on_nothing_but_its_number(
    resources: Resources, request_: SessionRequest, made: list[MadeBatch]
) -> None:
    backwards = SampleMaker(resources, request_, originals=Originals(resources.corpus, resources.symbols, 0))
    again = {step: backwards.make(step) for step in reversed(range(NUM_STEPS))}
    assert [written(again[step]) for step in range(NUM_STEPS)] == [written(one) for one in made]
    assert len({written(one) for one in made}) == NUM_STEPS


def test_another_seed_gives_other_batches(
    resources: Resources, request_: SessionRequest, made: list[MadeBatch]
) -> None:
    other = SampleMaker(resources, request_.model_copy(update={"random_seed": 8}))
    assert written(other.make(0)) != written(made[0])


def test_batches_have_their_nominal_size(made: list[MadeBatch]) -> None:
    for one in made:
        found = Counter([*one.batch.infer_name.tasks, *one.batch.infer_production.tasks])
        given_up = {task: one.drops.get(f"{task}: slot_given_up", 0) for task in TASKS}
        wanted = dict(zip(TASKS, (2, 2, 1, 2, 2, 5)))
        assert {task: found[task] + given_up[task] for task in TASKS} == wanted
        assert sum(given_up.values()) <= 1
        assert one.batch.num_samples == found.total()


def test_what_was_dropped_is_counted_by_task_and_reason(made: list[MadeBatch]) -> None:
    assert any(one.drops for one in made)
    for one in made:
        assert list(one.drops) == sorted(one.drops)
        assert {reason.partition(": ")[0] for reason in one.drops} <= set(TASKS)


def test_the_classes_of_arg_placeholder_take_turns(
    resources: Resources, request_: SessionRequest, made: list[MadeBatch]
) -> None:
    rows = {}
    for function in request_.expr.arg_placeholder.symbols:
        pattern = resources.calls.pattern(function)
        for name in pattern.argument_names if pattern else ():
            for kind in ("placeholder", "no_placeholder"):
                id_string = f"choose_arg_placeholder:{function}:{name}:{kind}"
                row = request_.production_index.indices.get(str(production_id(id_string)))
                if row is not None:
                    rows[row] = kind
    for one in made:
        production = one.batch.infer_production
        labels = [int(production.decoder_targets.indices[label]) for label in production.labels]
        kinds = Counter(rows[row] for row, task in zip(labels, production.tasks) if task == "arg_placeholder")
        given_up = one.drops.get("arg_placeholder: slot_given_up", 0)
        assert 3 - given_up <= kinds["placeholder"] <= 3  # of 5 slots those with even numbers
        assert 2 - given_up <= kinds["no_placeholder"] <= 2


@pytest.mark.parametrize("task", TASKS)
def test_each_task_can_be_drawn_alone(resources: Resources, request_: SessionRequest, task: str) -> None:
    # D14, D15: a task of proportion 0 is not needed, and needs no symbols
    made = SampleMaker(resources, only(request_, **{task: 1.0})).make(0)
    assert set(made.batch.infer_name.tasks) | set(made.batch.infer_production.tasks) == {task}


def test_a_task_without_symbols_is_an_error(resources: Resources, request_: SessionRequest) -> None:
    wrong = only(request_, attr=1.0)
    expr = wrong.expr.model_copy(update={"call": TaskRequest(batch_proportion=1.0)})
    with pytest.raises(DataError, match="task call: there is no symbol with a weight above 0"):
        SampleMaker(resources, wrong.model_copy(update={"expr": expr}))


def test_only_the_edges_that_were_asked_for_are_there(resources: Resources, request_: SessionRequest) -> None:
    config = request_.config.model_copy(update={"edge_set": ["ast_child", "scope"]})
    some = SampleMaker(resources, only(request_.model_copy(update={"config": config}), arg_type=1.0)).make(0)
    every = SampleMaker(resources, only(request_, arg_type=1.0)).make(0)

    def types(made: MadeBatch) -> set[str]:
        return {name.rpartition("_")[0] for name, pairs in made.batch.context_graph.edges.items() if len(pairs)}

    assert types(every) == set(EDGE_TYPES)
    assert types(some) == {"ast_child", "scope"}


def test_the_limits_of_the_request_hold(resources: Resources, request_: SessionRequest) -> None:
    narrow = {
        "graph": GraphConfig(max_context_tokens=2, max_subtokens=1, max_type_subtokens=1),
        "draws": DrawConfig(num_negatives=1),
    }
    some, every = (
        SampleMaker(resources, only(one, attr=1.0, arg_type=1.0)).make(0).batch
        for one in (request_.model_copy(update=narrow), request_)
    )

    def longest(listed: Segmented) -> int:
        return int(np.bincount(listed.sample_ids).max())

    for of_samples in ("corrupted", "context_tokens"):
        limit = 1 if of_samples == "corrupted" else 2
        assert longest(getattr(some.infer_production, of_samples)) == limit
        assert longest(getattr(every.infer_production, of_samples)) > limit
    for of_nodes in ("node_subtokens", "node_types"):
        assert longest(getattr(some.context_graph, of_nodes)) == 1
        assert longest(getattr(every.context_graph, of_nodes)) > 1


def test_a_step_of_which_nothing_comes_is_an_error_that_says_why(
    resources: Resources, request_: SessionRequest
) -> None:
    nothing = only(request_, attr=1.0).model_copy(update={"production_index": ProductionIndex(indices={"1": 0})})
    with pytest.raises(DataError, match=r"step 5: not one graph sample could be made \(attr: no_") as caught:
        SampleMaker(resources, nothing).make(5)
    assert "metainfo.json" in caught.value.hint


def test_the_work_of_a_slot_is_bounded(
    resources: Resources, request_: SessionRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maker_module, "MAX_SLOT_FILES", 0)
    with pytest.raises(DataError, match="attr: too_much_work x 6, attr: slot_given_up x 6"):
        SampleMaker(resources, only(request_, attr=1.0)).make(0)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_files_come_from_the_split_and_are_not_too_large(
    resources: Resources, request_: SessionRequest, split: str
) -> None:
    too_large = resources.corpus.larger_than(30_000)
    assert too_large
    files = SymbolFiles(
        resources.index,
        lambda path: path,
        seed=1,
        partition=Partition(),
        split=split,  # type: ignore[arg-type]
        usable=[file_id for file_id in resources.corpus.files(split) if file_id not in too_large],  # type: ignore[arg-type]
        limit=5_000,
    )
    feeder = Feeder("attr_base", request_.expr.attr_base.symbols, files, 1)
    drawn = [feeder.draw(step, 0, 0) for step in range(100)]
    found = {draw.file_id for draw in drawn if draw is not None}
    assert {resources.corpus.split_of(file_id) for file_id in found} == {split}
    assert max(len(resources.corpus.source(file_id)) for file_id in found) <= 30_000


CONTEXTS: dict[TaskName, str] = {
    "call": "call_func",
    "attr": "attribute",
    "attr_base": "name",
    "arg_type": "call_func",
    "kwarg_name": "call_func",
}
"""Where the specification (5.4) has a symbol stand in the files that it is drawn in."""


NO_SAMPLE = ("no_site", "no_variable_in_scope", "no_call_pattern", "too_few_keywords")
"""Why a task gives up before it edits the text, or at once after that."""


def holding(
    resources: Resources, request: SessionRequest, task: TaskName, most: int
) -> Iterator[tuple[str, str, bool]]:
    """Some symbols of a task, each with a file that holds it, and whether the index says that it has a site."""
    symbols = request.expr.task(task).symbols
    for name in sorted(symbols, key=lambda name: hashlib.sha256(name.encode()).digest())[:most]:
        entry = symbols[name]
        found = resources.symbols.find(name)
        path = found.canonical if found is not None and entry.canonicalize else name
        where = {"canonical": entry.canonicalize, "split": "train"}
        files = resources.index.files(path, CONTEXTS[task], **where)
        if files:
            with_site = resources.index.files_with_site(path, site_of(task, 0), **where)
            assert set(with_site) <= set(files)
            yield name, files[len(name) % len(files)], files[len(name) % len(files)] in with_site


@pytest.fixture(scope="module")
def context(resources: Resources, request_: SessionRequest, metainfo: MetaInfo) -> SampleContext:
    return SampleContext(
        symbols=resources.symbols,
        patterns=resources.calls.pattern,
        vocabulary=Vocabulary(metainfo.name_subtoken_index, metainfo.type_subtoken_index),
        productions=metainfo.production_index,
        attr_parents=metainfo.attr.parents,
        keywords=request_.expr.kwarg_name.keywords,
    )


@pytest.fixture(scope="module")
def originals(resources: Resources) -> Originals:
    return Originals(resources.corpus, resources.symbols)


@pytest.mark.parametrize("task", CONTEXTS)
def test_the_index_knows_which_files_have_a_site(
    resources: Resources, request_: SessionRequest, context: SampleContext, originals: Originals, task: TaskName
) -> None:
    filter_ = SiteFilter(context.keywords)
    outcomes: Counter[tuple[bool, bool]] = Counter()
    for symbol, file_id, has_site in holding(resources, request_, task, 80):
        source = originals.source(file_id)
        reason = ""
        try:
            make_sample(task, originals.analysis(file_id, source), symbol, rng(symbol), context)
        except Rejected as rejected:
            reason = rejected.reason
        assert has_site or reason in NO_SAMPLE, (symbol, file_id)
        if filter_.may_have_site(task, symbol, source):
            outcomes[has_site, reason == "no_site"] += 1
    # what is left: calls that no pattern fits
    assert outcomes[True, True] <= 0.1 * outcomes[True, False]
    # in these few files every call has an argument, and the text tells the same of keywords
    assert task in ("arg_type", "kwarg_name") or outcomes[False, True] > 0


@pytest.mark.parametrize("task", ["attr", "kwarg_name"])
def test_what_the_text_rules_out_has_no_site(
    resources: Resources, request_: SessionRequest, context: SampleContext, originals: Originals, task: TaskName
) -> None:
    filter_ = SiteFilter(context.keywords)
    num_ruled_out = 0
    for symbol, file_id, _ in holding(resources, request_, task, 150):
        source = originals.source(file_id)
        if not filter_.may_have_site(task, symbol, source):
            num_ruled_out += 1
            with pytest.raises(Rejected, match="no_site"):
                make_sample(task, originals.analysis(file_id, source), symbol, rng(symbol), context)
    assert num_ruled_out > 0


def test_texts_are_looked_at_as_the_tasks_do() -> None:
    filter_ = SiteFilter({"json.dumps": ["indent", "sort_keys"]})
    for task, symbol, source, expected in (
        ("attr", "os.path", b"import os\nos . path", True),
        ("attr", "os.path", b"import os\nos.\n  path", True),
        ("attr", "os.path", b"import os.paths", False),
        ("attr", "os.path", b"from os import path", False),
        ("kwarg_name", "json.dumps", b"json.dumps(x, indent = 2)", True),
        ("kwarg_name", "json.dumps", b"json.dumps(x, sort_keys=1)", True),
        ("kwarg_name", "json.dumps", b"json.dumps(indent, 2)", False),
        ("kwarg_name", "json.dumps", b"json.dumps(my_indent=2)", False),
        ("call", "json.dumps", b"", True),
    ):
        assert filter_.may_have_site(task, symbol, source) is expected, source
