"""Which variables GRANITE has, how large they are, what they begin with, and which can be trained alone."""

import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal

from gematria_ops.config import GraniteConfig, RnnType
from gematria_ops.models.granite import Granite
from tests.gematria.models.granite_examples import CONFIGS, TASKS, sized

pytestmark = pytest.mark.tf


def shapes(config: GraniteConfig, annotations: tuple[str, ...] = ()) -> dict[str, tuple[int, ...]]:
    model = Granite(config, 20, TASKS, 1, annotations)
    return {name: tuple(variable.shape) for name, variable in model.variables_by_name().items()}


def pair(name: str, rows: int, columns: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}/kernel": (rows, columns), f"{name}/bias": (columns,)}


PLAIN = {
    "encoder/edge_table": (9, 5),
    "encoder/node_table": (20, 6),
    **pair("encoder/graphs/linear_0", 20, 7),
    **pair("graph_network/edges/linear_0", 5 + 6 + 6 + 7, 5),
    **pair("graph_network/nodes/linear_0", 5 + 6 + 7, 6),
    **pair("graph_network/graphs/linear_0", 5 + 6 + 7, 7),
    "task_ivb/output/kernel": (7, 1),
    "task_hsw/output/kernel": (7, 1),
}


def norm(name: str, size: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}/gamma": (size,), f"{name}/beta": (size,)}


@pytest.mark.parametrize(
    ("flags", "more"),
    [
        ({}, {}),
        ({"graph_module_residual_connections": True}, {}),
        (
            {"graph_module_layer_normalization": True},
            {
                name: shape
                for index in (0, 1)
                for part, size in (("nodes", 6), ("edges", 5), ("graphs", 7))
                for name, shape in norm(f"graph_network/norm_{index}/{part}", size).items()
            },
        ),
        ({"readout_input_layer_normalization": True}, norm("readout/input_norm", 7)),
        ({"task_readout_input_layer_normalization": True}, norm("task_readout/input_norm", 7)),
        ({"readout_residual_connections": True, "task_readout_residual_connections": True}, {}),
        ({"readout_layers": (8, 7)}, {**pair("readout/dense_0", 7, 8), **pair("readout/dense_1", 8, 7)}),
        (
            {"readout_layers": (7,), "readout_residual_connections": True},
            pair("readout/dense_0", 7, 7),
        ),
        (
            {
                "readout_layers": (4,),
                "readout_residual_connections": True,
                "task_readout_input_layer_normalization": True,
            },
            {
                **pair("readout/dense_0", 7, 4),
                "readout/residual/kernel": (7, 4),
                **norm("task_readout/input_norm", 4),
                "task_ivb/output/kernel": (4, 1),
                "task_hsw/output/kernel": (4, 1),
            },
        ),
        (
            {"task_readout_layers": (17, 18), "task_readout_residual_connections": True},
            {
                name: shape
                for task in TASKS
                for name, shape in {
                    **pair(f"task_{task}/dense_0", 7, 17),
                    **pair(f"task_{task}/dense_1", 17, 18),
                    f"task_{task}/residual/kernel": (7, 18),
                    f"task_{task}/output/kernel": (18, 1),
                }.items()
            },
        ),
        (
            {"use_sent_edges": True},
            pair("graph_network/nodes/linear_0", 5 + 5 + 6 + 7, 6),
        ),
        (
            {"node_update_layers": (8, 9)},
            {
                **pair("graph_network/nodes/linear_0", 18, 8),
                **pair("graph_network/nodes/linear_1", 8, 9),
                **pair("graph_network/nodes/linear_2", 9, 6),
            },
        ),
        ({"seq2seq": True}, {"task_ivb/output/kernel": (6, 1), "task_hsw/output/kernel": (6, 1)}),
        (
            {
                "rnn_type": RnnType.GRU,
                "rnn_output_size": 3,
                "rnn_bidirectional": True,
                "readout_input_layer_normalization": True,
            },
            {
                **norm("rnn/input_norm", 6),
                **{
                    f"rnn/{direction}/{name}": shape
                    for direction in ("forward", "backward")
                    for name, shape in {
                        "kernel": (6, 9),
                        "recurrent_kernel": (3, 9),
                        "bias": (9,),
                        "recurrent_bias": (9,),
                    }.items()
                },
                "task_ivb/output/kernel": (6, 1),
                "task_hsw/output/kernel": (6, 1),
            },
        ),
        (
            {"rnn_type": RnnType.LSTM, "rnn_output_size": 3},
            {
                "rnn/forward/kernel": (6, 12),
                "rnn/forward/recurrent_kernel": (3, 12),
                "rnn/forward/bias": (12,),
                "task_ivb/output/kernel": (3, 1),
                "task_hsw/output/kernel": (3, 1),
            },
        ),
    ],
)
def test_flags_decide_which_variables_there_are(flags: dict[str, object], more: dict[str, tuple[int, ...]]) -> None:
    assert shapes(sized(**flags)) == {**PLAIN, **more}


def test_annotations_take_their_room_from_the_node_table() -> None:
    found = shapes(sized(), ("a", "b"))
    assert found == {**PLAIN, "encoder/node_table": (20, 4), "encoder/annotated_table": (20, 2)}
    assert shapes(sized(), tuple("abcdef"))["encoder/node_table"] == (20, 0)
    with pytest.raises(ValueError, match="7 annotations do not fit into node features of size 6"):
        shapes(sized(), tuple("abcdefg"))


@pytest.mark.parametrize("num_tokens", [7, 1000])
def test_the_number_of_parameters_is_the_specifications(num_tokens: int) -> None:
    model = Granite(GraniteConfig(), num_tokens, ("default",), 1)
    encoder = 9 * 128 + num_tokens * 128 + (num_tokens * 128 + 128)
    module = (4 * 128 * 128 + 128) + (3 * 128 * 128 + 128) + (3 * 128 * 128 + 128)
    wanted = encoder + module + 8 * 3 * 2 * 128 + 2 * 256 + 128
    assert sum(int(tf.size(variable)) for variable in model.variables_by_name().values()) == wanted


@pytest.mark.parametrize(("num_tokens", "tasks"), [(0, TASKS), (20, ())])
def test_a_model_needs_tokens_and_tasks(num_tokens: int, tasks: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="needs tokens and tasks"):
        Granite(sized(), num_tokens, tasks, 1)


CONSTANT_AT_FIRST = ("gamma", "beta", "rnn/forward/bias", "rnn/backward/bias", "recurrent_bias")


@pytest.mark.parametrize("name", ["everything", "seq2seq, everything", "LSTM, everything", "GRU, everything"])
def test_the_seed_decides_the_weights(name: str) -> None:
    first, second, other = (Granite(CONFIGS[name], 20, TASKS, seed).variables_by_name() for seed in (7, 7, 8))
    for key, variable in first.items():
        assert_array_equal(variable, second[key])
        if not key.endswith(CONSTANT_AT_FIRST):
            assert np.abs(variable - other[key]).max() > 1e-3, key


def test_variables_of_one_shape_are_drawn_independently() -> None:
    size = dict.fromkeys(("node_embedding_size", "edge_embedding_size", "global_embedding_size"), 8)
    weights = Granite(sized(**size), 8, TASKS, 7).variables_by_name()
    nodes, graphs = (weights[f"graph_network/{part}/linear_0/kernel"] for part in ("nodes", "graphs"))
    assert nodes.shape == graphs.shape
    assert np.abs(nodes - graphs).max() > 0.01
    assert np.abs(weights["task_ivb/output/kernel"] - weights["task_hsw/output/kernel"]).max() > 0.01


def test_another_task_changes_no_other_weights() -> None:
    few, many = (Granite(CONFIGS["everything"], 20, tasks, 7).variables_by_name() for tasks in (("a",), ("a", "b")))
    for name, variable in few.items():
        assert_array_equal(variable, many[name])


def test_initial_values_have_their_distributions() -> None:
    weights = Granite(GraniteConfig(readout_layers=(128,)), 2000, TASKS, 7).variables_by_name()
    table, edge, bias = (
        weights[name].numpy()
        for name in ("encoder/node_table", "graph_network/edges/linear_0/kernel", "graph_network/edges/linear_0/bias")
    )
    # Normal, cut off at two deviations of the distribution before it is cut.
    for values, variance in ((table, 2 / (2000 + 128)), (edge, 2 / (512 + 128)), (bias, 1 / 128)):
        assert_allclose(values.var(), variance, rtol=0.05 if values.size > 1000 else 0.4)
        assert np.abs(values).max() <= 2 * np.sqrt(variance) / 0.8796
    dense = weights["readout/dense_0/kernel"].numpy()
    limit = np.sqrt(6 / 256)
    assert 0.99 * limit < np.abs(dense).max() <= limit
    assert (weights["graph_network/norm_0/nodes/gamma"].numpy() == 1).all()
    assert not weights["graph_network/norm_0/nodes/beta"].numpy().any()


def test_groups_of_variables() -> None:
    groups = Granite(CONFIGS["everything"], 20, TASKS, 1).variable_groups()
    assert list(groups) == ["TokenGraphBuilderModel.readout", "TokenGraphBuilderModel.task_readout"]
    shared, tasks = groups.values()
    dense = [f"dense_{index}/{name}" for index in (0, 1) for name in ("kernel", "bias")]
    assert sorted(shared) == sorted(f"readout/{name}" for name in (*dense, "residual/kernel"))
    own = (*dense, "residual/kernel", "output/kernel")
    assert sorted(tasks) == sorted(f"task_{task}/{name}" for task in TASKS for name in own)
