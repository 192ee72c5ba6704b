"""From the operands of a machine instruction to its canonical form, by a form that says what goes where.

A form belongs to one opcode of LLVM. Its lists hold *slots*, which the opcode table writes as short words:

    mem          a memory access
    addr         the address computation
    disp         an absolute address, as an immediate
    0 ... 4      a register operand, by its place in the disassembler's operands
    0w 0d ...    the same register, but named as 16 or 32 bits wide
    0p ...       the pair of mask registers that begins with an even one
    0s 0u ...    an immediate operand, sign-extended or zero-extended from its encoded width
    k            the mask register of AVX-512
    rc           the rounding mode of AVX-512, as an immediate
    seg          the segment override, if there is one
    #4           an immediate that the opcode implies, such as a condition code
    RDI          a register that the opcode implies, but that LLVM lists as an explicit operand

Specification sections 3.3 and 3.4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from gematria_ops.blocks.basic_block import AddressTuple, Instruction, InstructionOperand

_MASK64 = (1 << 64) - 1
# All memory of a block is assumed to overlap, so there is one alias group.
_MEMORY = InstructionOperand.from_memory(1)

# Printed in the place of the immediate of a comparison; index = immediate.
# fmt: off
_FLOAT_PREDICATES = (
    "EQ", "LT", "LE", "UNORD", "NEQ", "NLT", "NLE", "ORD",
    "EQ_UQ", "NGE", "NGT", "FALSE", "NEQ_OQ", "GE", "GT", "TRUE",
    "EQ_OS", "LT_OQ", "LE_OQ", "UNORD_S", "NEQ_US", "NLT_UQ", "NLE_UQ", "ORD_S",
    "EQ_US", "NGE_UQ", "NGT_UQ", "FALSE_OS", "NEQ_OS", "GE_OQ", "GT_OQ", "TRUE_US",
)
# fmt: on
PREDICATES: dict[str, Sequence[str]] = {
    "CMP": _FLOAT_PREDICATES[:8],
    "VCMP": _FLOAT_PREDICATES,
    # LLVM has no names for the predicates 3 (false) and 7 (true).
    "VPCMP": ("EQ", "LT", "LE", "", "NEQ", "NLT", "NLE", ""),
    "VPCOM": ("LT", "LE", "GT", "GE", "EQ", "NEQ", "FALSE", "TRUE"),
}
# Stands in the mnemonic of a form where LLVM prints the predicate.
PREDICATE_MARK = "*"


class MachineOperands(Protocol):
    """The operands of one machine instruction; `decoding.py` reads them from the disassembler."""

    def register(self, index: int) -> str:
        """Names the register of an operand in LLVM's spelling."""

    def immediate(self, index: int) -> tuple[int, int]:
        """Gives an immediate or branch displacement and the number of bits that encode it."""

    def address(self) -> AddressTuple:
        """Gives the address computation."""

    def absolute_address(self) -> int:
        """Gives the address that an absolute move encodes."""

    def mask(self) -> str:
        """Names the mask register."""

    def rounding(self) -> int:
        """Gives LLVM's number of the rounding mode."""

    def segment(self) -> str:
        """Names the segment override; empty: none."""


class _NoOperands:
    """An instruction without operands."""

    def register(self, index: int) -> str:
        raise LookupError(index)

    def immediate(self, index: int) -> tuple[int, int]:
        raise LookupError(index)

    def address(self) -> AddressTuple:
        raise LookupError("address")

    def absolute_address(self) -> int:
        raise LookupError("absolute address")

    def mask(self) -> str:
        raise LookupError("mask")

    def rounding(self) -> int:
        raise LookupError("rounding")

    def segment(self) -> str:
        return ""


NO_OPERANDS: MachineOperands = _NoOperands()

Slot = Callable[[MachineOperands], InstructionOperand | None]


@cache
def register_operand(name: str) -> InstructionOperand:
    """Makes the operand of a register; there are few, so each is made once and shared."""
    return InstructionOperand.from_register(name)


@cache
def _small_immediate(value: int) -> InstructionOperand:
    return InstructionOperand.from_immediate_value(value & _MASK64)


def _immediate_operand(value: int) -> InstructionOperand:
    if -128 <= value <= 255:
        return _small_immediate(value)
    return InstructionOperand.from_immediate_value(value & _MASK64)


def _signed(value: int, num_bits: int) -> int:
    value &= (1 << num_bits) - 1
    return value - (1 << num_bits) if value >> (num_bits - 1) else value


def _unsigned(value: int, num_bits: int) -> int:
    return value & ((1 << num_bits) - 1)


def _segment(operands: MachineOperands) -> InstructionOperand | None:
    name = operands.segment()
    return register_operand(name) if name else None


_NAMED_SLOTS: dict[str, Slot] = {
    "mem": lambda _: _MEMORY,
    "addr": lambda operands: InstructionOperand.from_address(operands.address()),
    "disp": lambda operands: _immediate_operand(operands.absolute_address()),
    "k": lambda operands: register_operand(operands.mask()),
    "rc": lambda operands: _immediate_operand(operands.rounding()),
    "seg": _segment,
}


@cache
def slot(word: str) -> Slot:
    """Reads one word of the opcode table; see the top of this file.

    Args:
        word: The word.

    Returns:
        A function from the operands of an instruction to the operand for the slot, or to None for an empty slot.
    """
    if word in _NAMED_SLOTS:
        return _NAMED_SLOTS[word]
    if word.startswith("#"):
        constant = _immediate_operand(int(word[1:]))
        return lambda _: constant
    if not word[0].isdigit():
        register = register_operand(word)
        return lambda _: register
    return _indexed_slot(int(word[0]), word[1:])


def _indexed_slot(index: int, kind: str) -> Slot:
    if kind == "s":
        return lambda operands: _immediate_operand(_signed(*operands.immediate(index)))
    if kind == "u":
        return lambda operands: _immediate_operand(_unsigned(*operands.immediate(index)))
    if kind in ("w", "d"):
        names = _NARROW_NAMES[kind]
        return lambda operands: register_operand(names[operands.register(index)])
    if kind == "p":
        return lambda operands: register_operand(_MASK_PAIRS[operands.register(index)])
    return lambda operands: register_operand(operands.register(index))


def _narrow_names() -> dict[str, dict[str, str]]:
    """Maps the general registers of any width above 8 bits to their 16-bit (w) and 32-bit (d) names."""
    names: dict[str, dict[str, str]] = {"w": {}, "d": {}}
    for short in ("AX", "CX", "DX", "BX", "SP", "BP", "SI", "DI"):
        for wide in (short, f"E{short}", f"R{short}"):
            names["w"][wide], names["d"][wide] = short, f"E{short}"
    for number in range(8, 16):
        for wide in (f"R{number}W", f"R{number}D", f"R{number}"):
            names["w"][wide], names["d"][wide] = f"R{number}W", f"R{number}D"
    return names


_NARROW_NAMES = _narrow_names()
_MASK_PAIRS = {f"K{number}": f"K{number & 6}_K{number | 1}" for number in range(8)}


@dataclass(frozen=True, slots=True)
class OpcodeForm:
    """How the canonical form of one LLVM opcode is made.

    Attributes:
        llvm_mnemonic: LLVM's name of the opcode.
        mnemonic: As printed: lower case when nothing is printed after it. May hold `PREDICATE_MARK`.
        outputs: Slots of the explicit outputs.
        implicit_outputs: Registers.
        inputs: Slots of the explicit inputs.
        implicit_inputs: Registers.
    """

    llvm_mnemonic: str
    mnemonic: str
    outputs: tuple[str, ...] = ()
    implicit_outputs: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    implicit_inputs: tuple[str, ...] = ()


def canonicalize(form: OpcodeForm, operands: MachineOperands, prefixes: tuple[str, ...] = ()) -> Instruction:
    """Fills a form with the operands of one instruction.

    Args:
        form: The form of its opcode.
        operands: Its operands.
        prefixes: What is printed before the mnemonic, in upper case. What is not a prefix by the rules of the
            canonical form (`ADDR32`) takes the place of the mnemonic.

    Returns:
        The instruction in canonical form.
    """
    inputs = _fill(form.inputs, operands)
    mnemonic = form.mnemonic
    if PREDICATE_MARK in mnemonic:
        mnemonic = _with_predicate(mnemonic, inputs)
    if prefixes:
        prefixes, mnemonic = _printed_mnemonic((*prefixes, mnemonic.upper()))
    return Instruction(
        mnemonic,
        form.llvm_mnemonic,
        prefixes,
        inputs,
        _registers(form.implicit_inputs),
        _fill(form.outputs, operands),
        _registers(form.implicit_outputs),
    )


def _fill(words: tuple[str, ...], operands: MachineOperands) -> tuple[InstructionOperand, ...]:
    return tuple([operand for word in words if (operand := slot(word)(operands)) is not None])


@cache
def _registers(names: tuple[str, ...]) -> tuple[InstructionOperand, ...]:
    return tuple(register_operand(name) for name in names)


_PREFIX_NAMES = frozenset({"REP", "LOCK", "REPNE", "REPE"})


def _printed_mnemonic(words: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """Splits what is printed before the operands: prefixes, then the first word that is none; it may be missing."""
    for index, word in enumerate(words):
        if word not in _PREFIX_NAMES:
            return words[:index], word
    return words, ""


def _with_predicate(mnemonic: str, inputs: tuple[InstructionOperand, ...]) -> str:
    """Puts the name of the predicate into the mnemonic, if it has one; the predicate is the last immediate."""
    stem, _, suffix = mnemonic.partition(PREDICATE_MARK)
    names = PREDICATES[stem]
    value = next(operand.immediate_value for operand in reversed(inputs) if operand.immediate_value is not None)
    return stem + (names[value] if value < len(names) else "") + suffix
