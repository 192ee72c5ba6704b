"""What has to be set up before a block can run alone: registers, memory, a register to count iterations with.

`static` executes the block on paper and never on the processor, so any block may be given to it; `none` sets up
nothing. Both find the loop register. Specification section 4.6.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from gematria_ops.blocks.basic_block import Instruction
from gematria_ops.blocks.machine_effects import machine_effects
from gematria_ops.blocks.register_use import GENERAL_REGISTERS, registers_read_first, untouched_register
from gematria_ops.data.static_machine import PAGE_BYTES, PAGE_CONTENTS, CannotTellError, StaticMachine
from gematria_ops.formats.annotated_blocks import AnnotatedBlock

# Good as a pointer: the beginning of a page, above what Linux keeps free.
INITIAL_VALUE = 0x15000

# With these no floating-point exception traps, and string instructions go upwards: as when a program starts.
_CONTROL_VALUES = {"EFLAGS": 0, "DF": 0, "MXCSR": 0x1F80, "FPCW": 0x37F}
_SEGMENTS = ("FS", "GS")
_DATA_REGISTER = re.compile(r"[XYZ]MM[0-9]+|MM[0-7]|ST[0-7]|K[0-7]|[FG]S")

# From machine code, its hexadecimal digits as they shall be written, and its instructions to the annotated block.
Annotator = Callable[[bytes, str, Sequence[Instruction]], AnnotatedBlock]


def annotate_none(machine_code: bytes, block_hex: str, instructions: Sequence[Instruction]) -> AnnotatedBlock:
    """Sets up nothing; finds the loop register."""
    del machine_code
    return AnnotatedBlock(block_hex, loop_register=untouched_register(instructions))


def annotate_static(machine_code: bytes, block_hex: str, instructions: Sequence[Instruction]) -> AnnotatedBlock:
    """Sets up what one execution of the block reads, without executing it.

    Every register that the block reads before it writes it is given 0x15000, control registers the values that a
    program starts with. The pages that the block touches are mapped.

    Args:
        machine_code: The block.
        block_hex: The same in hexadecimal digits, as it shall be written.
        instructions: The same in canonical form.

    Raises:
        CannotTellError: Which pages the block touches is not known, or it is known that it faults.
    """
    registers = []
    for name in registers_read_first(instructions):
        if name in _CONTROL_VALUES:
            registers.append((name, _CONTROL_VALUES[name]))
        elif name in GENERAL_REGISTERS or _DATA_REGISTER.fullmatch(name):
            registers.append((name, INITIAL_VALUE))
        # All others keep what they have: flat segments, the instruction pointer, the status of x87, shadow stacks.
    general = {name: value for name, value in registers if name in GENERAL_REGISTERS}
    segments = {name: value for name, value in registers if name in _SEGMENTS}
    machine = StaticMachine(general, segments)
    for effect in machine_effects(machine_code):
        machine.execute(effect)
    return AnnotatedBlock(
        block_hex, tuple(registers), PAGE_BYTES, PAGE_CONTENTS, machine.pages, untouched_register(instructions)
    )


ANNOTATORS: dict[str, Annotator] = {"static": annotate_static, "none": annotate_none}

__all__ = ["ANNOTATORS", "Annotator", "CannotTellError", "annotate_none", "annotate_static"]
