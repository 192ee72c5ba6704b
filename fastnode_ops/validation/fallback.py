"""Symbols that completions leave to popularity, because it did better there (specification 14.4).

The reference compares popularity with the model at a bare name; here it is the model on the line, which is what the
product asks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from fastnode_ops.validation.ranking import Outcome
from ops_common.artifacts import write_text
from ops_common.errors import ArtifactError, DataError

MIN_COUNT = 10
NUM_GOOD_RANKS = 5
MAX_FILE_BYTES = 4 << 20

_SYMBOL = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


class FallbackRow(BaseModel):
    """What was counted for a symbol.

    Args:
        symbol: Symbol of the base.
        count: Situations in which neither provider failed and at least one had the answer among the first 5.
        pop_better: Those in which popularity had it higher.
        ggnn_better: Those in which the model had it higher.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    symbol: str
    count: int
    pop_better: int
    ggnn_better: int

    @property
    def is_listed(self) -> bool:
        """Whether popularity does better, over enough situations to say so."""
        return self.count >= MIN_COUNT and self.pop_better > self.ggnn_better


def compare_by_symbol(
    symbols: Sequence[str], popularity: Sequence[Outcome], model: Sequence[Outcome]
) -> list[FallbackRow]:
    """Count per symbol who was better; the three are of the same situations. Sorted by symbol."""
    counts: dict[str, list[int]] = {}
    for symbol, pop, ggnn in zip(symbols, popularity, model, strict=True):
        if pop.has_failed or ggnn.has_failed:
            continue
        if not any(0 <= one.rank < NUM_GOOD_RANKS for one in (pop, ggnn)):
            continue
        row = counts.setdefault(symbol, [0, 0, 0])
        row[0] += 1
        row[1] += _is_better(pop.rank, ggnn.rank)
        row[2] += _is_better(ggnn.rank, pop.rank)
    return [
        FallbackRow(symbol=symbol, count=row[0], pop_better=row[1], ggnn_better=row[2])
        for symbol, row in sorted(counts.items())
    ]


def _is_better(rank: int, other: int) -> bool:
    """Found beats not found; else the lower rank wins."""
    return rank >= 0 and (other < 0 or rank < other)


def write_fallback(path: Path, symbols: Iterable[str]) -> None:
    """Write one symbol per line, sorted."""
    write_text(path, "".join(f"{symbol}\n" for symbol in sorted(set(symbols))))


def read_fallback(path: Path) -> list[str]:
    """Read a list of symbols, sorted, without repetitions; empty lines are skipped.

    Raises:
        ArtifactError: There is no such file.
        DataError: It is too large, is no text, or a line is no dotted path; the message names it.
    """
    path = Path(path)
    if not path.is_file():
        raise ArtifactError(f"{path} does not exist", "validate-attributes writes the list of a model")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise DataError(f"{path} has more than {MAX_FILE_BYTES:,d} bytes", "a fallback list has one symbol per line")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start})", "write the file again") from None
    for number, line in enumerate(lines, start=1):
        if line.strip() and not _SYMBOL.fullmatch(line.strip()):
            raise DataError(f"{path} line {number}: {line[:100]!r} is no symbol", "write paths like matplotlib.pyplot")
    return sorted({line.strip() for line in lines if line.strip()})


def merge_fallback(of_pipeline: Path, hardcoded: Path, merged: Path) -> int:
    """Merge the list of a validation with the hard-coded one.

    Returns:
        The number of symbols.

    Raises:
        ArtifactError, DataError: As `read_fallback`.
    """
    symbols = {*read_fallback(of_pipeline), *read_fallback(hardcoded)}
    write_fallback(merged, symbols)
    return len(symbols)
