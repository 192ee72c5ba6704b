"""What kinds of instructions a block is made of, told from the canonical form alone.

An instruction has one kind; the first rule that fits decides:

    branch              mnemonic: jumps, calls, returns, loops
    string              MOVS, CMPS, STOS, LODS, SCAS, INS, OUTS with a width, when it reads the direction flag
    x87 or MMX          a register ST*, MM*, or the x87 status or control word
    AVX                 a vector or mask register, and the mnemonic begins with V or K or a register is wider than XMM
    SSE                 any other instruction with an XMM register; scalar ones (ADDSD) too
    multiply or divide  MUL, IMUL, MULX, DIV, IDIV
    other               no operation, fences, prefetches, hints, counters, calls to the system
    scalar integer      the rest: moves, addresses, arithmetic, logic, flags, on general registers

and it may access memory: *load* when a memory operand is among its inputs, *store* when one is among its outputs,
*load and store* when both (a read-modify-write). String instructions have no memory operand in canonical form, and
LLVM marks fences and prefetches as both, so neither kind counts as an access.

A block belongs to every category of which it has an instruction. Its one *dominant* category is the most frequent
class of its instructions, where a scalar integer instruction with a memory access counts as load, store, or load and
store instead; the earlier in `DOMINANT_NAMES` wins a tie.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum, IntFlag

import numpy as np
import numpy.typing as npt

from gematria_ops.blocks.basic_block import Instruction, OperandType

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]


class Kind(IntEnum):
    """What an instruction works on; see above."""

    SCALAR_INTEGER = 0
    MULTIPLY_OR_DIVIDE = 1
    SSE = 2
    AVX = 3
    X87_OR_MMX = 4
    STRING = 5
    BRANCH = 6
    OTHER = 7


class Access(IntFlag):
    """Whether an instruction reads or writes memory."""

    NONE = 0
    LOAD = 1
    STORE = 2


@dataclass(frozen=True, slots=True)
class Category:
    """The kind of an instruction and its memory access."""

    kind: Kind
    access: Access

    @property
    def number(self) -> int:
        """A number below `NUM_CATEGORIES`, for arrays."""
        return self.kind * _NUM_ACCESSES + self.access


_NUM_ACCESSES = 4
NUM_CATEGORIES = len(Kind) * _NUM_ACCESSES

KIND_NAMES = {
    Kind.SCALAR_INTEGER: "scalar integer",
    Kind.MULTIPLY_OR_DIVIDE: "multiply or divide",
    Kind.SSE: "SSE",
    Kind.AVX: "AVX",
    Kind.X87_OR_MMX: "x87 or MMX",
    Kind.STRING: "string",
    Kind.BRANCH: "branch",
    Kind.OTHER: "other",
}
ACCESS_NAMES = {Access.LOAD: "load", Access.STORE: "store", Access.LOAD | Access.STORE: "load and store"}

# Columns of `block_categories`.
CATEGORY_NAMES = (*ACCESS_NAMES.values(), *KIND_NAMES.values())
# In the order in which a tie is decided: what is rarer and slower first.
DOMINANT_NAMES = (
    "multiply or divide",
    "x87 or MMX",
    "AVX",
    "SSE",
    "string",
    "branch",
    "load and store",
    "store",
    "load",
    "scalar integer",
    "other",
    "no instruction",
)

_BRANCH = re.compile(r"J|CALL|RET|IRET|LOOP|LCALL|LJMP|LRET")
_STRING = re.compile(r"(?:MOVS|CMPS|STOS|LODS|SCAS|INS|OUTS)[BWDQ]")
_X87_OR_MMX = re.compile(r"ST\d|MM\d|FPSW|FPCW")
_WIDE_OR_MASK = re.compile(r"[YZT]MM\d|K\d")
_MULTIPLY_OR_DIVIDE = frozenset({"MUL", "IMUL", "MULX", "DIV", "IDIV"})
_OTHER = re.compile(
    r"NOP|FNOP|ENDBR|PAUSE|[LMS]FENCE|PREFETCH|CL(FLUSH|WB|DEMOTE|ZERO)|CPUID|RDTSC|RDPMC|RDPID|RDRAND|RDSEED|X(GET|SET)BV"
    r"|SYS(CALL|ENTER|EXIT|RET)|V?(LD|ST)MXCSR|UD[012]|INT|HLT|LOCK|SERIALIZE|X(SAVE|RSTOR)|[RW]D[FG]SBASE|[LMU]?MWAIT|U?MONITOR"
)


def categorize(instruction: Instruction) -> Category:
    """Gives the category of an instruction.

    Args:
        instruction: In canonical form; the prefixes and LLVM's name are not looked at.
    """
    kind = _kind(instruction)
    if kind in (Kind.STRING, Kind.OTHER):
        return Category(kind, Access.NONE)
    inputs = (*instruction.input_operands, *instruction.implicit_input_operands)
    outputs = (*instruction.output_operands, *instruction.implicit_output_operands)
    access = Access.NONE
    if any(operand.type is OperandType.MEMORY for operand in inputs):
        access |= Access.LOAD
    if any(operand.type is OperandType.MEMORY for operand in outputs):
        access |= Access.STORE
    return Category(kind, access)


def _kind(instruction: Instruction) -> Kind:
    mnemonic = instruction.mnemonic.upper()
    if _BRANCH.match(mnemonic):
        return Kind.BRANCH
    implicit_inputs = {operand.register_name for operand in instruction.implicit_input_operands}
    if _STRING.fullmatch(mnemonic) and "DF" in implicit_inputs:
        return Kind.STRING
    kind = _kind_of_registers(mnemonic, _registers(instruction))
    if kind is not None:
        return kind
    if mnemonic in _MULTIPLY_OR_DIVIDE:
        return Kind.MULTIPLY_OR_DIVIDE
    return Kind.OTHER if _OTHER.match(mnemonic) else Kind.SCALAR_INTEGER


def _kind_of_registers(mnemonic: str, registers: set[str]) -> Kind | None:
    """Gives the kind that the registers decide, None when all are general ones."""
    if any(_X87_OR_MMX.match(name) for name in registers):
        return Kind.X87_OR_MMX
    is_wide = any(_WIDE_OR_MASK.match(name) for name in registers)
    if not is_wide and not any(name.startswith("XMM") for name in registers):
        return None
    return Kind.AVX if is_wide or mnemonic.startswith("V") else Kind.SSE


def _registers(instruction: Instruction) -> set[str]:
    lists = (
        instruction.output_operands,
        instruction.implicit_output_operands,
        instruction.input_operands,
        instruction.implicit_input_operands,
    )
    return {operand.register_name for operands in lists for operand in operands if operand.register_name}


def block_categories(category_numbers: IntArray, block_offsets: IntArray) -> tuple[BoolArray, IntArray]:
    """Sums the instructions of each block up.

    Args:
        category_numbers: int64 [I], `Category.number` of each instruction, blocks one after the other.
        block_offsets: int64 [B + 1], where each block's instructions begin and end.

    Returns:
        bool [B, 11], whether the block has an instruction of each of `CATEGORY_NAMES`; and int64 [B], the place of
        its dominant category in `DOMINANT_NAMES`.
    """
    num_blocks = block_offsets.size - 1
    block_of_instruction = np.repeat(np.arange(num_blocks), np.diff(block_offsets))
    cells = block_of_instruction * NUM_CATEGORIES + category_numbers
    counts = np.bincount(cells, minlength=num_blocks * NUM_CATEGORIES).reshape(num_blocks, len(Kind), _NUM_ACCESSES)
    accesses = counts[:, :, [int(access) for access in ACCESS_NAMES]].sum(axis=1)  # [B, 3]
    kinds = counts[:, [int(kind) for kind in KIND_NAMES], :].sum(axis=2)  # [B, 8]
    by_class = dict(zip(KIND_NAMES.values(), kinds.T, strict=True))
    for access, name in ACCESS_NAMES.items():
        by_class[name] = counts[:, Kind.SCALAR_INTEGER, int(access)]
    by_class["scalar integer"] = counts[:, Kind.SCALAR_INTEGER, int(Access.NONE)]
    by_class["no instruction"] = np.diff(block_offsets) == 0
    # argmax takes the first of equals.
    dominant = np.argmax(np.stack([by_class[name] for name in DOMINANT_NAMES], axis=1), axis=1)
    return np.concatenate([accesses, kinds], axis=1) > 0, dominant.astype(np.int64)
