"""Where predictions go: a table for people, a CSV file, or a TFRecord file of the blocks with their predictions."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TextIO

from gematria_ops.formats.protos.throughput_pb2 import BasicBlockWithThroughputProto
from gematria_ops.inference.answer import Answer
from ops_common.artifacts import atomic_path
from ops_common.errors import ArtifactError, ConfigError
from ops_common.tfrecord import RecordWriter

if TYPE_CHECKING:  # it loads TensorFlow
    from gematria_ops.inference.predictor import Predictor

MAX_TABLE_ROWS = 50
RECORD_ENDINGS = (".tfrecord", ".tfrecords")
CSV_ENDING = ".csv"

_MAX_SHOWN_HEX = 48


@dataclass(frozen=True, slots=True)
class InputBlock:
    """A block to predict.

    Attributes:
        text: Its machine code in hex, or the beginning of what could not be read.
        message: The block; None where there is none.
        labels: One for each task, cycles per iteration; None where there is none.
        reason: Why there is no message; empty when there is.
    """

    text: str
    message: BasicBlockWithThroughputProto | None
    labels: Sequence[float | None]
    reason: str = ""


class Output(Protocol):
    """Takes blocks with their answers, in order."""

    def write(self, block: InputBlock, answer: Answer) -> None:
        """Takes one."""


def check_output_file(output_file: Path | None) -> None:
    """Refuses a name whose ending says neither CSV nor TFRecord, before anything is worked out."""
    if output_file is not None and output_file.suffix not in (CSV_ENDING, *RECORD_ENDINGS):
        raise ConfigError(
            f"output file {output_file} has the ending {output_file.suffix!r}",
            f"its ending chooses the format: {', '.join((CSV_ENDING, *RECORD_ENDINGS))}",
        )


@contextmanager
def open_output(output_file: Path | None, predictor: Predictor, stream: TextIO) -> Iterator[Output]:
    """Opens the output that a file's ending chooses; a file appears only when the body ends without an error.

    Args:
        output_file: Where predictions go; None: a table.
        predictor: Names tasks and sources.
        stream: Where the table is printed.

    Raises:
        ArtifactError: The file cannot be written.
    """
    tasks = predictor.model.task_names
    if output_file is None:
        table = TableOutput(tasks)
        yield table
        table.print_to(stream)
    elif output_file.is_dir():
        raise ArtifactError(f"{output_file} is a folder", "give the name of the file to write")
    elif output_file.suffix == CSV_ENDING:
        with atomic_path(output_file) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            yield CsvOutput(tasks, file)
    else:
        with RecordWriter(output_file) as writer:
            yield RecordOutput(predictor, writer)


class CsvOutput:
    """One line a row of the input: machine code, cycles per iteration of each task, and why there are none.

    Args:
        task_names: The tasks.
        file: Where the lines go.
    """

    def __init__(self, task_names: Sequence[str], file: TextIO) -> None:
        self._writer = csv.writer(file, lineterminator="\n")
        self._writer.writerow(("machine_code", *task_names, "not_predicted_because"))
        self._empty = [""] * len(task_names)

    def write(self, block: InputBlock, answer: Answer) -> None:
        """Writes one line."""
        values = [f"{cycles:.6g}" for cycles in answer.cycles_per_iteration]
        self._writer.writerow((block.text, *(values or self._empty), block.reason or answer.reason))


class RecordOutput:
    """A record for every block, with its predictions behind the throughputs that it has. What is no block is left out.

    Args:
        predictor: Names the sources.
        writer: Where the records go.
    """

    def __init__(self, predictor: Predictor, writer: RecordWriter) -> None:
        self._predictor, self._writer = predictor, writer

    def write(self, block: InputBlock, answer: Answer) -> None:
        """Writes one record."""
        if block.message is not None:
            self._predictor.append_to(block.message, answer)
            self._writer.write(block.message.SerializeToString())


class TableOutput:
    """A table on a terminal, of the first blocks.

    Args:
        task_names: The tasks.
    """

    def __init__(self, task_names: Sequence[str]) -> None:
        self._tasks = task_names
        self._rows: list[list[str]] = []
        self._num_blocks = 0

    def write(self, block: InputBlock, answer: Answer) -> None:
        """Keeps one row, unless there are enough."""
        self._num_blocks += 1
        if len(self._rows) >= MAX_TABLE_ROWS:
            return
        text = block.text if len(block.text) <= _MAX_SHOWN_HEX else f"{block.text[: _MAX_SHOWN_HEX - 1]}…"
        length = "" if block.message is None else str(len(block.message.basic_block.canonicalized_instructions))
        values = [f"{cycles:.2f}" for cycles in answer.cycles_per_iteration]
        self._rows.append([text, length, *(values or ["-"] * len(self._tasks)), block.reason or answer.reason])

    def print_to(self, stream: TextIO) -> None:
        """Prints the table; the last column is left out when everything could be predicted."""
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(title="Clock cycles per iteration", title_justify="left")
        has_reasons = any(row[-1] for row in self._rows)
        for name in ("machine code", "instructions", *self._tasks, *(["not predicted because"] if has_reasons else [])):
            is_text = name in ("machine code", "not predicted because")
            table.add_column(name, justify="left" if is_text else "right", overflow="fold")
        for row in self._rows:
            # Text, not str: square brackets of a row that came from outside are no markup.
            table.add_row(*(Text(cell) for cell in (row if has_reasons else row[:-1])))
        # Where no terminal says how wide it is, a line of a block shall still be one line.
        width = None if stream.isatty() else 120
        console = Console(file=stream, width=width)
        console.print(table)
        if self._num_blocks > len(self._rows):
            console.print(f"and {self._num_blocks - len(self._rows):,} more; --output-file takes them all")
