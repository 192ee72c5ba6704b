"""Blocks from wherever people have them, predicted with a bundle, as a stream.

Each kind of input is an iterator of ``InputBlock``; one loop predicts them, compares with the labels that they carry,
counts by reason what cannot be predicted, and hands everything to an output, in the order of the input.
"""

from __future__ import annotations

import itertools
import logging
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, TextIO, TypeVar

from gematria_ops.data.assembling import AUTO, assemble_file
from gematria_ops.data.code_rows import CodeRow, decode_rows, read_code_rows, row_of_hex
from gematria_ops.data.dataset import read_blocks
from gematria_ops.data.selecting import compile_source_filters
from gematria_ops.formats.protos.throughput_pb2 import BasicBlockWithThroughputProto
from gematria_ops.inference.answer import Answer
from gematria_ops.inference.prediction_output import InputBlock, check_output_file, open_output
from ops_common.errors import ConfigError, DataError
from ops_common.progress import Progress

if TYPE_CHECKING:  # it loads TensorFlow, which a wrong name of a file shall not wait for
    from gematria_ops.inference.predictor import Predictor

logger = logging.getLogger(__name__)

Item = TypeVar("Item")

# The source of a CSV file's labels in an output of records.
LABEL_SOURCE = "label"

# What fits into the memory of any machine, also where every block is long. Batches do not change the answers.
MAX_BLOCKS_IN_BATCH = 1000
MAX_INSTRUCTIONS_IN_BATCH = 10_000


@dataclass(frozen=True, slots=True)
class PredictionInput:
    """What to predict: exactly one kind of input.

    Attributes:
        hex_blocks: Machine code of single blocks.
        csv_file: Machine code in the first column, labels in the second or none.
        tfrecord_file: A data set.
        elf_file: An object file with basic block address maps.
        asm_files: Assembly text, one block a file.
        asm_syntax: Of the assembly text.
        throughput_scaling: Multiplies the labels of the CSV file.
        num_workers: Processes that decode.
    """

    hex_blocks: Sequence[str] = ()
    csv_file: Path | None = None
    tfrecord_file: Path | None = None
    elf_file: Path | None = None
    asm_files: Sequence[Path] = ()
    asm_syntax: str = AUTO
    throughput_scaling: float = 0.01
    num_workers: int = 2

    def check(self) -> None:
        """Raises ConfigError unless there is exactly one kind of input."""
        kinds = {
            "--hex": self.hex_blocks,
            "--csv-file": self.csv_file,
            "--tfrecord-file": self.tfrecord_file,
            "--elf-file": self.elf_file,
            "--asm-file": self.asm_files,
        }
        given = [option for option, value in kinds.items() if value]
        if len(given) != 1:
            what = f"{' and '.join(given)} are given together" if given else "there is nothing to predict"
            raise ConfigError(what, f"give exactly one of {', '.join(kinds)}")


@dataclass
class PredictionReport:
    """What came of a prediction.

    Attributes:
        task_names: The tasks of the model.
        num_blocks: Rows of the input, of whatever kind.
        num_unpredicted: Those without a prediction, by reason.
    """

    task_names: tuple[str, ...]
    num_blocks: int = 0
    num_unpredicted: Counter[str] = field(default_factory=Counter)
    _errors: dict[str, float] = field(default_factory=dict)
    _num_compared: Counter[str] = field(default_factory=Counter)

    @property
    def num_predicted(self) -> int:
        """Blocks with a prediction."""
        return self.num_blocks - self.num_unpredicted.total()

    def add(self, block: InputBlock, answer: Answer) -> None:
        """Counts a block, and compares it with its labels."""
        self.num_blocks += 1
        if not answer.throughputs:
            self.num_unpredicted[block.reason or answer.reason] += 1
        for task, label, cycles in zip(self.task_names, block.labels, answer.cycles_per_iteration):
            if label is not None and label > 0:
                self._num_compared[task] += 1
                self._errors[task] = self._errors.get(task, 0.0) + abs(cycles - label) / label

    def num_compared(self) -> Mapping[str, int]:
        """Blocks with a prediction and a positive label, by task; only tasks with any."""
        return dict(self._num_compared)

    def mape_percent(self) -> dict[str, float]:
        """Mean absolute percentage error by task, of the blocks that have a label for it."""
        return {task: 100 * self._errors[task] / count for task, count in self._num_compared.items()}


def predict_inputs(
    bundle_dir: Path, wanted: PredictionInput, output_file: Path | None = None, *, table_stream: TextIO | None = None
) -> PredictionReport:
    """Predicts an input with a bundle.

    Args:
        bundle_dir: The model.
        wanted: The input.
        output_file: `.csv` or `.tfrecord`; None: a table of the first blocks is printed.
        table_stream: Where the table goes; None: standard output.

    Returns:
        What came of it.

    Raises:
        ConfigError: There is not exactly one kind of input, or the output's ending is unknown.
        DataError: The input cannot be read, holds no block, or none of its blocks can be predicted; there is no output
            then.
        ArtifactError: The bundle is damaged, or the output cannot be written.
    """
    wanted.check()
    check_output_file(output_file)
    rows = _started(_code_rows(wanted))
    records = _started(read_blocks(wanted.tfrecord_file or ()))

    from gematria_ops.inference.predictor import Predictor

    predictor = Predictor.from_bundle(bundle_dir)
    report = PredictionReport(predictor.model.task_names)
    blocks = itertools.chain(
        _blocks_of_rows(rows, len(report.task_names), wanted.num_workers), _blocks_of_records(records, predictor)
    )
    with (
        open_output(output_file, predictor, table_stream or sys.stdout) as output,
        Progress("predict", None, "blocks") as progress,
    ):
        for block, answer in _answered(predictor, blocks):
            report.add(block, answer)
            output.write(block, answer)
            progress.advance()
        _check_any(report)
    return report


def _answered(predictor: Predictor, blocks: Iterator[InputBlock]) -> Iterator[tuple[InputBlock, Answer]]:
    """Pairs blocks with answers, in order; those without a message have none."""
    while chunk := list(itertools.islice(blocks, MAX_BLOCKS_IN_BATCH)):
        messages = (block.message for block in chunk if block.message is not None)
        answers = predictor.answers(messages, MAX_BLOCKS_IN_BATCH, MAX_INSTRUCTIONS_IN_BATCH)
        for block in chunk:
            yield block, Answer(()) if block.message is None else next(answers)[1]


def _started(items: Iterator[Item]) -> Iterator[Item]:
    """Reads the first item now: a file that is missing or of another kind shows before a model is loaded."""
    first = list(itertools.islice(items, 1))
    return itertools.chain(first, items)


def _code_rows(wanted: PredictionInput) -> Iterator[CodeRow]:
    """The rows of an input of machine code; none for a data set."""
    if wanted.hex_blocks:
        return iter([row_of_hex(text) for text in wanted.hex_blocks])
    if wanted.asm_files:
        codes = [assemble_file(path, wanted.asm_syntax) for path in wanted.asm_files]
        return iter([CodeRow(code.hex(), code) for code in codes])
    if wanted.elf_file:
        return iter([CodeRow(text.lower(), bytes.fromhex(text)) for text in _blocks_of_elf(wanted.elf_file)])
    if wanted.csv_file:
        return read_code_rows(wanted.csv_file, wanted.throughput_scaling)
    return iter(())


def _blocks_of_elf(path: Path) -> list[str]:
    from gematria_ops.data.block_extraction import extract_blocks
    from gematria_ops.formats.binary_input import open_content

    with open_content(path) as content:
        extracted = extract_blocks(content, str(path))
    if not extracted.hex_values:
        raise DataError(
            f"{path} has no basic block address map, so it does not say where its blocks are",
            "compile it with clang and -fbasic-block-address-map (before clang 19: -fbasic-block-sections=labels)",
        )
    if extracted.num_empty:
        logger.warning("%s: %d blocks without a byte are left out", path, extracted.num_empty)
    for name in extracted.sections_without_map:
        logger.warning("%s: no basic block address map for section %s, its blocks are left out", path, name)
    return extracted.hex_values


def _blocks_of_rows(rows: Iterable[CodeRow], num_tasks: int, num_workers: int) -> Iterator[InputBlock]:
    """Decodes rows. The label of a CSV file may be any task's, so every task is compared with it."""
    for row, message in decode_rows(rows, LABEL_SOURCE, num_workers):
        labels = (row.cycles_per_iteration,) * num_tasks
        if row.reason:
            yield InputBlock(row.text, None, labels, row.reason)
        else:
            yield InputBlock(row.text, BasicBlockWithThroughputProto.FromString(message), labels)


def _blocks_of_records(messages: Iterable[BasicBlockWithThroughputProto], predictor: Predictor) -> Iterator[InputBlock]:
    """Takes the blocks of a data set; a task is compared with the first source that it would learn from."""
    learnt = predictor.learnt_from
    filters = compile_source_filters(learnt.source_filters)
    for message in messages:
        code = b"".join(part.machine_code for part in message.basic_block.machine_instructions).hex()
        yield InputBlock(code, message, [_label(message, pattern, learnt.scaling) for pattern in filters])


def _label(message: BasicBlockWithThroughputProto, source: re.Pattern[str], scaling: float) -> float | None:
    for entry in message.inverse_throughputs:
        if source.match(entry.source):
            samples = entry.inverse_throughput_cycles
            return scaling * fmean(samples) if samples else None
    return None


def _check_any(report: PredictionReport) -> None:
    if not report.num_blocks:
        raise DataError("the input holds no block", "give blocks to predict")
    if not report.num_predicted:
        reasons = ", ".join(f"{count} {reason}" for reason, count in report.num_unpredicted.most_common())
        raise DataError(f"none of the {report.num_blocks} blocks could be predicted: {reasons}", "look at the input")
