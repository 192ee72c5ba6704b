"""The analysis of one file of the corpus: everything that is counted in it, as one body of bytes."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import zstandard

from fastnode_ops.analysis.analysis import analyse
from fastnode_ops.analysis.sites import NO_SITE, Site
from fastnode_ops.analysis.syntax import SourceError
from fastnode_ops.config import Split
from fastnode_ops.corpus.store import Corpus
from fastnode_ops.statistics.call_records import ArgumentRecord, CallRecord, find_calls
from fastnode_ops.statistics.hits import CONTEXTS, find_hits
from fastnode_ops.statistics.subtokens import count_subtokens
from fastnode_ops.symbols.store import SymbolStore

logger = logging.getLogger(__name__)

_MAX_BODY_BYTES = 256_000_000


@dataclass(frozen=True, slots=True)
class FileJob:
    """A file to analyse; of held-out files only the hits are counted."""

    file_id: str
    split: Split


@dataclass(frozen=True, slots=True)
class FileCounts:
    """What was counted in one file.

    Args:
        reason: Why it could not be analysed; "" when it was.
        written, canonical: Counts per context (in the order of `CONTEXTS`) by symbol, then the kinds of places (as a
            number, see `Site`), sorted by symbol.
        calls: Sampled calls.
        keywords: (function, keyword, count), sorted.
        subtokens: Counts of words.
        dropped: Calls that were left out, by reason.
        num_cut: Evaluations of expressions that were given up.
    """

    reason: str = ""
    written: Sequence[tuple[str, list[int]]] = ()
    canonical: Sequence[tuple[str, list[int]]] = ()
    calls: Sequence[CallRecord] = ()
    keywords: Sequence[tuple[str, str, int]] = ()
    subtokens: dict[str, int] | None = None
    dropped: dict[str, int] | None = None
    num_cut: int = 0


class _Worker:
    """What a worker process keeps open."""

    corpus: Corpus
    symbols: SymbolStore


def open_worker(folder: Path, symbols_path: Path) -> None:
    """Open the corpus and the symbols in a worker process."""
    _Worker.corpus = Corpus.open(folder)
    _Worker.symbols = SymbolStore.open(symbols_path)


def examine(jobs: Sequence[FileJob]) -> list[tuple[str, bytes]]:
    """Return the id and the body of each file."""
    return [(job.file_id, pack(count_file(_Worker.corpus, _Worker.symbols, job))) for job in jobs]


def count_file(corpus: Corpus, symbols: SymbolStore, job: FileJob) -> FileCounts:
    """Analyse and count one file."""
    try:
        analysis = analyse(corpus.source(job.file_id), symbols)
        hits = find_hits(analysis)
        tables = _table(hits.written, hits.written_sites), _table(hits.canonical, hits.canonical_sites)
        if job.split != "train":
            return FileCounts("", *tables, num_cut=analysis.num_cut)
        calls = find_calls(analysis, job.file_id)
    except SourceError as error:
        return FileCounts(error.reason)
    except Exception as error:  # one file that the analysis cannot do must not cost the other ten thousand
        logger.warning("%s (%s): %s: %s", job.file_id[:12], corpus.origin_of(job.file_id), type(error).__name__, error)
        return FileCounts("analysis_failed")
    keywords = sorted((*key, count) for key, count in calls.keywords.items())
    words = dict(sorted(count_subtokens(analysis.tree).items()))
    dropped = dict(sorted(calls.dropped.items()))
    return FileCounts("", *tables, calls.calls, keywords, words, dropped, analysis.num_cut)


def _table(counts: Counter[tuple[str, str]], sites: Mapping[str, Site]) -> list[tuple[str, list[int]]]:
    rows: dict[str, list[int]] = {}
    for (path, context), count in counts.items():
        rows.setdefault(path, [0] * len(CONTEXTS))[CONTEXTS.index(context)] = count
    return [(path, [*row, int(sites.get(path, NO_SITE))]) for path, row in sorted(rows.items())]


def pack(counts: FileCounts) -> bytes:
    """Return counts as bytes: equal for equal counts."""
    calls = [[c.function, c.priority, [[a.keyword, a.types, a.text] for a in c.arguments]] for c in counts.calls]
    values: list[Any] = [
        *(counts.reason, counts.written, counts.canonical, calls, counts.keywords),
        *(counts.subtokens or {}, counts.dropped or {}, counts.num_cut),
    ]
    return zstandard.compress(orjson.dumps(values), 3)


def unpack(body: bytes) -> FileCounts:
    """Return what `pack` was given."""
    values = orjson.loads(zstandard.decompress(body, max_output_size=_MAX_BODY_BYTES))
    reason, written, canonical, calls, keywords, subtokens, dropped, num_cut = values
    return FileCounts(
        reason,
        [(path, row) for path, row in written],
        [(path, row) for path, row in canonical],
        [call_from_json(call) for call in calls],
        [(function, word, count) for function, word, count in keywords],
        subtokens,
        dropped,
        num_cut,
    )


def call_from_json(values: Any) -> CallRecord:
    """Return a call from its plain values."""
    function, priority, arguments = values
    return CallRecord(
        function, priority, tuple(ArgumentRecord(word, tuple(types), text) for word, types, text in arguments)
    )
