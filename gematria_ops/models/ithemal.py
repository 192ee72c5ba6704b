"""The hierarchical LSTM: Ithemal (Mendis et al., 2019), and Ithemal+ as the GRANITE paper (Sýkora et al., 2022) has it.

    tokens -> embedding -> token LSTM -> [h c] of an instruction's last token
           -> block LSTM -> [h c] of a block's last instruction, or h of every instruction (seq2seq)
           -> shared ReLU layers -> for each task: ReLU layers, then a linear layer without bias

Bidirectional: the block level is also read backwards, and both directions are concatenated. Unlike the public
implementation, the shared layers are part of the network and the backward direction reaches the output.
Specification section 8.3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tensorflow as tf

from gematria_ops.config import ModelConfig
from gematria_ops.encode.sequence_batch import BLOCK_CHUNK, TOKEN_CHUNK, SequenceInputs
from gematria_ops.models.layers import EMBEDDING_LIMIT, Dense, Lstm, VariableStore
from gematria_ops.models.output import ModelOutput
from gematria_ops.models.plain_rnn import last_states, list_places, outputs_of_items


class Ithemal(tf.Module):  # type: ignore[misc]
    """The network with its variables.

    Args:
        config: Sizes and modes.
        num_tokens: V, size of the vocabulary.
        task_names: One output for each, in order.
        seed: Of the initial weights; negative: different every time.

    Raises:
        ValueError: There is no token or no task.
    """

    def __init__(self, config: ModelConfig, num_tokens: int, task_names: Sequence[str], seed: int) -> None:
        super().__init__(name="ithemal")
        if num_tokens <= 0 or not task_names:
            raise ValueError(f"a model needs tokens and tasks, not {num_tokens} and {list(task_names)}")
        self.config = config
        self.num_tokens = num_tokens
        self.task_names = tuple(task_names)
        self.annotation_names: tuple[str, ...] = ()
        self._store = store = VariableStore(seed)
        token_size, instruction_size = config.token_embedding_size, config.instruction_embedding_size
        block_size = config.block_embedding_size // 2
        self._table = store.uniform("token_embedding/table", (num_tokens, token_size), EMBEDDING_LIMIT)
        self._token_lstm = Lstm(store, "instruction_lstm", token_size, instruction_size // 2, TOKEN_CHUNK)
        names = ("block_lstm", "block_lstm_backward") if config.bidirectional else ("block_lstm",)
        self._block_lstms = [Lstm(store, name, instruction_size, block_size, BLOCK_CHUNK) for name in names]
        width = len(self._block_lstms) * block_size * (1 if config.seq2seq else 2)
        self._shared = _dense_stack(store, "output_layers", width, config.output_layers)
        width = self._shared[-1].size if self._shared else width
        self._heads = [_Head(store, f"task_{name}", width, config.task_output_layers) for name in self.task_names]

    def variables_by_name(self) -> dict[str, tf.Variable]:
        """Returns all variables under their names in a checkpoint, in a fixed order. All are trainable."""
        return dict(self._store.by_name)

    def variable_groups(self) -> Mapping[str, Sequence[str]]:
        """Returns the groups of variables that can be trained alone: there is none."""
        return {}

    def __call__(self, inputs: SequenceInputs) -> ModelOutput:
        """Predicts.

        Args:
            inputs: The blocks, as arrays or tensors.

        Returns:
            The predictions, in the order of the batch.
        """
        embedded = tf.gather(self._table, inputs.tokens)  # [T, token size]
        states = self._token_lstm(embedded, inputs.token_trie)
        instructions = tf.gather(states, inputs.instruction_nodes)  # [U, instruction size]
        features = self._encode_blocks(instructions, inputs)  # [B or I, width]
        # Rows that were filled up have block -1 and are added nowhere.
        return self._decode(features, inputs.instruction_blocks, tf.shape(inputs.block_sizes)[0])

    def predict_sequences(self, tokens: tf.Tensor, instruction_sizes: tf.Tensor, block_sizes: tf.Tensor) -> ModelOutput:
        """Predicts for blocks as plain lists of tokens, each list read on its own; for exported models.

        Args:
            tokens: [S] int32. Vocabulary indices of the tokens of all instructions of all blocks, in order.
            instruction_sizes: [I] int32. Tokens of each instruction.
            block_sizes: [B] int32. Instructions of each block.

        Returns:
            The predictions, in the order of the blocks.
        """
        num_instructions, num_blocks = tf.size(instruction_sizes), tf.size(block_sizes)
        token_places = list_places(instruction_sizes, tf.repeat(tf.range(num_instructions), instruction_sizes))
        embedded = tf.gather(self._table, tokens)  # [S, token size]
        instructions = tf.concat(
            last_states(self._token_lstm.cell, embedded, token_places, instruction_sizes), axis=1
        )  # [I, instruction size]
        blocks = tf.repeat(tf.range(num_blocks), block_sizes)  # [I]
        parts: list[tf.Tensor] = []
        for lstm, is_backward in zip(self._block_lstms, (False, True)):
            places = list_places(block_sizes, blocks, backwards=is_backward)
            if self.config.seq2seq:
                parts.append(outputs_of_items(lstm.cell, instructions, places, block_sizes))
            else:
                parts.extend(last_states(lstm.cell, instructions, places, block_sizes))
        return self._decode(tf.concat(parts, axis=1), blocks, num_blocks)

    def _decode(self, features: tf.Tensor, instruction_blocks: tf.Tensor, num_blocks: tf.Tensor) -> ModelOutput:
        for layer in self._shared:
            features = layer(features)
        answers = tf.concat([head(features) for head in self._heads], axis=1)  # [B or I, K]
        if not self.config.seq2seq:
            return ModelOutput(answers, None)
        return ModelOutput(tf.math.unsorted_segment_sum(answers, instruction_blocks, num_blocks), answers)

    def _encode_blocks(self, instructions: tf.Tensor, inputs: SequenceInputs) -> tf.Tensor:
        parts = []
        for lstm, direction in zip(self._block_lstms, inputs.directions, strict=True):
            states = lstm(instructions, direction.trie)  # [P + 1, 2D]
            if self.config.seq2seq:
                states = states[:, : self.config.block_embedding_size // 2]
            parts.append(tf.gather(states, direction.output_nodes))
        return tf.concat(parts, axis=1)


class _Head:
    """The layers of one task."""

    def __init__(self, store: VariableStore, name: str, input_size: int, layer_sizes: Sequence[int]) -> None:
        self._layers = _dense_stack(store, name, input_size, layer_sizes)
        width = self._layers[-1].size if self._layers else input_size
        self._kernel = store.glorot_uniform(f"{name}/output/kernel", (width, 1))

    def __call__(self, features: tf.Tensor) -> tf.Tensor:
        for layer in self._layers:
            features = layer(features)
        return tf.matmul(features, self._kernel)


def _dense_stack(store: VariableStore, name: str, input_size: int, layer_sizes: Sequence[int]) -> list[Dense]:
    layers = []
    for index, size in enumerate(layer_sizes):
        layers.append(Dense(store, f"{name}/dense_{index}", input_size, size))
        input_size = size
    return layers
