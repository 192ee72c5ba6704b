"""GRANITE (O. Sýkora et al., 2022): a graph network over the instructions of a block and the values they pass on.

    tokens -> embedding -> rounds of message passing, all with the same update functions (graph_network.py)
           -> features of the whole graph, or of every instruction (seq2seq) -> readout (readout.py)

With a recurrent network, instructions' features are read in order by it before the readout (block_rnn.py).
Specification sections 8.4 to 8.6. Unlike in the public implementation all weights are drawn independently.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tensorflow as tf

from gematria_ops.config import GraniteConfig, RnnType
from gematria_ops.encode.graph_batch import GraphInputs
from gematria_ops.encode.graphs import EdgeType
from gematria_ops.models.block_rnn import BlockRnn, Reader, read_by_scan
from gematria_ops.models.graph_network import GraphNetwork, GraphState, Mlp
from gematria_ops.models.layers import VariableStore
from gematria_ops.models.normalization import LayerNormalization
from gematria_ops.models.output import ModelOutput
from gematria_ops.models.readout import Readout


class Granite(tf.Module):  # type: ignore[misc]
    """The network with its variables.

    Args:
        config: Sizes and modes.
        num_tokens: V, size of the vocabulary.
        task_names: One output for each, in order.
        seed: Of the initial weights; negative: different every time.
        annotation_names: The A statistics of an instruction that take the place of its last features.

    Raises:
        ValueError: There is no token or no task, or there are more annotations than features of a node.
    """

    def __init__(
        self,
        config: GraniteConfig,
        num_tokens: int,
        task_names: Sequence[str],
        seed: int,
        annotation_names: Sequence[str] = (),
    ) -> None:
        super().__init__(name="granite")
        if num_tokens <= 0 or not task_names:
            raise ValueError(f"a model needs tokens and tasks, not {num_tokens} and {list(task_names)}")
        num_annotations = len(annotation_names)
        if num_annotations > config.node_embedding_size:
            raise ValueError(
                f"{num_annotations} annotations do not fit into node features of size {config.node_embedding_size}"
            )
        self.config = config
        self.num_tokens = num_tokens
        self.task_names = tuple(task_names)
        self.annotation_names = tuple(annotation_names)
        self._store = store = VariableStore(seed)
        node, edge, graph = config.node_embedding_size, config.edge_embedding_size, config.global_embedding_size
        self._edge_table = store.glorot_normal("encoder/edge_table", (len(EdgeType), edge))
        self._node_table = store.glorot_normal("encoder/node_table", (num_tokens, node - num_annotations))
        self._annotated_table = (
            store.glorot_normal("encoder/annotated_table", (num_tokens, num_annotations)) if num_annotations else None
        )
        self._graph_encoder = Mlp(store, "encoder/graphs", (num_tokens,), (graph,))
        self._network = GraphNetwork(
            store,
            (*config.node_update_layers, node),
            (*config.edge_update_layers, edge),
            (*config.global_update_layers, graph),
            config.use_sent_edges,
        )
        rounds = range(config.num_message_passing_iterations if config.graph_module_layer_normalization else 0)
        self._norms = [
            GraphState(
                *(
                    LayerNormalization(store, f"graph_network/norm_{index}/{part}", size)
                    for part, size in zip(GraphState._fields, (node, edge, graph), strict=True)
                )
            )
            for index in rounds
        ]
        self._rnn = None if config.rnn_type is RnnType.NONE else BlockRnn(store, config, node)
        width = self._rnn.output_size if self._rnn is not None else node if config.seq2seq else graph
        normalize = config.readout_input_layer_normalization and self._rnn is None
        self._readout = Readout(store, config, width, self.task_names, normalize)

    def variables_by_name(self) -> dict[str, tf.Variable]:
        """Returns all variables under their names in a checkpoint, in a fixed order. All are trainable."""
        return dict(self._store.by_name)

    def variable_groups(self) -> Mapping[str, Sequence[str]]:
        """Returns the groups of variables that can be trained alone: names of a group to names of its variables."""
        return self._readout.groups

    def __call__(self, inputs: GraphInputs) -> ModelOutput:
        """Predicts.

        Args:
            inputs: The blocks, as arrays or tensors.

        Returns:
            The predictions, in the order of the batch.
        """
        return self.predict(inputs, read_by_scan)

    def predict(self, inputs: GraphInputs, read: Reader) -> ModelOutput:
        """Predicts likewise; a recurrent network reads the instructions in the given way."""
        state = self._encode(inputs)
        for index in range(self.config.num_message_passing_iterations):
            updated = self._network(state, inputs)
            if self.config.graph_module_residual_connections:
                updated = GraphState(*(new + old for new, old in zip(updated, state, strict=True)))
            if self._norms:
                updated = GraphState(*(norm(part) for norm, part in zip(self._norms[index], updated, strict=True)))
            state = updated
        answers = self._readout(self._features(state, inputs, read))
        if not self.config.seq2seq:
            return ModelOutput(answers, None)
        num_blocks = tf.shape(inputs.block_sizes)[0]
        return ModelOutput(tf.math.unsorted_segment_sum(answers, inputs.instruction_blocks, num_blocks), answers)

    def _features(self, state: GraphState, inputs: GraphInputs, read: Reader) -> tf.Tensor:
        """Returns what the readout reads: [B, width] or, for seq2seq, [I, width]."""
        if self._rnn is None and not self.config.seq2seq:
            return state.graphs
        instructions = tf.gather(state.nodes, inputs.instruction_nodes)  # [I, Dn]
        return instructions if self._rnn is None else self._rnn(instructions, inputs, read)

    def _encode(self, inputs: GraphInputs) -> GraphState:
        nodes = tf.gather(self._node_table, inputs.node_tokens)  # [N, Dn - A]
        if self._annotated_table is not None:
            nodes = tf.concat([nodes, self._annotate(self._annotated_table, inputs)], axis=1)  # [N, Dn]
        counts = tf.cast(inputs.token_counts, tf.float32)
        return GraphState(nodes, tf.gather(self._edge_table, inputs.edge_types), self._graph_encoder(counts))

    def _annotate(self, table: tf.Variable, inputs: GraphInputs) -> tf.Tensor:
        """Returns the last features of each node, [N, A]: instructions have their annotations there."""
        values = tf.gather(table, inputs.node_tokens)
        return tf.tensor_scatter_nd_update(values, inputs.instruction_nodes[:, None], inputs.annotations)
