"""What batches of every kind of model have in common: targets, masks, shapes, and how arrays are filled up.

A compiled step wants arrays of few shapes. A batch is therefore filled up to a shape: with rows that nothing reads and
rows without labels. What is filled up changes no result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np

from gematria_ops.encode.encoded_blocks import Bool, Float32
from gematria_ops.encode.tries import Int32

S = TypeVar("S", bound="tuple[int, ...]")


class BatchOptions(NamedTuple):
    """What a batch has to hold.

    Attributes:
        bidirectional: The block-level network also reads backwards.
        seq2seq: The model answers for every instruction.
        random_labels: Draw one of a label's samples for each batch, instead of taking the first.
        injection_probability: Of putting the replacement token in a token's place, each token on its own. For training.
        dropout: The model drops features at random. For training.
    """

    bidirectional: bool = False
    seq2seq: bool = False
    random_labels: bool = False
    injection_probability: float = 0.0
    dropout: bool = False


class Inputs(Protocol):
    """What the inputs of every kind of model tell about their blocks.

    Attributes:
        instruction_blocks: [I] int32. The block of each instruction, filled up with -1; None where no model reads it.
        block_sizes: [B] int32. Instructions of each block, filled up with 0.
    """

    @property
    def instruction_blocks(self) -> Int32 | None:
        """The block of each instruction."""

    @property
    def block_sizes(self) -> Int32:
        """Instructions of each block."""


class Targets(NamedTuple):
    """What a model should answer for a batch. K tasks.

    Attributes:
        expected: [B, K] float32. Cycles per iteration; -1 where there is no label.
        mask: [B, K] bool. Where there is a label.
        expected_deltas: [I, K] float32. What each instruction adds to the cycles of its prefix; None unless seq2seq.
        label_counts: [2, K] float32. Labels of the whole batch, and of its instructions, of which this is one worker's
            share; None: the batch is whole.
    """

    expected: Float32
    mask: Bool
    expected_deltas: Float32 | None
    label_counts: Float32 | None = None


InputsT = TypeVar("InputsT", bound=Inputs)


class Batch(NamedTuple, Generic[InputsT]):
    """Inputs and targets, and how much of them is real.

    Attributes:
        inputs: What the model reads.
        targets: What it should answer.
        num_blocks: Blocks of the batch; rows behind them are filled up.
        num_instructions: Instructions of the batch; rows behind them are filled up.
    """

    inputs: InputsT
    targets: Targets
    num_blocks: int
    num_instructions: int

    @property
    def expected(self) -> Float32:
        """[B, K] float32. The labels of the real blocks in cycles per iteration; -1 where there is none."""
        return self.targets.expected[: self.num_blocks]

    @property
    def mask(self) -> Bool:
        """[B, K] bool. Where the real blocks have labels."""
        return self.targets.mask[: self.num_blocks]

    @property
    def expected_deltas(self) -> Float32 | None:
        """[I, K] float32. What each real instruction adds, in cycles per iteration; None unless seq2seq."""
        deltas = self.targets.expected_deltas
        return None if deltas is None else deltas[: self.num_instructions]

    @property
    def instruction_mask(self) -> Bool:
        """[I, K] bool. Where the blocks of the real instructions have labels."""
        sizes = self.inputs.block_sizes[: self.num_blocks]
        return np.repeat(self.mask, sizes, axis=0)


def is_covered(shape: tuple[int, ...], by: tuple[int, ...]) -> bool:
    """Answers whether a batch of one shape can be filled up to another."""
    return all(mine <= its for mine, its in zip(shape, by, strict=True))


def grown_to_cover(shape: S, other: S) -> S:
    """Returns a shape, doubled until it covers another: few shapes, so little is compiled."""
    sizes: tuple[int, ...] = shape
    while not is_covered(other, sizes):
        sizes = tuple(2 * max(size, 16) for size in sizes)
    return _like(shape, sizes)


def roomy_shape(shapes: Iterable[S], margin: float = 1.1) -> S:
    """Returns a shape that covers some shapes and a little more; its sizes are multiples of 16, as of the chunks."""
    listed = list(shapes)
    largest = np.max(np.array(listed), axis=0)
    return _like(listed[0], tuple(int(-(-size * margin // 16)) * 16 for size in largest))


def _like(shape: S, sizes: tuple[int, ...]) -> S:
    make: Callable[..., S] = type(shape)
    return make(*sizes)  # a named tuple takes its fields one by one


def fill(values: np.ndarray, size: int, value: float) -> np.ndarray:
    """Returns an array, [N, ...], with rows of a value behind it: [size, ...]."""
    filled = np.full((size, *values.shape[1:]), value, dtype=values.dtype)
    filled[: len(values)] = values
    return filled


def fill_optional(values: np.ndarray | None, size: int, value: float) -> np.ndarray | None:
    """Fills an array that may be absent."""
    return None if values is None else fill(values, size, value)


def needed(random: np.random.Generator | None) -> np.random.Generator:
    """Returns the generator; raises ValueError without one."""
    if random is None:
        raise ValueError("random labels and injected tokens need a random generator")
    return random
