"""The worked examples of specification 3.7: canonical forms of machine code, and forms of an older LLVM as model input.

Notation: M is memory, A[segment:base+index*scale+displacement] an address, #n an immediate, all else a register.
"""

import re

import pytest

from gematria_ops.blocks.basic_block import AddressTuple, BasicBlock, Instruction, InstructionOperand
from gematria_ops.blocks.decoding import decode_block
from gematria_ops.blocks.tokens import instruction_tokens
from gematria_ops.formats.block_encoding import encode_decoded_block
from gematria_ops.formats.proto_codec import block_from_proto, block_to_proto
from gematria_ops.formats.protos.basic_block_pb2 import BasicBlockProto

ADDRESS = re.compile(r"A\[(?:([A-Z]+):)?([A-Z0-9]+)(?:\+([A-Z0-9]+)\*(\d))?([+-]\d+)?\]")


def operand(text: str) -> InstructionOperand:
    if text == "M":
        return InstructionOperand.from_memory(1)
    if text.startswith("#"):
        return InstructionOperand.from_immediate_value(int(text[1:]))
    if text.startswith("A["):
        match = ADDRESS.fullmatch(text)
        assert match is not None, text
        segment, base, index, scale, displacement = match.groups()
        # All examples have scaling 1, also those without an index.
        parts = AddressTuple(base, int(displacement or 0), index or "", int(scale or 1), segment or "")
        return InstructionOperand.from_address(parts)
    return InstructionOperand.from_register(text)


def made(names: str, outputs: str, implicit_outputs: str, inputs: str, implicit_inputs: str) -> Instruction:
    *prefixes, mnemonic, opcode = names.split()
    lists = [tuple(map(operand, text.split())) for text in (inputs, implicit_inputs, outputs, implicit_outputs)]
    return Instruction(mnemonic, opcode, tuple(prefixes), *lists)


# Machine code; prefixes, mnemonic and opcode; outputs, implicit outputs, inputs, implicit inputs; tokens.
FROM_MACHINE_CODE = [
    ("4801d8", "ADD ADD64rr", "RAX", "EFLAGS", "RAX RBX", "", "ADD _D_ RAX EFLAGS _D_ RAX RBX _D_"),
    (
        "483101", "XOR XOR64mr", "M", "EFLAGS", "M A[RCX] RAX", "",
        "XOR _D_ _MEMORY_ EFLAGS _D_ _MEMORY_ _ADDRESS_ RCX _NO_REGISTER_ RAX _D_",
    ),
    ("4839d8", "CMP CMP64rr", "", "EFLAGS", "RAX RBX", "", "CMP _D_ EFLAGS _D_ RAX RBX _D_"),
    ("7401", "JE JCC_1", "", "", "#1 #4", "EFLAGS", "JE _D_ _D_ _IMMEDIATE_ _IMMEDIATE_ EFLAGS _D_"),
    (
        "64488b467b", "MOV MOV64rm", "RAX", "", "M A[FS:RSI+123]", "",
        "MOV _D_ RAX _D_ _MEMORY_ _ADDRESS_ RSI _NO_REGISTER_ FS _DISPLACEMENT_ _D_",
    ),
    ("f0", "lock LOCK_PREFIX", "", "", "", "", "lock _D_ _D_ _D_"),
    ("f3b801000000", "REP MOV MOV32ri", "EAX", "", "#1", "", "REP MOV _D_ EAX _D_ _IMMEDIATE_ _D_"),
    ("90", "nop NOOP", "", "", "", "", "nop _D_ _D_ _D_"),
    ("4929d2", "SUB SUB64rr", "R10", "EFLAGS", "R10 RDX", "", "SUB _D_ R10 EFLAGS _D_ R10 RDX _D_"),
    ("4829d3", "SUB SUB64rr", "RBX", "EFLAGS", "RBX RDX", "", "SUB _D_ RBX EFLAGS _D_ RBX RDX _D_"),
    (
        "8b44246c", "MOV MOV32rm", "EAX", "", "M A[RSP+108]", "",
        "MOV _D_ EAX _D_ _MEMORY_ _ADDRESS_ RSP _NO_REGISTER_ _DISPLACEMENT_ _D_",
    ),
    (
        "8b542468", "MOV MOV32rm", "EDX", "", "M A[RSP+104]", "",
        "MOV _D_ EDX _D_ _MEMORY_ _ADDRESS_ RSP _NO_REGISTER_ _DISPLACEMENT_ _D_",
    ),
    ("48c1fb03", "SAR SAR64ri", "RBX", "EFLAGS", "RBX #3", "", "SAR _D_ RBX EFLAGS _D_ RBX _IMMEDIATE_ _D_"),
    ("4829d0", "SUB SUB64rr", "RAX", "EFLAGS", "RAX RDX", "", "SUB _D_ RAX EFLAGS _D_ RAX RDX _D_"),
    ("4839c3", "CMP CMP64rr", "", "EFLAGS", "RBX RAX", "", "CMP _D_ EFLAGS _D_ RBX RAX _D_"),
    ("89ca", "MOV MOV32rr", "EDX", "", "ECX", "", "MOV _D_ EDX _D_ ECX _D_"),
    ("0fafd2", "IMUL IMUL32rr", "EDX", "EFLAGS", "EDX EDX", "", "IMUL _D_ EDX EFLAGS _D_ EDX EDX _D_"),
    ("01d0", "ADD ADD32rr", "EAX", "EFLAGS", "EAX EDX", "", "ADD _D_ EAX EFLAGS _D_ EAX EDX _D_"),
    ("ffc9", "DEC DEC32r", "ECX", "EFLAGS", "ECX", "", "DEC _D_ ECX EFLAGS _D_ ECX _D_"),
]  # fmt: skip

# Names; outputs, implicit outputs, inputs, implicit inputs; tokens, with @ for _ADDRESS_, - for _NO_REGISTER_.
OLD_FORMS = [
    ("LEA LEA64r", "RDI", "", "A[RBX+8]", "", "LEA _D_ RDI _D_ @ RBX - _DISPLACEMENT_ _D_"),
    ("LEA LEA64_32r", "R14D", "", "A[R9-1]", "", "LEA _D_ R14D _D_ @ R9 - _DISPLACEMENT_ _D_"),
    ("MOV MOV64rm", "R14", "", "M A[R15]", "", "MOV _D_ R14 _D_ _MEMORY_ @ R15 - _D_"),
    ("MOV MOV64rr", "RCX", "", "RAX", "", "MOV _D_ RCX _D_ RAX _D_"),
    ("MOV MOV32rm", "EAX", "", "M A[RIP+34240702]", "", "MOV _D_ EAX _D_ _MEMORY_ @ RIP - _DISPLACEMENT_ _D_"),
    ("MOV MOV64mr", "M", "", "A[RBP-64] R13", "", "MOV _D_ _MEMORY_ _D_ @ RBP - _DISPLACEMENT_ R13 _D_"),
    ("MOV MOV8mi", "M", "", "A[RCX+R13*1] #0", "", "MOV _D_ _MEMORY_ _D_ @ RCX R13 _IMMEDIATE_ _D_"),
    ("MOV MOV64mi32", "M", "", "A[RBP-432] #15", "", "MOV _D_ _MEMORY_ _D_ @ RBP - _DISPLACEMENT_ _IMMEDIATE_ _D_"),
    ("MOV MOV8ri", "CL", "", "#1", "", "MOV _D_ CL _D_ _IMMEDIATE_ _D_"),
    ("MOV MOV64ri32", "RAX", "", "#18446744073709551584", "", "MOV _D_ RAX _D_ _IMMEDIATE_ _D_"),
    ("NOT NOT64r", "RCX", "", "RCX", "", "NOT _D_ RCX _D_ RCX _D_"),
    ("CMP CMP64mr", "", "EFLAGS", "M A[R14+96] RCX", "", "CMP _D_ EFLAGS _D_ _MEMORY_ @ R14 - _DISPLACEMENT_ RCX _D_"),
    ("CMP CMP64rm", "", "EFLAGS", "M RAX A[RBP-48]", "", "CMP _D_ EFLAGS _D_ _MEMORY_ RAX @ RBP - _DISPLACEMENT_ _D_"),
    ("CMP CMP64ri32", "", "EFLAGS", "R13 #2147483647", "", "CMP _D_ EFLAGS _D_ R13 _IMMEDIATE_ _D_"),
    ("CMP CMP32i32", "", "EFLAGS", "#221", "EAX", "CMP _D_ EFLAGS _D_ _IMMEDIATE_ EAX _D_"),
    ("TEST TEST8rr", "", "EFLAGS", "AL AL", "", "TEST _D_ EFLAGS _D_ AL AL _D_"),
    ("XOR XOR32rr", "EAX", "EFLAGS", "EAX EAX", "", "XOR _D_ EAX EFLAGS _D_ EAX EAX _D_"),
    (
        "ADD ADD64rm", "RDI", "EFLAGS", "M RDI A[RBX+224]", "",
        "ADD _D_ RDI EFLAGS _D_ _MEMORY_ RDI @ RBX - _DISPLACEMENT_ _D_",
    ),
    (
        "ADD ADD32mi8", "M", "EFLAGS", "M A[RAX+92] #18446744073709551615", "",
        "ADD _D_ _MEMORY_ EFLAGS _D_ _MEMORY_ @ RAX - _DISPLACEMENT_ _IMMEDIATE_ _D_",
    ),
    (
        "SUB SUB32rm", "R14D", "EFLAGS", "M R14D A[RBP-56]", "",
        "SUB _D_ R14D EFLAGS _D_ _MEMORY_ R14D @ RBP - _DISPLACEMENT_ _D_",
    ),
    ("SHL SHL64rCL", "RSI", "EFLAGS", "RSI", "CL", "SHL _D_ RSI EFLAGS _D_ RSI CL _D_"),
    ("SHL SHL64ri", "RAX", "EFLAGS", "RAX #5", "", "SHL _D_ RAX EFLAGS _D_ RAX _IMMEDIATE_ _D_"),
    ("MOVZX MOVZX32rm8", "ESI", "", "M A[R8]", "", "MOVZX _D_ ESI _D_ _MEMORY_ @ R8 - _D_"),
    ("MOVSXD MOVSX64rm32", "R13", "", "M A[RBP-260]", "", "MOVSXD _D_ R13 _D_ _MEMORY_ @ RBP - _DISPLACEMENT_ _D_"),
    ("MOVSXD MOVSX64rr32", "RAX", "", "EBX", "", "MOVSXD _D_ RAX _D_ EBX _D_"),
    ("CMOVA CMOVA64rr", "RBX", "", "RBX R8", "EFLAGS", "CMOVA _D_ RBX _D_ RBX R8 EFLAGS _D_"),
    ("MOVAPS MOVAPSrm", "XMM0", "", "M A[RBP-272]", "", "MOVAPS _D_ XMM0 _D_ _MEMORY_ @ RBP - _DISPLACEMENT_ _D_"),
    ("MOVUPS MOVUPSmr", "M", "", "A[RSP+16] XMM1", "", "MOVUPS _D_ _MEMORY_ _D_ @ RSP - _DISPLACEMENT_ XMM1 _D_"),
    ("PUSH PUSH64r", "M", "RSP", "RBP", "RSP", "PUSH _D_ _MEMORY_ RSP _D_ RBP RSP _D_"),
    ("NOP NOOP", "", "", "", "", "NOP _D_ _D_ _D_"),
]  # fmt: skip


@pytest.mark.parametrize("row", FROM_MACHINE_CODE, ids=[row[0] for row in FROM_MACHINE_CODE])
def test_machine_code_has_its_canonical_form(row: tuple[str, ...]) -> None:
    code, *columns, tokens = row
    (decoded,) = decode_block(bytes.fromhex(code))
    assert decoded.instruction == made(*columns)
    assert " ".join(instruction_tokens(decoded.instruction)) == tokens


@pytest.mark.parametrize("row", OLD_FORMS, ids=[row[0] for row in OLD_FORMS])
def test_an_old_form_has_its_tokens_and_survives_a_message(row: tuple[str, ...]) -> None:
    *columns, tokens = row
    instruction = made(*columns)
    names = {"@": "_ADDRESS_", "-": "_NO_REGISTER_"}
    assert list(instruction_tokens(instruction)) == [names.get(token, token) for token in tokens.split()]
    block = BasicBlock((instruction,))
    assert block_from_proto(BasicBlockProto.FromString(block_to_proto(block).SerializeToString())) == block


def test_a_block_knows_where_its_instructions_stand() -> None:
    code = bytes.fromhex("4829d38b44246c8b54246848c1fb034829d04839c3")
    block = BasicBlockProto.FromString(encode_decoded_block(decode_block(code), 100))
    assert [(part.address, part.assembly) for part in block.machine_instructions] == [
        (100, "\tsubq\t%rdx, %rbx"),
        (103, "\tmovl\t108(%rsp), %eax"),
        (107, "\tmovl\t104(%rsp), %edx"),
        (111, "\tsarq\t$3, %rbx"),
        (115, "\tsubq\t%rdx, %rax"),
        (118, "\tcmpq\t%rax, %rbx"),
    ]
