"""Machine code to canonical instructions. First version: canonical form derived from the disassembler's own tables."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from iced_x86 import Decoder, Formatter, FormatterSyntax, InstructionInfoFactory, OpAccess, OpKind, Register
from iced_x86 import Instruction as MachineInstruction

from gematria_ops.blocks.basic_block import AddressTuple, Instruction, InstructionOperand
from ops_common.errors import DataError

CANONICALIZER_VERSION = "LLVM 19.1.7, derived 0"

_CACHE_SIZE = 1 << 17
_MASK64 = (1 << 64) - 1
_REGISTER_NAMES = {value: name for name, value in vars(Register).items() if isinstance(value, int)}
_READS = {OpAccess.READ, OpAccess.COND_READ, OpAccess.READ_WRITE, OpAccess.READ_COND_WRITE}
_WRITES = {OpAccess.WRITE, OpAccess.COND_WRITE, OpAccess.READ_WRITE, OpAccess.READ_COND_WRITE}
_IMMEDIATES = {value for name, value in vars(OpKind).items() if name.startswith("IMMEDIATE")}
_MEMORY = InstructionOperand.from_memory(1)
_info_factory = InstructionInfoFactory()
_formatter = Formatter(FormatterSyntax.GAS)
_formatter.number_base = 10


class UndecodableError(DataError):
    """Bytes that are not x86-64 machine code.

    Attributes:
        offset: Index of the first byte of the instruction that cannot be decoded.
        reason: `truncated` (the code ends within an instruction) or `undecodable`.
    """

    def __init__(self, machine_code: bytes, offset: int, reason: str) -> None:
        super().__init__(
            f"machine code {machine_code.hex()}: instruction at byte {offset} is {reason}",
            "Check that the block is x86-64 code and complete.",
        )
        self.offset = offset
        self.reason = reason


@dataclass(frozen=True, slots=True)
class DecodedInstruction:
    """One decoded instruction: its bytes, its AT&T text and its canonical form."""

    machine_code: bytes
    assembly: str
    instruction: Instruction


def decode_block(machine_code: bytes) -> list[DecodedInstruction]:
    """Decodes all bytes of a block.

    Args:
        machine_code: The block; empty: no instruction.

    Returns:
        The instructions in order; their `machine_code` joined is the input.

    Raises:
        UndecodableError: See its attributes.
    """
    decoded: list[DecodedInstruction] = []
    offset = 0
    for machine in Decoder(64, machine_code):
        code = machine_code[offset : offset + machine.len]
        if machine.is_invalid:
            raise UndecodableError(
                machine_code, offset, "truncated" if offset + machine.len == len(machine_code) else "undecodable"
            )
        if code[0] == 0xF0:
            decoded.append(_lock())
            code = code[1:]
        decoded.append(_decode_one(code))
        offset += machine.len
    return decoded


@functools.cache
def _lock() -> DecodedInstruction:
    return DecodedInstruction(b"\xf0", "\tlock", Instruction("lock", "LOCK_PREFIX"))


@functools.lru_cache(maxsize=_CACHE_SIZE)
def _decode_one(code: bytes) -> DecodedInstruction:
    machine = Decoder(64, code, ip=-len(code) & _MASK64).decode()
    text = _formatter.format(machine).strip()
    mnemonic, _, operands = text.partition(" ")
    return DecodedInstruction(code, f"\t{mnemonic}\t{operands}".rstrip(), _derive(machine, mnemonic))


def _derive(machine: MachineInstruction, mnemonic: str) -> Instruction:
    info = _info_factory.info(machine)
    inputs: list[InstructionOperand] = []
    outputs: list[InstructionOperand] = []
    explicit = set()
    for index in range(machine.op_count):
        access = info.op_access(index)
        if machine.op_kind(index) == OpKind.REGISTER:
            operand = InstructionOperand.from_register(_REGISTER_NAMES[machine.op_register(index)])
            explicit.add(machine.op_register(index))
            outputs.extend([operand] if access in _WRITES else [])
            inputs.extend([operand] if access in _READS else [])
        elif machine.op_kind(index) == OpKind.MEMORY:
            inputs.append(InstructionOperand.from_address(_address(machine)))
            if access in _WRITES:
                outputs.insert(0, _MEMORY)
            if access in _READS:
                inputs.insert(0, _MEMORY)
        elif machine.op_kind(index) == OpKind.NEAR_BRANCH64:
            inputs.append(InstructionOperand.from_immediate_value(machine.near_branch64))
        elif machine.op_kind(index) in _IMMEDIATES:
            inputs.append(InstructionOperand.from_immediate_value(machine.immediate(index) & _MASK64))
    implicit_inputs = tuple(
        InstructionOperand.from_register(_REGISTER_NAMES[used.register])
        for used in info.used_registers()
        if used.access in _READS and used.register not in explicit
    )
    implicit_outputs = tuple(
        InstructionOperand.from_register(_REGISTER_NAMES[used.register])
        for used in info.used_registers()
        if used.access in _WRITES and used.register not in explicit
    )
    if machine.rflags_modified:
        implicit_outputs += (InstructionOperand.from_register("EFLAGS"),)
    if machine.rflags_read:
        implicit_inputs += (InstructionOperand.from_register("EFLAGS"),)
    return Instruction(
        mnemonic.upper() if machine.op_count else mnemonic,
        "",
        (),
        tuple(inputs),
        implicit_inputs,
        tuple(outputs),
        implicit_outputs,
    )


def _address(machine: MachineInstruction) -> AddressTuple:
    displacement = machine.memory_displacement
    if displacement >= 1 << 63:
        displacement -= 1 << 64
    return AddressTuple(
        _name(machine.memory_base),
        displacement,
        _name(machine.memory_index),
        machine.memory_index_scale,
        _name(machine.segment_prefix),
    )


def _name(register: int) -> str:
    return _REGISTER_NAMES[register] if register else ""
