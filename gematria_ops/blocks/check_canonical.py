"""Compares our canonical form with reference rows that LLVM made.

    python -m gematria_ops.blocks.check_canonical REFERENCE.csv.gz

Prints the share of rows that agree, the same weighted by how often a row occurs, the share of equal LLVM opcode names,
where the forms came from, and the causes of what does not agree. Ends with status 1 below the target.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from gematria_ops.blocks.reference_rows import (
    COMPARED_COLUMNS,
    ReferenceRow,
    instruction_columns,
    read_reference_rows,
)
from ops_common.errors import OpsError

# What an importer without LLVM has to reach, as shares of the rows and of their occurrences.
TARGET_ROWS = 0.995
TARGET_OCCURRENCES = 0.999
_SHOWN_CAUSES = 40


@dataclass
class Agreement:
    """What a comparison found.

    Attributes:
        num_rows: Rows compared; `num_agreeing` of them are the same.
        num_occurrences: Sum of the counts of the rows, and of those that agree.
        num_same_opcode: Rows with the same LLVM opcode name.
        origins: Rows by where their form comes from.
        causes: Rows that do not agree, by what differs; each with an example.
    """

    num_rows: int = 0
    num_agreeing: int = 0
    num_occurrences: int = 0
    num_agreeing_occurrences: int = 0
    num_same_opcode: int = 0
    origins: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    @property
    def row_share(self) -> float:
        """Share of rows that agree."""
        return self.num_agreeing / self.num_rows if self.num_rows else 0.0

    @property
    def occurrence_share(self) -> float:
        """Share of occurrences that agree."""
        return self.num_agreeing_occurrences / self.num_occurrences if self.num_occurrences else 0.0

    def report(self) -> str:
        """Writes the figures for a person to read."""
        same = self.num_same_opcode / self.num_rows if self.num_rows else 0.0
        origins = ", ".join(f"{name} {count}" for name, count in self.origins.most_common())
        lines = [
            f"rows:        {self.num_agreeing} of {self.num_rows} agree ({self.row_share:.4%})",
            f"occurrences: {self.num_agreeing_occurrences} of {self.num_occurrences} ({self.occurrence_share:.4%})",
            f"same LLVM opcode name: {self.num_same_opcode} of {self.num_rows} ({same:.4%})",
            f"forms from: {origins}",
            f"causes of the rest: {'none' if not self.causes else ''}".rstrip(),
        ]
        for cause, count in self.causes.most_common(_SHOWN_CAUSES):
            lines.append(f"  {count:6d}  {cause}; for example {self.examples[cause]}")
        return "\n".join(lines)


def compare_row(row: ReferenceRow, agreement: Agreement) -> None:
    """Decodes one row and adds the result to the figures."""
    # The disassembler is heavy; this module is imported without it for its help text.
    from gematria_ops.blocks.decoding import UndecodableError, decode_block, form_origin

    agreement.num_rows += 1
    agreement.num_occurrences += row.count
    opcode = row.columns["llvm_mnemonic"]
    try:
        decoded = decode_block(row.machine_code)
    except UndecodableError as error:
        _add_cause(agreement, f"{opcode}: {error.reason}", row.machine_code.hex())
        return
    if len(decoded) != 1:
        _add_cause(agreement, f"{opcode}: divided into {len(decoded)} instructions", row.machine_code.hex())
        return
    agreement.origins[form_origin(row.machine_code)] += 1
    made = instruction_columns(decoded[0].instruction)
    agreement.num_same_opcode += made["llvm_mnemonic"] == opcode
    wrong = [name for name in COMPARED_COLUMNS if made[name] != row.columns[name]]
    if wrong:
        shown = ", ".join(f"{name} {made[name]!r} instead of {row.columns[name]!r}" for name in wrong)
        _add_cause(agreement, f"{opcode}: {', '.join(wrong)}", f"{row.machine_code.hex()}: {shown}")
        return
    agreement.num_agreeing += 1
    agreement.num_agreeing_occurrences += row.count


def _add_cause(agreement: Agreement, cause: str, example: str) -> None:
    agreement.causes[cause] += 1
    agreement.examples.setdefault(cause, example)


def compare_file(path: Path) -> Agreement:
    """Compares all rows of a reference file.

    Args:
        path: See `reference_rows.read_reference_rows`.

    Raises:
        DataError: The file cannot be used.
    """
    agreement = Agreement()
    for row in read_reference_rows(path):
        compare_row(row, agreement)
    return agreement


def main(arguments: list[str] | None = None) -> int:
    """Runs the comparison; returns the exit code."""
    parser = argparse.ArgumentParser(description="Compare the canonical form with reference rows made by LLVM.")
    parser.add_argument("reference", type=Path, help="reference rows, CSV or CSV.GZ")
    try:
        agreement = compare_file(parser.parse_args(arguments).reference)
    except OpsError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(agreement.report())
    reached = agreement.row_share >= TARGET_ROWS and agreement.occurrence_share >= TARGET_OCCURRENCES
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
