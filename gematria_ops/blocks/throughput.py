"""Basic blocks with the throughputs that a model learns: one entry a task. Specification section 2.2."""

from __future__ import annotations

from dataclasses import dataclass

from gematria_ops.blocks.basic_block import BasicBlock


@dataclass(frozen=True, slots=True)
class BasicBlockThroughput:
    """What one source says about one block.

    Attributes:
        inverse_throughput_cycles: One or more samples of clock cycles per iteration of the whole block.
        prefix_inverse_throughput_cycles: Entry i holds the samples for the first i + 1 instructions of the block, so
            entries are cumulative and the last one is for the whole block. Empty: not known.
    """

    inverse_throughput_cycles: tuple[float, ...]
    prefix_inverse_throughput_cycles: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class BasicBlockWithThroughput:
    """A block and its labels.

    Attributes:
        block: The block.
        throughputs: One entry a task, in the order of the tasks; None where the task has no label for this block.
    """

    block: BasicBlock
    throughputs: tuple[BasicBlockThroughput | None, ...] = ()
