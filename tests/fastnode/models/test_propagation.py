"""One propagation step and its loss by hand (specification B.6, B.7), and what the preparation leaves out."""

import numpy as np
import pytest
import tensorflow as tf

from fastnode_ops.models.losses import cross_entropy, max_margin
from fastnode_ops.models.preparing import Edges, kernel_names, kernel_of, make_hop, prepare
from fastnode_ops.models.propagation import Propagation
from fastnode_ops.models.variables import VariableStore
from tests.fastnode.batches import Sizes, make_batch

pytestmark = pytest.mark.tf


def edges_of(*pairs: tuple[int, int]) -> Edges:
    return Edges.of({"ast_child_forward": np.array(pairs, np.int32)}, tie_directions=True)


def test_one_step_by_hand() -> None:
    store = VariableStore(1)
    network = Propagation(store, ["ast_child"], 2, pooling="max", edge_attention=True)
    store.by_name["propagation/ast_child/kernel"].assign(np.eye(2))
    for name in ("gates", "candidate"):
        kernel = store.by_name[f"propagation/cell/{name}/kernel"]
        kernel.assign(tf.zeros_like(kernel))
    # node 2 gets messages, so it stands first; nodes 0 and 1 stay still behind it
    hop = make_hop(edges_of((0, 2), (1, 2)), np.array([1, 2, 0]), 1, 1, 1)
    states = network(tf.constant([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]]), hop, 0)
    np.testing.assert_allclose(states, [[0.7311, 0.7311], [1, 0], [0, 1]], atol=1e-4)


def test_max_margin_by_hand() -> None:
    loss = max_margin(tf.constant([2.0, 1.5, -1.0]), np.array([0]), np.array([1, 2]), np.array([0, 0]), 1.0)
    assert float(loss) == pytest.approx(0.25)


def test_a_sample_without_negatives_counts_as_zero() -> None:
    logits = tf.constant([2.0, 1.5, -1.0, 4.0])
    loss = max_margin(logits, np.array([0, 3]), np.array([1, 2]), np.array([0, 0]), 1.0)
    assert float(loss) == pytest.approx(0.125)


def test_losses_of_nothing_are_zero() -> None:
    nothing = np.zeros(0, np.int32)
    assert float(max_margin(tf.zeros(0), nothing, nothing, nothing, 1.0)) == 0
    assert float(cross_entropy(tf.zeros(0), nothing, nothing)) == 0


def test_cross_entropy_by_hand() -> None:
    logits = tf.constant([0.0, 0.0, np.log(3.0), 0.0], tf.float32)
    assert float(cross_entropy(logits, np.array([0, 2]), np.array([0, 0, 1, 1]))) == pytest.approx(
        (np.log(2) + np.log(4 / 3)) / 2, rel=1e-6
    )


def test_kernels_are_shared_by_directions_or_not() -> None:
    assert kernel_names(True) == ("ast_child", "data_flow", "next_token", "scope")
    assert kernel_of("data_flow_backward", True) == kernel_of("data_flow_forward", True) == 1
    assert kernel_of("data_flow_backward", False) == 2
    assert kernel_of("data_flow_forward", False) == 3
    assert kernel_of("computed_from_forward", True) is None
    assert kernel_of("scope", True) is None


def test_a_message_is_computed_once_for_a_source_and_a_type() -> None:
    edges = Edges.of(
        {
            "ast_child_forward": np.array([(0, 1), (0, 2)]),
            "ast_child_backward": np.array([(1, 0), (2, 0)]),
            "next_token_forward": np.array([(0, 1)]),
        },
        tie_directions=True,
    )
    hop = make_hop(edges, np.arange(3), 3, 3, 4)
    assert hop.kernel_sizes.tolist() == [3, 0, 1, 0]
    assert hop.sources.tolist() == [0, 1, 2, 0]
    assert hop.targets.tolist() == [0, 0, 1, 1, 2]
    assert len(hop.left) == 2  # 0 - 1 and 0 - 2


def test_only_what_is_read_is_worked_out() -> None:
    """A chain 0 - 1 - ... - 9 of which node 0 is copied: three hops read nodes 0 to 3."""
    batch = make_batch(1, Sizes(num_name=0, num_production=1))
    num_nodes = batch.context_graph.num_nodes
    chain = np.array([(node, node + 1) for node in range(num_nodes - 1)])
    batch.context_graph.edges.clear()
    batch.context_graph.edges.update({"ast_child_forward": chain, "ast_child_backward": chain[:, ::-1]})
    batch.expansion_graph.context_graph_nodes[:] = 0
    inputs = prepare(batch, num_hops=3, tie_directions=True)
    assert [int(hop.num_moving) for hop in inputs.hops] == [3, 2, 1]
    assert inputs.feature_sizes[0] == 4


def test_equal_feature_lists_are_embedded_once() -> None:
    batch = make_batch(1)
    inputs = prepare(batch, num_hops=3, tie_directions=True)
    types = [tuple(items) for items in batch.context_graph.node_types.to_lists(batch.context_graph.num_nodes)]
    kept = len(np.unique(inputs.features.type_lists))
    assert kept == inputs.features.type_rows.max() + 1
    assert kept <= len({*types}) + len(batch.expansion_graph.lookup_to_expansion) + len(batch.infer_name.labels)
    assert len(inputs.features.type_rows) == inputs.feature_sizes.sum() > kept
