"""The hierarchical LSTM as the specification words it (8.3), one cell after the other, without any sharing.

Once in NumPy, for the values, and once in TensorFlow operations, for the gradients.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from gematria_ops.config import ModelConfig
from gematria_ops.encode.encoded_blocks import EncodedBlocks

Tokens = list[list[int]]


def tokens_of(encoded: EncodedBlocks, block: int) -> Tokens:
    """Vocabulary indices of the tokens of each instruction of a block."""
    ids = encoded.instruction_ids[encoded.block_splits[block] : encoded.block_splits[block + 1]]
    splits = encoded.instruction_splits
    return [encoded.instruction_tokens[splits[i] : splits[i + 1]].tolist() for i in ids]


class NumpyArithmetic:
    """float64 arrays."""

    @staticmethod
    def zeros(size: int) -> np.ndarray:
        return np.zeros(size)

    @staticmethod
    def sigmoid(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-x))

    @staticmethod
    def relu(x: np.ndarray) -> np.ndarray:
        return np.maximum(x, 0)

    @staticmethod
    def product(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        return x @ kernel

    tanh, split, concat, stack, add_up = np.tanh, np.split, np.concatenate, np.stack, sum


class TensorArithmetic:
    """float32 tensors that a gradient tape can follow."""

    sigmoid, tanh, relu, split, stack, add_up = tf.sigmoid, tf.tanh, tf.nn.relu, tf.split, tf.stack, tf.add_n

    @staticmethod
    def zeros(size: int) -> tf.Tensor:
        return tf.zeros([size])

    @staticmethod
    def product(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        return tf.linalg.matvec(kernel, x, transpose_a=True)

    @staticmethod
    def concat(parts: Sequence[tf.Tensor]) -> tf.Tensor:
        return tf.concat(parts, axis=0)


class SlowModel:
    """Answers for one block at a time.

    Args:
        config: Settings of the model.
        task_names: Its tasks.
        weights: Its weights by name: arrays for NumpyArithmetic, variables for TensorArithmetic.
        arithmetic: One of the two.
    """

    def __init__(self, config: ModelConfig, task_names: Sequence[str], weights: Mapping, arithmetic: type) -> None:
        self.config, self.task_names, self.weights, self.on = config, task_names, weights, arithmetic

    def lstm(self, name: str, inputs: list, size: int) -> list[tuple]:
        """Returns h and c after every input."""
        h, c = self.on.zeros(size), self.on.zeros(size)
        states = []
        for x in inputs:
            z = self.on.product(x, self.weights[f"{name}/kernel"]) + self.weights[f"{name}/bias"]
            z = z + self.on.product(h, self.weights[f"{name}/recurrent_kernel"])
            i, f, g, o = self.on.split(z, 4)
            c = self.on.sigmoid(f) * c + self.on.sigmoid(i) * self.on.tanh(g)
            h = self.on.sigmoid(o) * self.on.tanh(c)
            states.append((h, c))
        return states

    def dense(self, name: str, x: object) -> object:
        return self.on.relu(self.on.product(x, self.weights[f"{name}/kernel"]) + self.weights[f"{name}/bias"])

    def decode(self, features: object) -> object:
        """Shared layers, then the layers of each task: [K]."""
        for index in range(len(self.config.output_layers)):
            features = self.dense(f"output_layers/dense_{index}", features)
        answers = []
        for task in self.task_names:
            x = features
            for index in range(len(self.config.task_output_layers)):
                x = self.dense(f"task_{task}/dense_{index}", x)
            answers.append(self.on.product(x, self.weights[f"task_{task}/output/kernel"])[0])
        return self.on.stack(answers)

    def __call__(self, block: Tokens) -> tuple:
        """Returns the answer for a block, [K], and for each of its instructions (seq2seq), [I, K] or None."""
        table, config = self.weights["token_embedding/table"], self.config
        instructions = []
        for tokens in block:
            states = self.lstm("instruction_lstm", [table[t] for t in tokens], config.instruction_embedding_size // 2)
            instructions.append(self.on.concat(states[-1]))
        size = config.block_embedding_size // 2
        directions = [self.lstm("block_lstm", instructions, size)]
        if config.bidirectional:
            directions.append(self.lstm("block_lstm_backward", instructions[::-1], size))
        if not config.seq2seq:
            return self.decode(self.on.concat([part for states in directions for part in states[-1]])), None
        aligned = [directions[0], *(states[::-1] for states in directions[1:])]
        deltas = [self.decode(self.on.concat([h for h, _ in states])) for states in zip(*aligned)]
        return self.on.add_up(deltas), self.on.stack(deltas)
