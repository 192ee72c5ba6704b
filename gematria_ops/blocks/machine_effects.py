"""What each instruction of a block does to registers and memory on a processor, as the disassembler knows it.

This is about execution and not about LLVM's view: a `lock` belongs to the instruction that follows it. Values are not
computed here; `data/static_machine.py` does that as far as it can be done.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

# The heavy library that this file is for; nothing imports this file before blocks are to be looked at.
import iced_x86  # noqa: TID253
from iced_x86 import (  # noqa: TID253
    CodeSize,
    Decoder,
    EncodingKind,
    FlowControl,
    InstructionInfoFactory,
    MemorySizeExt,
    OpAccess,
    OpKind,
    Register,
    RegisterExt,
    UsedMemory,
)
from iced_x86 import Instruction as MachineInstruction  # noqa: TID253

from gematria_ops.blocks.register_use import GENERAL_REGISTERS

if TYPE_CHECKING:
    from iced_x86._iced_x86_py import Register as RegisterNumber  # what the module of this name is not

_WRITES = frozenset({OpAccess.WRITE, OpAccess.COND_WRITE, OpAccess.READ_WRITE, OpAccess.READ_COND_WRITE})
_READS = frozenset({OpAccess.READ, OpAccess.COND_READ, OpAccess.READ_WRITE, OpAccess.READ_COND_WRITE})
_REGISTER_NAMES = {value: name for name, value in vars(Register).items() if isinstance(value, int)}
_MNEMONICS = {value: name.lower() for name, value in vars(iced_x86.Mnemonic).items() if isinstance(value, int)}
_HIGH_BYTES = frozenset({"AH", "BH", "CH", "DH"})
_SEGMENTS = frozenset({"CS", "DS", "ES", "SS", "FS", "GS"})
_IMMEDIATES = frozenset(value for name, value in vars(OpKind).items() if name.startswith("IMMEDIATE"))

# Fault on an address that is not a multiple of what they move, in every encoding.
_ALIGNED_MOVES = frozenset(
    f"{prefix}{name}"
    for prefix in ("", "v")
    for name in "movaps movapd movdqa movdqa32 movdqa64 movntps movntpd movntdq movntdqa".split()  # noqa: SIM905
)
# The only ones without VEX that may access 16 bytes anywhere.
_UNALIGNED = frozenset("movups movupd movdqu lddqu maskmovdqu pcmpestri pcmpestrm pcmpistri pcmpistrm".split())  # noqa: SIM905
_ALWAYS_ALIGNED = frozenset({"cmpxchg16b", "fxsave", "fxsave64", "fxrstor", "fxrstor64"})


class Hazard(StrEnum):
    """Why nobody can say what an instruction does without executing it, or why it cannot be executed at all."""

    UNDECODABLE = "undecodable"
    CONTROL_FLOW = "control_flow"
    PRIVILEGED = "privileged"
    RELATIVE_TO_CODE = "relative_to_code"
    REPEATED_STRING = "repeated_string"


class RegisterPart(NamedTuple):
    """A register, or a part of one.

    Attributes:
        name: The whole register, for example `RAX`.
        num_bytes: How much of it.
        is_high: Whether it is the second byte, as with `AH`.
    """

    name: str
    num_bytes: int
    is_high: bool = False


class Memory(NamedTuple):
    """One access.

    Attributes:
        segment: `FS` or `GS`; empty for the segments that begin at 0.
        base_register: Or None.
        index_register: Or None.
        scale: The factor of the index register.
        displacement: Unsigned, 64 bits.
        address_bits: How many bits of the sum count.
        num_bytes: Length of the access; 0: not known.
        alignment: What the address must be a multiple of.
        is_read: Whether it may load.
        is_written: Whether it may store.
    """

    segment: str
    base_register: RegisterPart | None
    index_register: RegisterPart | None
    scale: int
    displacement: int
    address_bits: int
    num_bytes: int
    alignment: int
    is_read: bool
    is_written: bool


class MachineEffect(NamedTuple):
    """What one instruction does.

    Attributes:
        mnemonic: In lower case.
        operands: The operands in Intel's order: part of a register, immediate (unsigned, 64 bits), the access of a
            memory operand, or the address that LEA computes; None for anything else.
        accesses: All accesses, those of the stack and of string instructions included.
        written: The general and segment registers that may change.
        stack_increment: What is added to the stack pointer by pushes and pops.
        is_plain: Whether all of the result is stored; a mask of AVX-512 prevents that.
        hazard: Why the rest says too little; None: it does not.
    """

    mnemonic: str
    operands: tuple[RegisterPart | Memory | int | None, ...]
    accesses: tuple[Memory, ...]
    written: frozenset[str]
    stack_increment: int
    is_plain: bool
    hazard: Hazard | None


def machine_effects(machine_code: bytes) -> tuple[MachineEffect, ...]:
    """Describes the instructions of a block; a code that is none has the hazard `UNDECODABLE` and is the last."""
    return tuple(map(_effect, Decoder(64, machine_code)))


_information = InstructionInfoFactory()


def _effect(machine: MachineInstruction) -> MachineEffect:
    information = _information.info(machine)
    mnemonic = _MNEMONICS[machine.mnemonic]
    accesses = tuple(
        _memory(used, machine) for used in information.used_memory() if used.access != OpAccess.NO_MEM_ACCESS
    )
    changed = (used.register for used in information.used_registers() if used.access in _WRITES)
    written = frozenset(_REGISTER_NAMES[RegisterExt.full_register(register)] for register in changed)
    return MachineEffect(
        mnemonic,
        tuple(_operand(machine, index, accesses) for index in range(machine.op_count)),
        accesses,
        written & (GENERAL_REGISTERS | _SEGMENTS),
        machine.stack_pointer_increment,
        not machine.op_mask,
        _hazard(machine, written, bool(accesses)),
    )


def _hazard(machine: MachineInstruction, written: frozenset[str], has_accesses: bool) -> Hazard | None:
    if machine.is_invalid:
        return Hazard.UNDECODABLE
    if machine.flow_control != FlowControl.NEXT:
        return Hazard.CONTROL_FLOW
    if machine.is_privileged or not written.isdisjoint(_SEGMENTS):
        return Hazard.PRIVILEGED
    if has_accesses and machine.is_ip_rel_memory_operand:
        return Hazard.RELATIVE_TO_CODE
    if machine.is_string_instruction and (machine.has_rep_prefix or machine.has_repne_prefix):
        return Hazard.REPEATED_STRING
    return None


def _operand(
    machine: MachineInstruction, index: int, accesses: tuple[Memory, ...]
) -> RegisterPart | Memory | int | None:
    kind = machine.op_kind(index)
    if kind == OpKind.REGISTER:
        return _register_part(machine.op_register(index))
    if kind in _IMMEDIATES:
        return int(machine.immediate(index))
    if kind != OpKind.MEMORY:
        return None
    # The disassembler lists the access of the written operand before those of the stack.
    return accesses[0] if accesses else _computed_address(machine)


def _computed_address(machine: MachineInstruction) -> Memory | None:
    """Returns the address that LEA computes without an access; None when it depends on where the code stands."""
    if machine.is_ip_rel_memory_operand:
        return None
    base = _register_part(machine.memory_base) if machine.memory_base else None
    index = _register_part(machine.memory_index) if machine.memory_index else None
    is_short = any(part is not None and part.num_bytes == 4 for part in (base, index))
    scale, displacement = machine.memory_index_scale, machine.memory_displacement
    return Memory("", base, index, scale, displacement, 32 if is_short else 64, 0, 1, False, False)


def _register_part(register: RegisterNumber) -> RegisterPart:
    name = _REGISTER_NAMES[register]
    full = _REGISTER_NAMES[RegisterExt.full_register(register)]
    return RegisterPart(full, RegisterExt.size(register), name in _HIGH_BYTES)


def _memory(used: UsedMemory, machine: MachineInstruction) -> Memory:
    segment = _REGISTER_NAMES[used.segment]
    num_bytes = MemorySizeExt.size(used.memory_size)
    return Memory(
        segment if segment in ("FS", "GS") else "",
        _register_part(used.base) if used.base else None,
        _register_part(used.index) if used.index else None,
        used.scale,
        used.displacement,
        32 if used.address_size == CodeSize.CODE32 else 64,
        num_bytes,
        _alignment(machine, num_bytes),
        used.access in _READS,
        used.access in _WRITES,
    )


def _alignment(machine: MachineInstruction, num_bytes: int) -> int:
    mnemonic = _MNEMONICS[machine.mnemonic]
    if mnemonic in _ALWAYS_ALIGNED:
        return 16
    is_vector = any(
        machine.op_kind(index) == OpKind.REGISTER and RegisterExt.is_vector_register(machine.op_register(index))
        for index in range(machine.op_count)
    )
    if not is_vector:
        return 1
    if mnemonic in _ALIGNED_MOVES:
        return num_bytes
    is_legacy = machine.encoding == EncodingKind.LEGACY and num_bytes == 16
    return 16 if is_legacy and mnemonic not in _UNALIGNED else 1
