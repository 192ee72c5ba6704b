"""Tokens of operands and instructions, by the examples of the specification."""

import pytest

from gematria_ops.blocks.basic_block import BasicBlock, Instruction, InstructionOperand
from gematria_ops.blocks.decoding import decode_block
from gematria_ops.blocks.tokens import (
    STRUCTURAL_TOKENS,
    block_tokens,
    instruction_tokens,
    operand_tokens,
    unique_tokens,
)

register = InstructionOperand.from_register
EFLAGS = register("EFLAGS")
IMMEDIATE = InstructionOperand.from_immediate_value(7)
MEMORY = InstructionOperand.from_memory(1)


def test_structural_tokens() -> None:
    assert sorted(STRUCTURAL_TOKENS) == [
        "_ADDRESS_", "_DISPLACEMENT_", "_D_", "_IMMEDIATE_", "_MEMORY_", "_NO_REGISTER_", "_UNKNOWN_",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("operand", "tokens"),
    [
        (register("RAX"), "RAX"),
        (IMMEDIATE, "_IMMEDIATE_"),
        (InstructionOperand.from_fp_immediate_value(0.5), "_IMMEDIATE_"),
        (MEMORY, "_MEMORY_"),
        (InstructionOperand(), ""),
        (InstructionOperand.from_address(base_register="RAX"), "_ADDRESS_ RAX _NO_REGISTER_"),
        (
            InstructionOperand.from_address(base_register="RAX", displacement=-8, index_register="RSI", scaling=1),
            "_ADDRESS_ RAX RSI _DISPLACEMENT_",
        ),
        (
            InstructionOperand.from_address(displacement=40, segment_register="FS"),
            "_ADDRESS_ _NO_REGISTER_ _NO_REGISTER_ FS _DISPLACEMENT_",
        ),
    ],
)
def test_operand_tokens(operand: InstructionOperand, tokens: str) -> None:
    assert operand_tokens(operand) == tuple(tokens.split())


@pytest.mark.parametrize(
    ("instruction", "tokens"),
    [
        (
            Instruction(
                "MOV",
                prefixes=("REP", "LOCK"),
                input_operands=(IMMEDIATE,),
                implicit_input_operands=(MEMORY,),
                output_operands=(register("RAX"),),
                implicit_output_operands=(EFLAGS,),
            ),
            "REP LOCK MOV _D_ RAX EFLAGS _D_ _IMMEDIATE_ _MEMORY_ _D_",
        ),
        (
            Instruction(
                "ADD",
                prefixes=("LOCK",),
                input_operands=(register("RAX"), register("RBX")),
                implicit_input_operands=(EFLAGS,),
                output_operands=(register("RBX"),),
                implicit_output_operands=(EFLAGS,),
            ),
            "LOCK ADD _D_ RBX EFLAGS _D_ RAX RBX EFLAGS _D_",
        ),
        (Instruction("nop"), "nop _D_ _D_ _D_"),
    ],
)
def test_instruction_tokens(instruction: Instruction, tokens: str) -> None:
    assert instruction_tokens(instruction) == tuple(tokens.split())


@pytest.mark.parametrize(
    ("code", "tokens"),
    [
        ("4801d8", "ADD _D_ RAX EFLAGS _D_ RAX RBX _D_"),
        ("483101", "XOR _D_ _MEMORY_ EFLAGS _D_ _MEMORY_ _ADDRESS_ RCX _NO_REGISTER_ RAX _D_"),
        ("4839d8", "CMP _D_ EFLAGS _D_ RAX RBX _D_"),
        ("740a", "JE _D_ _D_ _IMMEDIATE_ _IMMEDIATE_ EFLAGS _D_"),
        ("64488b467b", "MOV _D_ RAX _D_ _MEMORY_ _ADDRESS_ RSI _NO_REGISTER_ FS _DISPLACEMENT_ _D_"),
        ("f0", "lock _D_ _D_ _D_"),
        ("f3b801000000", "REP MOV _D_ EAX _D_ _IMMEDIATE_ _D_"),
        ("90", "nop _D_ _D_ _D_"),
        ("8b44246c", "MOV _D_ EAX _D_ _MEMORY_ _ADDRESS_ RSP _NO_REGISTER_ _DISPLACEMENT_ _D_"),
        ("48c1fb03", "SAR _D_ RBX EFLAGS _D_ RBX _IMMEDIATE_ _D_"),
        ("f348ab", "REP STOSQ _D_ RDI _D_ RDI RAX RDI DF _D_"),
        ("0f94c0", "SETE _D_ AL _D_ _IMMEDIATE_ EFLAGS _D_"),
        ("ff10", "CALL _D_ _D_ _MEMORY_ _ADDRESS_ RAX _NO_REGISTER_ RSP SSP _D_"),
        (
            "64488b042528000000",
            "MOV _D_ RAX _D_ _MEMORY_ _ADDRESS_ _NO_REGISTER_ _NO_REGISTER_ FS _DISPLACEMENT_ _D_",
        ),
    ],
)
def test_tokens_of_machine_code(code: str, tokens: str) -> None:
    (decoded,) = decode_block(bytes.fromhex(code))
    assert " ".join(instruction_tokens(decoded.instruction)) == tokens


def test_tokens_of_blocks() -> None:
    lines = [
        "554889E5897DF8837DF8007509",
        "C745FC00000000EB25",
        "837DF8037D09",
        "C745FC03000000EB16",
        "837DF8057D09",
        "C745FC05000000EB07",
        "C745FC07000000",
        "8B45FC5DC3",
    ]
    blocks = [BasicBlock(tuple(decoded.instruction for decoded in decode_block(bytes.fromhex(line)))) for line in lines]
    expected = (
        "CMP EAX EDI EFLAGS JGE JMP JNE MOV POP PUSH RBP RSP _ADDRESS_ _DISPLACEMENT_ _D_ _IMMEDIATE_ _MEMORY_ "
        "_NO_REGISTER_ ret"
    )
    assert sorted(unique_tokens(blocks)) == expected.split()
    assert block_tokens(blocks[-1])[-1] == ("ret", "_D_", "_D_", "_D_")
    assert unique_tokens([]) == frozenset()
