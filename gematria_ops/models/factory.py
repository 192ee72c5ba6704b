"""From settings to a model: the one registry of the kinds there are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import tensorflow as tf

from gematria_ops.blocks.vocabulary import Vocabulary
from gematria_ops.config import AnyModelConfig, GraniteConfig, RnnType, RunnerConfig
from gematria_ops.models.granite import Granite
from gematria_ops.models.ithemal import Ithemal
from gematria_ops.models.output import ModelOutput
from ops_common.config import plain_values
from ops_common.errors import ConfigError


class ThroughputModel(Protocol):
    """A network that answers for batches of blocks.

    Attributes:
        config: Its sizes and modes.
        num_tokens: V, size of its vocabulary.
        task_names: One output for each, in order.
    """

    num_tokens: int
    task_names: tuple[str, ...]

    @property
    def config(self) -> Any:
        """A ``ModelConfig`` or ``GraniteConfig``."""

    @property
    def annotation_names(self) -> tuple[str, ...]:
        """Statistics of an instruction that it reads."""

    def variables_by_name(self) -> dict[str, tf.Variable]:
        """Returns all variables under their names in a checkpoint, in a fixed order. All are trainable."""

    def variable_groups(self) -> Mapping[str, Sequence[str]]:
        """Returns the groups of variables that can be trained alone."""

    def __call__(self, inputs: Any) -> ModelOutput:
        """Predicts."""


def build_model(config: RunnerConfig, vocabulary: Vocabulary, annotation_names: Sequence[str] = ()) -> ThroughputModel:
    """Builds the model that the settings describe, with fresh weights.

    Raises:
        ConfigError: There are more annotations than a node has features.
    """
    model: AnyModelConfig = config.model
    if isinstance(model, GraniteConfig):
        try:
            return Granite(model, len(vocabulary), config.task_names(), config.random_seed, annotation_names)
        except ValueError as error:
            raise ConfigError(str(error), "choose fewer annotations, or a larger node_embedding_size") from None
    return Ithemal(model, len(vocabulary), config.task_names(), config.random_seed)


def is_compiled_with_xla(model: AnyModelConfig) -> bool:
    """Answers whether a model's steps are XLA programs: the loops of sequence models win by it, large products not."""
    return not isinstance(model, GraniteConfig)


def model_identity(
    config: AnyModelConfig, task_names: Sequence[str], vocabulary: Vocabulary, annotation_names: Sequence[str] = ()
) -> dict[str, Any]:
    """Returns what has to be equal for weights to make sense; stands in the record of each checkpoint."""
    digest = hashlib.sha256("\n".join(vocabulary.tokens).encode("utf-8")).hexdigest()
    annotations = {"annotation_names": list(annotation_names)} if annotation_names else {}
    return {
        "model": plain_values(config),
        "task_names": list(task_names),
        "vocabulary": {"num_tokens": len(vocabulary), "sha256": digest},
        **annotations,
    }


def default_model_name(config: AnyModelConfig) -> str:
    """Returns the automatic name of a model in the sources of its predictions.

    That of the public implementation for sequence models (there is no comma after use_deltas). For graph models that
    one holds an address in memory, so that no two runs agree; ours lists the settings only.
    """
    if isinstance(config, GraniteConfig):
        return _granite_name(config)
    return (
        f"HierarchicalLSTM: use_deltas={config.seq2seq} token_embedding_size={config.token_embedding_size}, "
        f"instruction_embedding_size={config.instruction_embedding_size}, "
        f"block_embedding_size={config.block_embedding_size}, bidirectional={config.bidirectional}, "
        f"output_layers={config.output_layers}, task_output_layers={config.task_output_layers}"
    )


def _granite_name(config: GraniteConfig) -> str:
    parts = {
        "mp_iterations": config.num_message_passing_iterations,
        "node_embedding_size": config.node_embedding_size,
        "node_update_layers": config.node_update_layers,
        "edge_embedding_size": config.edge_embedding_size,
        "edge_update_layers": config.edge_update_layers,
        "global_embedding_size": config.global_embedding_size,
        "global_update_layers": config.global_update_layers,
        "readout_layers": config.readout_layers,
        "task_readout_layers": config.task_readout_layers,
        "graph_module_layer_norm": config.graph_module_layer_normalization,
        "readout_input_layer_norm": config.readout_input_layer_normalization,
        "task_readout_input_layer_norm": config.task_readout_input_layer_normalization,
        "use_sent_edges": config.use_sent_edges,
        "use_deltas": config.seq2seq,
    }
    name = "TokenGraphBuilderModel: " + ", ".join(f"{key}={value}" for key, value in parts.items())
    if config.rnn_type is RnnType.NONE:
        return name
    return (
        f"Rnn{name},rnn_state_size={config.rnn_output_size},rnn_dropout={config.rnn_dropout},"
        f"bidirectional={config.rnn_bidirectional}"
    )
