"""Machine code to canonical instructions, as LLVM 19.1.7 would give them, without LLVM.

1. `prefixes.py` reads the legacy prefixes as LLVM does, and keeps those that select the instruction;
2. `disassembly.py` decodes that, and `opcode_table.py` gives the form of the LLVM opcode;
3. `canonical.py` fills the form with the operands.

An instruction is decoded once: identical bytes give the identical object as long as they stay in the cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from iced_x86 import Decoder

from gematria_ops.blocks.assembly import att_text
from gematria_ops.blocks.basic_block import Instruction
from gematria_ops.blocks.canonical import OpcodeForm, canonicalize
from gematria_ops.blocks.disassembly import (
    CannotDecodeError,
    MachineReading,
    disassembler_form,
    gas_text,
    read_machine_instruction,
)
from gematria_ops.blocks.opcode_table import opcode_table, opcode_table_version
from ops_common.errors import DataError

# Names the LLVM release whose dialect this is, and the edition of our table; belongs with every data set.
CANONICALIZER_VERSION: str = opcode_table_version()

# Where a form comes from: a line of the table, a rule that extends the table, or the disassembler's own knowledge.
FormOrigin = Literal["table", "rule", "fallback"]

# Instructions that are kept; each takes about one kilobyte, and an import keeps a cache in each of its processes. On
# BHive's blocks 72 % of all instructions are found in it; with twice as many it would be 79 %.
_CACHE_SIZE = 1 << 15


class UndecodableError(DataError):
    """Bytes that LLVM does not decode as x86-64 machine code.

    Attributes:
        offset: Index of the first byte of the instruction that cannot be decoded.
        reason: `truncated`: the code ends within the instruction; `undecodable`: there is no such instruction.
    """

    def __init__(self, machine_code: bytes, offset: int, reason: str) -> None:
        shown = machine_code[offset : offset + 16].hex()
        what = "the code ends within the instruction" if reason == "truncated" else "there is no such instruction"
        super().__init__(
            f"{reason} machine code at byte {offset} of {len(machine_code)}: {what} ({shown})",
            "Check that the bytes are x86-64 code from the start of an instruction to the end of one.",
        )
        self.offset = offset
        self.reason = reason


@dataclass(frozen=True, slots=True)
class DecodedInstruction:
    """One decoded instruction.

    Attributes:
        machine_code: Its bytes.
        assembly: Its text in AT&T syntax, with a tab before and after the mnemonic; branch targets and addresses
            relative to the instruction pointer are shown as the displacement, so that it does not depend on where
            the instruction stands.
        instruction: Its canonical form.
    """

    machine_code: bytes
    assembly: str
    instruction: Instruction


def decode_block(machine_code: bytes) -> list[DecodedInstruction]:
    """Decodes all bytes of a block as LLVM would.

    Args:
        machine_code: The block. Empty code is a block without instructions.

    Returns:
        The instructions in order; their bytes joined are the input.

    Raises:
        UndecodableError: Some bytes are no instruction; see its attributes.
    """
    decoded: list[DecodedInstruction] = []
    offset = 0
    while offset < len(machine_code):
        offset = _decode_run(machine_code, offset, decoded)
    return decoded


def _decode_run(machine_code: bytes, offset: int, decoded: list[DecodedInstruction]) -> int:
    """Decodes as far as the disassembler and LLVM agree where instructions end, or else one instruction.

    The disassembler finds the ends fast; the cache knows what stands between them.
    """
    for machine in Decoder(64, machine_code[offset:]):
        end = offset + machine.len
        try:
            if machine.is_invalid:
                raise CannotDecodeError
            decoded += _decode_chunk(machine_code[offset:end])
        except CannotDecodeError:
            decoded.append(_decode_one(machine_code, offset))
            return offset + len(decoded[-1].machine_code)
        offset = end
    return offset


def _decode_one(machine_code: bytes, offset: int) -> DecodedInstruction:
    """Decodes the instruction that begins at an offset, however LLVM divides the bytes."""
    try:
        return _shared(_decode_first(machine_code[offset:]))
    except CannotDecodeError as error:
        raise UndecodableError(machine_code, offset, str(error)) from None


@lru_cache(maxsize=_CACHE_SIZE)
def _decode_chunk(chunk: bytes) -> tuple[DecodedInstruction, ...]:
    """Decodes bytes that are an instruction to the disassembler and one or more instructions to LLVM."""
    first = _decode_first(chunk)
    rest = chunk[len(first.machine_code) :]
    return (_shared(first), *_decode_chunk(rest)) if rest else (first,)


def _shared(decoded: DecodedInstruction) -> DecodedInstruction:
    """Gives the object that the cache has for the same bytes; `f2` before an exchange is not the same as alone."""
    alone = _decode_chunk(decoded.machine_code)
    return alone[0] if alone[0] == decoded else decoded


def find_form(reading: MachineReading) -> tuple[OpcodeForm, FormOrigin]:
    """Finds the form of an instruction.

    Args:
        reading: The instruction.

    Returns:
        The form, and where it comes from.

    Raises:
        CannotDecodeError: LLVM does not decode the instruction.
    """
    table = opcode_table()
    form = table.find(reading.code, reading.variant)
    if form is not None:
        return form, "table" if table.lists(reading.code, reading.variant) else "rule"
    form = None if table.knows(reading.code) else disassembler_form(reading)
    if form is None:
        raise CannotDecodeError("undecodable")
    return form, "fallback"


def form_origin(code: bytes) -> FormOrigin:
    """Tells where the form of the first instruction of some decodable machine code comes from."""
    return find_form(read_machine_instruction(code))[1]


def _decode_first(code: bytes) -> DecodedInstruction:
    """Decodes the first instruction; raises CannotDecodeError with the reason if there is none."""
    reading = read_machine_instruction(code)
    form, _ = find_form(reading)
    instruction = canonicalize(form, reading.operands, reading.prefixes)
    assembly = att_text(gas_text(reading) or form.mnemonic, instruction, reading.prefixes)
    return DecodedInstruction(code[: reading.num_bytes], assembly, instruction)
