"""Builds the index: every file analysed in parallel, counted, gathered into one SQLite file.

The counts of each file are kept in `index.building.sqlite` until the index is whole, so an interrupted build goes on
with the files that are left. What is gathered depends on the corpus, the symbols and the limits only.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from fastnode_ops.corpus.parallel import run_jobs
from fastnode_ops.corpus.splitting import SPLITS
from fastnode_ops.corpus.store import Corpus
from fastnode_ops.statistics.examining import FileJob, examine, open_worker
from fastnode_ops.statistics.gathering import Gathering
from fastnode_ops.statistics.index import INDEX_FORMAT, INDEX_NAME, INDEX_SCHEMA
from fastnode_ops.statistics.signatures import Limits
from fastnode_ops.symbols.store import SymbolStore
from ops_common.artifacts import atomic_path
from ops_common.errors import ArtifactError
from ops_common.progress import Progress

STAGING_NAME = "index.building.sqlite"

_FILES_PER_JOB = 4
_STAGING_SCHEMA = """
CREATE TABLE IF NOT EXISTS made_of (key TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS counted (id TEXT PRIMARY KEY, body BLOB NOT NULL);
"""


@dataclass(slots=True)
class IndexReport:
    """What was counted.

    Args:
        digest: SHA-256 over all of it.
        num_files: Files that were analysed.
        num_symbols: Symbols that occur, as written.
        num_functions: Functions with statistics of their calls.
        num_subtokens: Words with a row.
        num_cut: Evaluations of expressions that were given up because of a limit.
        dropped: Files and calls that were left out, by reason.
    """

    digest: str = ""
    num_files: int = 0
    num_symbols: int = 0
    num_functions: int = 0
    num_subtokens: int = 0
    num_cut: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


def build_index(folder: Path, symbols_path: Path, *, limits: Limits | None = None, num_workers: int = 1) -> IndexReport:
    """Build `index.sqlite` in a corpus folder.

    Args:
        folder: Folder with `corpus.sqlite`.
        symbols_path: The symbol store to analyse with.
        limits: What is too rare for call statistics.
        num_workers: Processes; the result does not depend on it.

    Raises:
        ArtifactError: The corpus or the symbols are missing, or the folder cannot be written.
    """
    corpus = Corpus.open(folder)
    symbols = SymbolStore.open(symbols_path)
    report = IndexReport()
    staging_path = folder / STAGING_NAME
    with closing(_open_staging(staging_path, f"{INDEX_FORMAT} {symbols.digest} {_code_digest()}")) as staging:
        jobs = sorted(
            (FileJob(file_id, split) for split in SPLITS for file_id in corpus.files(split)),
            key=lambda job: job.file_id,
        )
        _count(staging, jobs, folder, symbols_path, num_workers)
        with atomic_path(folder / INDEX_NAME) as temporary, closing(sqlite3.connect(temporary)) as target:
            target.executescript(INDEX_SCHEMA)
            _gather(staging, target, jobs, corpus, symbols, limits or Limits(), report)
    staging_path.unlink()
    return report


def _open_staging(path: Path, key: str) -> sqlite3.Connection:
    """Open what was counted so far; anew when it was counted otherwise, or is torn."""
    for _ in range(2):
        connection = sqlite3.connect(path)
        try:
            connection.executescript(f"PRAGMA journal_mode=DELETE; PRAGMA synchronous=OFF; {_STAGING_SCHEMA}")
            made_of = connection.execute("SELECT key FROM made_of").fetchall()
            if made_of in ([], [(key,)]):
                connection.execute("INSERT OR IGNORE INTO made_of VALUES (?)", (key,))
                connection.commit()
                return connection
        except sqlite3.Error:
            pass
        connection.close()
        path.unlink(missing_ok=True)
    raise ArtifactError(f"{path} cannot be written", "free disk space, or choose another folder")


def _code_digest() -> str:
    """Return SHA-256 over the code that counts: the packages `analysis` and `statistics`."""
    digest = hashlib.sha256()
    here = Path(__file__).parent
    for path in sorted([*here.glob("*.py"), *(here.parent / "analysis").glob("*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _count(
    staging: sqlite3.Connection, jobs: list[FileJob], folder: Path, symbols_path: Path, num_workers: int
) -> None:
    # the split decides what is counted, so it belongs to the key
    done = {row[0] for row in staging.execute("SELECT id FROM counted")}
    left = [job for job in jobs if _key(job) not in done]
    split = {job.file_id: job for job in left}
    with Progress("index", len(left), "files") as progress:
        for answers in run_jobs(examine, _chunks(left), num_workers, open_worker, (folder, symbols_path)):
            rows = [(_key(split[file_id]), body) for file_id, body in answers]
            staging.executemany("INSERT OR REPLACE INTO counted VALUES (?, ?)", rows)
            staging.commit()
            progress.advance(len(answers))


def _key(job: FileJob) -> str:
    return f"{job.file_id} {'train' if job.split == 'train' else 'held out'}"


def _chunks(jobs: list[FileJob]) -> Iterator[list[FileJob]]:
    for start in range(0, len(jobs), _FILES_PER_JOB):
        yield jobs[start : start + _FILES_PER_JOB]


def _gather(
    staging: sqlite3.Connection,
    target: sqlite3.Connection,
    jobs: list[FileJob],
    corpus: Corpus,
    symbols: SymbolStore,
    limits: Limits,
    report: IndexReport,
) -> None:
    digest = hashlib.sha256(f"{INDEX_FORMAT} {corpus.digest} {symbols.digest} {limits}".encode())
    gathering = Gathering(target)
    for number, job in enumerate(jobs):
        [body] = staging.execute("SELECT body FROM counted WHERE id = ?", (_key(job),)).fetchone()
        digest.update(hashlib.sha256(body).digest())
        counts = gathering.add(number, job, body)
        if counts.reason:
            report.dropped[counts.reason] += 1
        else:
            report.num_files += 1
        report.dropped.update({f"call: {reason}": count for reason, count in (counts.dropped or {}).items()})
        report.num_cut += counts.num_cut
    report.num_symbols = gathering.write_scores()
    report.num_subtokens = gathering.write_subtokens()
    report.num_functions = gathering.write_signatures(symbols, limits)
    report.digest = digest.hexdigest()
    meta = [
        *(("format", INDEX_FORMAT), ("digest", report.digest)),
        *(("corpus_digest", corpus.digest), ("symbols_digest", symbols.digest)),
    ]
    target.executemany("INSERT INTO meta VALUES (?, ?)", meta)
    target.commit()
