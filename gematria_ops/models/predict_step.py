"""One prediction, traced once for batches of every size, and compiled for each of their few shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from gematria_ops.config import GraniteConfig, ModelConfig
from gematria_ops.encode.batch import Batch, grown_to_cover, is_covered, roomy_shape
from gematria_ops.encode.graph_batch import GraphInputs
from gematria_ops.encode.layouts import layout_of
from gematria_ops.encode.sequence_batch import Direction, SequenceInputs
from gematria_ops.encode.tries import PrefixTrie
from gematria_ops.models.factory import ThroughputModel, is_compiled_with_xla
from gematria_ops.models.output import ModelOutput


class PredictStep:
    """Predicts one batch at a time.

    Batches that need it are filled up: those of a few blocks to one small shape, so that the answer for a single block
    does not wait for a compiler; others to the shape of the first of them with some room, or to its double, and so on.

    Args:
        model: The model.
    """

    def __init__(self, model: ThroughputModel) -> None:
        self._layout = layout_of(model.config)
        use_xla = is_compiled_with_xla(model.config)
        self._compiled = tf.function(model.__call__, jit_compile=use_xla, autograph=False).get_concrete_function(
            input_signature(model)
        )
        self._shape: Any = None

    def __call__(self, batch: Batch[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Predicts.

        Args:
            batch: Blocks, not filled up.

        Returns:
            [B, K] predicted cycles per iteration, and [I, K] contributions of the instructions (None unless seq2seq).
        """
        return real_rows(self._compiled(self._filled_up(batch).inputs), batch)

    def _filled_up(self, batch: Batch[Any]) -> Batch[Any]:
        if self._layout.shape_of is None or self._layout.fill_up is None:
            return batch
        shape = self._layout.shape_of(batch)
        if is_covered(shape, by=self._layout.small_shape):
            return self._layout.fill_up(batch, self._layout.small_shape)
        self._shape = self._shape or roomy_shape([shape])
        return self._layout.fill_up(batch, grown_to_cover(self._shape, shape))


def input_signature(model: ThroughputModel, *, dropout: bool = False) -> SequenceInputs | GraphInputs:
    """Describes the inputs of a model to ``tf.function``: the sizes of all arrays are open, so it is traced once.

    Args:
        model: The model.
        dropout: The inputs hold a seed for dropout, for a model that drops features while it is trained.
    """
    if isinstance(model.config, GraniteConfig):
        return _graph_signature(model, dropout)
    return _sequence_signature(model.config)


def _vector(name: str) -> tf.TensorSpec:
    return tf.TensorSpec([None], tf.int32, name)


def _graph_signature(model: ThroughputModel, dropout: bool) -> GraphInputs:
    return GraphInputs(
        node_tokens=_vector("node_tokens"),
        node_blocks=_vector("node_blocks"),
        edge_types=_vector("edge_types"),
        senders=_vector("senders"),
        receivers=_vector("receivers"),
        edge_blocks=_vector("edge_blocks"),
        token_counts=tf.TensorSpec([None, model.num_tokens], tf.int32, "token_counts"),
        instruction_nodes=_vector("instruction_nodes"),
        instruction_blocks=_vector("instruction_blocks"),
        annotations=tf.TensorSpec([None, len(model.annotation_names)], tf.float32, "annotations"),
        block_sizes=_vector("block_sizes"),
        dropout_seed=tf.TensorSpec([2], tf.int32, "dropout_seed") if dropout else None,
    )


def _sequence_signature(config: ModelConfig) -> SequenceInputs:
    def trie(name: str) -> PrefixTrie:
        return PrefixTrie(
            _vector(f"{name}_symbols"), _vector(f"{name}_parents"), tf.TensorSpec([], tf.int32, f"{name}_num_chunks")
        )

    directions = ("forward", "backward") if config.bidirectional else ("forward",)
    return SequenceInputs(
        tokens=_vector("tokens"),
        token_trie=trie("token_trie"),
        instruction_nodes=_vector("instruction_nodes"),
        directions=tuple(Direction(trie(name), _vector(f"{name}_output_nodes")) for name in directions),
        instruction_blocks=_vector("instruction_blocks") if config.seq2seq else None,
        block_sizes=_vector("block_sizes"),
    )


def real_rows(answer: ModelOutput, batch: Batch[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Takes the outputs, [B, K], and contributions, [I, K], without the rows that were filled up."""
    deltas = None if answer.deltas is None else answer.deltas.numpy()[: batch.num_instructions]
    return answer.output.numpy()[: batch.num_blocks], deltas
