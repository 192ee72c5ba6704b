"""A file of blocks to the input of llvm-exegesis: an assembly file for each block, JSON files for many, or both."""

from __future__ import annotations

import binascii
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from gematria_ops.blocks.decoding import DecodedInstruction, UndecodableError, decode_block
from gematria_ops.data.annotators import Annotator, CannotTellError
from gematria_ops.formats.annotated_blocks import AnnotatedBlock, json_entry
from gematria_ops.formats.bhive_csv import MAX_LINE_BYTES, read_lines, shortened
from ops_common.artifacts import atomic_path, make_folder
from ops_common.errors import ArtifactError, DataError


@dataclass(frozen=True, slots=True)
class ConversionOptions:
    """How blocks are converted.

    Attributes:
        annotator: Finds what has to be set up.
        assembly_dir: Folder for `<n>.test`, or None.
        json_dir: Folder for `<k>.json`, or None.
        blocks_per_json_file: How many blocks one of them holds.
        max_num_blocks: Stop after so many written blocks.
        report_every: Print a line after each so many blocks of the input.
        skip_no_loop_register: Whether to leave out blocks that use every general register.
    """

    annotator: Annotator
    assembly_dir: Path | None
    json_dir: Path | None
    blocks_per_json_file: int
    max_num_blocks: int
    report_every: int
    skip_no_loop_register: bool


@dataclass(slots=True)
class ConversionReport:
    """What a conversion did.

    Attributes:
        num_written: Blocks written.
        num_without_loop_register: Blocks left out because they use every general register.
        num_by_reason: Blocks left out because it is not known what to set up, by reason.
    """

    num_written: int = 0
    num_without_loop_register: int = 0
    num_by_reason: Counter[str] = field(default_factory=Counter)

    def lines(self) -> list[str]:
        """Returns the report for people."""
        lines = [f"{self.num_written} blocks written"]
        if self.num_by_reason:
            reasons = ", ".join(f"{num} {reason}" for reason, num in self.num_by_reason.most_common())
            lines.append(f"Failed to annotate {self.num_by_reason.total()} blocks: {reasons}")
        if self.num_without_loop_register:
            lines.append(f"Failed to find a loop register for {self.num_without_loop_register} blocks")
        return lines


def convert_file(csv_file: Path, options: ConversionOptions) -> ConversionReport:
    """Converts the blocks of a CSV file: what stands before the first comma of each line.

    Args:
        csv_file: The file, plain or compressed with gzip.
        options: What to write.

    Returns:
        What was written and what was not.

    Raises:
        DataError: The file cannot be read, a line has no comma, or its code is not x86-64 machine code. What was
            written up to there stays, apart from a JSON file that is not full yet.
        ArtifactError: A file cannot be written.
    """
    report = ConversionReport()
    with ExitStack() as stack:
        json_files = None
        if options.json_dir is not None:
            json_files = stack.enter_context(_JsonFiles(options.json_dir, options.blocks_per_json_file))
        if options.assembly_dir is not None:
            make_folder(options.assembly_dir)
        for block, instructions in _annotated_blocks(csv_file, options, report):
            if options.assembly_dir is not None:
                text = block.to_assembly(decoded.assembly for decoded in instructions)
                _write_assembly(options.assembly_dir / f"{report.num_written}.test", text)
            if json_files is not None:
                json_files.add(block)
            report.num_written += 1
    return report


def _annotated_blocks(
    csv_file: Path, options: ConversionOptions, report: ConversionReport
) -> Iterator[tuple[AnnotatedBlock, Sequence[DecodedInstruction]]]:
    """Yields the blocks to write; counts those that are left out."""
    if not options.max_num_blocks:
        return
    for line_number, line in enumerate(read_lines(csv_file), start=1):
        block_hex, instructions = _read_block(line, f"{csv_file}, line {line_number}")
        canonical = [decoded.instruction for decoded in instructions]
        try:
            block = options.annotator(bytes.fromhex(block_hex), block_hex, canonical)
        except CannotTellError as reason:
            report.num_by_reason[str(reason)] += 1
        else:
            if block.loop_register is None and options.skip_no_loop_register:
                report.num_without_loop_register += 1
            else:
                yield block, instructions
        if line_number % options.report_every == 0:
            print(f"{line_number} blocks processed", file=sys.stderr)
        if report.num_written >= options.max_num_blocks:
            return


def _read_block(line: bytes | None, where: str) -> tuple[str, Sequence[DecodedInstruction]]:
    if line is None:
        raise DataError(f"{where}: longer than {MAX_LINE_BYTES} bytes", "give one block a line")
    code_text, comma, _ = line.partition(b",")
    if not comma:
        raise DataError(f"{where}: no comma in {shortened(line)!r}", "give <machine code in hex>,<cycles> per line")
    try:
        machine_code = binascii.unhexlify(code_text)
    except binascii.Error:
        raise DataError(
            f"{where}: {shortened(code_text)!r} is not machine code in hexadecimal digits", "correct the line"
        ) from None
    try:
        return code_text.decode("ascii"), decode_block(machine_code)
    except UndecodableError as error:
        raise DataError(f"{where}: {error.message}", error.hint) from None


def _write_assembly(path: Path, text: str) -> None:
    # Many small files: each appears whole, but the disk is not waited for.
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_text(text, encoding="ascii")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ArtifactError(f"{path} cannot be written: {error.strerror}", "check the folder and its space") from error


class _JsonFiles:
    """Writes blocks into JSON files that hold a given number each; a file gets its name when it is complete."""

    def __init__(self, folder: Path, blocks_per_file: int) -> None:
        self._folder = folder
        self._blocks_per_file = blocks_per_file
        self._num_blocks = 0
        self._open_file = ExitStack()
        self._file: TextIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self._finish()
        else:
            self._open_file.__exit__(kind, error, traceback)

    def add(self, block: AnnotatedBlock) -> None:
        """Writes a block."""
        if self._file is None:
            path = self._folder / f"{self._num_blocks // self._blocks_per_file}.json"
            temporary = self._open_file.enter_context(atomic_path(path))
            self._file = self._open_file.enter_context(temporary.open("w", encoding="ascii"))
            self._file.write("[\n" + json_entry(block))
        else:
            self._file.write(",\n" + json_entry(block))
        self._num_blocks += 1
        if self._num_blocks % self._blocks_per_file == 0:
            self._finish()

    def _finish(self) -> None:
        if self._file is not None:
            self._file.write("\n]\n")
            self._file = None
            self._open_file.close()
