"""GRANITE models learn: every loss, optimiser and kind; what is not trained stays; dropout follows seed and step."""

from itertools import product

import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal

from gematria_ops.config import (
    ErrorNormalization,
    GraniteConfig,
    LossConfig,
    LossType,
    OptimizerConfig,
    OptimizerType,
    RnnType,
)
from gematria_ops.encode.batch import BatchOptions
from gematria_ops.encode.batching import BatchSchedule
from gematria_ops.encode.encoded_blocks import EncodedBlocks, encode_blocks
from gematria_ops.encode.graph_batch import GraphBatch, make_graph_batch
from gematria_ops.encode.graphs import GraphBuilder
from gematria_ops.encode.layouts import GRAPHS
from gematria_ops.encode.training_batches import TrainingBatches
from gematria_ops.models.granite import Granite
from gematria_ops.models.predict_step import PredictStep
from gematria_ops.training.optimizers import Optimizer
from gematria_ops.training.step import TrainStep
from gematria_ops.training.workload import trained_variables
from ops_common.errors import ConfigError
from tests.gematria.encode.block_examples import random_blocks, vocabulary

pytestmark = pytest.mark.tf

TASKS = ("one", "two")
SIZES = {
    "node_embedding_size": 8,
    "edge_embedding_size": 8,
    "global_embedding_size": 8,
    "num_message_passing_iterations": 1,
}
RNN = {"rnn_type": RnnType.LSTM, "rnn_output_size": 8}
MODES = {
    "seq2num": GraniteConfig(**SIZES),
    "seq2seq": GraniteConfig(
        **{**SIZES, "num_message_passing_iterations": 2},
        seq2seq=True,
        graph_module_residual_connections=True,
        readout_layers=(8,),
    ),
    "LSTM": GraniteConfig(**SIZES, **RNN, rnn_bidirectional=True),
    "GRU, seq2seq": GraniteConfig(**SIZES, **{**RNN, "rnn_type": RnnType.GRU}, seq2seq=True),
}
MSE = LossType.MEAN_SQUARED_ERROR
PERCENTAGE = ErrorNormalization.PERCENTAGE_ERROR


def encode(num_blocks: int, num_tasks: int, label_share: float = 1.0, max_size: int = 3) -> EncodedBlocks:
    names = vocabulary("_UNKNOWN_")
    blocks = random_blocks(num_blocks, num_tasks, seed=2, max_size=max_size, label_share=label_share)
    return encode_blocks(blocks, names, num_tasks, graphs=GraphBuilder(names))


def build(config: GraniteConfig, encoded: EncodedBlocks) -> Granite:
    return Granite(config, len(encoded.vocabulary), TASKS[: encoded.num_tasks], 3)


def all_of(encoded: EncodedBlocks, config: GraniteConfig) -> GraphBatch:
    return make_graph_batch(encoded, np.arange(encoded.num_blocks), BatchOptions(seq2seq=config.seq2seq))


def train_step(model: Granite, loss: LossConfig, rate: float = 0.03, **settings: object) -> TrainStep:
    config = OptimizerConfig.model_validate({"learning_rate": rate, **settings})
    variables = trained_variables(model, config.trained_variables)
    return TrainStep(model, loss, Optimizer(config, variables), variables=variables)


def values(model: Granite) -> dict[str, np.ndarray]:
    return {name: variable.numpy() for name, variable in model.variables_by_name().items()}


def relative_errors(model: Granite, batch: GraphBatch) -> np.ndarray:
    """Mean squared relative error of each task."""
    errors = np.where(batch.mask, model(batch.inputs).output.numpy() / batch.expected - 1, 0)
    return (errors**2).sum(axis=0) / batch.mask.sum(axis=0)


EVERY_LOSS = list(product(LossType, ErrorNormalization))
CASES = [
    *(("seq2num", *loss, True) for loss in EVERY_LOSS),
    ("seq2seq", MSE, PERCENTAGE, True),
    ("LSTM", LossType.MEAN_ABSOLUTE_ERROR, PERCENTAGE, True),
    ("GRU, seq2seq", LossType.HUBER, ErrorNormalization.NONE, False),
]


@pytest.mark.parametrize(
    ("mode", "loss_type", "normalization", "use_seq2seq_loss"),
    CASES,
    ids=[f"{mode}-{kind.name}-{norm.name}" for mode, kind, norm, _ in CASES],
)
def test_every_loss_is_learnt_by_two_tasks_with_gaps(
    mode: str, loss_type: LossType, normalization: ErrorNormalization, use_seq2seq_loss: bool
) -> None:
    encoded, config = encode(6, 2, label_share=0.8), MODES[mode]
    batch, model = all_of(encoded, config), build(config, encoded)
    assert not batch.mask.all()
    assert batch.mask.any(axis=0).all()
    # On both sides of 1, where the normalisations part.
    assert 0 < batch.expected[batch.mask].min() < 1 < batch.expected.max()
    before = relative_errors(model, batch)
    loss = LossConfig(loss_type=loss_type, loss_normalization=normalization, use_seq2seq_loss=use_seq2seq_loss)
    step = train_step(model, loss)
    for _ in range(50):
        step(batch)
    assert before.max() > 0.3
    assert relative_errors(model, batch).max() < 0.2


def test_four_blocks_are_learnt_by_heart() -> None:
    encoded, config = encode(4, 1), MODES["seq2seq"]
    batch, model = all_of(encoded, config), build(config, encoded)
    step = train_step(model, LossConfig(loss_type=MSE, loss_normalization=PERCENTAGE))
    for _ in range(150):
        step(batch)
    assert relative_errors(model, batch).max() < 0.001
    # What is used for predictions has learnt the same.
    output, _ = PredictStep(model)(batch)
    assert_allclose(output, batch.expected, rtol=0.1)


# Adam is the optimiser of the other tests.
@pytest.mark.parametrize(("kind", "rate"), [(OptimizerType.SGD, 0.01), (OptimizerType.RMSPROP, 0.01)])
def test_the_other_optimizers_learn(kind: OptimizerType, rate: float) -> None:
    encoded, config = encode(4, 1), MODES["seq2num"]
    batch, model = all_of(encoded, config), build(config, encoded)
    before = relative_errors(model, batch)
    step = train_step(model, LossConfig(loss_type=MSE, loss_normalization=PERCENTAGE), rate, optimizer_type=kind)
    for _ in range(50):
        step(batch)
    assert relative_errors(model, batch) < 0.2 < before


EVERYTHING = GraniteConfig(
    **SIZES,
    **RNN,
    use_sent_edges=True,
    seq2seq=True,
    rnn_bidirectional=True,
    rnn_dropout=0.3,
    graph_module_residual_connections=True,
    readout_layers=(6,),
    task_readout_layers=(5,),
    task_readout_residual_connections=True,
)


class PlainDescent:
    """Gradient descent that adds nothing of its own."""

    def apply(self, gradients: list, variables: list[tf.Variable]) -> None:
        for gradient, variable in zip(gradients, variables, strict=True):
            if gradient is not None:
                variable.assign_sub(0.01 * tf.convert_to_tensor(gradient))


def test_a_compiled_update_is_an_eager_one() -> None:
    encoded = encode(6, 2, label_share=0.8)
    options = BatchOptions(seq2seq=True, dropout=True)
    batch = make_graph_batch(encoded, np.arange(6), options, np.random.default_rng(1))
    model = build(EVERYTHING, encoded)
    before = values(model)
    step = TrainStep(model, LossConfig(), PlainDescent(), dropout=True)
    gradients, losses, answer = step.gradients(batch.inputs, batch.targets)
    wanted = [None if gradient is None else tf.convert_to_tensor(gradient).numpy() for gradient in gradients]
    result = step(batch)
    assert_allclose(result.loss, losses.loss, rtol=1e-5)
    assert_allclose(result.task_losses, losses.task_losses, rtol=1e-5)
    assert_allclose(result.output, answer.output, rtol=1e-4, atol=1e-5)
    assert_allclose(result.deltas, answer.deltas, rtol=1e-4, atol=1e-5)
    for (name, after), gradient in zip(values(model).items(), wanted, strict=True):
        if gradient is None:
            assert_array_equal(after, before[name], err_msg=name)
        else:
            tolerance = 1e-3 * np.abs(gradient).max() + 1e-4
            assert_allclose((before[name] - after) / 0.01, gradient, rtol=1e-2, atol=tolerance, err_msg=name)


def test_a_task_without_labels_does_not_move() -> None:
    encoded, config = encode(6, 2, label_share=0.8), MODES["seq2num"]
    batch, model = all_of(encoded, config), build(config, encoded)
    before = values(model)
    mask = batch.targets.mask & [True, False]
    result = train_step(model, LossConfig())(batch._replace(targets=batch.targets._replace(mask=mask)))
    after = values(model)
    assert np.isfinite(result.loss)
    assert np.isnan(result.task_losses[1])
    assert_array_equal(after["task_two/output/kernel"], before["task_two/output/kernel"])
    assert (after["task_one/output/kernel"] != before["task_one/output/kernel"]).any()
    assert all(np.isfinite(value).all() for value in after.values())


@pytest.mark.parametrize(
    ("group", "prefixes"),
    [
        ("TokenGraphBuilderModel.readout", ("readout/dense", "readout/residual")),
        ("TokenGraphBuilderModel.task_readout", ("task_one/", "task_two/")),
    ],
)
def test_one_group_is_trained_and_the_rest_keeps_its_bits(group: str, prefixes: tuple[str, ...]) -> None:
    config = GraniteConfig(**SIZES, readout_layers=(4,), readout_residual_connections=True, task_readout_layers=(3,))
    encoded = encode(6, 2)
    batch, model = all_of(encoded, config), build(config, encoded)
    before = values(model)
    step = train_step(model, LossConfig(), trained_variables=(group,))
    for _ in range(3):
        step(batch)
    moved = {name for name, value in values(model).items() if not np.array_equal(value, before[name])}
    assert moved == {name for name in before if name.startswith(prefixes)}


def test_groups_that_cannot_be_trained_are_refused() -> None:
    model = build(MODES["seq2num"], encode(1, 1))
    with pytest.raises(ConfigError, match=r"there is no variable in group 'TokenGraphBuilderModel\.readout'"):
        trained_variables(model, ("TokenGraphBuilderModel.readout",))
    with pytest.raises(ConfigError, match="the model has no group of variables 'readout'") as caught:
        trained_variables(model, ("readout",))
    assert caught.value.hint == "choose from TokenGraphBuilderModel.readout, TokenGraphBuilderModel.task_readout"


def test_gradients_are_clipped_one_variable_at_a_time() -> None:
    encoded, config, limit = encode(6, 2), MODES["seq2num"], 0.1
    batch, model = all_of(encoded, config), build(config, encoded)
    before = values(model)
    step = train_step(model, LossConfig(), 1.0, optimizer_type=OptimizerType.SGD, grad_clip_norm=limit)
    gradients, *_ = step.gradients(batch.inputs, batch.targets)
    step(batch)
    num_clipped = 0
    for (name, after), gradient in zip(values(model).items(), gradients, strict=True):
        dense = np.zeros_like(after) if gradient is None else tf.convert_to_tensor(gradient).numpy()
        norm = np.linalg.norm(dense)
        num_clipped += norm > limit
        assert_allclose(before[name] - after, dense * limit / max(norm, limit), rtol=1e-3, atol=1e-5, err_msg=name)
    assert 0 < num_clipped < len(before)


DROPPING = GraniteConfig(**SIZES, rnn_type=RnnType.GRU, rnn_output_size=4, rnn_dropout=0.5)


def train_with_dropout(encoded: EncodedBlocks, seed: int, resumed_at: int) -> dict[str, np.ndarray]:
    """Three steps; those from ``resumed_at`` on are done with batches, model and step made anew."""
    options = BatchOptions(dropout=True, injection_probability=0.1)
    weights: dict[str, np.ndarray] = {}
    for steps in (range(resumed_at), range(resumed_at, 3)):
        if not steps:
            continue
        schedule = BatchSchedule(encoded.block_sizes, 6, 1000, seed=1)
        batches = TrainingBatches(encoded, schedule, GRAPHS, options, seed)
        model = build(DROPPING, encoded)
        for name, value in weights.items():
            model.variables_by_name()[name].assign(value)
        step = TrainStep(model, LossConfig(), PlainDescent(), dropout=True)
        for index in steps:
            step(batches.batch(index))
        weights = values(model)
    return weights


def test_dropout_follows_seed_and_step() -> None:
    encoded = encode(20, 2)
    whole, parts = (train_with_dropout(encoded, 1, resumed_at) for resumed_at in (0, 2))
    for name, value in whole.items():
        assert_array_equal(value, parts[name], err_msg=name)
    schedule = BatchSchedule(encoded.block_sizes, 6, 1000, seed=1)
    first, other = (TrainingBatches(encoded, schedule, GRAPHS, BatchOptions(dropout=True), seed) for seed in (1, 2))
    seeds = [batches.batch(step).inputs.dropout_seed.tolist() for batches in (first, other) for step in (0, 1)]
    assert len(set(map(tuple, seeds))) == 4


def test_predictions_drop_nothing() -> None:
    encoded = encode(6, 2)
    batch, model = all_of(encoded, DROPPING), build(DROPPING, encoded)
    quiet = build(DROPPING.model_copy(update={"rnn_dropout": 0.0}), encoded)
    assert batch.inputs.dropout_seed is None
    assert_array_equal(PredictStep(model)(batch)[0], PredictStep(quiet)(batch)[0])
    training = make_graph_batch(encoded, np.arange(6), BatchOptions(dropout=True), np.random.default_rng(1))
    assert np.abs(model(training.inputs).output - quiet(batch.inputs).output).max() > 1e-3
