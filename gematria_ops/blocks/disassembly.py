"""Machine code to opcode and operands; the one file that knows the disassembler, iced-x86.

Prefixes are read by `prefixes.py`, as LLVM reads them. The disassembler gets the instruction with the prefixes that
select it, so that it need not agree with LLVM about all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

# The heavy library that this file is for; nothing but `decoding.py` and the table generator imports this file.
import iced_x86  # noqa: TID253
from iced_x86 import (  # noqa: TID253
    Decoder,
    DecoderError,
    DecoderOptions,
    EncodingKind,
    Formatter,
    FormatterSyntax,
    InstructionInfoFactory,
    OpAccess,
    OpKind,
)
from iced_x86 import Instruction as MachineInstruction  # noqa: TID253

from gematria_ops.blocks.basic_block import AddressTuple
from gematria_ops.blocks.canonical import NO_OPERANDS, MachineOperands, OpcodeForm
from gematria_ops.blocks.fallback import OperandAccess, OperandKind, fallback_form
from gematria_ops.blocks.prefixes import (
    ADDRESS_SIZE,
    CONTROL_MOVES,
    LEGACY_PREFIXES,
    OpcodePosition,
    PrefixReading,
    find_opcode,
    has_short_displacement,
    is_address_size_opcode,
    lone_prefix_index,
    lone_prefix_name,
    printed_prefixes,
    read_prefixes,
    selecting_prefixes,
)

_MAX_LENGTH = 15
_MASK64 = (1 << 64) - 1


_READS = {OpAccess.READ, OpAccess.COND_READ, OpAccess.READ_WRITE, OpAccess.READ_COND_WRITE}
_WRITES = {OpAccess.WRITE, OpAccess.COND_WRITE, OpAccess.READ_WRITE, OpAccess.READ_COND_WRITE}
_SYSTEM_REGISTER_MOVES = ("MOV_R64_CR", "MOV_CR", "MOV_R64_DR", "MOV_DR", "MOV_SREG")


def _members(values: object) -> dict[str, int]:
    return {name: value for name, value in vars(values).items() if isinstance(value, int) and name[0].isupper()}


# LLVM's names where they differ: R8B for the low byte of R8; no register has no name.
_REGISTER_NAMES = {
    value: "" if value == 0 else f"{name[:-1]}B" if name[0] == "R" and name[-1] == "L" else name
    for name, value in _members(iced_x86.Register).items()
}
_CODE_NAMES = {value: name for name, value in _members(iced_x86.Code).items()}
_IMMEDIATE_BITS: dict[int, int] = {
    OpKind.IMMEDIATE8: 8,
    OpKind.IMMEDIATE8_2ND: 8,
    OpKind.IMMEDIATE16: 16,
    OpKind.IMMEDIATE32: 32,
    OpKind.IMMEDIATE64: 64,
    OpKind.IMMEDIATE8TO16: 8,
    OpKind.IMMEDIATE8TO32: 8,
    OpKind.IMMEDIATE8TO64: 8,
    OpKind.IMMEDIATE32TO64: 32,
}
_NEAR_BRANCHES: dict[int, int] = {OpKind.NEAR_BRANCH16: 16, OpKind.NEAR_BRANCH32: 32, OpKind.NEAR_BRANCH64: 64}
_POINTERS: dict[int, str] = {
    OpKind.MEMORY_ESEDI: "EDI",
    OpKind.MEMORY_SEG_EDI: "EDI",
    OpKind.MEMORY_SEG_ESI: "ESI",
    OpKind.MEMORY_ESRDI: "RDI",
    OpKind.MEMORY_SEG_RDI: "RDI",
    OpKind.MEMORY_SEG_RSI: "RSI",
}
_POINTERS_32 = {kind for kind, name in _POINTERS.items() if name.startswith("E")}


def _gas_formatter() -> Formatter:
    formatter = Formatter(FormatterSyntax.GAS)
    formatter.number_base = 10
    formatter.gas_show_mnemonic_size_suffix = True
    formatter.space_after_operand_separator = True
    formatter.rip_relative_addresses = True
    formatter.signed_immediate_operands = True
    formatter.show_branch_size = False
    formatter.use_pseudo_ops = False
    return formatter


_formatter = _gas_formatter()


class CannotDecodeError(Exception):
    """The bytes at hand do not begin with an instruction; the argument is the reason."""


class MachineReading(NamedTuple):
    """The first instruction of some machine code, before its canonical form is known.

    Attributes:
        code: What the opcode table knows it by.
        variant: The letters of its variant.
        operands: Its operands.
        prefixes: What LLVM prints before the mnemonic.
        num_bytes: Its length.
        machine: What the disassembler decoded; None for a prefix that stands alone.
    """

    code: str
    variant: str
    operands: MachineOperands
    prefixes: tuple[str, ...]
    num_bytes: int
    machine: MachineInstruction | None = None


def read_machine_instruction(code: bytes) -> MachineReading:
    """Reads the first instruction of some machine code.

    Args:
        code: At least one byte; what follows the first instruction hardly matters (see `PrefixReading`).

    Returns:
        The instruction. LLVM may still refuse it.

    Raises:
        CannotDecodeError: There is none; the argument is `truncated` or `undecodable`.
    """
    reading = read_prefixes(code)
    prefix_index = lone_prefix_index(code, reading)
    if prefix_index is not None:
        name = lone_prefix_name(code[prefix_index], reading)
        rest = code[prefix_index:]
        prefixes = printed_prefixes(reading, OpcodePosition(rest[:1], 1, 0, False))
        if reading.has_address_size:
            prefixes += ("ADDR32",)
        return MachineReading(name, "r", NO_OPERANDS, prefixes, prefix_index + 1)
    rest = code[reading.num_bytes :]
    position = find_opcode(rest)
    selecting = selecting_prefixes(reading, position)
    has_short_jump = has_short_displacement(reading, position)
    if has_short_jump and position.rex:
        # The 66 counts in spite of REX.W, and no other bit of REX means anything to a jump.
        rest = b"\x40" + rest[1:]
        position = find_opcode(rest)
    machine = _disassemble(selecting + rest[:_MAX_LENGTH], has_short_jump)
    if machine is None and len(position.opcode) > 1:
        # A prefix that selects nothing is as good as none to LLVM.
        selecting = bytes(byte for byte in selecting if byte == ADDRESS_SIZE)
        machine = _disassemble(selecting + rest[:_MAX_LENGTH], False)
    if machine is None or (position.opcode in CONTROL_MOVES and rest[position.modrm_index] < 0xC0):
        raise CannotDecodeError("undecodable")
    kinds = [machine.op_kind(index) for index in range(machine.op_count)]
    operands = _IcedOperands(machine, kinds, rest, position, reading)
    prefixes = printed_prefixes(reading, position)
    if reading.has_address_size and not operands.has_32bit_address():
        prefixes += ("ADDR32",)
    return MachineReading(
        _CODE_NAMES[machine.code],
        _variant(machine, kinds, reading, position.rex),
        operands,
        prefixes,
        reading.num_bytes + machine.len - len(selecting),
        machine,
    )


def gas_text(reading: MachineReading) -> str:
    """Writes an instruction in GNU syntax, without the prefixes that LLVM prints and without a segment override."""
    return _formatter.format(reading.machine) if reading.machine else ""


def disassembler_form(reading: MachineReading) -> OpcodeForm | None:
    """Derives a form from what the disassembler knows of operand access; None for a prefix that stands alone."""
    machine = reading.machine
    if machine is None:
        return None
    info = InstructionInfoFactory().info(machine)
    operands = []
    explicit = set()
    for index in range(machine.op_count):
        kind = machine.op_kind(index)
        access = info.op_access(index)
        name = OperandKind.IMMEDIATE
        if kind == OpKind.REGISTER:
            name = OperandKind.REGISTER
            explicit.add(machine.op_register(index))
        elif kind == OpKind.MEMORY:
            name = OperandKind.MEMORY
            explicit |= {machine.memory_base, machine.memory_index}
        elif kind in _POINTERS:
            name = OperandKind.POINTER
        operands.append(OperandAccess(name, access in _READS, access in _WRITES))
    used = [item for item in info.used_registers() if item.register not in explicit]
    reads = [_REGISTER_NAMES[item.register] for item in used if item.access in _READS]
    writes = [_REGISTER_NAMES[item.register] for item in used if item.access in _WRITES]
    reads += ["EFLAGS"] if machine.rflags_read else []
    writes += ["EFLAGS"] if machine.rflags_modified else []
    return fallback_form(reading.code, operands, reads, writes)


def _disassemble(code: bytes, has_short_displacement: bool) -> MachineInstruction | None:
    """Decodes one instruction; None if there is no such instruction. Raises CannotDecodeError if bytes are missing."""
    options = DecoderOptions.AMD if has_short_displacement else DecoderOptions.NONE
    decoder = Decoder(64, code, options)
    machine = decoder.decode()
    if machine.is_invalid:
        if decoder.last_error == DecoderError.NO_MORE_BYTES:
            raise CannotDecodeError("truncated" if _can_be_completed(code) else "undecodable")
        options |= DecoderOptions.NO_INVALID_CHECK
        machine = Decoder(64, code, options).decode()
        if machine.is_invalid or not _is_lenient(machine):
            return None
    if machine.is_ip_rel_memory_operand or machine.op0_kind in _NEAR_BRANCHES:
        # At this address the target of a branch, or what is relative to the instruction pointer, is the displacement.
        return Decoder(64, code, options, ip=-machine.len & _MASK64).decode()
    return machine


def _can_be_completed(code: bytes) -> bool:
    """Tells whether code that ends too early begins some instruction: the disassembler reads ModR/M of all opcodes."""
    num_missing = _MAX_LENGTH - len(code)
    guesses = (code + bytes([modrm]) + bytes(num_missing) for modrm in range(0, 256, 8))
    is_prefix_alone = not find_opcode(code.lstrip(bytes(LEGACY_PREFIXES))).opcode
    return is_prefix_alone or any(not Decoder(64, guess).decode().is_invalid for guess in guesses)


def _is_lenient(machine: MachineInstruction) -> bool:
    """Tells whether LLVM accepts an instruction that a processor refuses because of its registers.

    These name a register twice that has to differ from the others, or a control or segment register that is reserved.
    """
    opcode = machine.op_code()
    if opcode.requires_unique_reg_nums or opcode.requires_unique_dest_reg_num:
        return bool(machine.memory_index) or not machine.is_vsib
    return _CODE_NAMES[machine.code].startswith(_SYSTEM_REGISTER_MOVES)


def _variant(machine: MachineInstruction, kinds: Sequence[int], reading: PrefixReading, rex: int) -> str:
    """Names the variant of the code, in the letters of the opcode table."""
    letters = "m" if OpKind.MEMORY in kinds else "r"
    if machine.encoding == EncodingKind.EVEX:
        letters += "b" if machine.is_broadcast else ""
        if machine.op_mask:
            letters += "z" if machine.zeroing_masking else "k"
        if machine.rounding_control:
            letters += "R"
        elif machine.suppress_all_exceptions:
            letters += "s"
    if reading.has_operand_size:
        letters += "w" if rex & 8 else "o"
    if reading.has_address_size:
        letters += "a"
    return letters


class _IcedOperands:
    """The operands of an instruction that iced-x86 has decoded; implements `canonical.MachineOperands`."""

    __slots__ = ("_code", "_kinds", "_machine", "_position", "_reading")

    def __init__(
        self,
        machine: MachineInstruction,
        kinds: Sequence[int],
        code: bytes,
        position: OpcodePosition,
        reading: PrefixReading,
    ) -> None:
        self._machine = machine
        self._kinds = kinds
        self._code = code
        self._position = position
        self._reading = reading

    def register(self, index: int) -> str:
        kind = self._kinds[index]
        if kind == OpKind.REGISTER:
            return _REGISTER_NAMES[self._machine.op_register(index)]
        return _POINTERS[kind]

    def immediate(self, index: int) -> tuple[int, int]:
        kind = self._kinds[index]
        if kind in _NEAR_BRANCHES:
            return self._machine.near_branch_target, _NEAR_BRANCHES[kind]
        num_bits = _IMMEDIATE_BITS[kind]
        return self._machine.immediate(index), num_bits

    def address(self) -> AddressTuple:
        machine, reading = self._machine, self._reading
        displacement = machine.memory_displacement
        if displacement >> 31:
            sign = 1 << (31 if reading.has_address_size else 63)
            displacement = (displacement & (2 * sign - 1) ^ sign) - sign
        index = machine.memory_index
        index_name, scaling = (_REGISTER_NAMES[index], machine.memory_index_scale) if index else self._absent_index()
        return AddressTuple(_REGISTER_NAMES[machine.memory_base], displacement, index_name, scaling, reading.segment)

    def _absent_index(self) -> tuple[str, int]:
        """Gives the pseudo register that LLVM names where a SIB byte without an index could have been left out."""
        modrm_index = self._position.modrm_index
        modrm = self._code[modrm_index]
        mode = modrm >> 6
        if mode == 3 or modrm & 7 != 4:
            return "", 1
        sib = self._code[modrm_index + 1]
        base = sib & 7
        scaling = 1 << (sib >> 6)
        has_no_base = mode == 0 and base == 5
        if scaling == 1 and (base == 4 or has_no_base):
            return "", 1
        return ("EIZ" if self._reading.has_address_size else "RIZ"), scaling

    def absolute_address(self) -> int:
        if OpKind.MEMORY not in self._kinds:
            raise LookupError("no memory operand")
        return self._machine.memory_displacement

    def mask(self) -> str:
        return _REGISTER_NAMES[self._machine.op_mask]

    def rounding(self) -> int:
        return self._machine.rounding_control - 1

    def segment(self) -> str:
        return self._reading.segment

    def has_32bit_address(self) -> bool:
        """Tells whether some register of the address is 32 bits wide, so that LLVM does not print `addr32`."""
        machine = self._machine
        if is_address_size_opcode(self._position):
            return True
        if OpKind.MEMORY not in self._kinds:
            return not _POINTERS_32.isdisjoint(self._kinds)
        names = (_REGISTER_NAMES[machine.memory_base], self.address().index_register)
        return any(name[:1] == "E" or name[-1:] == "D" for name in names)
