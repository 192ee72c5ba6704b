"""Builds the corpus: examine every file of the sources in parallel, drop duplicates, split, one SQLite file.

What was examined is kept in `corpus.building.sqlite` beside the target until the corpus is whole, so a build that was
interrupted goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from fastnode_ops.corpus.duplicates import NearDuplicates
from fastnode_ops.corpus.examining import Examined, examine
from fastnode_ops.corpus.found import Found
from fastnode_ops.corpus.parallel import run_jobs
from fastnode_ops.corpus.sources import find_files, find_sources
from fastnode_ops.corpus.splitting import split_of
from fastnode_ops.corpus.store import CORPUS_FORMAT, CORPUS_NAME
from ops_common.artifacts import atomic_path, make_folder
from ops_common.errors import ArtifactError, DataError
from ops_common.progress import Progress

_FILES_PER_JOB = 32
_BYTES_PER_JOB = 4_000_000  # of contents that stand in the job itself
_STAGING_NAME = "corpus.building.sqlite"
_STAGING_SCHEMA = """
CREATE TABLE IF NOT EXISTS content (id TEXT PRIMARY KEY, num_bytes INTEGER, signature BLOB, content BLOB);
CREATE TABLE IF NOT EXISTS seen (origin TEXT, size INTEGER, changed INTEGER, package TEXT, reason TEXT, id TEXT,
    PRIMARY KEY (origin, size, changed, id)) WITHOUT ROWID;
CREATE TEMP TABLE offered (origin TEXT, package TEXT, id TEXT, PRIMARY KEY (id, origin)) WITHOUT ROWID;
"""
_SCHEMA = """
PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE file (id TEXT PRIMARY KEY, num_bytes INTEGER NOT NULL, origin TEXT NOT NULL, package TEXT NOT NULL,
    split TEXT NOT NULL, content BLOB NOT NULL);
CREATE INDEX file_of_split ON file (split, id);
"""


@dataclass(slots=True)
class CorpusReport:
    """What was collected.

    Args:
        digest: SHA-256 over all ids, packages and splits.
        num_found: Files that the sources offered.
        num_files: Files that are in the corpus.
        num_bytes: Their length in UTF-8.
        splits: Files per split.
        packages: Files per package.
        dropped: Files that were left out, by reason.
    """

    digest: str = ""
    num_found: int = 0
    num_files: int = 0
    num_bytes: int = 0
    splits: Counter[str] = field(default_factory=Counter)
    packages: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)


def build_files(
    folder: Path,
    sources: Sequence[str],
    *,
    max_files: int = 0,
    held_out: Collection[str] = (),
    num_workers: int = 1,
) -> CorpusReport:
    """Build `corpus.sqlite` in a folder. The result does not depend on the number of workers or on interruptions.

    Args:
        folder: The corpus folder.
        sources: See `find_sources`.
        max_files: Keep the first so many files in the order of their ids; 0: all.
        held_out: Packages of which every file is a test file.
        num_workers: Processes.

    Raises:
        DataError: A source is not there, or no file is left.
        ArtifactError: The folder cannot be written.
    """
    places = [place for name in sources for place in find_sources(name)]
    make_folder(folder)
    staging = folder / _STAGING_NAME
    report = CorpusReport()
    with closing(_open_staging(staging)) as examined:
        _examine_all(examined, (found for place in places for found in find_files(place)), num_workers, report)
        if not examined.execute("SELECT 1 FROM offered LIMIT 1").fetchone():
            raise DataError(f"no Python file is left of {', '.join(sources)}: {dict(report.dropped)}", "add sources")
        _write(folder / CORPUS_NAME, examined, max_files, frozenset(held_out), report)
    staging.unlink()
    return report


def _open_staging(path: Path) -> sqlite3.Connection:
    for attempt in range(2):
        connection = sqlite3.connect(path)
        try:
            connection.executescript(f"PRAGMA journal_mode=DELETE; PRAGMA synchronous=OFF; {_STAGING_SCHEMA}")
        except sqlite3.Error as error:  # torn by a power cut: nothing of worth is lost
            connection.close()
            if attempt:
                raise ArtifactError(f"{path} cannot be written: {error}", "free disk space or remove it") from None
            path.unlink(missing_ok=True)
        else:
            return connection
    raise AssertionError


def _examine_all(staging: sqlite3.Connection, files: Iterable[Found], num_workers: int, report: CorpusReport) -> None:
    """Examine what was not examined yet, and leave in the table `offered` what the sources offer now."""
    query = "SELECT origin, size, changed, package, reason, id FROM seen"
    done: dict[tuple[str, int, int], tuple[str, str, str]] = {row[:3]: row[3:] for row in staging.execute(query)}

    def waiting() -> Iterator[Found]:
        for file in files:
            report.num_found += 1
            known = done.get((file.origin, *file.version)) if file.path is not None else None
            if known is None:
                yield file
            else:
                _offer(staging, file.origin, *known, report)

    with Progress("corpus", None, "files") as progress:
        for answers in run_jobs(examine, _jobs(waiting()), num_workers):
            for answer in answers:
                _stage(staging, answer)
                _offer(staging, answer.origin, answer.package, answer.reason, answer.file_id, report)
            progress.advance(len(answers))
            staging.commit()


def _jobs(files: Iterable[Found]) -> Iterator[list[Found]]:
    job: list[Found] = []
    size = 0
    for file in files:
        job.append(file)
        size += len(file.content or b"")
        if len(job) >= _FILES_PER_JOB or size >= _BYTES_PER_JOB:
            yield job
            job, size = [], 0
    if job:
        yield job


def _stage(staging: sqlite3.Connection, answer: Examined) -> None:
    if not answer.reason:
        content = (answer.file_id, answer.num_bytes, answer.signature, answer.content)
        staging.execute("INSERT OR IGNORE INTO content VALUES (?, ?, ?, ?)", content)
    seen = (answer.origin, *answer.version, answer.package, answer.reason, answer.file_id)
    staging.execute("INSERT OR IGNORE INTO seen VALUES (?, ?, ?, ?, ?, ?)", seen)


def _offer(
    staging: sqlite3.Connection, origin: str, package: str, reason: str, file_id: str, report: CorpusReport
) -> None:
    if reason:
        report.dropped[reason] += 1
        return
    row = (origin, package, file_id)
    if not staging.execute("INSERT OR IGNORE INTO offered VALUES (?, ?, ?)", row).rowcount:
        report.dropped["duplicate"] += 1  # a source that was given twice


def _write(
    target: Path, staging: sqlite3.Connection, max_files: int, held_out: frozenset[str], report: CorpusReport
) -> None:
    digest = hashlib.sha256(CORPUS_FORMAT.encode())
    similar = NearDuplicates()
    with atomic_path(target) as temporary, closing(sqlite3.connect(temporary)) as corpus:
        corpus.executescript(_SCHEMA)
        query = "SELECT id, num_bytes, signature FROM content WHERE id IN (SELECT id FROM offered) ORDER BY id"
        for file_id, num_bytes, signed in staging.execute(query):
            places = staging.execute("SELECT package, origin FROM offered WHERE id = ?", (file_id,)).fetchall()
            report.dropped["duplicate"] += len(places) - 1
            if max_files and report.num_files >= max_files:
                report.dropped["over_max_files"] += 1
            elif similar.add(file_id, signed):
                report.dropped["near_duplicate"] += 1
            else:
                # of a file that several packages have: that of a held-out one, else the first
                package, origin = min(places, key=lambda place: (place[0] not in held_out, *place))
                split = split_of(file_id, package, held_out)
                content = staging.execute("SELECT content FROM content WHERE id = ?", (file_id,)).fetchone()[0]
                corpus.execute(
                    "INSERT INTO file VALUES (?, ?, ?, ?, ?, ?)", (file_id, num_bytes, origin, package, split, content)
                )
                digest.update(f"{file_id} {package!r} {split}\n".encode())
                report.num_files += 1
                report.num_bytes += num_bytes
                report.splits[split] += 1
                report.packages[package] += 1
        report.dropped = +report.dropped
        report.digest = digest.hexdigest()
        meta = [("format", CORPUS_FORMAT), ("digest", report.digest)]
        corpus.executemany("INSERT INTO meta VALUES (?, ?)", meta)
        corpus.commit()
