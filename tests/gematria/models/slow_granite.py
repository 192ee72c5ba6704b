"""GRANITE as the specification words it (8.5 and 8.6), in float64: one node, edge and instruction after the other."""

from collections.abc import Mapping, Sequence

import numpy as np

from gematria_ops.blocks.basic_block import BasicBlock
from gematria_ops.blocks.vocabulary import Vocabulary
from gematria_ops.config import GraniteConfig, RnnType
from tests.gematria.encode.slow_graphs import INSTRUCTION, SlowGraph, slow_graph

Rows = list[np.ndarray]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def leaky(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, 0.1 * x)


class SlowGranite:
    """Answers for one block at a time.

    Args:
        config: Settings of the model.
        vocabulary: Its tokens.
        task_names: Its tasks.
        annotation_names: The annotations it reads.
        weights: Its weights by name.
    """

    def __init__(
        self,
        config: GraniteConfig,
        vocabulary: Vocabulary,
        task_names: Sequence[str],
        annotation_names: Sequence[str],
        weights: Mapping[str, np.ndarray],
    ) -> None:
        self.config, self.vocabulary, self.task_names = config, vocabulary, task_names
        self.annotation_names = annotation_names
        self.weights = {name: value.astype(np.float64) for name, value in weights.items()}

    def mlp(self, name: str, *parts: np.ndarray) -> np.ndarray:
        """Linear layers, leaky between them."""
        x = np.concatenate(parts)
        index = 0
        while f"{name}/linear_{index}/kernel" in self.weights:
            x = leaky(x) if index else x
            x = x @ self.weights[f"{name}/linear_{index}/kernel"] + self.weights[f"{name}/linear_{index}/bias"]
            index += 1
        assert index
        return x

    def norm(self, name: str, x: np.ndarray) -> np.ndarray:
        deviation = np.sqrt(((x - x.mean()) ** 2).mean() + 1e-3)
        return (x - x.mean()) / deviation * self.weights[f"{name}/gamma"] + self.weights[f"{name}/beta"]

    def encode(self, graph: SlowGraph) -> tuple[Rows, Rows, np.ndarray]:
        """Features of nodes, of edges, and of the graph."""
        annotations = iter(graph.rows)
        nodes, counts = [], np.zeros(len(self.vocabulary))
        for token, kind in zip(graph.tokens, graph.types):
            index = self.vocabulary.index(token)
            counts[index] += 1
            row = self.weights["encoder/node_table"][index]
            if self.annotation_names:
                drawn = self.weights["encoder/annotated_table"][index]
                row = np.concatenate([row, np.array(next(annotations)) if kind == INSTRUCTION else drawn])
            nodes.append(row)
        edges = [self.weights["encoder/edge_table"][kind] for _, _, kind in graph.edges]
        return nodes, edges, self.mlp("encoder/graphs", counts)

    def update(self, graph: SlowGraph, nodes: Rows, edges: Rows, whole: np.ndarray) -> tuple[Rows, Rows, np.ndarray]:
        """One round: edges, then nodes, then the graph."""
        zero = np.zeros(self.config.edge_embedding_size)
        new_edges = [
            self.mlp("graph_network/edges", edge, nodes[receiver], nodes[sender], whole)
            for edge, (sender, receiver, _) in zip(edges, graph.edges)
        ]
        new_nodes = []
        for index, node in enumerate(nodes):
            received = sum((edge for edge, (_, end, _) in zip(new_edges, graph.edges) if end == index), zero)
            sent = sum((edge for edge, (start, _, _) in zip(new_edges, graph.edges) if start == index), zero)
            sums = (received, sent) if self.config.use_sent_edges else (received,)
            new_nodes.append(self.mlp("graph_network/nodes", *sums, node, whole))
        return new_nodes, new_edges, self.mlp("graph_network/graphs", sum(new_edges, zero), sum(new_nodes), whole)

    def pass_messages(self, graph: SlowGraph) -> tuple[Rows, np.ndarray]:
        nodes, edges, whole = self.encode(graph)
        for index in range(self.config.num_message_passing_iterations):
            new_nodes, new_edges, new_whole = self.update(graph, nodes, edges, whole)
            if self.config.graph_module_residual_connections:
                new_nodes = [new + old for new, old in zip(new_nodes, nodes)]
                new_edges = [new + old for new, old in zip(new_edges, edges)]
                new_whole = new_whole + whole
            nodes, edges, whole = new_nodes, new_edges, new_whole
            if self.config.graph_module_layer_normalization:
                name = f"graph_network/norm_{index}"
                nodes = [self.norm(f"{name}/nodes", node) for node in nodes]
                edges = [self.norm(f"{name}/edges", edge) for edge in edges]
                whole = self.norm(f"{name}/graphs", whole)
        return nodes, whole

    def recurrent(self, name: str, inputs: Rows) -> Rows:
        """The output of an LSTM or a GRU after every input."""
        kernel, bias, recurrent = (self.weights[f"{name}/{part}"] for part in ("kernel", "bias", "recurrent_kernel"))
        h = c = np.zeros(self.config.rnn_output_size)
        outputs = []
        for x in inputs:
            if self.config.rnn_type is RnnType.LSTM:
                i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4)
                c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
                h = sigmoid(o) * np.tanh(c)
            else:
                z, r, candidate = np.split(x @ kernel + bias, 3)
                z_h, r_h, candidate_h = np.split(h @ recurrent + self.weights[f"{name}/recurrent_bias"], 3)
                z = sigmoid(z + z_h)
                h = z * h + (1 - z) * np.tanh(candidate + sigmoid(r + r_h) * candidate_h)
            outputs.append(h)
        return outputs

    def read_instructions(self, instructions: Rows) -> Rows:
        """What the recurrent network makes of a block: one row, or one an instruction."""
        if self.config.readout_input_layer_normalization:
            instructions = [self.norm("rnn/input_norm", row) for row in instructions]
        directions = [self.recurrent("rnn/forward", instructions)]
        if self.config.rnn_bidirectional:
            directions.append(self.recurrent("rnn/backward", instructions[::-1]))
        if not self.config.seq2seq:
            return [np.concatenate([outputs[-1] for outputs in directions])]
        aligned = [directions[0], *(outputs[::-1] for outputs in directions[1:])]
        return [np.concatenate(rows) for rows in zip(*aligned)]

    def layers(self, name: str, x: np.ndarray, num_layers: int, has_residual: bool) -> np.ndarray:
        y = x
        for index in range(num_layers):
            y = leaky(y @ self.weights[f"{name}/dense_{index}/kernel"] + self.weights[f"{name}/dense_{index}/bias"])
        if not (has_residual and num_layers):
            return y
        return y + (x @ self.weights[f"{name}/residual/kernel"] if len(x) != len(y) else x)

    def read_out(self, x: np.ndarray) -> np.ndarray:
        """From features to one number a task."""
        config = self.config
        if config.readout_input_layer_normalization and config.rnn_type is RnnType.NONE:
            x = self.norm("readout/input_norm", x)
        x = self.layers("readout", x, len(config.readout_layers), config.readout_residual_connections)
        if config.task_readout_input_layer_normalization:
            x = self.norm("task_readout/input_norm", x)
        answers = []
        for task in self.task_names:
            num_layers = len(config.task_readout_layers)
            y = self.layers(f"task_{task}", x, num_layers, config.task_readout_residual_connections)
            answers.append((y @ self.weights[f"task_{task}/output/kernel"])[0])
        return np.array(answers)

    def __call__(self, block: BasicBlock) -> tuple[np.ndarray, np.ndarray | None]:
        """The answer for a block, [K], and for each of its instructions (seq2seq), [I, K] or None."""
        graph = slow_graph(block, self.annotation_names)
        nodes, whole = self.pass_messages(graph)
        instructions = [node for node, kind in zip(nodes, graph.types) if kind == INSTRUCTION]
        if self.config.rnn_type is not RnnType.NONE:
            features = self.read_instructions(instructions)
        else:
            features = instructions if self.config.seq2seq else [whole]
        answers = np.stack([self.read_out(row) for row in features])
        return answers.sum(axis=0), answers if self.config.seq2seq else None
