"""What an import did: rows used and not used, by reason; blocks by part, their lengths and their labels."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from gematria_ops.data.splitting import TEST, TRAIN, VALIDATION
from gematria_ops.formats.bhive_csv import RejectedRow, RejectReason
from ops_common.errors import ConfigError, DataError


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RejectedRows(_Frozen):
    """The rows of one file that were not used for one reason.

    Attributes:
        num_rows: How many.
        first_line_number: The first of them, from 1.
        first_text: What stands there, shortened.
    """

    num_rows: int
    first_line_number: int
    first_text: str


class LabelStatistics(_Frozen):
    """How the labels of one source are distributed, in cycles per iteration.

    Attributes:
        num_labels: How many there are; the rest is 0 or empty when there are none.
        mean: Arithmetic mean.
        minimum: The smallest.
        maximum: The largest.
        percentiles: Percent to value (nearest rank).
    """

    num_labels: int = 0
    mean: float = 0.0
    minimum: float = 0.0
    maximum: float = 0.0
    percentiles: dict[str, float] = {}


class SourceReport(_Frozen):
    """One CSV file and the labels that came from it.

    Attributes:
        source: Name of the throughput source.
        file: Name of the file, without folders.
        num_rows: Lines of the file.
        num_accepted: Rows that gave a label.
        num_rejected: Rows that could not be used.
        num_harmless: Rows that were left out without loss: blank lines and exact duplicates.
        rejected: Reason to rows, harmless ones included.
        labels_by_split: Part of the data set to number of labels.
        labels: Their distribution.
    """

    source: str
    file: str
    num_rows: int
    num_accepted: int
    num_rejected: int
    num_harmless: int
    rejected: dict[str, RejectedRows]
    labels_by_split: dict[str, int]
    labels: LabelStatistics


class BlockLengths(_Frozen):
    """How many instructions the blocks have.

    Attributes:
        mean: Instructions per block.
        maximum: Instructions of the longest block.
        num_blocks: Number of instructions to number of blocks.
    """

    mean: float
    maximum: int
    num_blocks: dict[str, int]


class ImportReport(_Frozen):
    """What an import did.

    Attributes:
        num_blocks: Records written.
        blocks_by_split: Part of the data set to number of records.
        sources: One entry per CSV file, in the order given.
        block_lengths: Instructions per block.
        throughput_scaling: Cycles per iteration = value in the file * throughput_scaling.
        canonicalizer_version: Which instruction tables the canonical form comes from.
        dataset_dir: The folder; not part of the file, which may be moved.
        dataset_sha256: SHA-256 over those of the files written; empty when it is not a data set.
    """

    num_blocks: int
    blocks_by_split: dict[str, int]
    sources: tuple[SourceReport, ...]
    block_lengths: BlockLengths
    throughput_scaling: float
    canonicalizer_version: str
    dataset_dir: str = ""
    dataset_sha256: str = ""

    @property
    def num_train(self) -> int:
        """Blocks to train on."""
        return self.blocks_by_split.get(TRAIN, 0)

    @property
    def num_validation(self) -> int:
        """Blocks held out for validation."""
        return self.blocks_by_split.get(VALIDATION, 0)

    @property
    def num_test(self) -> int:
        """Blocks held out for the test."""
        return self.blocks_by_split.get(TEST, 0)

    @property
    def num_rejected(self) -> int:
        """Rows of all files that could not be used."""
        return sum(source.num_rejected for source in self.sources)

    def to_json(self) -> dict[str, object]:
        """Returns what goes into `import_report.json`: the same for the same input, wherever it is written."""
        return self.model_dump(exclude={"dataset_dir", "dataset_sha256"})

    def summary_lines(self) -> list[str]:
        """Returns the report for people, a few lines."""
        lines = [f"{self.num_blocks:,} blocks, {self.block_lengths.mean:.1f} instructions on average"]
        for source in self.sources:
            lines.append(
                f"{source.file} as '{source.source}': {source.num_accepted:,} of {source.num_rows:,} rows used, "
                f"{source.num_rejected:,} rejected, {source.num_harmless:,} blank or repeated"
            )
            lines += rejection_lines(source.rejected)
        return lines


class RowCounter:
    """Counts the rows of one file: used, and not used by reason."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.num_rows = 0
        self._num_by_reason: Counter[RejectReason] = Counter()
        self._first: dict[RejectReason, RejectedRow] = {}

    def reject(self, row: RejectedRow) -> None:
        """Counts a row that is not used; it must have been counted in `num_rows`."""
        self._num_by_reason[row.reason] += 1
        first = self._first.get(row.reason)
        if first is None or row.line_number < first.line_number:
            self._first[row.reason] = row

    @property
    def num_rejected(self) -> int:
        """Rows that could not be used."""
        return sum(num for reason, num in self._num_by_reason.items() if not reason.is_harmless)

    @property
    def num_harmless(self) -> int:
        """Rows left out without loss."""
        return sum(num for reason, num in self._num_by_reason.items() if reason.is_harmless)

    @property
    def num_accepted(self) -> int:
        """Rows that gave a label."""
        return self.num_rows - self._num_by_reason.total()

    def rejected(self) -> dict[str, RejectedRows]:
        """Returns the rows not used, by reason, in the order in which reasons are checked."""
        return {
            reason.value: RejectedRows(
                num_rows=self._num_by_reason[reason],
                first_line_number=self._first[reason].line_number,
                first_text=self._first[reason].text,
            )
            for reason in RejectReason
            if reason in self._first
        }

    def report(self, source: str, labels_by_split: dict[str, int], labels: LabelStatistics) -> SourceReport:
        """Returns the file's part of the import report."""
        return SourceReport(
            source=source,
            file=self.path.name,
            num_rows=self.num_rows,
            num_accepted=self.num_accepted,
            num_rejected=self.num_rejected,
            num_harmless=self.num_harmless,
            rejected=self.rejected(),
            labels_by_split=labels_by_split,
            labels=labels,
        )

    def check_share(self, max_rejected_share: float) -> None:
        """Raises DataError when too many rows could not be used: more than this share of all rows, 0 to 1."""
        # Compared as counts, so that a share of exactly the limit passes whatever the rounding.
        if self.num_rejected <= max_rejected_share * self.num_rows:
            return
        share = self.num_rejected / self.num_rows
        lines = [
            f"{self.path}: {self.num_rejected:,} of {self.num_rows:,} rows ({share:.2%}) cannot be used, "
            f"more than the allowed {max_rejected_share:.2%}",
            *rejection_lines(self.rejected()),
        ]
        raise DataError("\n".join(lines), "correct the file, or allow a larger max_rejected_share")


def rejection_lines(rejected: dict[str, RejectedRows]) -> list[str]:
    """Returns a line of text per reason, with the first row of each."""
    return [
        f"  {reason}: {rows.num_rows:,} rows, first in line {rows.first_line_number}: {rows.first_text!r}"
        for reason, rows in rejected.items()
    ]


def check_share_limit(max_rejected_share: float) -> None:
    """Raises ConfigError unless the limit is a share."""
    if not 0 <= max_rejected_share <= 1:
        raise ConfigError(
            f"max_rejected_share = {max_rejected_share} is not a share", "use a number from 0 (none) to 1 (any)"
        )


def describe_lengths(num_by_length: Counter[int]) -> BlockLengths:
    """Describes the lengths of the blocks.

    Args:
        num_by_length: Number of instructions to number of blocks.
    """
    num_blocks = num_by_length.total()
    num_instructions = sum(length * num for length, num in num_by_length.items())
    return BlockLengths(
        mean=num_instructions / num_blocks if num_blocks else 0.0,
        maximum=max(num_by_length, default=0),
        num_blocks={str(length): num for length, num in sorted(num_by_length.items())},
    )
