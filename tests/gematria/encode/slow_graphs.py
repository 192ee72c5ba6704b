"""The graph of a block as the specification words it (8.4), with names in place of numbers; and random blocks."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from gematria_ops.blocks.basic_block import (
    AddressTuple,
    Annotation,
    BasicBlock,
    Instruction,
    InstructionOperand,
    OperandType,
)

INSTRUCTION, REGISTER, IMMEDIATE, FP_IMMEDIATE, ADDRESS, MEMORY, PREFIX = range(7)
REGISTERS = ("RAX", "RBX", "RCX", "EFLAGS")
MNEMONICS = ("ADD", "MOV", "LEA", "NOT")
PREFIXES = ("LOCK", "REP")
ANNOTATIONS = ("cache_miss_freq", "latency")


@dataclass
class SlowGraph:
    """One graph: the token and the type of each node, edges as (sender, receiver, type), and rows of annotations."""

    tokens: list[str] = field(default_factory=list)
    types: list[int] = field(default_factory=list)
    edges: list[tuple[int, int, int]] = field(default_factory=list)
    rows: list[tuple[float, ...]] = field(default_factory=list)
    values: dict[object, int] = field(default_factory=dict)  # the node of each register name and alias group

    def node(self, token: str, kind: int) -> int:
        self.tokens.append(token)
        self.types.append(kind)
        return len(self.tokens) - 1

    def value(self, key: object, token: str, kind: int) -> int:
        if key not in self.values:
            self.values[key] = self.node(token, kind)
        return self.values[key]

    def source(self, operand: InstructionOperand) -> int | None:
        match operand.type:
            case OperandType.REGISTER:
                return self.value(operand.register_name, operand.register_name, REGISTER)
            case OperandType.IMMEDIATE_VALUE:
                return self.node("_IMMEDIATE_", IMMEDIATE)
            case OperandType.FP_IMMEDIATE_VALUE:
                return self.node("_IMMEDIATE_", FP_IMMEDIATE)
            case OperandType.MEMORY:
                return self.value(operand.alias_group_id, "_MEMORY_", MEMORY)
            case OperandType.ADDRESS:
                return self.address(operand.address)
        return None

    def address(self, parts: AddressTuple) -> int:
        node = self.node("_ADDRESS_", ADDRESS)
        names = (parts.base_register, parts.index_register, parts.segment_register)
        for kind, name in enumerate(names, start=3):
            if name:
                self.edges.append((self.value(name, name, REGISTER), node, kind))
        if parts.displacement:
            self.edges.append((self.node("_IMMEDIATE_", IMMEDIATE), node, 6))
        return node

    def write(self, operand: InstructionOperand, instruction: int) -> None:
        if operand.type is OperandType.REGISTER:
            key = operand.register_name
            node = self.node(key, REGISTER)
        else:
            key = operand.alias_group_id
            node = self.node("_MEMORY_", MEMORY)
        self.values[key] = node
        self.edges.append((instruction, node, 2))


def slow_graph(block: BasicBlock, annotation_names: Sequence[str] = ()) -> SlowGraph:
    graph, previous = SlowGraph(), None
    for instruction in block.instructions:
        node = graph.node(instruction.mnemonic, INSTRUCTION)
        known = {annotation.name: annotation.value for annotation in instruction.instruction_annotations}
        graph.rows.append(tuple(known.get(name, -1.0) for name in annotation_names))
        for prefix in instruction.prefixes:
            graph.edges.append((graph.node(prefix, PREFIX), node, 8))
        if previous is not None:
            graph.edges.append((previous, node, 0))
        previous = node
        for operand in (*instruction.input_operands, *instruction.implicit_input_operands):
            found = graph.source(operand)
            if found is not None:
                graph.edges.append((found, node, 1))
        for operand in (*instruction.output_operands, *instruction.implicit_output_operands):
            graph.write(operand, node)
    return graph


def _random_input(random: np.random.Generator) -> InstructionOperand:
    kind = random.integers(6)
    if kind == 0:
        return InstructionOperand.from_register(str(random.choice(REGISTERS)))
    if kind == 1:
        return InstructionOperand.from_immediate_value(int(random.integers(100)))
    if kind == 2:
        return InstructionOperand.from_fp_immediate_value(float(random.integers(100)))
    if kind == 3:
        base, index, segment = random.choice(["", *REGISTERS], size=3).tolist()
        return InstructionOperand.from_address(
            base_register=base,
            displacement=int(random.integers(-1, 2)),
            index_register=index,
            scaling=int(random.choice([0, 1, 8])),
            segment_register=segment,
        )
    return InstructionOperand() if kind == 4 else InstructionOperand.from_memory(int(random.integers(1, 3)))


def _random_output(random: np.random.Generator) -> InstructionOperand:
    if random.random() < 0.7:
        return InstructionOperand.from_register(str(random.choice(REGISTERS)))
    return InstructionOperand.from_memory(int(random.integers(1, 3)))


def random_block(random: np.random.Generator, max_size: int = 5) -> BasicBlock:
    """A block with operands of every kind, repeated ones among them, and some annotations."""
    instructions = []
    for _ in range(random.integers(1, max_size + 1)):
        instructions.append(
            Instruction(
                str(random.choice(MNEMONICS)),
                prefixes=[p for p in PREFIXES if random.random() < 0.2],
                input_operands=[_random_input(random) for _ in range(random.integers(0, 4))],
                implicit_input_operands=[_random_input(random) for _ in range(random.integers(0, 2))],
                output_operands=[_random_output(random) for _ in range(random.integers(0, 2))],
                implicit_output_operands=[_random_output(random) for _ in range(random.integers(0, 3))],
                instruction_annotations=[
                    Annotation(name, float(random.integers(1, 9)) / 4) for name in ANNOTATIONS if random.random() < 0.5
                ],
            )
        )
    return BasicBlock(tuple(instructions))
