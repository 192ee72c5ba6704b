"""The model gives what the specification's formulas give, eager and compiled; gradients are those of a plain loop."""

import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal

from gematria_ops.config import ModelConfig
from gematria_ops.encode.batch import BatchOptions, roomy_shape
from gematria_ops.encode.encoded_blocks import EncodedBlocks
from gematria_ops.encode.sequence_batch import SequenceBatch, fill_up, make_batch, shape_of
from gematria_ops.models.ithemal import Ithemal
from gematria_ops.models.predict_step import PredictStep
from tests.gematria.encode.block_examples import random_encoded
from tests.gematria.models.slow_reference import NumpyArithmetic, SlowModel, TensorArithmetic, tokens_of

pytestmark = pytest.mark.tf

TASKS = ("ivb", "hsw", "skl")
SIZES = {"token_embedding_size": 6, "instruction_embedding_size": 8, "block_embedding_size": 10}
CONFIGS = {
    "ithemal": ModelConfig(**SIZES),
    "bidirectional": ModelConfig(**SIZES, bidirectional=True),
    "seq2seq": ModelConfig(**SIZES, seq2seq=True),
    "shared layers": ModelConfig(**SIZES, output_layers=(7, 5)),
    "task layers": ModelConfig(**SIZES, task_output_layers=(4,)),
    "everything": ModelConfig(
        **SIZES, bidirectional=True, seq2seq=True, output_layers=(7, 5), task_output_layers=(4, 3)
    ),
}
every_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
INDICES = np.array([4, 0, 7, 7, 13, 2, 9])


@pytest.fixture(scope="module")
def encoded() -> EncodedBlocks:
    return random_encoded(16, len(TASKS), seed=11, max_size=7)


def build(config: ModelConfig, encoded: EncodedBlocks, seed: int = 5) -> Ithemal:
    model = Ithemal(config, len(encoded.vocabulary), TASKS, seed)
    random = np.random.default_rng(seed)
    for variable in model.variables_by_name().values():
        # Far from the initial weights, where biases are zero and nothing saturates.
        variable.assign_add(random.normal(scale=0.5, size=variable.shape).astype(np.float32))
    return model


def batch_for(config: ModelConfig, encoded: EncodedBlocks) -> SequenceBatch:
    options = BatchOptions(bidirectional=config.bidirectional, seq2seq=config.seq2seq)
    return make_batch(encoded, INDICES, options)


@every_config
def test_values_are_those_of_the_formulas(config: ModelConfig, encoded: EncodedBlocks) -> None:
    model, batch = build(config, encoded), batch_for(config, encoded)
    weights = {name: variable.numpy().astype(np.float64) for name, variable in model.variables_by_name().items()}
    slow = SlowModel(config, TASKS, weights, NumpyArithmetic)
    wanted = [slow(tokens_of(encoded, block)) for block in INDICES]
    filled = fill_up(batch, roomy_shape([shape_of(batch)], margin=1.5))
    for inputs in (batch.inputs, filled.inputs):
        answer = model(inputs)
        assert_allclose(answer.output[: len(INDICES)], np.stack([output for output, _ in wanted]), rtol=1e-5, atol=1e-5)
        if config.seq2seq:
            deltas = np.concatenate([deltas for _, deltas in wanted])
            assert_allclose(answer.deltas[: len(deltas)], deltas, rtol=1e-5, atol=1e-5)
        else:
            assert answer.deltas is None


@every_config
def test_compiled_is_eager(config: ModelConfig, encoded: EncodedBlocks) -> None:
    model, batch = build(config, encoded), batch_for(config, encoded)
    eager = model(batch.inputs)
    output, deltas = PredictStep(model)(batch)
    assert_allclose(output, eager.output, rtol=1e-5, atol=1e-5)
    assert output.shape == (len(INDICES), len(TASKS))
    if config.seq2seq:
        assert_allclose(deltas, eager.deltas, rtol=1e-5, atol=1e-5)
    else:
        assert deltas is None


@every_config
def test_gradients_are_those_of_a_plain_loop(config: ModelConfig, encoded: EncodedBlocks) -> None:
    model, batch = build(config, encoded), batch_for(config, encoded)
    variables = model.variables_by_name()
    slow = SlowModel(config, TASKS, variables, TensorArithmetic)
    upstream = np.random.default_rng(1).normal(size=(len(INDICES), len(TASKS))).astype(np.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(
            model(fill_up(batch, roomy_shape([shape_of(batch)])).inputs).output[: len(INDICES)] * upstream
        )
    ours = tape.gradient(loss, variables)
    with tf.GradientTape() as tape:
        answers = [slow(tokens_of(encoded, block))[0] for block in INDICES]
        loss = tf.reduce_sum(tf.stack(answers) * upstream)
    wanted = tape.gradient(loss, variables)
    for name in variables:
        gradient, expected = tf.convert_to_tensor(ours[name]).numpy(), tf.convert_to_tensor(wanted[name]).numpy()
        assert np.abs(expected).max() > 0, name
        assert_allclose(gradient, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max(), err_msg=name)


def test_a_step_of_another_size_is_not_traced_again(encoded: EncodedBlocks) -> None:
    model = build(CONFIGS["everything"], encoded)
    traces = 0
    plain_call = model.__call__

    class Counted(Ithemal):
        def __init__(self) -> None:
            self.config, self.task_names = model.config, model.task_names

        def __call__(self, inputs: object) -> object:
            nonlocal traces
            traces += 1
            return plain_call(inputs)

    step = PredictStep(Counted())
    options = BatchOptions(bidirectional=True, seq2seq=True)
    for num_blocks in (2, 16):
        batch = make_batch(encoded, np.arange(num_blocks), options)
        assert step(batch)[0].shape == (num_blocks, len(TASKS))
    assert traces == 1


def test_one_long_block_among_short_ones() -> None:
    encoded = random_encoded(3, 1, seed=2, max_size=120)
    assert encoded.block_sizes.max() > 60
    model = Ithemal(CONFIGS["bidirectional"], len(encoded.vocabulary), ("only",), 3)
    weights = {name: variable.numpy().astype(np.float64) for name, variable in model.variables_by_name().items()}
    slow = SlowModel(model.config, ("only",), weights, NumpyArithmetic)
    batch = make_batch(encoded, np.arange(3), BatchOptions(bidirectional=True))
    wanted = np.stack([slow(tokens_of(encoded, block))[0] for block in range(3)])
    assert_allclose(PredictStep(model)(batch)[0], wanted, rtol=1e-5, atol=1e-5)


def test_variables_have_fixed_names_and_shapes(encoded: EncodedBlocks) -> None:
    model = Ithemal(CONFIGS["everything"], 20, ("a", "b"), 1)
    shapes = {name: tuple(variable.shape) for name, variable in model.variables_by_name().items()}
    lstm = {"kernel": (8, 20), "recurrent_kernel": (5, 20), "bias": (20,)}
    heads = {
        "dense_0/kernel": (5, 4),
        "dense_0/bias": (4,),
        "dense_1/kernel": (4, 3),
        "dense_1/bias": (3,),
        "output/kernel": (3, 1),
    }
    assert shapes == {
        "token_embedding/table": (20, 6),
        "instruction_lstm/kernel": (6, 16),
        "instruction_lstm/recurrent_kernel": (4, 16),
        "instruction_lstm/bias": (16,),
        **{f"block_lstm/{name}": shape for name, shape in lstm.items()},
        **{f"block_lstm_backward/{name}": shape for name, shape in lstm.items()},
        "output_layers/dense_0/kernel": (10, 7),
        "output_layers/dense_0/bias": (7,),
        "output_layers/dense_1/kernel": (7, 5),
        "output_layers/dense_1/bias": (5,),
        **{f"task_{task}/{name}": shape for task in ("a", "b") for name, shape in heads.items()},
    }
    assert list(shapes)[:3] == ["token_embedding/table", "instruction_lstm/kernel", "instruction_lstm/recurrent_kernel"]


def test_the_seed_decides_the_weights() -> None:
    first, second, other = (Ithemal(CONFIGS["everything"], 20, TASKS, seed) for seed in (7, 7, 8))
    for name, variable in first.variables_by_name().items():
        assert_array_equal(variable, second.variables_by_name()[name])
        if name not in ("instruction_lstm/bias", "block_lstm/bias", "block_lstm_backward/bias"):
            assert np.abs(variable - other.variables_by_name()[name]).max() > 1e-3, name


@pytest.mark.parametrize(("num_tokens", "tasks"), [(0, TASKS), (20, ())])
def test_a_model_needs_tokens_and_tasks(num_tokens: int, tasks: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="needs tokens and tasks"):
        Ithemal(CONFIGS["ithemal"], num_tokens, tasks, 1)


def test_another_task_changes_no_other_weights() -> None:
    few, many = (Ithemal(CONFIGS["task layers"], 20, tasks, 7) for tasks in (("a",), ("a", "b")))
    for name, variable in few.variables_by_name().items():
        assert_array_equal(variable, many.variables_by_name()[name])
