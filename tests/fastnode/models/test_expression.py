"""The network against plain NumPy, its gradients against differences, and what it does with odd batches."""

import numpy as np
import pytest
import tensorflow as tf

from fastnode_ops.config import ModelConfig
from fastnode_ops.models.expression import Expression
from fastnode_ops.models.inputs import ModelInputs, Vocabulary, attribute_prior
from fastnode_ops.samples.batch import TrainingBatch
from fastnode_ops.samples.metainfo import AttrInfo, Entry, MetaInfo, ProductionIndex, production_id
from fastnode_ops.training.step import input_signature
from tests.fastnode.batches import Sizes, make_batch
from tests.fastnode.models import reference

pytestmark = pytest.mark.tf

SIZES = Sizes()
VOCABULARY = Vocabulary(SIZES.num_types, SIZES.num_subtokens, SIZES.num_productions)
SMALL = {"type_depth": 5, "subtoken_depth": 7}

CHOICES = [
    {},
    {"num_hops": 0},
    {"num_hops": 1},
    {"tie_directions": False},
    {"edge_attention": False},
    {"pooling": "sum"},
    {"pooling": "mean", "edge_attention": False},
    {"separate_cells": True},
    {"concatenate_contexts": True},
    {"loss": "cross_entropy"},
    {"margin": 0.25},
    {"target_prior": True},
    {"target_prior": True, "concatenate_contexts": True, "loss": "cross_entropy"},
]


def make_model(**choices: object) -> Expression:
    model = Expression(ModelConfig(**{**SMALL, **choices}), VOCABULARY, seed=7)
    # weights that begin as constants would hide a mistake in what they are multiplied with
    rng = np.random.default_rng(3)
    for variable in model.variables_by_name().values():
        variable.assign_add(rng.normal(scale=0.3, size=variable.shape).astype(np.float32))
    return model


def weights_of(model: Expression) -> dict[str, np.ndarray]:
    return {name: variable.numpy() for name, variable in model.variables_by_name().items()}


def check_against_reference(model: Expression, batch: TrainingBatch) -> None:
    inputs = model.prepare(batch)
    answer = model(inputs)
    losses = model.losses(answer, inputs)
    name, production, expected = reference.forward(weights_of(model), model.config, batch)
    np.testing.assert_allclose(answer.name_logits, name, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(answer.production_logits, production, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose([losses.name_loss, losses.production_loss], expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(losses.loss, sum(expected), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("choices", CHOICES, ids=str)
def test_it_agrees_with_numpy(choices: dict[str, object]) -> None:
    model = make_model(**choices)
    for seed in range(3):
        check_against_reference(model, make_batch(seed))


@pytest.mark.parametrize(
    "sizes",
    [
        Sizes(num_name=0),
        Sizes(num_production=0),
        Sizes(num_name=1, num_production=1, num_variables=1, num_references=1),
        Sizes(num_nodes=1),
    ],
    ids=["no name sample", "no production sample", "few", "tiny graphs"],
)
def test_odd_batches_agree_with_numpy(sizes: Sizes) -> None:
    check_against_reference(make_model(), make_batch(5, sizes))


def test_without_edges_all_states_pass_through() -> None:
    batch = make_batch(1)
    no_edges = np.zeros((0, 2), np.int32)
    for graph in (batch.context_graph, batch.expansion_graph):
        graph.edges.clear()
    check_against_reference(make_model(), batch)
    for graph in (batch.context_graph, batch.expansion_graph):
        graph.edges["ast_child_forward"] = no_edges
    check_against_reference(make_model(), batch)


def test_the_prior_of_a_fresh_model_is_popularity() -> None:
    weights = {"os.path.join": 6.0, "os.path.exists": 3.0, "os.path.isdir": 0.0}
    rows = {symbol: 2 + place for place, symbol in enumerate(weights)}
    metainfo = MetaInfo(
        attr=AttrInfo(
            dist={name: Entry(symbol=name, canonicalize=False, weight=weight) for name, weight in weights.items()},
            parents=dict.fromkeys(weights, "os.path"),
        ),
        name_subtoken_index={"": 0},
        type_subtoken_index={"": 0},
        production_index=ProductionIndex(indices={str(production_id(name)): row for name, row in rows.items()}),
    )
    prior = attribute_prior(metainfo, 5)
    assert prior.tolist() == pytest.approx([0, 0, np.log(6), np.log(3), 0])
    vocabulary = Vocabulary.of(metainfo)
    config = ModelConfig(**SMALL, target_prior=True)
    fresh, plain = Expression(config, vocabulary, 1, prior), Expression(ModelConfig(**SMALL), vocabulary, 1, prior)
    assert weights_of(fresh)["production_decoder/prior"].tolist() == prior.tolist()
    assert weights_of(fresh).keys() - weights_of(plain).keys() == {"production_decoder/prior"}


def compiled_gradients(model: Expression, batch: TrainingBatch) -> tuple[float, list[np.ndarray]]:
    variables = list(model.variables_by_name().values())

    def gradients(inputs: ModelInputs) -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            loss = model.losses(model(inputs), inputs).loss
        return loss, [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, variables)]

    function = tf.function(gradients, autograph=False).get_concrete_function(input_signature(model))
    loss, found = function(model.prepare(batch))
    return float(loss), [gradient.numpy() for gradient in found]


def test_eager_equals_compiled() -> None:
    model, batch = make_model(), make_batch(2)
    inputs = model.prepare(batch)
    compiled = tf.function(model.__call__, autograph=False).get_concrete_function(input_signature(model))(inputs)
    for one, other in zip(model(inputs), compiled, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("choices", [{}, {"loss": "cross_entropy", "target_prior": True}, {"pooling": "mean"}], ids=str)
def test_gradients_reach_every_variable_and_are_differences(choices: dict[str, object]) -> None:
    model, batch = make_model(**choices), make_batch(4)
    _, gradients = compiled_gradients(model, batch)
    weights = weights_of(model)
    for (name, value), gradient in zip(weights.items(), gradients, strict=True):
        assert np.abs(gradient).max() > 0, name
        place = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)
        # in float64, so that the difference is not lost in rounding
        losses = []
        for sign in (1, -1):
            changed = {key: np.array(array, np.float64) for key, array in weights.items()}
            changed[name][place] += sign * 1e-6
            losses.append(sum(reference.forward(changed, model.config, batch)[2]))
        assert gradient[place] == pytest.approx((losses[0] - losses[1]) / 2e-6, rel=1e-3), name
        assert value.shape == gradient.shape


def test_the_same_seed_gives_the_same_weights() -> None:
    config = ModelConfig(**SMALL)
    one, same, other = (weights_of(Expression(config, VOCABULARY, seed)) for seed in (1, 1, 2))
    assert all(np.array_equal(one[name], same[name]) for name in one)
    assert not np.array_equal(one["name_decoder/kernel"], other["name_decoder/kernel"])
    assert np.array_equal(one["propagation/cell/gates/bias"], np.ones(24))
    assert not one["propagation/cell/candidate/bias"].any()
    limit = np.sqrt(6 / (SIZES.num_types + 5))
    assert 0.9 * limit < np.abs(one["embedding/types"]).max() <= limit


def test_number_of_parameters_of_the_default_sizes() -> None:
    model = Expression(ModelConfig(), VOCABULARY, seed=1)
    sizes = {name: int(np.prod(variable.shape)) for name, variable in model.variables_by_name().items()}
    tables = {"embedding/types", "embedding/subtokens", "production_decoder/table"}
    network = {name: size for name, size in sizes.items() if name not in tables and "context_weights" not in name}
    assert sum(network.values()) == 360_004 + 540_900 + 180_000


def test_it_learns_twenty_batches_by_heart() -> None:
    from fastnode_ops.config import TrainConfig
    from fastnode_ops.models.accuracy import Hits, add_hits, count_hits
    from fastnode_ops.training.adam import Adam
    from fastnode_ops.training.step import TrainStep

    model = Expression(ModelConfig(type_depth=24, subtoken_depth=24), VOCABULARY, seed=1)
    step = TrainStep(model, Adam(TrainConfig(learning_rate=0.003), model.variables_by_name()))
    batches = [make_batch(seed) for seed in range(20)]
    prepared = [model.prepare(batch) for batch in batches]
    for _ in range(60):
        totals: dict[str, Hits] = {}
        for batch, inputs in zip(batches, prepared, strict=True):
            result = step(inputs)
            add_hits(totals, count_hits(batch, result.name_logits, result.production_logits))
    assert totals["name_accuracy"].share > 0.95
    assert totals["production_accuracy"].share > 0.95
