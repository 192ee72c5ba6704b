"""GRANITE gives what the specification's formulas give, eager and compiled; gradients reach what they should."""

import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal

from gematria_ops.config import GraniteConfig, RnnType
from gematria_ops.encode.batch import BatchOptions
from gematria_ops.encode.encoded_blocks import EncodedBlocks, encode_blocks
from gematria_ops.encode.graph_batch import GraphBatch, make_graph_batch
from gematria_ops.encode.graphs import GraphBuilder
from gematria_ops.models.granite import Granite
from gematria_ops.models.predict_step import PredictStep
from tests.gematria.encode.slow_graphs import ANNOTATIONS, MNEMONICS, random_block
from tests.gematria.models.granite_examples import (
    BLOCKS,
    CONFIGS,
    EVERYTHING,
    INDICES,
    TASKS,
    VOCABULARY,
    batch_for,
    build,
    sized,
)
from tests.gematria.models.slow_granite import SlowGranite

pytestmark = pytest.mark.tf

every_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
compiled_configs = pytest.mark.parametrize(
    "name", ["everything", "seq2seq, everything", "LSTM, everything", "GRU, everything"]
)


@pytest.fixture(scope="module")
def encoded() -> EncodedBlocks:
    return encode_blocks(BLOCKS, VOCABULARY, graphs=GraphBuilder(VOCABULARY, ANNOTATIONS))


@pytest.fixture(scope="module")
def plain() -> EncodedBlocks:
    """The same blocks, for models without annotations."""
    return encode_blocks(BLOCKS, VOCABULARY, graphs=GraphBuilder(VOCABULARY))


def slow(model: Granite, annotations: tuple[str, ...] = ()) -> SlowGranite:
    weights = {name: variable.numpy() for name, variable in model.variables_by_name().items()}
    return SlowGranite(model.config, VOCABULARY, model.task_names, annotations, weights)


def assert_close(answer: tf.Tensor, wanted: np.ndarray) -> None:
    assert answer.shape == wanted.shape
    assert_allclose(answer, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


def assert_values(model: Granite, batch: GraphBatch, annotations: tuple[str, ...] = ()) -> None:
    wanted = [slow(model, annotations)(BLOCKS[index]) for index in INDICES]
    answer = model(batch.inputs)
    assert_close(answer.output, np.stack([output for output, _ in wanted]))
    if model.config.seq2seq:
        assert_close(answer.deltas, np.concatenate([deltas for _, deltas in wanted]))
    else:
        assert answer.deltas is None


@every_config
def test_values_are_those_of_the_formulas(config: GraniteConfig, plain: EncodedBlocks) -> None:
    assert_values(build(config), batch_for(config, plain))


@pytest.mark.parametrize("size", [6, 2], ids=["some features", "all features"])
@pytest.mark.parametrize("mode", [{}, {"seq2seq": True}, {"rnn_type": RnnType.LSTM, "rnn_output_size": 3}])
def test_values_with_annotations(size: int, mode: dict[str, object], encoded: EncodedBlocks) -> None:
    config = sized(**mode, node_embedding_size=size, graph_module_layer_normalization=True)
    assert_values(build(config, ANNOTATIONS), batch_for(config, encoded), ANNOTATIONS)


def test_annotations_stand_in_the_last_features_of_instructions(encoded: EncodedBlocks) -> None:
    model = build(CONFIGS["plain"], ANNOTATIONS)
    inputs = batch_for(model.config, encoded).inputs
    nodes = model._encode(inputs).nodes.numpy()
    assert_array_equal(nodes[inputs.instruction_nodes, -2:], inputs.annotations)
    assert (inputs.annotations == -1).any()
    assert (inputs.annotations != -1).any()
    others = np.setdiff1d(np.arange(len(nodes)), inputs.instruction_nodes)
    table = model.variables_by_name()["encoder/annotated_table"].numpy()
    assert_array_equal(nodes[others, -2:], table[inputs.node_tokens[others]])


def test_the_order_of_the_annotations_is_that_of_the_names() -> None:
    first, second = (
        encode_blocks(BLOCKS, VOCABULARY, graphs=GraphBuilder(VOCABULARY, names))
        for names in (ANNOTATIONS, ANNOTATIONS[::-1])
    )
    assert first.graphs is not None
    assert second.graphs is not None
    assert_array_equal(first.graphs.annotations, second.graphs.annotations[:, ::-1])


@pytest.mark.parametrize("kind", [RnnType.LSTM, RnnType.GRU])
@pytest.mark.parametrize("both", [False, True], ids=["one direction", "both directions"])
@pytest.mark.parametrize("seq2seq", [False, True], ids=["seq2num", "seq2seq"])
def test_recurrent_networks_are_keras_ones(kind: RnnType, both: bool, seq2seq: bool, plain: EncodedBlocks) -> None:
    config = sized(rnn_type=kind, rnn_output_size=4, rnn_bidirectional=both, seq2seq=seq2seq)
    model, batch = build(config), batch_for(config, plain)
    instructions = np.random.default_rng(1).normal(size=(batch.num_instructions, 6)).astype(np.float32)
    ours = model._rnn(tf.constant(instructions), batch.inputs).numpy()

    layer = (tf.keras.layers.LSTM if kind is RnnType.LSTM else tf.keras.layers.GRU)(4, return_sequences=seq2seq)
    wanted = tf.keras.layers.Bidirectional(layer) if both else layer
    wanted.build((None, None, 6))
    weights = {name: variable.numpy() for name, variable in model.variables_by_name().items()}
    copied = []
    for direction in ("forward", "backward") if both else ("forward",):
        bias = weights[f"rnn/{direction}/bias"]
        if kind is RnnType.GRU:
            bias = np.stack([bias, weights[f"rnn/{direction}/recurrent_bias"]])
        copied += [weights[f"rnn/{direction}/kernel"], weights[f"rnn/{direction}/recurrent_kernel"], bias]
    wanted.set_weights(copied)
    blocks = np.split(instructions, np.cumsum(batch.inputs.block_sizes)[:-1])
    rows = [wanted(block[None]).numpy() for block in blocks]
    assert_allclose(ours, np.concatenate([row[0] for row in rows] if seq2seq else rows), rtol=1e-5, atol=1e-6)


@compiled_configs
def test_compiled_is_eager(name: str, plain: EncodedBlocks) -> None:
    model = build(CONFIGS[name])
    step = PredictStep(model)
    # One trace for batches of every size.
    for indices in (INDICES, np.array([3]), np.arange(8)):
        batch = batch_for(model.config, plain, indices)
        eager, (output, deltas) = model(batch.inputs), step(batch)
        assert_close(output, eager.output.numpy())
        if model.config.seq2seq:
            assert_close(deltas, eager.deltas.numpy())
        else:
            assert deltas is None


@compiled_configs
def test_company_changes_no_answer(name: str, plain: EncodedBlocks) -> None:
    model = build(CONFIGS[name])
    together = model(batch_for(model.config, plain).inputs).output.numpy()
    alone = [model(batch_for(model.config, plain, np.array([index])).inputs).output.numpy()[0] for index in INDICES]
    assert_close(together, np.stack(alone))
    assert_allclose(together[2], together[3], rtol=1e-6)  # the same block twice


def without_gradient(config: GraniteConfig) -> set[str]:
    """Names of the variables that nothing depends on: the last round's parts that the readout does not look at."""
    last = config.num_message_passing_iterations - 1
    reads_nodes = config.seq2seq or config.rnn_type is not RnnType.NONE
    unread = {"edges", "graphs" if reads_nodes else "nodes"}
    names = set()
    if config.graph_module_layer_normalization:
        names = {f"graph_network/norm_{last}/{part}/{name}" for part in unread for name in ("gamma", "beta")}
    if last == 0 and reads_nodes:
        layers = range(len(config.global_update_layers) + 1)
        names |= {f"graph_network/graphs/linear_{index}/{name}" for index in layers for name in ("kernel", "bias")}
    return names


@pytest.mark.parametrize(
    "config",
    [
        *(
            CONFIGS[name]
            for name in ("plain", "everything", "seq2seq, everything", "LSTM, everything", "GRU, everything")
        ),
        sized(**{**EVERYTHING, "num_message_passing_iterations": 1}),
        sized(**{**EVERYTHING, "num_message_passing_iterations": 1}, seq2seq=True),
    ],
)
def test_gradients_reach_every_variable(config: GraniteConfig, encoded: EncodedBlocks) -> None:
    model = build(config, ANNOTATIONS)
    variables = model.variables_by_name()
    upstream = np.random.default_rng(1).normal(size=(len(INDICES), len(TASKS))).astype(np.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(batch_for(config, encoded).inputs).output * upstream)
    gradients = tape.gradient(loss, variables)
    reached = {
        name for name, value in gradients.items() if value is not None and np.abs(tf.convert_to_tensor(value)).max() > 0
    }
    assert variables.keys() - reached == without_gradient(config)


def test_annotations_hide_the_table_of_instructions(encoded: EncodedBlocks) -> None:
    # Only nodes that are no instructions read the table of annotated features.
    model = build(CONFIGS["plain"], ANNOTATIONS)
    table = model.variables_by_name()["encoder/annotated_table"]
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(batch_for(model.config, encoded).inputs).output)
    rows = np.abs(tf.convert_to_tensor(tape.gradient(loss, table))).max(axis=1)
    touched = {token for token, value in zip(VOCABULARY, rows) if value > 0}
    assert not touched & set(MNEMONICS)
    assert touched >= {"RAX", "_MEMORY_", "_ADDRESS_"}


@pytest.mark.parametrize("kind", [RnnType.LSTM, RnnType.GRU])
def test_dropout_is_decided_by_the_seed_and_keeps_the_mean(kind: RnnType, plain: EncodedBlocks) -> None:
    config = sized(rnn_type=kind, rnn_output_size=3, rnn_dropout=0.5, seq2seq=True)
    model, inputs = build(config), batch_for(config, plain).inputs
    instructions = tf.ones((len(inputs.instruction_nodes), 6))

    def read(seed: tuple[int, int] | None) -> np.ndarray:
        return model._rnn(instructions, inputs._replace(dropout_seed=None if seed is None else np.int32(seed))).numpy()

    assert_array_equal(read((1, 2)), read((1, 2)))
    assert np.abs(read((1, 2)) - read((1, 3))).max() > 1e-3
    # Without a seed nothing is dropped, as in a model without dropout.
    same_weights = build(sized(rnn_type=kind, rnn_output_size=3, seq2seq=True))
    assert_array_equal(read(None), same_weights._rnn(instructions, inputs).numpy())


def test_dropout_drops_its_share(plain: EncodedBlocks) -> None:
    # What the network reads shows in the gradient of its first product: an input that is dropped has none.
    config = sized(rnn_type=RnnType.LSTM, rnn_output_size=3, rnn_dropout=0.25, seq2seq=True)
    model, inputs = build(config), batch_for(config, plain, np.arange(8)).inputs
    instructions = tf.ones((len(inputs.instruction_nodes), 6))
    shares = []
    for seed in range(20):
        with tf.GradientTape() as tape:
            tape.watch(instructions)
            output = tf.reduce_sum(model._rnn(instructions, inputs._replace(dropout_seed=np.int32([seed, 0]))))
        shares.append(float((tape.gradient(output, instructions).numpy() == 0).mean()))
    assert 0.2 < np.mean(shares) < 0.3


def test_a_block_of_many_instructions_beside_one_of_one() -> None:
    random = np.random.default_rng(9)
    long, short = (
        next(b for b in iter(lambda: random_block(random, 60), None) if len(b.instructions) > 40),
        next(b for b in iter(lambda: random_block(random, 1), None)),
    )
    for mode in ({}, {"rnn_type": RnnType.GRU, "rnn_output_size": 3, "rnn_bidirectional": True}):
        config = sized(**mode, graph_module_layer_normalization=True, seq2seq=True)
        model = build(config)
        encoded = encode_blocks([short, long, short], VOCABULARY, graphs=GraphBuilder(VOCABULARY))
        answer = model(make_graph_batch(encoded, np.arange(3), BatchOptions(seq2seq=True)).inputs)
        wanted = [slow(model)(block) for block in (short, long, short)]
        assert_close(answer.output, np.stack([output for output, _ in wanted]))
        assert_close(answer.deltas, np.concatenate([deltas for _, deltas in wanted]))


def test_dropout_of_everything_leaves_finite_gradients(plain: EncodedBlocks) -> None:
    config = sized(rnn_type=RnnType.LSTM, rnn_output_size=3, rnn_dropout=1.0)
    model, inputs = build(config), batch_for(config, plain).inputs._replace(dropout_seed=np.int32([1, 2]))
    variables = model.variables_by_name()
    with tf.GradientTape() as tape:
        output = tf.reduce_sum(model(inputs).output)
    gradients = tape.gradient(output, variables)
    assert all(np.isfinite(tf.convert_to_tensor(value)).all() for value in gradients.values() if value is not None)
    assert not tf.convert_to_tensor(gradients["rnn/forward/kernel"]).numpy().any()
