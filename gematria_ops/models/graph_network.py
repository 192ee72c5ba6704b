"""One round of message passing: edges, then nodes, then whole graphs are updated from their neighbourhood.

P. Battaglia et al., Relational inductive biases, deep learning, and graph networks, 2018, algorithm 1, with sums:

    e' = MLP_e([e, n[receiver], n[sender], g])
    n' = MLP_n([sum of e' received, (sum of e' sent), n, g])
    g' = MLP_g([sum of e' in the graph, sum of n' in the graph, g])

Specification section 8.5. The first layer of an MLP over a concatenation is a sum of products, one for each part; here
each part is multiplied before it is spread: a node's features once instead of once for every edge at it, a graph's
features once instead of once for every node of it. That is a fifth less arithmetic, and no wide array is ever built.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from gematria_ops.encode.graph_batch import GraphInputs
from gematria_ops.models.layers import VariableStore
from gematria_ops.models.precision import product

LEAKY_SLOPE = 0.1


class GraphState(NamedTuple):
    """Features of a batch of graphs.

    Attributes:
        nodes: [N, Dn] float32.
        edges: [E, De] float32.
        graphs: [B, Dg] float32.
    """

    nodes: tf.Tensor
    edges: tf.Tensor
    graphs: tf.Tensor


class Mlp:
    """Linear layers with leaky ReLU between them and nothing behind the last; its input comes in parts.

    Args:
        store: Where the variables are added.
        name: Prefix of their names.
        part_sizes: Width of each part of the input.
        layer_sizes: Width of each layer's output.
    """

    def __init__(self, store: VariableStore, name: str, part_sizes: Sequence[int], layer_sizes: Sequence[int]) -> None:
        self._part_sizes = list(part_sizes)
        self._layers = []
        width = sum(part_sizes)
        for index, size in enumerate(layer_sizes):
            kernel = store.glorot_normal(f"{name}/linear_{index}/kernel", (width, size))
            self._layers.append((kernel, store.glorot_normal_bias(f"{name}/linear_{index}/bias", size)))
            width = size

    def first(self) -> list[tf.Tensor]:
        """Returns the kernel of the first layer, [part size, size] for each part."""
        kernel = self._layers[0][0]
        return tf.split(kernel, self._part_sizes) if len(self._part_sizes) > 1 else [tf.identity(kernel)]

    def rest(self, products: tf.Tensor) -> tf.Tensor:
        """Finishes from the sum of the parts' products: [N, first size] to [N, last size]."""
        values = products + self._layers[0][1]
        for kernel, bias in self._layers[1:]:
            values = product(tf.nn.leaky_relu(values, LEAKY_SLOPE), kernel) + bias
        return values

    def __call__(self, values: tf.Tensor) -> tf.Tensor:
        """Applies the layers to an input of one part."""
        return self.rest(product(values, self._layers[0][0]))


class GraphNetwork:
    """The update functions; one and the same for all rounds.

    Args:
        store: Where the variables are added.
        node_sizes: Layers of the node update, the last one Dn.
        edge_sizes: Layers of the edge update, the last one De.
        graph_sizes: Layers of the graph update, the last one Dg.
        use_sent_edges: A node also sees the edges that start from it.
    """

    def __init__(
        self,
        store: VariableStore,
        node_sizes: Sequence[int],
        edge_sizes: Sequence[int],
        graph_sizes: Sequence[int],
        use_sent_edges: bool,
    ) -> None:
        node, edge, graph = node_sizes[-1], edge_sizes[-1], graph_sizes[-1]
        self._use_sent_edges = use_sent_edges
        self._edge_mlp = Mlp(store, "graph_network/edges", (edge, node, node, graph), edge_sizes)
        aggregated = (edge, edge) if use_sent_edges else (edge,)
        self._node_mlp = Mlp(store, "graph_network/nodes", (*aggregated, node, graph), node_sizes)
        self._graph_mlp = Mlp(store, "graph_network/graphs", (edge, node, graph), graph_sizes)

    def __call__(self, state: GraphState, inputs: GraphInputs) -> GraphState:
        """Does one round."""
        edges = self._update_edges(state, inputs)
        nodes = self._update_nodes(state, edges, inputs)
        num_blocks = tf.shape(state.graphs)[0]
        of_edges, of_nodes, of_graphs = self._graph_mlp.first()
        products = (
            product(tf.math.unsorted_segment_sum(edges, inputs.edge_blocks, num_blocks), of_edges)
            + product(tf.math.unsorted_segment_sum(nodes, inputs.node_blocks, num_blocks), of_nodes)
            + product(state.graphs, of_graphs)
        )
        return GraphState(nodes, edges, self._graph_mlp.rest(products))

    def _update_edges(self, state: GraphState, inputs: GraphInputs) -> tf.Tensor:
        of_edges, of_receivers, of_senders, of_graphs = self._edge_mlp.first()
        products = (
            product(state.edges, of_edges)
            + tf.gather(product(state.nodes, of_receivers), inputs.receivers)
            + tf.gather(product(state.nodes, of_senders), inputs.senders)
            + tf.gather(product(state.graphs, of_graphs), inputs.edge_blocks)
        )
        return self._edge_mlp.rest(products)

    def _update_nodes(self, state: GraphState, edges: tf.Tensor, inputs: GraphInputs) -> tf.Tensor:
        num_nodes = tf.shape(state.nodes)[0]
        *of_sums, of_nodes, of_graphs = self._node_mlp.first()
        ends = (inputs.receivers, inputs.senders) if self._use_sent_edges else (inputs.receivers,)
        products = product(state.nodes, of_nodes) + tf.gather(product(state.graphs, of_graphs), inputs.node_blocks)
        for kernel, nodes in zip(of_sums, ends, strict=True):
            products += product(tf.math.unsorted_segment_sum(edges, nodes, num_nodes), kernel)
        return self._node_mlp.rest(products)
