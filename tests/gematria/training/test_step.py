"""One update: compiled equals eager, every variable moves, the same seed gives the same weights, models learn."""

from itertools import product

import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal

from gematria_ops.config import ErrorNormalization, LossConfig, LossType, ModelConfig, OptimizerConfig
from gematria_ops.encode.batch import BatchOptions
from gematria_ops.encode.batching import BatchSchedule
from gematria_ops.encode.encoded_blocks import EncodedBlocks, encode_blocks
from gematria_ops.encode.layouts import SEQUENCES
from gematria_ops.encode.sequence_batch import SequenceBatch, make_batch
from gematria_ops.encode.training_batches import TrainingBatches
from gematria_ops.models.ithemal import Ithemal
from gematria_ops.training.optimizers import Optimizer
from gematria_ops.training.step import TrainStep
from tests.gematria.encode.block_examples import random_blocks, random_encoded, vocabulary

pytestmark = pytest.mark.tf

TASKS = ("one", "two")
SIZES = {"token_embedding_size": 8, "instruction_embedding_size": 8, "block_embedding_size": 8}
MODES = {
    "ithemal": ModelConfig(**SIZES),
    "bidirectional": ModelConfig(**SIZES, bidirectional=True, output_layers=(6,)),
    "seq2seq": ModelConfig(**SIZES, seq2seq=True, task_output_layers=(6,)),
    "both": ModelConfig(**SIZES, bidirectional=True, seq2seq=True),
}
every_mode = pytest.mark.parametrize("config", MODES.values(), ids=MODES.keys())


class PlainDescent:
    """Gradient descent that remembers what it was given."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def apply(self, gradients: list, variables: list[tf.Variable]) -> None:
        for gradient, variable in zip(gradients, variables, strict=True):
            variable.assign_sub(self.rate * tf.convert_to_tensor(gradient))


def options_for(config: ModelConfig) -> BatchOptions:
    return BatchOptions(bidirectional=config.bidirectional, seq2seq=config.seq2seq)


def build(config: ModelConfig, encoded: EncodedBlocks, seed: int = 3) -> Ithemal:
    return Ithemal(config, len(encoded.vocabulary), TASKS[: encoded.num_tasks], seed)


def values(model: Ithemal) -> dict[str, np.ndarray]:
    return {name: variable.numpy() for name, variable in model.variables_by_name().items()}


def all_of(encoded: EncodedBlocks, config: ModelConfig) -> SequenceBatch:
    return make_batch(encoded, np.arange(encoded.num_blocks), options_for(config))


@every_mode
def test_compiled_is_eager_and_every_variable_moves(config: ModelConfig) -> None:
    encoded = random_encoded(12, 2, seed=4, label_share=0.7)
    batch, rate = all_of(encoded, config), 0.01
    model, twin = build(config, encoded), build(config, encoded)
    before = values(model)
    eager_step = TrainStep(twin, LossConfig(), PlainDescent(rate), use_xla=False)
    eager_gradients, losses, answer = eager_step.gradients(batch.inputs, batch.targets)
    result = TrainStep(model, LossConfig(), PlainDescent(rate))(batch)

    assert_allclose(result.loss, losses.loss, rtol=1e-5)
    assert_allclose(result.task_losses, losses.task_losses, rtol=1e-5)
    # Outputs are from before the update.
    assert_allclose(result.output, answer.output, rtol=1e-5, atol=1e-6)
    assert (result.deltas is None) == (not config.seq2seq)
    if result.deltas is not None:
        assert_allclose(result.deltas, answer.deltas, rtol=1e-5, atol=1e-6)
        assert result.deltas.shape == (batch.num_instructions, 2)
    for (name, after), gradient in zip(values(model).items(), eager_gradients, strict=True):
        expected = rate * tf.convert_to_tensor(gradient).numpy()
        largest = np.abs(expected).max()
        assert largest > 0, name
        assert_allclose(before[name] - after, expected, rtol=1e-3, atol=1e-3 * largest + 1e-7, err_msg=name)
    eager_step(batch)
    for name, after in values(twin).items():
        assert_allclose(after, values(model)[name], rtol=1e-4, atol=1e-6, err_msg=name)


def test_the_same_seed_gives_the_same_weights_bit_by_bit() -> None:
    def train() -> dict[str, np.ndarray]:
        encoded, seed = random_encoded(60, 2, seed=1), 1
        model = build(MODES["both"], encoded, seed)
        step = TrainStep(model, LossConfig(), Optimizer(OptimizerConfig(), model.variables_by_name()))
        schedule = BatchSchedule(encoded.block_sizes, 20, 1000, seed=seed)
        batches = TrainingBatches(encoded, schedule, SEQUENCES, options_for(MODES["both"]), seed)
        for index in range(5):
            step(batches.batch(index))
        return values(model)

    first, second = train(), train()
    for name, value in first.items():
        assert_array_equal(value, second[name], err_msg=name)


def test_batches_of_other_sizes_are_not_traced_again() -> None:
    encoded = random_encoded(40, 2, seed=6)
    traces = 0

    class CountingDescent(PlainDescent):
        def apply(self, gradients: list, variables: list[tf.Variable]) -> None:
            nonlocal traces
            traces += 1
            super().apply(gradients, variables)

    step = TrainStep(build(MODES["ithemal"], encoded), LossConfig(), CountingDescent(0.01))
    for num_blocks in (40, 1):
        result = step(make_batch(encoded, np.arange(num_blocks)))
        assert result.output.shape == (num_blocks, 2)
    assert traces == 1


def test_a_task_without_labels_in_a_batch_does_not_move() -> None:
    blocks = random_blocks(4, 2, seed=5)
    one_task = [type(block)(block.block, (block.throughputs[0], None)) for block in blocks]
    encoded = encode_blocks(one_task, vocabulary(), 2)
    model = build(MODES["ithemal"], encoded)
    before = values(model)
    step = TrainStep(model, LossConfig(), PlainDescent(0.01), use_xla=False)
    result = step(all_of(encoded, MODES["ithemal"]))
    assert np.isfinite(result.loss)
    assert np.isnan(result.task_losses[1])
    after = values(model)
    assert_array_equal(after["task_two/output/kernel"], before["task_two/output/kernel"])
    assert (after["task_one/output/kernel"] != before["task_one/output/kernel"]).any()
    assert all(np.isfinite(value).all() for value in after.values())


def train_on(encoded: EncodedBlocks, config: ModelConfig, loss: LossConfig, num_steps: int) -> tuple[float, float]:
    """Returns the first and the last loss of a training on all blocks at once."""
    model = build(config, encoded)
    optimizer = Optimizer(OptimizerConfig(learning_rate=0.03), model.variables_by_name())
    step, batch = TrainStep(model, loss, optimizer, use_xla=False), all_of(encoded, config)
    losses = [step(batch).loss for _ in range(num_steps)]
    return losses[0], losses[-1]


@every_mode
def test_four_blocks_are_learnt_by_heart(config: ModelConfig) -> None:
    encoded = random_encoded(4, 2, seed=9, max_size=3)
    loss = LossConfig(loss_type=LossType.MEAN_SQUARED_ERROR, loss_normalization=ErrorNormalization.PERCENTAGE_ERROR)
    first, last = train_on(encoded, config, loss, 120)
    assert first > 0.5
    assert last < 0.001


@pytest.mark.parametrize(("loss_type", "normalization"), list(product(LossType, ErrorNormalization)))
def test_every_loss_falls(loss_type: LossType, normalization: ErrorNormalization) -> None:
    encoded = random_encoded(6, 2, seed=9, max_size=3, label_share=0.8)
    loss = LossConfig(loss_type=loss_type, loss_normalization=normalization)
    first, last = train_on(encoded, MODES["ithemal"], loss, 50)
    assert last < 0.2 * first


@pytest.mark.parametrize("use_seq2seq_loss", [False, True])
def test_both_losses_of_seq2seq_models_fall(use_seq2seq_loss: bool) -> None:
    encoded = random_encoded(6, 2, seed=9, max_size=3, label_share=0.8)
    loss = LossConfig(use_seq2seq_loss=use_seq2seq_loss)
    first, last = train_on(encoded, MODES["seq2seq"], loss, 50)
    assert last < 0.2 * first
