"""The labels of all blocks of an import, on disk: memory stays flat however many blocks there are.

The table is a private SQLite database without a name. SQLite keeps it in a bounded cache, spills the rest into the
folder for temporary files (`TMPDIR`), and the system frees it with the process, however that ends.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import NamedTuple, Self

from gematria_ops.data.import_report import LabelStatistics
from ops_common.errors import ServiceError

_CACHE_KIBIBYTES = 16 * 1024
_PERCENTS = (1, 5, 25, 50, 75, 95, 99)


class Label(NamedTuple):
    """What one source says about a block, and on which line of its file.

    Attributes:
        source_index: Position in the list of sources.
        cycles_per_iteration: The throughput.
        line_number: From 1.
    """

    source_index: int
    cycles_per_iteration: float
    line_number: int


class Block(NamedTuple):
    """A block before it is decoded.

    Attributes:
        machine_code: The block.
        labels: One for each source that has the block, in the order of the sources.
    """

    machine_code: bytes
    labels: tuple[Label, ...]


class BlockTable:
    """Blocks by machine code, with at most one label from each source. Use as a context manager.

    Args:
        num_sources: How many sources there are.
    """

    def __init__(self, num_sources: int) -> None:
        self._num_sources = num_sources
        self._connection = sqlite3.connect("", isolation_level=None)

    def __enter__(self) -> Self:
        columns = "".join(f", cycles_{k} REAL, line_{k} INTEGER" for k in range(self._num_sources))
        with named_table_errors():
            for pragma in (f"cache_size = -{_CACHE_KIBIBYTES}", "temp_store = FILE", "journal_mode = OFF"):
                self._connection.execute(f"PRAGMA {pragma}")
            self._connection.execute(
                "CREATE TABLE blocks (id INTEGER PRIMARY KEY, machine_code BLOB NOT NULL UNIQUE, "
                f"is_rejected INTEGER NOT NULL DEFAULT 0{columns})"
            )
            # One transaction for everything: nobody else looks, and it is thrown away at the end.
            self._connection.execute("BEGIN")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection.close()

    def add(self, machine_code: bytes, label: Label) -> Label | None:
        """Adds a label, and the block if it is new.

        Args:
            machine_code: The block.
            label: What one source says about it.

        Returns:
            None; or, when this source has a label for the block already, that label, and nothing is changed.
        """
        k = label.source_index
        with named_table_errors():
            changed = self._connection.execute(
                f"INSERT INTO blocks (machine_code, cycles_{k}, line_{k}) VALUES (?, ?, ?) ON CONFLICT (machine_code) "
                f"DO UPDATE SET cycles_{k} = excluded.cycles_{k}, line_{k} = excluded.line_{k} "
                f"WHERE cycles_{k} IS NULL",
                (machine_code, label.cycles_per_iteration, label.line_number),
            )
            if changed.rowcount:
                return None
            row = self._connection.execute(
                f"SELECT cycles_{k}, line_{k} FROM blocks WHERE machine_code = ?", (machine_code,)
            ).fetchone()
        return Label(k, *row)

    def reject(self, machine_code: bytes) -> None:
        """Leaves a block out of the statistics. It stays in the table, so that its repetitions are still found."""
        with named_table_errors():
            self._connection.execute("UPDATE blocks SET is_rejected = 1 WHERE machine_code = ?", (machine_code,))

    def num_blocks(self) -> int:
        """Returns how many blocks there are, rejected ones included."""
        with named_table_errors():
            count: int = self._connection.execute("SELECT COUNT(*) FROM blocks").fetchone()[0]
        return count

    def blocks(self) -> Iterator[Block]:
        """Yields all blocks in the order of first appearance; blocks already given may be rejected meanwhile."""
        columns = "".join(f", cycles_{k}, line_{k}" for k in range(self._num_sources))
        with named_table_errors():
            for machine_code, *values in self._connection.execute(
                f"SELECT machine_code{columns} FROM blocks ORDER BY id"
            ):
                yield Block(machine_code, _labels(values))

    def statistics(self, source_index: int) -> LabelStatistics:
        """Describes the labels that one source has for the blocks that are not rejected."""
        k = source_index
        with named_table_errors():
            count, mean, minimum, maximum = self._connection.execute(
                f"SELECT COUNT(cycles_{k}), AVG(cycles_{k}), MIN(cycles_{k}), MAX(cycles_{k}) FROM blocks "
                "WHERE NOT is_rejected"
            ).fetchone()
            if not count:
                return LabelStatistics()
            ordered = self._connection.execute(
                f"SELECT cycles_{k} FROM blocks WHERE cycles_{k} IS NOT NULL AND NOT is_rejected ORDER BY cycles_{k}"
            )
            wanted = {str(percent): -(-percent * count // 100) for percent in _PERCENTS}
            by_rank: dict[int, float] = {}
            ranks = set(wanted.values())
            for rank, (cycles,) in enumerate(ordered, start=1):
                if rank in ranks:
                    by_rank[rank] = cycles
        percentiles = {percent: by_rank[rank] for percent, rank in wanted.items()}
        return LabelStatistics(num_labels=count, mean=mean, minimum=minimum, maximum=maximum, percentiles=percentiles)


def _labels(values: Sequence[float | None]) -> tuple[Label, ...]:
    labels = []
    for k in range(len(values) // 2):
        cycles, line_number = values[2 * k : 2 * k + 2]
        if cycles is not None and line_number is not None:
            labels.append(Label(k, cycles, int(line_number)))
    return tuple(labels)


@contextmanager
def named_table_errors() -> Iterator[None]:
    """Turns what SQLite says (disk full, above all) into an error with a hint."""
    try:
        yield
    except sqlite3.Error as error:
        raise ServiceError(
            f"the temporary table cannot be kept on disk: {error}",
            "free space in the folder for temporary files, or name another one in TMPDIR",
        ) from error
