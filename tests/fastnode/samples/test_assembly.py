"""Samples become a batch: every sample is in it whole, in its own numbers plus what came before."""

import json

import numpy as np
import orjson
import pytest

from fastnode_ops.analysis.analysis import analyse
from fastnode_ops.models.checking import check_batch
from fastnode_ops.samples.assembly import assemble
from fastnode_ops.samples.batch import Segmented, TrainingBatch
from fastnode_ops.samples.drawing import rng
from fastnode_ops.samples.making import make_sample
from fastnode_ops.samples.sample import GraphSample
from fastnode_ops.symbols.store import SymbolStore
from tests.fastnode.sample_world import World, make_world, vocabulary_sizes

SOURCE = b"""import os, shutil
def f(a, b):
    c = str(a)
    shutil.copyfile(c, b)
    d = c.strip()
    os.path.join(d, a)
"""
JOBS = [
    ("attr", "os.path.join"),
    ("call", "shutil.copyfile"),
    ("arg_type", "shutil.copyfile"),
    ("attr_base", "builtins.str"),
    ("arg_placeholder", "shutil.copyfile"),
]


@pytest.fixture(scope="module")
def world(symbols: SymbolStore) -> World:
    return make_world(symbols)


@pytest.fixture(scope="module")
def samples(world: World) -> list[GraphSample]:
    analysis = analyse(SOURCE, world.context.symbols)
    return [make_sample(task, analysis, symbol, rng(7), world.context) for task, symbol in JOBS]


def pieces(batch: TrainingBatch, num_context: int, num_expansion: int, context: int, expansion: int) -> dict:
    """What a batch holds of the nodes from `context` and `expansion` on, counted from there."""

    def lists(segmented: Segmented, first: int, num: int) -> list[list[int]]:
        return segmented.to_lists(first + num + 10_000)[first : first + num]

    def edges(pairs, first: int, num: int) -> list[list[int]]:
        inside = pairs[(pairs[:, 0] >= first) & (pairs[:, 0] < first + num)] - first
        assert np.all((inside >= 0) & (inside < num))  # no edge leads to another sample
        return inside.tolist()

    graph = batch.context_graph
    return {
        "subtokens": lists(graph.node_subtokens, context, num_context),
        "types": lists(graph.node_types, context, num_context),
        "edges": {key: edges(pairs, context, num_context) for key, pairs in graph.edges.items()},
        "expansion_edges": {
            key: edges(pairs, expansion, num_expansion) for key, pairs in batch.expansion_graph.edges.items()
        },
    }


def test_a_batch_is_its_samples_one_after_the_other(samples: list[GraphSample]) -> None:
    batch = assemble(samples)
    context = expansion = 0
    # samples of the name decoder come first
    for sample in sorted(samples, key=lambda sample: sample.task not in ("call", "attr_base")):
        num_context = len(sample.graph.subtokens)
        num_expansion = len(sample.graph.context_nodes) + len(sample.graph.lookup_subtokens)
        alone = pieces(assemble([sample]), num_context, num_expansion, 0, 0)
        assert pieces(batch, num_context, num_expansion, context, expansion) == alone
        context, expansion = context + num_context, expansion + num_expansion
    assert batch.context_graph.num_nodes == context
    assert batch.expansion_graph.num_nodes == expansion


def test_labels_and_negatives_are_counted_over_all_candidates(samples: list[GraphSample]) -> None:
    batch = assemble(samples)
    assert batch.infer_name.tasks == ["call", "attr_base"]
    assert batch.infer_production.tasks == ["attr", "arg_type", "arg_placeholder"]
    for part, choices in (
        (batch.infer_name, batch.infer_name.usages),
        (batch.infer_production, batch.infer_production.decoder_targets),
    ):
        before = 0
        chosen = [sample for task in part.tasks for sample in samples if sample.task == task]
        for number, sample in enumerate(chosen):
            assert part.labels[number] == before + sample.answer.label
            negatives = part.corrupted.to_lists(len(chosen))[number]
            assert negatives == [before + wrong for wrong in sample.answer.negatives]
            before += len(choices.to_lists(len(chosen))[number])


def test_a_batch_passes_the_checks_and_comes_back_from_json(world: World, samples: list[GraphSample]) -> None:
    for chosen in (samples, samples[:1], samples[1:2], samples * 3):
        batch = assemble(chosen)
        check_batch(batch, vocabulary_sizes(world))
        assert batch.num_samples == len(chosen)
        text = orjson.dumps(batch.to_json(), option=orjson.OPT_SERIALIZE_NUMPY)
        again = TrainingBatch.from_json(json.loads(text))
        assert orjson.dumps(again.to_json(), option=orjson.OPT_SERIALIZE_NUMPY) == text


def test_of_no_samples_there_is_an_empty_batch() -> None:
    batch = assemble([])
    assert batch.num_samples == batch.context_graph.num_nodes == batch.expansion_graph.num_nodes == 0
    assert all(len(pairs) == 0 for pairs in batch.context_graph.edges.values())
