"""Instructions and blocks that between them use everything a message can say."""

from gematria_ops.blocks.basic_block import Annotation, BasicBlock, Instruction, InstructionOperand
from gematria_ops.blocks.decoding import DecodedInstruction
from gematria_ops.blocks.throughput import BasicBlockThroughput, BasicBlockWithThroughput

OPERANDS = {
    "register": InstructionOperand.from_register("RAX"),
    "immediate": InstructionOperand.from_immediate_value(1000),
    "zero immediate": InstructionOperand.from_immediate_value(0),
    "negative immediate": InstructionOperand.from_immediate_value(2**64 - 32),
    "fp immediate": InstructionOperand.from_fp_immediate_value(2.5),
    "zero fp immediate": InstructionOperand.from_fp_immediate_value(0.0),
    "address": InstructionOperand.from_address(
        base_register="RBX", displacement=-8, index_register="RSI", scaling=4, segment_register="FS"
    ),
    "address with nothing": InstructionOperand.from_address(),
    "memory": InstructionOperand.from_memory(1),
    "memory zero": InstructionOperand.from_memory(0),
    "unknown": InstructionOperand(),
}

FULL_INSTRUCTION = Instruction(
    mnemonic="ADC",
    llvm_mnemonic="ADC32rr",
    prefixes=("LOCK", "REP"),
    input_operands=(OPERANDS["memory"], OPERANDS["address"], OPERANDS["negative immediate"]),
    implicit_input_operands=(InstructionOperand.from_register("EFLAGS"),),
    output_operands=tuple(OPERANDS.values()),
    implicit_output_operands=(InstructionOperand.from_register("EFLAGS"), OPERANDS["unknown"]),
    instruction_annotations=(Annotation("cache_miss", 0.5), Annotation("", 0.0), Annotation("n", -0.0)),
)

INSTRUCTIONS = {
    "empty": Instruction(),
    "mnemonic only": Instruction(mnemonic="nop", llvm_mnemonic="NOOP"),
    "everything": FULL_INSTRUCTION,
    "long": Instruction(mnemonic="LONG", output_operands=(OPERANDS["register"],) * 5000),
}

DECODED = [
    DecodedInstruction(b"\x90", "\tnop", INSTRUCTIONS["mnemonic only"]),
    DecodedInstruction(b"\x11\xd8", "\tadcl\t%ebx, %eax", FULL_INSTRUCTION),
    DecodedInstruction(bytes(range(15)), "", INSTRUCTIONS["empty"]),
    DecodedInstruction(b"\x90", "\tnop", INSTRUCTIONS["mnemonic only"]),
]

LABELLED = BasicBlockWithThroughput(
    BasicBlock((FULL_INSTRUCTION, INSTRUCTIONS["mnemonic only"])),
    (
        BasicBlockThroughput((2.0, 3.0), ((1.0, 1.5), (2.0, 3.0))),
        None,
        BasicBlockThroughput((4.0,)),
    ),
)
