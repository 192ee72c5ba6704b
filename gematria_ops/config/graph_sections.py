"""The settings of the graph models, GRANITE and GRANITE with a recurrent readout (flags of the public runner)."""

from __future__ import annotations

from typing import Literal

from gematria_ops.config.choices import RnnType
from gematria_ops.config.sections import LayerSizes, PositiveInt, Probability
from ops_common.config import Section, setting


class GraniteConfig(Section):
    """GRANITE: a graph network over instructions and values."""

    kind: Literal["graph"] = "graph"
    node_embedding_size: PositiveInt = setting(128, "gematria_node_embedding_size", "Size of a node's features.")
    edge_embedding_size: PositiveInt = setting(128, "gematria_edge_embedding_size", "Size of an edge's features.")
    global_embedding_size: PositiveInt = setting(
        128, "gematria_global_embedding_size", "Size of the features of a whole graph."
    )
    node_update_layers: LayerSizes = setting(
        (), "gematria_node_update_layers", "Hidden layers of the node update, comma-separated.", as_text=True
    )
    edge_update_layers: LayerSizes = setting(
        (), "gematria_edge_update_layers", "Hidden layers of the edge update, comma-separated.", as_text=True
    )
    global_update_layers: LayerSizes = setting(
        (), "gematria_global_update_layers", "Hidden layers of the update of graphs, comma-separated.", as_text=True
    )
    num_message_passing_iterations: PositiveInt = setting(
        8, "gematria_num_message_passing_iterations", "Rounds of message passing."
    )
    use_sent_edges: bool = setting(
        False, "gematria_use_sent_edges", "A node's update also sees the edges that start from it."
    )
    readout_layers: LayerSizes = setting(
        (), "gematria_readout_layers", "Sizes of the readout layers shared by all tasks, comma-separated.", as_text=True
    )
    task_readout_layers: LayerSizes = setting(
        (), "gematria_task_readout_layers", "Sizes of the readout layers of each task, comma-separated.", as_text=True
    )
    graph_module_layer_normalization: bool = setting(
        True, "gematria_graph_module_layer_normalization", "Normalise all features after each round."
    )
    readout_input_layer_normalization: bool = setting(
        True, "gematria_readout_input_layer_normalization", "Normalise what the shared readout reads."
    )
    task_readout_input_layer_normalization: bool = setting(
        True, "gematria_task_readout_input_layer_normalization", "Normalise what the tasks' readouts read."
    )
    graph_module_residual_connections: bool = setting(
        False, "gematria_graph_module_residual_connections", "Add each round's input to its output."
    )
    readout_residual_connections: bool = setting(
        False, "gematria_readout_residual_connections", "Add the shared readout's input to its output."
    )
    task_readout_residual_connections: bool = setting(
        False, "gematria_task_readout_residual_connections", "Add each task readout's input to its output."
    )
    seq2seq: bool = setting(
        False, "gematria_seq2seq", "Predict a contribution for every instruction; a block is the sum of its own."
    )
    rnn_type: RnnType = setting(
        RnnType.NONE, "gematria_rnn_type", "Read the instructions' features in order with this network; NONE: GRANITE."
    )
    rnn_output_size: PositiveInt = setting(128, "gematria_rnn_output_size", "Size of the recurrent network's output.")
    rnn_bidirectional: bool = setting(
        False, "gematria_rnn_bidirectional", "The recurrent network reads in both directions."
    )
    rnn_dropout: Probability = setting(
        0.0, "gematria_rnn_dropout", "Share of the recurrent network's inputs that training drops."
    )
