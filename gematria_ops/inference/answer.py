"""What a model says about one block; loads without TensorFlow."""

from __future__ import annotations

from typing import NamedTuple

from gematria_ops.blocks.throughput import BasicBlockThroughput

OVER_INSTRUCTION_LIMIT = "over the instruction limit"


class Answer(NamedTuple):
    """What a model says about one block.

    Attributes:
        throughputs: One for each task, with one value; empty when the block cannot be predicted.
        reason: Why it cannot; empty when it can.
    """

    throughputs: tuple[BasicBlockThroughput, ...]
    reason: str = ""

    @property
    def cycles_per_iteration(self) -> list[float]:
        """One value for each task; empty when the block cannot be predicted."""
        return [throughput.inverse_throughput_cycles[0] for throughput in self.throughputs]
