"""Gathers the counts of all files into the tables of the index, file after file; memory holds symbols, not hits."""

from __future__ import annotations

import sqlite3
from collections import Counter
from itertools import groupby

import orjson

from fastnode_ops.statistics.examining import FileCounts, FileJob, call_from_json, unpack
from fastnode_ops.statistics.hits import CONTEXTS
from fastnode_ops.statistics.signatures import Limits, summarize
from fastnode_ops.statistics.subtokens import number_subtokens
from fastnode_ops.symbols.store import SymbolStore

_MAX_WORDS = 2_000_000  # rare words are forgotten above this; far more than a corpus of a million files has

_CALLS = """
CREATE TEMP TABLE call (function TEXT NOT NULL, priority TEXT NOT NULL, body BLOB NOT NULL);
CREATE TEMP TABLE keyword_of_file (function TEXT NOT NULL, keyword TEXT NOT NULL, count INTEGER NOT NULL);
"""


class Gathering:
    """Fills an index.

    Args:
        target: The database with the index's tables, empty.
    """

    def __init__(self, target: sqlite3.Connection) -> None:
        self._target = target
        target.executescript(_CALLS)
        self._numbers: dict[tuple[bool, str], int] = {}
        self._scores: list[list[int]] = []
        self._words: Counter[str] = Counter()

    def add(self, number: int, job: FileJob, body: bytes) -> FileCounts:
        """Add one file; files come in the order of their ids. Return what was counted in it."""
        counts = unpack(body)
        if counts.reason:
            return counts
        self._target.execute("INSERT INTO file VALUES (?, ?, ?)", (number, job.file_id, job.split))
        for canonical, table in ((False, counts.written), (True, counts.canonical)):
            rows = []
            for path, row in table:
                symbol = self._numbers.setdefault((canonical, path), len(self._numbers))
                if symbol == len(self._scores):
                    self._scores.append([0] * len(CONTEXTS))
                if job.split == "train":
                    self._scores[symbol] = [total + count for total, count in zip(self._scores[symbol], row)]
                rows.append((symbol, number, *row))
            marks = ", ".join("?" * (3 + len(CONTEXTS)))
            self._target.executemany(f"INSERT INTO symbol_hits VALUES ({marks})", rows)
        if job.split == "train":
            self._add_training_counts(counts)
        return counts

    def _add_training_counts(self, counts: FileCounts) -> None:
        # as fixed-width text, because SQLite's integers are signed
        calls = [
            (
                call.function,
                f"{call.priority:020d}",
                orjson.dumps([[a.keyword, a.types, a.text] for a in call.arguments]),
            )
            for call in counts.calls
        ]
        self._target.executemany("INSERT INTO call VALUES (?, ?, ?)", calls)
        self._target.executemany("INSERT INTO keyword_of_file VALUES (?, ?, ?)", counts.keywords)
        self._words.update(counts.subtokens or {})
        if len(self._words) > _MAX_WORDS:
            self._words = Counter({word: count for word, count in self._words.items() if count > 1})

    def write_scores(self) -> int:
        """Write the table of symbols; return how many occur as written."""
        rows = (
            (number, int(canonical), path, *self._scores[number]) for (canonical, path), number in self._numbers.items()
        )
        marks = ", ".join("?" * (3 + len(CONTEXTS)))
        self._target.executemany(f"INSERT INTO symbol VALUES ({marks})", rows)
        return sum(not canonical for canonical, _ in self._numbers)

    def write_subtokens(self) -> int:
        """Write the most frequent words with their rows; return how many."""
        words = number_subtokens(self._words)
        rows = [(row, word, self._words[word]) for row, word in enumerate(words)]
        self._target.executemany("INSERT INTO subtoken VALUES (?, ?, ?)", rows)
        return len(rows)

    def write_signatures(self, symbols: SymbolStore, limits: Limits) -> int:
        """Write keyword counts and the statistics of calls, function by function; return for how many functions."""
        self._target.execute(
            "INSERT INTO keyword SELECT function, keyword, SUM(count) FROM keyword_of_file GROUP BY 1, 2 ORDER BY 1, 2"
        )
        num_functions = 0
        rows = self._target.execute("SELECT function, priority, body FROM call ORDER BY 1, 2, 3")
        written = []
        for function, group in groupby(rows, key=lambda row: row[0]):
            sample = [row for _, row in zip(range(limits.max_calls), group)]
            calls = [call_from_json((function, int(row[1]), orjson.loads(row[2]))) for row in sample]
            found = summarize(calls, symbols.parameters(function), limits)
            if found is not None:
                written.append((function, orjson.dumps(found.to_json())))
                num_functions += 1
        self._target.executemany("INSERT INTO signature VALUES (?, ?)", written)
        return num_functions
