"""Basic blocks in canonical form: frozen dataclasses that hold what a model may know of an instruction.

The lists of an instruction are tuples, so that blocks can be hashed, cached and shared. A changed copy is made with
`dataclasses.replace`. Specification section 2.1.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import attrgetter

from ops_common.errors import DataError

_UINT64_END = 1 << 64


class OperandType(enum.IntEnum):
    """What an operand is; decides which of its properties is not None."""

    UNKNOWN = 0
    REGISTER = 1
    IMMEDIATE_VALUE = 2
    FP_IMMEDIATE_VALUE = 3
    ADDRESS = 4
    MEMORY = 5


@dataclass(frozen=True, slots=True)
class AddressTuple:
    """An address computation: base_register + index_register * scaling + displacement.

    Attributes:
        base_register: Name of the base register; empty: none.
        displacement: Signed displacement in bytes.
        index_register: Name of the index register; empty: none.
        scaling: Factor of the index register: 1, 2, 4 or 8. Importers write 1 when there is no index register.
        segment_register: Name of an explicit segment override; empty: the default segment.
    """

    base_register: str = ""
    displacement: int = 0
    index_register: str = ""
    scaling: int = 0
    segment_register: str = ""


@dataclass(frozen=True, slots=True)
class InstructionOperand:
    """One operand; made by the `from_...` factories only. `InstructionOperand()` is the operand of unknown kind.

    A property that does not belong to the type of the operand is None.
    """

    type: OperandType = OperandType.UNKNOWN
    payload: str | int | float | AddressTuple | None = None

    @classmethod
    def from_register(cls, register_name: str) -> InstructionOperand:
        """Makes a register operand.

        Args:
            register_name: LLVM's name in upper case, for example `RAX`.
        """
        return cls(OperandType.REGISTER, register_name)

    @classmethod
    def from_immediate_value(cls, immediate_value: int) -> InstructionOperand:
        """Makes an immediate operand.

        Args:
            immediate_value: The sign-extended 64-bit value as two's complement, 0 <= immediate_value < 2**64.

        Raises:
            DataError: The value is negative or needs more than 64 bits.
        """
        if not 0 <= immediate_value < _UINT64_END:
            raise DataError(
                f"immediate value {immediate_value} does not fit into unsigned 64 bits",
                "Give a negative value as its two's complement: value % 2**64.",
            )
        return cls(OperandType.IMMEDIATE_VALUE, immediate_value)

    @classmethod
    def from_fp_immediate_value(cls, fp_immediate_value: float) -> InstructionOperand:
        """Makes a floating-point immediate operand; x86-64 has none."""
        return cls(OperandType.FP_IMMEDIATE_VALUE, float(fp_immediate_value))

    @classmethod
    def from_address(
        cls,
        address_tuple: AddressTuple | None = None,
        *,
        base_register: str = "",
        displacement: int = 0,
        index_register: str = "",
        scaling: int = 0,
        segment_register: str = "",
    ) -> InstructionOperand:
        """Makes an address computation from an address tuple or from the parts of one."""
        if address_tuple is None:
            address_tuple = AddressTuple(base_register, displacement, index_register, scaling, segment_register)
        return cls(OperandType.ADDRESS, address_tuple)

    @classmethod
    def from_memory(cls, alias_group_id: int) -> InstructionOperand:
        """Makes a memory access.

        Args:
            alias_group_id: Accesses with the same number are assumed to overlap; 1 is used for all of x86-64.
        """
        return cls(OperandType.MEMORY, alias_group_id)

    @property
    def register_name(self) -> str | None:
        """The name of the register, or None."""
        return self.payload if isinstance(self.payload, str) else None

    @property
    def immediate_value(self) -> int | None:
        """The immediate as unsigned 64 bits, or None."""
        if self.type is OperandType.IMMEDIATE_VALUE and isinstance(self.payload, int):
            return self.payload
        return None

    @property
    def fp_immediate_value(self) -> float | None:
        """The floating-point immediate, or None."""
        return self.payload if isinstance(self.payload, float) else None

    @property
    def address(self) -> AddressTuple | None:
        """The address computation, or None."""
        return self.payload if isinstance(self.payload, AddressTuple) else None

    @property
    def alias_group_id(self) -> int | None:
        """The alias group of a memory access, or None."""
        if self.type is OperandType.MEMORY and isinstance(self.payload, int):
            return self.payload
        return None


@dataclass(frozen=True, slots=True)
class Annotation:
    """A named statistic of one instruction, for example a cache miss rate measured at run time."""

    name: str = ""
    value: float = -1.0


_INSTRUCTION_LISTS = (
    "prefixes",
    "input_operands",
    "implicit_input_operands",
    "output_operands",
    "implicit_output_operands",
    "instruction_annotations",
)
_lists_of = attrgetter(*_INSTRUCTION_LISTS)


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction in canonical form. Any iterable is accepted for a list and kept as a tuple.

    Attributes:
        mnemonic: As the vendor's manual writes it, in upper case; in lower case for some instructions without operands.
        llvm_mnemonic: LLVM's name of the opcode; no model reads it.
        prefixes: For example `REP`.
        input_operands: What is written in the instruction and read by it; a memory access first.
        implicit_input_operands: Read without being written in the instruction.
        output_operands: What is written in the instruction and changed by it; a memory access first.
        implicit_output_operands: Changed without being written in the instruction.
        instruction_annotations: Statistics from outside.
    """

    mnemonic: str = ""
    llvm_mnemonic: str = ""
    prefixes: tuple[str, ...] = ()
    input_operands: tuple[InstructionOperand, ...] = ()
    implicit_input_operands: tuple[InstructionOperand, ...] = ()
    output_operands: tuple[InstructionOperand, ...] = ()
    implicit_output_operands: tuple[InstructionOperand, ...] = ()
    instruction_annotations: tuple[Annotation, ...] = field(default=())

    def __post_init__(self) -> None:
        values: tuple[Iterable[object], ...] = _lists_of(self)
        if {*map(type, values)} == {tuple}:
            return
        for name, value in zip(_INSTRUCTION_LISTS, values, strict=True):
            object.__setattr__(self, name, tuple(value))


@dataclass(frozen=True, slots=True)
class BasicBlock:
    """Instructions with one entry and one exit. Any iterable of instructions is accepted and kept as a tuple."""

    instructions: tuple[Instruction, ...] = ()

    def __post_init__(self) -> None:
        if type(self.instructions) is not tuple:
            object.__setattr__(self, "instructions", tuple(self.instructions))
