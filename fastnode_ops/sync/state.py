"""What the syncer knows, in one SQLite file that survives the end of the process at any moment (specification 20.7).

A *copy* is a sample file on a host, told by its name; the *file* is what all good copies of that name are. Where a
file is on this machine:

    absent -> copying -> local -> leaving -> absent
               |  ^
               v  |
              absent          the copying failed

It is ready when it is local and has no mark of the present epoch. A mark says that it was used; an epoch ends by
`reset`, which leaves all marks behind. A file is local only after it was verified, and has its digest from then on.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastnode_ops.sample_files.names import SampleFileName, parse_name
from fastnode_ops.sync.transport import RemoteFile
from ops_common.errors import ArtifactError

SCHEMA_VERSION = 1
MAX_ATTEMPTS = 2
"""Times that a copy is fetched that arrives damaged: once more than needed, should our own disk be to blame."""

_SCHEMA = """
CREATE TABLE epoch (number INTEGER NOT NULL);
CREATE TABLE files (
    name TEXT PRIMARY KEY, num_batches INTEGER NOT NULL, sha256 TEXT NOT NULL DEFAULT '',
    num_bytes INTEGER NOT NULL DEFAULT 0, place TEXT NOT NULL DEFAULT 'absent', host TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE TABLE copies (
    host TEXT, name TEXT, version TEXT NOT NULL, sha256 TEXT NOT NULL DEFAULT '', num_bytes INTEGER NOT NULL,
    standing TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '', attempts INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (host, name)
) WITHOUT ROWID;
CREATE INDEX copies_by_name ON copies (name);
CREATE TABLE marks (epoch INTEGER, name TEXT, PRIMARY KEY (epoch, name)) WITHOUT ROWID;
INSERT INTO epoch VALUES (0);
"""

_MARKED = "EXISTS (SELECT 1 FROM marks WHERE marks.name = files.name AND marks.epoch = (SELECT number FROM epoch))"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A copy that should be fetched, with the bytes that it takes here (both files)."""

    name: SampleFileName
    num_bytes: int


@dataclass(frozen=True, slots=True)
class Totals:
    """How much there is.

    Args:
        epoch: The number of the epoch, from 0.
        num_ready: Files that are local and not used in this epoch.
        num_used: Files that were used in this epoch.
        num_batches: Batches of both.
        local_bytes: What the files take on this machine.
        num_duplicates: Copies that are not needed because another host has the same bytes.
        refused: Copies that cannot be used, by reason.
    """

    epoch: int
    num_ready: int
    num_used: int
    num_batches: int
    local_bytes: int
    num_duplicates: int
    refused: dict[str, int]


class SyncState:
    """The state; safe to use from several threads.

    Args:
        path: The SQLite file; made when it is missing.

    Raises:
        ArtifactError: It cannot be opened, or is none of ours.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        with self._named_errors():
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            version = self._value("PRAGMA user_version")
            if version == 0:
                self._db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT")
        if version not in (0, SCHEMA_VERSION):
            raise ArtifactError(f"{path} has version {version}, not {SCHEMA_VERSION}", "use the tool that wrote it")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    # ------------------------------------------------------------------ what the hosts have

    def unknown(self, host: str, files: Sequence[RemoteFile]) -> list[RemoteFile]:
        """Take a host's list; what stood in earlier ones and not in this is gone from there.

        Returns:
            Those whose index has to be read: new ones, and those that changed since.
        """
        with self._transaction() as db:
            rows = db.execute("SELECT name, version, standing FROM copies WHERE host = ?", (host,))
            known = {name: (version, standing) for name, version, standing in rows}
            listed = {file.name.file_name for file in files}
            gone = [(host, name) for name, (_, standing) in known.items() if name not in listed and standing != "gone"]
            db.executemany("UPDATE copies SET standing = 'gone' WHERE host = ? AND name = ?", gone)
        settled = {(name, version) for name, (version, standing) in known.items() if standing != "gone"}
        return [file for file in files if (file.name.file_name, file.version) not in settled]

    def offer(self, host: str, file: RemoteFile, sha256: str) -> None:
        """A host has a copy that may be of use; it is refused here if its bytes are others than those we know."""
        name = file.name.file_name
        with self._transaction() as db:
            db.execute(
                "INSERT INTO files (name, num_batches) VALUES (?, ?) ON CONFLICT DO NOTHING",
                (name, file.name.num_batches),
            )
            db.execute(
                "INSERT OR REPLACE INTO copies (host, name, version, sha256, num_bytes, standing)"
                " VALUES (?, ?, ?, ?, ?, 'offered')",
                (host, name, file.version, sha256, file.num_bytes),
            )
            _refuse_conflicts(db, name)

    def refuse(self, host: str, file: RemoteFile, reason: str) -> None:
        """A host has a copy that cannot be used; it is not asked for again until it has changed there."""
        with self._transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO copies (host, name, version, num_bytes, standing, reason)"
                " VALUES (?, ?, ?, ?, 'refused', ?)",
                (host, file.name.file_name, file.version, file.num_bytes, reason),
            )

    def wanted(self, host: str) -> list[Wanted]:
        """Return the copies of a host that should be fetched: of files that are absent and not used in this epoch."""
        query = f"""SELECT name, copies.num_bytes FROM files JOIN copies USING (name) WHERE copies.host = ?
            AND standing = 'offered' AND place = 'absent' AND NOT {_MARKED} ORDER BY name"""
        return [Wanted(parse_name(name), num_bytes) for name, num_bytes in self._rows(query, host)]

    # ------------------------------------------------------------------ what happens to a file here

    def claim(self, host: str, names: Iterable[str]) -> list[str]:
        """Begin to copy files from a host. Returns those that are still absent: no other host copies them."""
        claimed = []
        with self._transaction() as db:
            for name in names:
                query = "UPDATE files SET place = 'copying', host = ? WHERE name = ? AND place = 'absent'"
                claimed += [name] * db.execute(query, (host, name)).rowcount
        return claimed

    def arrived(self, name: str, sha256: str, num_bytes: int) -> bool:
        """A verified file stands in the folder.

        Returns:
            Whether it is ready; False when it was used in this epoch already and has to leave.
        """
        with self._transaction() as db:
            update = f"""UPDATE files SET sha256 = ?, num_bytes = ?, place = iif({_MARKED}, 'leaving', 'local')
                WHERE name = ? AND place = 'copying' AND sha256 IN ('', ?)"""
            if not db.execute(update, (sha256, num_bytes, name, sha256)).rowcount:
                raise AssertionError(f"{name} arrived unexpectedly, or with other bytes than before")
            _refuse_conflicts(db, name)
            return bool(db.execute("SELECT place = 'local' FROM files WHERE name = ?", (name,)).fetchone()[0])

    def adopt(self, name: SampleFileName, sha256: str, num_bytes: int) -> None:
        """A verified file stands in the folder of which nothing was known."""
        with self._transaction() as db:
            insert = "INSERT INTO files (name, num_batches, place) VALUES (?, ?, 'copying') ON CONFLICT DO NOTHING"
            db.execute(insert, (name.file_name, name.num_batches))
            db.execute("UPDATE files SET place = 'copying' WHERE name = ? AND place = 'absent'", (name.file_name,))
        self.arrived(name.file_name, sha256, num_bytes)

    def failed(self, host: str, name: str, reason: str = "") -> None:
        """The copying of a file did not succeed.

        Args:
            host: From where.
            name: The file; whoever has a good copy may try next.
            reason: Why the copy cannot be used. Empty when it is not to blame.
        """
        with self._transaction() as db:
            db.execute("UPDATE files SET place = 'absent' WHERE name = ? AND place = 'copying'", (name,))
            if reason:
                tried = MAX_ATTEMPTS if reason != "corrupt" else 1
                db.execute(
                    "UPDATE copies SET attempts = attempts + ?, standing = iif(attempts + ? >= ?, 'refused', standing),"
                    " reason = ? WHERE host = ? AND name = ?",
                    (tried, tried, MAX_ATTEMPTS, reason, host, name),
                )

    def give_back(self, host: str) -> None:
        """A host copies nothing at the moment; what it left claimed may be copied by any."""
        with self._transaction() as db:
            db.execute("UPDATE files SET place = 'absent' WHERE place = 'copying' AND host = ?", (host,))

    def used(self) -> list[str]:
        """Return the names of the files that were used in this epoch."""
        return self._column(f"SELECT name FROM files WHERE {_MARKED} ORDER BY name")

    def held(self) -> dict[str, int]:
        """Return the files that stand in the folder, with their bytes."""
        return dict(self._rows("SELECT name, num_bytes FROM files WHERE place IN ('local', 'leaving')"))

    def digest(self, name: str) -> str:
        """Return the digest of a file that was verified before; empty for others."""
        return "".join(self._column("SELECT sha256 FROM files WHERE name = ?", name))

    def at(self, place: str) -> list[str]:
        """Return the names of the files at a place."""
        return self._column("SELECT name FROM files WHERE place = ? ORDER BY name", place)

    def left(self, name: str) -> None:
        """A file no longer stands in the folder."""
        with self._transaction() as db:
            db.execute("UPDATE files SET place = 'absent' WHERE name = ? AND place IN ('leaving', 'local')", (name,))

    # ------------------------------------------------------------------ what the reader says

    def ready(self) -> list[str]:
        """Return the names of the files that may be read, by their steps."""
        return self._column(f"SELECT name FROM files WHERE place = 'local' AND NOT {_MARKED} ORDER BY name")

    def verified(self) -> list[str]:
        """Return the names of the files that are ready or were used in this epoch."""
        return self._column(f"SELECT name FROM files WHERE place = 'local' OR {_MARKED} ORDER BY name")

    def mark_used(self, names: Sequence[str]) -> list[str]:
        """Mark files as used in this epoch; those marked already stay so.

        Returns:
            The names that no verified file has; the others are marked all the same.
        """
        with self._transaction() as db:
            known = "SELECT 1 FROM files WHERE name = ? AND sha256 != ''"
            unknown = [name for name in names if db.execute(known, (name,)).fetchone() is None]
            marked = sorted(set(names) - set(unknown))
            epoch = db.execute("SELECT number FROM epoch").fetchone()[0]
            db.executemany("INSERT OR IGNORE INTO marks VALUES (?, ?)", [(epoch, name) for name in marked])
            update = "UPDATE files SET place = 'leaving' WHERE name = ? AND place = 'local'"
            db.executemany(update, [(name,) for name in marked])
        return unknown

    def reset(self) -> tuple[int, list[str]]:
        """Begin a new epoch, in which every file is wanted again.

        Returns:
            The number of the epoch, and the files that no host has any more. If there are any, nothing was changed.
        """
        with self._transaction() as db:
            query = """SELECT name FROM files WHERE sha256 != '' AND place IN ('absent', 'leaving') AND NOT EXISTS
                (SELECT 1 FROM copies WHERE copies.name = files.name AND standing = 'offered') ORDER BY name"""
            lost = [name for (name,) in db.execute(query)]
            if not lost:
                db.execute("UPDATE epoch SET number = number + 1")
            return db.execute("SELECT number FROM epoch").fetchone()[0], lost

    def begin_removal(self, host: str) -> list[str]:
        """Return the files to remove from a host, used and gone from here; from now on they count as lost there."""
        with self._transaction() as db:
            query = f"""SELECT name FROM files JOIN copies USING (name) WHERE copies.host = ? AND place = 'absent'
                AND (standing = 'removing' OR standing = 'offered' AND {_MARKED}) ORDER BY name"""
            names = [name for (name,) in db.execute(query, (host,))]
            update = "UPDATE copies SET standing = 'removing' WHERE host = ? AND name = ?"
            db.executemany(update, [(host, name) for name in names])
        return names

    def totals(self) -> Totals:
        """Return how much there is of everything."""
        with self._transaction() as db:

            def one(query: str) -> tuple[Any, ...]:
                return tuple(db.execute(query).fetchone())

            ready = one(f"SELECT count(*), sum(num_batches) FROM files WHERE place = 'local' AND NOT {_MARKED}")
            used = one(f"SELECT count(*), sum(num_batches) FROM files WHERE {_MARKED}")
            same = "SELECT count(*) - count(DISTINCT name) FROM copies WHERE standing != 'refused'"
            refused = "SELECT reason, count(*) FROM copies WHERE standing = 'refused' GROUP BY reason ORDER BY reason"
            return Totals(
                epoch=one("SELECT number FROM epoch")[0],
                num_ready=ready[0],
                num_used=used[0],
                num_batches=(ready[1] or 0) + (used[1] or 0),
                local_bytes=one("SELECT sum(num_bytes) FROM files WHERE place IN ('local', 'leaving')")[0] or 0,
                num_duplicates=one(same)[0],
                refused=dict(db.execute(refused).fetchall()),
            )

    # ------------------------------------------------------------------ SQLite

    def _column(self, query: str, *values: str) -> list[str]:
        return [row[0] for row in self._rows(query, *values)]

    def _rows(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        with self._lock, self._named_errors():
            return self._db.execute(query, values).fetchall()

    def _value(self, query: str) -> Any:
        return self._db.execute(query).fetchone()[0]

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._named_errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise ArtifactError(f"{self._path} cannot be used: {error}", "look for a full disk") from error


def _refuse_conflicts(db: sqlite3.Connection, name: str) -> None:
    """Refuse the copies of a file whose digest is known to be another."""
    update = """UPDATE copies SET standing = 'refused', reason = 'conflict' WHERE name = ? AND standing = 'offered'
        AND sha256 != (SELECT sha256 FROM files WHERE name = ?) AND '' != (SELECT sha256 FROM files WHERE name = ?)"""
    db.execute(update, (name, name, name))
