"""Which registers a block needs a value in before it runs, and which it leaves alone. Specification section 4.6.

General registers are named by their 64 bits, vectors by the widest name that the block reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from gematria_ops.blocks.basic_block import Instruction, InstructionOperand

# In the order in which LLVM hands them out. Not RSP: a loop counter in the stack pointer would leave no stack.
LOOP_REGISTERS = "RAX RCX RDX RSI RDI R8 R9 R10 R11 RBX R14 R15 R12 R13 RBP".split()  # noqa: SIM905
GENERAL_REGISTERS = frozenset({*LOOP_REGISTERS, "RSP"})

_VECTOR = re.compile(r"([XYZ])MM([0-9]+)")
_MASK_PAIR = re.compile(r"(K[0-9])_(K[0-9])")
_NUMBERED = re.compile(r"([A-Z_]+)([0-9]+)")
_STRING_OPCODE = re.compile(r"(MOVS|STOS|LODS|SCAS|CMPS|INS|OUTS)[BWLQ]")


def _parts_of_general_registers() -> dict[str, tuple[str, int]]:
    """Maps every name of a part of a general register to the register and the number of bits that a write defines."""
    parts: dict[str, tuple[str, int]] = {}
    for letters in ("AX", "BX", "CX", "DX"):
        parts[f"{letters[0]}L"] = parts[f"{letters[0]}H"] = f"R{letters}", 8
    for letters in ("SP", "BP", "SI", "DI"):
        parts[f"{letters}L"] = f"R{letters}", 8
    for letters in ("AX", "BX", "CX", "DX", "SP", "BP", "SI", "DI"):
        parts |= {letters: (f"R{letters}", 16), f"E{letters}": (f"R{letters}", 32), f"R{letters}": (f"R{letters}", 64)}
    for number in range(8, 16):
        name = f"R{number}"
        parts |= {f"{name}B": (name, 8), f"{name}W": (name, 16), f"{name}D": (name, 32), name: (name, 64)}
    return parts


_GENERAL_PARTS = _parts_of_general_registers()


def registers_read_first(instructions: Iterable[Instruction]) -> tuple[str, ...]:
    """Lists the registers that a block reads before it has written all of them.

    A write of 8 or 16 bits does not count as a definition of the register, one of 32 bits does: it clears the rest. A
    write of a narrow vector does not define a wider one.

    Args:
        instructions: The block.

    Returns:
        LLVM's names in LLVM's order: `RCX` before `RSI`, both before `R8`.
    """
    defined: set[str] = set()
    read_first: set[str] = set()
    for instruction in instructions:
        for name in registers_read(instruction):
            register = _wide_name(name)
            if register not in defined:
                read_first.add(register)
        for name in registers_written(instruction):
            defined.update(_defined_by(name))
    return tuple(sorted(_widest(read_first), key=_llvm_order))


def untouched_register(instructions: Iterable[Instruction]) -> str | None:
    """Finds a general register that a block neither reads nor writes, not even in part.

    Args:
        instructions: The block.

    Returns:
        The first of `LOOP_REGISTERS`, or None when the block uses them all.
    """
    touched: set[str] = set()
    for instruction in instructions:
        touched.update(map(_wide_name, (*registers_read(instruction), *registers_written(instruction))))
        if _STRING_OPCODE.fullmatch(instruction.llvm_mnemonic) and instruction.prefixes:
            touched.add("RCX")  # counts the repetitions, though LLVM does not list it
    return next((register for register in LOOP_REGISTERS if register not in touched), None)


def registers_read(instruction: Instruction) -> Iterator[str]:
    """Yields the registers that an instruction reads, also to compute an address."""
    for operand in (*instruction.input_operands, *instruction.implicit_input_operands):
        yield from _registers_of(operand)


def registers_written(instruction: Instruction) -> Iterator[str]:
    """Yields the registers that an instruction writes."""
    for operand in (*instruction.output_operands, *instruction.implicit_output_operands):
        yield from _registers_of(operand)


def _registers_of(operand: InstructionOperand) -> Sequence[str]:
    if operand.register_name is not None:
        pair = _MASK_PAIR.fullmatch(operand.register_name)
        return pair.groups() if pair else (operand.register_name,)
    if operand.address is not None:
        address = operand.address
        names = (address.base_register, address.index_register, address.segment_register)
        return [name for name in names if name]
    return ()


def _wide_name(name: str) -> str:
    return _GENERAL_PARTS[name][0] if name in _GENERAL_PARTS else name


def _defined_by(name: str) -> Sequence[str]:
    """Names what has a known value once this register was written."""
    if name in _GENERAL_PARTS:
        register, num_bits = _GENERAL_PARTS[name]
        return (register,) if num_bits >= 32 else ()
    vector = _VECTOR.fullmatch(name)
    if vector is None:
        return (name,)
    letters = "XYZ"[: "XYZ".index(vector[1]) + 1]
    return [f"{letter}MM{vector[2]}" for letter in letters]


def _widest(names: set[str]) -> Iterator[str]:
    """Leaves out the vectors of which a wider part is there, too."""
    for name in names:
        vector = _VECTOR.fullmatch(name)
        wider = [] if vector is None else [letter for letter in "XYZ" if letter > vector[1]]
        if vector is None or not any(f"{letter}MM{vector[2]}" in names for letter in wider):
            yield name


def _llvm_order(name: str) -> tuple[bool, str, int]:
    """Sorts as LLVM numbers its registers: by name, but those with a number in it behind all others."""
    numbered = _NUMBERED.fullmatch(name)
    return (True, numbered[1], int(numbered[2])) if numbered else (False, name, 0)
