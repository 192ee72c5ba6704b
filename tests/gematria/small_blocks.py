"""A small data set that a model can learn: each instruction costs something, a block costs the sum.

Every block has two sources, "test: one" (three samples) and "test: two" (one sample, twice the cycles; only every third
block), both with prefixes.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from gematria_ops.blocks.basic_block import BasicBlock, Instruction, InstructionOperand
from gematria_ops.blocks.tokens import instruction_tokens
from gematria_ops.blocks.vocabulary import Vocabulary
from gematria_ops.formats.proto_codec import block_to_proto
from gematria_ops.formats.protos.throughput_pb2 import BasicBlockWithThroughputProto
from ops_common.seeding import stream
from ops_common.tfrecord import write_records

COSTS = {"ADD": 1.0, "IMUL": 3.0, "DIV": 20.0, "MOV": 0.5, "XOR": 0.25}
REGISTERS = ("RAX", "RBX", "RCX")


def make_instruction(mnemonic: str, register: str) -> Instruction:
    operand = InstructionOperand.from_register(register)
    return Instruction(mnemonic, f"{mnemonic}64rr", input_operands=(operand,), output_operands=(operand,))


def make_block(*mnemonics: str) -> BasicBlock:
    return BasicBlock(tuple(make_instruction(name, REGISTERS[len(name) % 3]) for name in mnemonics))


def make_blocks(num_blocks: int, seed: int = 1) -> Iterator[BasicBlock]:
    random = stream(seed, "blocks")
    for _ in range(num_blocks):
        names = random.choice(list(COSTS), size=random.integers(1, 8))
        yield BasicBlock(tuple(make_instruction(str(name), str(random.choice(REGISTERS))) for name in names))


def label(block: BasicBlock, proto: BasicBlockWithThroughputProto, source: str, samples: Sequence[float]) -> None:
    entry = proto.inverse_throughputs.add(source=source)
    sums, total = [], 0.0
    for instruction in block.instructions:
        total += COSTS[instruction.mnemonic]
        sums.append(total)
    entry.inverse_throughput_cycles.extend(factor * total for factor in samples)
    for value in sums:
        entry.prefix_inverse_throughputs.add(inverse_throughput_cycles=[factor * value for factor in samples])


def make_protos(num_blocks: int, seed: int = 1) -> Iterator[BasicBlockWithThroughputProto]:
    for index, block in enumerate(make_blocks(num_blocks, seed)):
        proto = BasicBlockWithThroughputProto(basic_block=block_to_proto(block))
        label(block, proto, "test: one", (1.0, 1.1, 0.9))
        if index % 3 == 0:
            label(block, proto, "test: two", (2.0,))
        yield proto


def write_data(folder: Path, num_blocks: int = 120, seed: int = 1) -> tuple[Path, Path]:
    """Write blocks.tfrecord and tokens.txt; return both paths."""
    folder.mkdir(parents=True, exist_ok=True)
    data, tokens = folder / "blocks.tfrecord", folder / "tokens.txt"
    write_records(data, (proto.SerializeToString() for proto in make_protos(num_blocks, seed)))
    every = (make_instruction(name, register) for name in COSTS for register in REGISTERS)
    Vocabulary.from_tokens(token for item in every for token in instruction_tokens(item)).save(tokens)
    return data, tokens
