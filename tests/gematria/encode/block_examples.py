"""Small labelled blocks as dataclasses and as messages, for the tests of encoding, models and training."""

from collections.abc import Sequence

import numpy as np

from gematria_ops.blocks.basic_block import BasicBlock, Instruction, InstructionOperand
from gematria_ops.blocks.throughput import BasicBlockThroughput, BasicBlockWithThroughput
from gematria_ops.blocks.tokens import instruction_tokens
from gematria_ops.blocks.vocabulary import Vocabulary
from gematria_ops.encode.encoded_blocks import EncodedBlocks, encode_blocks

REGISTERS = ("RAX", "RBX", "RCX", "RDX")
MNEMONICS = ("ADD", "MOV", "IMUL", "nop")


def instruction(mnemonic: str, *registers: str) -> Instruction:
    """MNEMONIC _D_ first register _D_ all registers _D_."""
    operands = tuple(map(InstructionOperand.from_register, registers))
    return Instruction(mnemonic, input_operands=operands, output_operands=operands[:1])


def throughput(
    cycles: float | Sequence[float], prefixes: Sequence[float | Sequence[float]] = ()
) -> BasicBlockThroughput:
    def samples(value: float | Sequence[float]) -> tuple[float, ...]:
        return (value,) if isinstance(value, int | float) else tuple(value)

    return BasicBlockThroughput(samples(cycles), tuple(map(samples, prefixes)))


def vocabulary(replacement_token: str = "") -> Vocabulary:
    return Vocabulary([*REGISTERS, *MNEMONICS], replacement_token)


def random_blocks(
    num_blocks: int, num_tasks: int, seed: int, max_size: int = 9, label_share: float = 1.0
) -> list[BasicBlockWithThroughput]:
    """Blocks of 1 to max_size instructions; a label counts registers and instructions, its prefixes add up to it."""
    random = np.random.default_rng(seed)
    blocks = []
    for _ in range(num_blocks):
        instructions = tuple(
            instruction(MNEMONICS[random.integers(4)], *random.choice(REGISTERS, size=random.integers(0, 4)).tolist())
            for _ in range(random.integers(1, max_size + 1))
        )
        costs = np.cumsum([0.1 * (1 + len(instruction_tokens(item))) for item in instructions])
        labels = [
            throughput(float(costs[-1]) * (task + 1), (costs * (task + 1)).tolist())
            if random.random() < label_share
            else None
            for task in range(num_tasks)
        ]
        blocks.append(BasicBlockWithThroughput(BasicBlock(instructions), tuple(labels)))
    return blocks


def random_encoded(num_blocks: int, num_tasks: int, seed: int, **more: float) -> EncodedBlocks:
    return encode_blocks(random_blocks(num_blocks, num_tasks, seed, **more), vocabulary("_UNKNOWN_"), num_tasks)
