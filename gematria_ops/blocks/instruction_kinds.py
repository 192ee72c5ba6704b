"""What an instruction does besides computing: does it leave the block, does it access memory?

Both are known by LLVM's name of the opcode and by the canonical form, so no disassembler is needed. An instruction
without LLVM's name (see `fallback.py`) is judged by its operands alone.
"""

from __future__ import annotations

import re

from gematria_ops.blocks.basic_block import Instruction, OperandType

# Entries to and exits from the kernel. LLVM calls none of them a call or a return.
SYSTEM_TRANSFERS = frozenset({"INT", "SYSENTER", "SYSEXIT", "SYSEXIT64", "SYSCALL", "SYSRET", "SYSRET64"})

_RETURN = re.compile(r"(RET|RETI|LRET|LRETI|IRET)(16|32|64)|UIRET|ERET[SU]")
_CALL = re.compile(r"CALL64(pcrel32|m|r)|FARCALL(16|32|64)m")
_BRANCH = re.compile(r"(JCC|JMP)_[124]|JMP64[mr]|FARJMP(16|32|64)m|JECXZ|JRCXZ|LOOP|LOOPE|LOOPNE|XBEGIN_[24]")

# Opcodes that load or store although LLVM's description of them does not say so, and the canonical form neither.
_SILENT_ACCESS = re.compile(
    r"(MOVS|STOS|LODS|SCAS|CMPS|INS|OUTS)[BWLQ]|ENTER|(PUSH|POP)[FG]S(16|64)|L[FGS]S(16|32|64)rm|[SL][GI]DT64m|SMSW16m"
    r"|ENQCMDS?64|INV(EPT|PCID|VPID)64|PBNDKB|RMPUPDATE|VMCLEARm|VMPTRLDm|VMPTRSTm|VMXON"
)


def is_return(instruction: Instruction) -> bool:
    """Tells whether an instruction returns: near, far, or from an interrupt."""
    return _RETURN.fullmatch(instruction.llvm_mnemonic) is not None


def is_call(instruction: Instruction) -> bool:
    """Tells whether an instruction calls, near or far."""
    return _CALL.fullmatch(instruction.llvm_mnemonic) is not None


def is_branch(instruction: Instruction) -> bool:
    """Tells whether an instruction jumps, with or without a condition; the beginning of a transaction does, too."""
    return _BRANCH.fullmatch(instruction.llvm_mnemonic) is not None


def leaves_block(instruction: Instruction) -> bool:
    """Tells whether what is executed next may stand elsewhere: returns, calls, branches, system calls, `int n`."""
    is_system = instruction.llvm_mnemonic in SYSTEM_TRANSFERS
    return is_system or is_return(instruction) or is_call(instruction) or is_branch(instruction)


def may_access_memory(instruction: Instruction) -> bool:
    """Tells whether an instruction may load or store.

    That is when LLVM says so (the canonical form then has a memory operand; fences count, too), and for those that
    access memory without LLVM saying so, like string instructions.
    """
    operands = (*instruction.input_operands[:1], *instruction.output_operands[:1])
    if any(operand.type is OperandType.MEMORY for operand in operands):
        return True
    return _SILENT_ACCESS.fullmatch(instruction.llvm_mnemonic) is not None


def is_lone_prefix(instruction: Instruction) -> bool:
    """Tells whether an instruction is a prefix that LLVM decodes as one of its own, for example `lock`."""
    return instruction.llvm_mnemonic.endswith("_PREFIX")
