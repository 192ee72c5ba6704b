"""Throughputs of blocks."""

from gematria_ops.blocks.basic_block import BasicBlock, Instruction
from gematria_ops.blocks.throughput import BasicBlockThroughput, BasicBlockWithThroughput


def test_prefixes_are_optional() -> None:
    assert BasicBlockThroughput((1.0,)).prefix_inverse_throughput_cycles == ()
    assert BasicBlockThroughput((1.0,)) != BasicBlockThroughput((1.0,), ((1.0,),))


def test_a_task_may_have_no_label() -> None:
    block = BasicBlock((Instruction("nop"),))
    labelled = BasicBlockWithThroughput(block, (BasicBlockThroughput((2.0, 3.0)), None))
    assert labelled.throughputs[1] is None
    assert BasicBlockWithThroughput(block).throughputs == ()
