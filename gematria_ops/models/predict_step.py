"""One prediction, traced once for batches of every size, and compiled for each of their few shapes."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from gematria_ops.config import ModelConfig
from gematria_ops.encode.sequence_batch import (
    BatchShape,
    Direction,
    SequenceBatch,
    SequenceInputs,
    fill_up,
    roomy_shape,
    shape_of,
)
from gematria_ops.encode.tries import PrefixTrie
from gematria_ops.models.ithemal import Ithemal, ModelOutput


class PredictStep:
    """Predicts one batch at a time.

    Batches are filled up to the shape of the first one with some room, or to its double, and so on.

    Args:
        model: The model.
    """

    def __init__(self, model: Ithemal) -> None:
        self._compiled = tf.function(model.__call__, jit_compile=True, autograph=False).get_concrete_function(
            input_signature(model.config)
        )
        self._shape: BatchShape | None = None

    def __call__(self, batch: SequenceBatch) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Predicts.

        Args:
            batch: Blocks, not filled up.

        Returns:
            [B, K] predicted cycles per iteration, and [I, K] contributions of the instructions (None unless seq2seq).
        """
        shape = shape_of(batch)
        self._shape = self._shape or roomy_shape([shape])
        answer = self._compiled(fill_up(batch, self._shape.grown_to_cover(shape)).inputs)
        return real_rows(answer, batch)


def input_signature(config: ModelConfig) -> SequenceInputs:
    """Describes the inputs of a model to ``tf.function``: the sizes of all arrays are open, so it is traced once."""

    def vector(name: str) -> tf.TensorSpec:
        return tf.TensorSpec([None], tf.int32, name)

    def trie(name: str) -> PrefixTrie:
        return PrefixTrie(
            vector(f"{name}_symbols"), vector(f"{name}_parents"), tf.TensorSpec([], tf.int32, f"{name}_num_chunks")
        )

    directions = ("forward", "backward") if config.bidirectional else ("forward",)
    return SequenceInputs(
        tokens=vector("tokens"),
        token_trie=trie("token_trie"),
        instruction_nodes=vector("instruction_nodes"),
        directions=tuple(Direction(trie(name), vector(f"{name}_output_nodes")) for name in directions),
        instruction_blocks=vector("instruction_blocks") if config.seq2seq else None,
        block_sizes=vector("block_sizes"),
    )


def real_rows(answer: ModelOutput, batch: SequenceBatch) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Takes the outputs, [B, K], and contributions, [I, K], without the rows that were filled up."""
    deltas = None if answer.deltas is None else answer.deltas.numpy()[: batch.num_instructions]
    return answer.output.numpy()[: batch.num_blocks], deltas
