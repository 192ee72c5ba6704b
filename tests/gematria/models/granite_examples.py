"""Small GRANITE models of every kind, and blocks for them."""

from itertools import product

import numpy as np

from gematria_ops.blocks.vocabulary import Vocabulary
from gematria_ops.config import GraniteConfig, RnnType
from gematria_ops.encode.batch import BatchOptions
from gematria_ops.encode.encoded_blocks import EncodedBlocks
from gematria_ops.encode.graph_batch import GraphBatch, make_graph_batch
from gematria_ops.models.granite import Granite
from tests.gematria.encode.slow_graphs import MNEMONICS, PREFIXES, REGISTERS, random_block

TASKS = ("ivb", "hsw")
VOCABULARY = Vocabulary([*REGISTERS, *MNEMONICS, *PREFIXES])
RANDOM = np.random.default_rng(6)
BLOCKS = [random_block(RANDOM) for _ in range(8)]
INDICES = np.array([4, 0, 7, 7, 2])


def sized(**more: object) -> GraniteConfig:
    """Sizes that all differ, two rounds, and no normalisation unless it is asked for."""
    settings = {
        "node_embedding_size": 6,
        "edge_embedding_size": 5,
        "global_embedding_size": 7,
        "num_message_passing_iterations": 2,
        "graph_module_layer_normalization": False,
        "readout_input_layer_normalization": False,
        "task_readout_input_layer_normalization": False,
        **more,
    }
    return GraniteConfig(**settings)


NORMS = {
    "graph_module_layer_normalization": True,
    "readout_input_layer_normalization": True,
    "task_readout_input_layer_normalization": True,
}
RESIDUALS = {
    "graph_module_residual_connections": True,
    "readout_residual_connections": True,
    "task_readout_residual_connections": True,
}
HIDDEN = {"node_update_layers": (8, 9), "edge_update_layers": (10,), "global_update_layers": (11,)}
EVERYTHING = {
    **NORMS, **RESIDUALS, **HIDDEN, "use_sent_edges": True, "readout_layers": (12, 13), "task_readout_layers": (17, 18)
}  # fmt: skip
CONFIGS = {
    "plain": sized(),
    "hidden layers": sized(**HIDDEN),
    "sent edges": sized(use_sent_edges=True),
    "round residuals": sized(graph_module_residual_connections=True),
    "round norms": sized(graph_module_layer_normalization=True),
    "round norms and residuals": sized(graph_module_layer_normalization=True, graph_module_residual_connections=True),
    "readout norm": sized(readout_input_layer_normalization=True),
    "task readout norm": sized(task_readout_input_layer_normalization=True),
    "readout": sized(readout_layers=(8, 4)),
    "readout, residual of another size": sized(readout_layers=(8, 4), readout_residual_connections=True),
    "readout, residual of the same size": sized(readout_layers=(8, 7), readout_residual_connections=True),
    "task readout": sized(task_readout_layers=(17, 18)),
    "task readout, residual": sized(task_readout_layers=(17, 18), task_readout_residual_connections=True),
    "residuals around nothing": sized(readout_residual_connections=True, task_readout_residual_connections=True),
    "everything": sized(**EVERYTHING),
    "seq2seq": sized(seq2seq=True),
    "seq2seq, everything": sized(**EVERYTHING, seq2seq=True),
    **{
        f"{kind.name}, {'both directions' if both else 'one direction'}, {'seq2seq' if seq2seq else 'seq2num'}": sized(
            rnn_type=kind, rnn_output_size=3, rnn_bidirectional=both, seq2seq=seq2seq
        )
        for kind, both, seq2seq in product((RnnType.LSTM, RnnType.GRU), (False, True), (False, True))
    },
    "LSTM, everything": sized(**EVERYTHING, rnn_type=RnnType.LSTM, rnn_output_size=3, rnn_bidirectional=True),
    "GRU, everything": sized(**EVERYTHING, rnn_type=RnnType.GRU, rnn_output_size=3, seq2seq=True),
}


def build(config: GraniteConfig, annotations: tuple[str, ...] = (), tasks: tuple[str, ...] = TASKS) -> Granite:
    model, random = Granite(config, len(VOCABULARY), tasks, 5, annotations), np.random.default_rng(5)
    for variable in model.variables_by_name().values():
        # Away from the initial weights, where scales are one and some biases zero.
        variable.assign_add(random.normal(scale=0.2, size=variable.shape).astype(np.float32))
    return model


def batch_for(config: GraniteConfig, encoded: EncodedBlocks, indices: np.ndarray = INDICES) -> GraphBatch:
    return make_graph_batch(encoded, indices, BatchOptions(seq2seq=config.seq2seq))
