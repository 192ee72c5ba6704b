"""Reference rows: instructions with the canonical form that LLVM gives them, as a CSV file, and their notation.

Columns: machine_code_hex, prefixes, mnemonic, llvm_mnemonic, output_operands, implicit_output_operands,
input_operands, implicit_input_operands, count. Lists are divided by spaces. An operand is the name of a register, `mem`
(a memory access of alias group 1), `addr(base,displacement,index,scale,segment)` or `imm:<signed value>`.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gematria_ops.blocks.basic_block import Instruction, InstructionOperand
from ops_common.errors import DataError

# The columns that have to agree; `llvm_mnemonic` is compared apart from them, because no model reads it.
COMPARED_COLUMNS = (
    "prefixes",
    "mnemonic",
    "output_operands",
    "implicit_output_operands",
    "input_operands",
    "implicit_input_operands",
)
COLUMNS = ("machine_code_hex", *COMPARED_COLUMNS[:2], "llvm_mnemonic", *COMPARED_COLUMNS[2:], "count")


@dataclass(frozen=True, slots=True)
class ReferenceRow:
    """One instruction of a reference file.

    Attributes:
        machine_code: Its bytes.
        columns: The text of each compared column and of `llvm_mnemonic`, by name.
        count: How often it occurs in the blocks that it was taken from.
    """

    machine_code: bytes
    columns: dict[str, str]
    count: int


def operand_text(operand: InstructionOperand) -> str:
    """Writes an operand in the notation of the reference rows."""
    if operand.register_name is not None:
        return operand.register_name
    if operand.immediate_value is not None:
        value = operand.immediate_value
        return f"imm:{value - (1 << 64) if value >> 63 else value}"
    if operand.address is not None:
        parts = operand.address
        return (
            f"addr({parts.base_register},{parts.displacement},{parts.index_register},"
            f"{parts.scaling},{parts.segment_register})"
        )
    return "mem" if operand.alias_group_id == 1 else f"?{operand}"


def operands_text(operands: Sequence[InstructionOperand]) -> str:
    """Writes a list of operands in the notation of the reference rows."""
    return " ".join(operand_text(operand) for operand in operands)


def instruction_columns(instruction: Instruction) -> dict[str, str]:
    """Writes an instruction as the columns of a reference row."""
    return {
        "prefixes": " ".join(instruction.prefixes),
        "mnemonic": instruction.mnemonic,
        "llvm_mnemonic": instruction.llvm_mnemonic,
        "output_operands": operands_text(instruction.output_operands),
        "implicit_output_operands": operands_text(instruction.implicit_output_operands),
        "input_operands": operands_text(instruction.input_operands),
        "implicit_input_operands": operands_text(instruction.implicit_input_operands),
    }


def read_reference_rows(path: Path) -> Iterator[ReferenceRow]:
    """Reads a reference file.

    Args:
        path: CSV with a header line, compressed when the name ends in `.gz`.

    Yields:
        The rows in order.

    Raises:
        DataError: The file cannot be read, lacks a column, or has a bad row; names the line.
    """
    try:
        with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise DataError(f"{path}: line 1: no column {missing[0]!r}", f"The columns are {', '.join(COLUMNS)}.")
            for fields in reader:
                yield _row(path, reader.line_num, fields)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot read the reference rows: {error}", "Check name and content.") from error


def _row(path: Path, line: int, fields: dict[str, str]) -> ReferenceRow:
    try:
        machine_code = bytes.fromhex(fields["machine_code_hex"])
        columns = {name: fields[name] for name in (*COMPARED_COLUMNS, "llvm_mnemonic")}
        count = int(fields["count"])
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: line {line}: {error}", "The line has to hold hexadecimal code and a count.") from None
    return ReferenceRow(machine_code, columns, count)
