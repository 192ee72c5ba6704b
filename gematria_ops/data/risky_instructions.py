"""Takes out of a block what must not be executed when the block is measured alone: what leaves it, on request memory.

Specification section 4.5. Instructions are removed, not blocks; what is left may be empty.
"""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gematria_ops.blocks.instruction_kinds import is_lone_prefix, leaves_block, may_access_memory
from gematria_ops.formats.bhive_csv import shortened
from ops_common.errors import DataError

if TYPE_CHECKING:  # the disassembler is heavy, and only its results are handled here
    from gematria_ops.blocks.decoding import DecodedInstruction


class BBProcessorFilter:
    """Removes risky instructions from blocks."""

    def __init__(self) -> None:
        from gematria_ops.blocks.decoding import UndecodableError, decode_block

        self._decode_block, self._undecodable = decode_block, UndecodableError

    def remove_risky_instructions(
        self, basic_block: str, file_name: str, filter_memory_accessing_blocks: bool = False
    ) -> str:
        """Removes returns, calls, branches, system calls and software interrupts from a block.

        A prefix that LLVM decodes as an instruction of its own (`lock`) goes with the instruction that it belongs to:
        left alone it would change the meaning of the next one.

        Args:
            basic_block: The machine code in hexadecimal digits.
            file_name: Where the block comes from; messages begin with it.
            filter_memory_accessing_blocks: Whether to remove every instruction that may load or store as well.

        Returns:
            The machine code that is left, in upper-case hexadecimal digits.

        Raises:
            DataError: The text is not hexadecimal, or the bytes are not x86-64 machine code.
        """
        try:
            machine_code = binascii.unhexlify(basic_block)
        except ValueError:
            raise DataError(
                f"{file_name}: {shortened(basic_block)!r} is not a block in hexadecimal digits",
                "give one block a line, two digits a byte, and nothing else",
            ) from None
        try:
            instructions = self._decode_block(machine_code)
        except self._undecodable as error:
            raise DataError(f"{file_name}: {error.message}", error.hint) from None
        return _kept(instructions, filter_memory_accessing_blocks).hex().upper()


def _kept(instructions: Sequence[DecodedInstruction], without_memory: bool) -> bytes:
    """Joins the bytes of the instructions that are not risky."""
    kept: list[bytes] = []
    prefixes: list[bytes] = []
    for decoded in instructions:
        instruction = decoded.instruction
        if is_lone_prefix(instruction):
            prefixes.append(decoded.machine_code)
            continue
        if not (leaves_block(instruction) or (without_memory and may_access_memory(instruction))):
            kept += (*prefixes, decoded.machine_code)
        prefixes = []
    return b"".join((*kept, *prefixes))
