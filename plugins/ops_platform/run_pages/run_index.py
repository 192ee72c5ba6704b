"""What the run folders say, kept so that a page over a thousand of them reads only those that have changed.

Each web process holds the facts in memory and looks at the folders' times before it answers. What was read goes into
an SQLite file as well, so that another process, or this one after a restart, need not read every folder anew. The file
is a cache: it is made again when it is damaged or of another version, and left out where it cannot be written.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from ops_common.release_record import RELEASE_NAME
from ops_common.run_facts import RunFacts, read_run
from ops_common.run_record import RECORD_NAME

logger = logging.getLogger(__name__)

INDEX_NAME = ".run-index.sqlite"
VERSION = 1
"""Of what is kept; to be raised when `RunFacts` changes."""

_BUSY_SECONDS = 2.0
_PRIMARY_CODE = 0xFF
_OUT_OF_REACH = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_PERM,
}
"""Codes of a file that somebody else holds, or that there is no place for: nothing is wrong with what it says."""

_SCHEMA = "CREATE TABLE runs (dag_id TEXT, name TEXT, signature TEXT, facts TEXT, PRIMARY KEY (dag_id, name))"

# Files are replaced by renaming, which changes the time of the folder that they stand in; the two records are looked
# at themselves, since people mend those by hand.
_LOOKED_AT = (".", "results", "reports", "out/reports", RECORD_NAME, RELEASE_NAME)

# Read anew by the pages of one run; too much to hold of a thousand.
_NOT_KEPT: dict[str, dict[str, str]] = {
    "results": {},
    "conf": {},
    "config": {},
    "versions": {},
    "machine": {},
    "artifacts": {},
}

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class IndexedRun:
    """A run of the index.

    Attributes:
        dag_id: Name of the folder that the runs of its DAG stand in.
        facts: What its folder says, without what only the page of one run shows.
    """

    dag_id: str
    facts: RunFacts

    @property
    def key(self) -> Key:
        """Names the run among all."""
        return self.dag_id, self.facts.name


class RunIndex:
    """The runs below a folder. Safe for several threads; any number of processes may share the file.

    Args:
        runs_root: Run folders are `<runs_root>/<dag id>/<run>`.
        dag_ids: The workflows whose runs are looked for.
    """

    def __init__(self, runs_root: Path, dag_ids: Sequence[str]) -> None:
        self._root, self._dag_ids = Path(runs_root), tuple(dag_ids)
        self._lock = threading.Lock()
        self._runs: dict[Key, tuple[str, IndexedRun]] = {}
        self._is_loaded = False

    @property
    def path(self) -> Path:
        """The file that several processes share."""
        return self._root / INDEX_NAME

    def runs(self) -> list[IndexedRun]:
        """All runs as their folders are now, in no order."""
        with self._lock:
            if not self._is_loaded:
                self._runs, self._is_loaded = self._load(), True
            found = {(dag_id, name): _signature(path) for dag_id, name, path in self._folders()}
            changed = {key for key, signature in found.items() if self._runs.get(key, ("",))[0] != signature}
            gone = self._runs.keys() - found.keys()
            for dag_id, name in changed:
                # the signature was taken before: what is written meanwhile is read the next time
                facts = read_run(self._root / dag_id / name).model_copy(update=_NOT_KEPT)
                self._runs[dag_id, name] = found[dag_id, name], IndexedRun(dag_id, facts)
            for key in gone:
                del self._runs[key]
            if changed or gone:
                self._save(changed, gone)
            return [run for _, run in self._runs.values()]

    def _folders(self) -> Iterable[tuple[str, str, str]]:
        for dag_id in self._dag_ids:
            with contextlib.suppress(OSError), os.scandir(self._root / dag_id) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                        yield dag_id, entry.name, entry.path

    def _load(self) -> dict[Key, tuple[str, IndexedRun]]:
        try:
            with contextlib.closing(self._open()) as database:
                rows = database.execute("SELECT dag_id, name, signature, facts FROM runs").fetchall()
            return {
                (dag_id, name): (signature, IndexedRun(dag_id, RunFacts.model_validate_json(facts)))
                for dag_id, name, signature, facts in rows
            }
        except (sqlite3.DatabaseError, ValidationError) as error:
            self._give_up(error)
        return {}

    def _save(self, changed: Iterable[Key], gone: Iterable[Key]) -> None:
        rows: Mapping[Key, tuple[str, IndexedRun]] = self._runs
        values = [(*key, rows[key][0], rows[key][1].facts.model_dump_json()) for key in changed]
        try:
            with contextlib.closing(self._open()) as database, database:
                database.executemany("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?)", values)
                database.executemany("DELETE FROM runs WHERE dag_id = ? AND name = ?", list(gone))
        except sqlite3.DatabaseError as error:
            self._give_up(error)

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.path, timeout=_BUSY_SECONDS)
        try:
            if database.execute("PRAGMA user_version").fetchone()[0] != VERSION:
                with database:
                    database.execute("BEGIN IMMEDIATE")  # one process makes it; the others find it made
                    if database.execute("PRAGMA user_version").fetchone()[0] != VERSION:
                        database.execute("DROP TABLE IF EXISTS runs")
                        database.execute(_SCHEMA)
                        database.execute(f"PRAGMA user_version = {VERSION}")
        except BaseException:
            database.close()
            raise
        return database

    def _give_up(self, error: sqlite3.DatabaseError | ValidationError) -> None:
        """Do without the file; a damaged one is removed, so that the next who has something to keep makes it anew."""
        if getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE in _OUT_OF_REACH:
            logger.info("the index of runs is not used: %s", error)
            return
        logger.warning("warning: the index of runs is damaged and is made again: %s", error)
        with contextlib.suppress(OSError):
            self.path.unlink()


def _signature(folder: str) -> str:
    """Changes whenever something is written into the folder of a run that its facts are read from."""
    times = []
    for name in _LOOKED_AT:
        try:
            status = os.stat(f"{folder}/{name}")  # noqa: PTH116 - thousands at every page, and a path costs more
        except OSError:
            times.append("-")
        else:
            times.append(f"{status.st_mtime_ns}.{status.st_size}")
    return " ".join(times)
