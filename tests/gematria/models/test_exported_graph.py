"""The exported function has the tensors of the specification, and answers as the model does."""

import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal

from gematria_ops.blocks.vocabulary import Vocabulary
from gematria_ops.encode.flat_feeds import make_feed
from gematria_ops.encode.layouts import layout_of, prediction_options
from gematria_ops.models.exported_graph import OUTPUT, OUTPUT_DELTAS, exported_function, input_specs, output_names
from tests.gematria.encode.block_examples import random_blocks, vocabulary
from tests.gematria.exported_models import KINDS, encode, make_bundle, real_blocks, vocabulary_of

pytestmark = pytest.mark.tf

V = 15  # tokens of the examples' vocabulary, structural ones included

GRAPH_INPUTS = {
    "GnnModelBase.node_features": ("int32", [None]),
    "GnnModelBase.edge_features": ("int32", [None]),
    "GnnModelBase.global_features": ("int32", [None, V]),
    "GnnModelBase.receivers": ("int32", [None]),
    "GnnModelBase.senders": ("int32", [None]),
    "GnnModelBase.num_edges": ("int32", [None]),
    "GnnModelBase.num_nodes": ("int32", [None]),
}
DELTAS = {"ModelBase.delta_block_index_tensor": ("int32", [None])}
MASK = {"GraphBuilderModelBase.instruction_node_mask": ("bool", [None])}
SEQUENCE_INPUTS = {
    "SequenceModelBase.token_sequence": ("int32", [None]),
    "SequenceModelBase.num_tokens_per_instruction": ("int32", [None]),
    "SequenceModelBase.num_instructions_per_block": ("int32", [None]),
}


def annotation_input(num_names: int) -> dict[str, tuple[str, list[int | None]]]:
    return {"GraphBuilderModelBase.instruction_annotations": ("float32", [None, num_names])}


INPUTS = {
    "sequence": SEQUENCE_INPUTS,
    "sequence, seq2seq": SEQUENCE_INPUTS,
    "graph": GRAPH_INPUTS,
    "graph, seq2seq": GRAPH_INPUTS | DELTAS | MASK,
    "graph, annotations": GRAPH_INPUTS | MASK | annotation_input(2),
    "graph, seq2seq, annotations": GRAPH_INPUTS | DELTAS | MASK | annotation_input(1),
    "graph, LSTM": GRAPH_INPUTS | DELTAS | MASK,
}
GRAPH_CONSTANTS = ("TokenModel.token_list", "GraphBuilderModelBase.special_tokens")
OUTPUTS = {
    "sequence": ("ModelBase.output_tensor", "TokenModel.token_list", "TokenModel.replacement_token"),
    "sequence, seq2seq": (
        "ModelBase.output_tensor",
        "ModelBase.output_tensor_deltas",
        "TokenModel.token_list",
        "TokenModel.replacement_token",
    ),
    "graph": ("ModelBase.output_tensor", *GRAPH_CONSTANTS),
    "graph, seq2seq": ("ModelBase.output_tensor", "ModelBase.output_tensor_deltas", *GRAPH_CONSTANTS),
    "graph, annotations": ("ModelBase.output_tensor", *GRAPH_CONSTANTS, "GraphBuilderModelBase.annotation_names"),
}


@pytest.mark.parametrize("name", INPUTS)
def test_names_types_and_shapes_of_the_inputs(name: str) -> None:
    model = make_bundle(KINDS[name], vocabulary()).model
    specs = input_specs(model)
    assert {spec.name: (spec.dtype.name, spec.shape.as_list()) for spec in specs} == INPUTS[name]
    assert [spec.name for spec in specs] == list(INPUTS[name])


@pytest.mark.parametrize("name", OUTPUTS)
def test_names_of_the_outputs_in_order(name: str) -> None:
    assert output_names(make_bundle(KINDS[name], vocabulary()).model) == OUTPUTS[name]


@pytest.mark.parametrize("name", KINDS)
def test_it_answers_as_the_model(name: str) -> None:
    """Up to rounding: the same weights, but every sequence on its own instead of in a forest of prefixes."""
    blocks = real_blocks(25)
    bundle = make_bundle(KINDS[name], vocabulary_of(blocks))
    model = bundle.model
    encoded = encode(model, bundle.vocabulary, blocks)
    indices = np.array([3, 24, 0, 17, 3, 11])  # out of order, and one twice
    function = exported_function(model, bundle.vocabulary)
    feed = make_feed(encoded, indices, model.config, model.annotation_names)
    answers = function(*map(tf.constant, feed.values()))
    expected = model(layout_of(model.config).make(encoded, indices, prediction_options(model.config), None).inputs)
    assert_allclose(answers[OUTPUT], expected.output, rtol=1e-5, atol=1e-6)
    assert np.ptp(expected.output.numpy(), axis=0).min() > 1e-3  # the blocks are told apart
    assert (OUTPUT_DELTAS in answers) == model.config.seq2seq
    if model.config.seq2seq:
        assert_allclose(answers[OUTPUT_DELTAS], expected.deltas, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["graph, annotations", "graph, seq2seq, annotations"])
def test_annotations_reach_the_answer(name: str) -> None:
    blocks = real_blocks(5)
    bundle = make_bundle(KINDS[name], vocabulary_of(blocks))
    function = exported_function(bundle.model, bundle.vocabulary)
    encoded = encode(bundle.model, bundle.vocabulary, blocks)
    feed = dict(make_feed(encoded, np.arange(5), bundle.model.config, bundle.model.annotation_names))
    before = function(*map(tf.constant, feed.values()))[OUTPUT]
    key = "GraphBuilderModelBase.instruction_annotations"
    assert set(np.unique(feed[key])) == {np.float32(-1), np.float32(0.125)}
    feed[key] = feed[key] + np.float32(1)
    assert not np.allclose(before, function(*map(tf.constant, feed.values()))[OUTPUT], rtol=1e-4)


def constants_of(name: str, words: Vocabulary) -> dict[str, np.ndarray]:
    bundle = make_bundle(KINDS[name], words)
    encoded = encode(bundle.model, words, random_blocks(2, 0, seed=1))
    feed = make_feed(encoded, np.arange(2), bundle.model.config, bundle.model.annotation_names)
    answers = exported_function(bundle.model, words)(*map(tf.constant, feed.values()))
    return {key: tensor.numpy() for key, tensor in answers.items()}


def test_the_constants_rebuild_the_encoder() -> None:
    words = vocabulary("_UNKNOWN_")
    constants = constants_of("graph, annotations", words)
    assert constants["TokenModel.token_list"].dtype == np.uint8
    listed = bytes(constants["TokenModel.token_list"]).decode().split("\0")
    assert listed == list(words.tokens)
    special = constants["GraphBuilderModelBase.special_tokens"]
    assert special.dtype == np.int32
    assert [listed[index] for index in special] == ["_IMMEDIATE_", "_IMMEDIATE_", "_ADDRESS_", "_MEMORY_", "_UNKNOWN_"]
    assert bytes(constants["GraphBuilderModelBase.annotation_names"]) == b"cache_miss_freq\0other"


def test_without_a_replacement_token_it_is_minus_one() -> None:
    words = vocabulary()
    assert constants_of("graph", words)["GraphBuilderModelBase.special_tokens"][4] == -1
    assert_array_equal(constants_of("sequence", words)["TokenModel.replacement_token"], [-1])
    unknown = vocabulary("_UNKNOWN_")
    index = constants_of("sequence", unknown)["TokenModel.replacement_token"].tolist()
    assert [unknown.tokens[number] for number in index] == ["_UNKNOWN_"]
