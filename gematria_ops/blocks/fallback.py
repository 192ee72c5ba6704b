"""A form for codes that the opcode table does not know, from what the disassembler says about operand access.

The table knows every code of the pinned disassembler that its generator has met, so this is for a newer disassembler
and for the few codes that were not met. What it makes is canonical in shape, but LLVM may see details differently:
which registers are implicit, whether an access loads or stores, what the opcode is called (here: nothing).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from gematria_ops.blocks.canonical import OpcodeForm
from gematria_ops.blocks.opcode_table import code_mnemonic


class OperandKind(Enum):
    """What an explicit operand is to the disassembler."""

    REGISTER = "register"
    MEMORY = "memory"
    IMMEDIATE = "immediate"
    POINTER = "pointer"  # the implied memory operand of a string instruction


@dataclass(frozen=True, slots=True)
class OperandAccess:
    """How one explicit operand is used."""

    kind: OperandKind
    is_read: bool
    is_written: bool


def fallback_form(
    code: str, operands: Sequence[OperandAccess], implicit_inputs: Sequence[str], implicit_outputs: Sequence[str]
) -> OpcodeForm:
    """Derives a form by the rules of the canonical form alone.

    Memory comes first on the side that accesses it, the address is an input, a register is listed on each side that
    uses it, immediates are inputs.

    Args:
        code: The disassembler's name of the code.
        operands: The explicit operands in order.
        implicit_inputs: Names of the registers that are read without being an operand.
        implicit_outputs: Names of the registers that are written without being an operand.
    """
    outputs: list[str] = []
    inputs: list[str] = []
    for index, operand in enumerate(operands):
        if operand.kind is OperandKind.MEMORY:
            inputs.append("addr")
        elif operand.kind is OperandKind.IMMEDIATE:
            inputs.append(f"{index}s")
        elif operand.kind is OperandKind.POINTER:
            inputs.append(str(index))
        else:
            outputs += [str(index)] if operand.is_written else []
            inputs += [str(index)] if operand.is_read else []
    memory = [operand for operand in operands if operand.kind is OperandKind.MEMORY]
    if any(operand.is_read for operand in memory):
        inputs.insert(0, "mem")
    if any(operand.is_written for operand in memory):
        outputs.insert(0, "mem")
    mnemonic = code_mnemonic(code)
    return OpcodeForm(
        "",
        mnemonic if operands else mnemonic.lower(),
        tuple(outputs),
        tuple(implicit_outputs),
        tuple(inputs),
        tuple(implicit_inputs),
    )
