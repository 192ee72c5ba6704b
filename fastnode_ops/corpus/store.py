"""The corpus: every file once, compressed, under the SHA-256 of its content (specification 3.1, 3.2, 20.2)."""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

import zstandard

from fastnode_ops.config import Split
from fastnode_ops.corpus.found import MAX_BYTES
from fastnode_ops.corpus.splitting import SPLITS
from ops_common.errors import ArtifactError

CORPUS_NAME = "corpus.sqlite"
CORPUS_FORMAT = "fastnode-corpus-1"
HINT = "build the corpus (again)"

_QUERY = "SELECT {} FROM file WHERE id = ?"


class Corpus:
    """The files of a corpus; read only, for every thread and process.

    Attributes:
        digest: SHA-256 over all ids, packages and splits.
        num_files: How many files there are.
    """

    def __init__(self, path: Path, digest: str) -> None:
        self.path = path
        self.digest = digest
        self._connections = Connections(path)
        self.num_files: int = self._connections.rows("SELECT COUNT(*) FROM file")[0][0]

    @classmethod
    def open(cls, folder: Path) -> Corpus:
        """Open the corpus in a folder.

        Raises:
            ArtifactError: There is none, or it was not made by this version.
        """
        path = Path(folder) / CORPUS_NAME
        meta = read_meta(path, CORPUS_FORMAT, "corpus")
        return cls(path, meta["digest"])

    def __reduce__(self) -> tuple[Any, ...]:
        return Corpus, (self.path, self.digest)

    def source(self, file_id: str) -> bytes:
        """Return a file's text in UTF-8.

        Raises:
            KeyError: There is no such file.
        """
        return zstandard.decompress(self._row(file_id, "content"), max_output_size=MAX_BYTES * 4)

    def files(self, split: Split | None = None) -> list[str]:
        """Return the ids of the files of a split, or of all, sorted."""
        if split is None:
            rows = self._connections.rows("SELECT id FROM file ORDER BY id")
        else:
            rows = self._connections.rows("SELECT id FROM file WHERE split = ? ORDER BY id", split)
        return [row[0] for row in rows]

    def larger_than(self, num_bytes: int) -> frozenset[str]:
        """Return the ids of the files of more than so many bytes."""
        return frozenset(row[0] for row in self._connections.rows("SELECT id FROM file WHERE num_bytes > ?", num_bytes))

    def split_of(self, file_id: str) -> Split:
        """Return the split of a file; KeyError when there is no such file."""
        found = self._row(file_id, "split")
        return next(split for split in SPLITS if split == found)

    def package_of(self, file_id: str) -> str:
        """Return the top-level package that a file belongs to; KeyError when there is no such file."""
        return str(self._row(file_id, "package"))

    def origin_of(self, file_id: str) -> str:
        """Return where a file came from; KeyError when there is no such file."""
        return str(self._row(file_id, "origin"))

    def _row(self, file_id: str, column: str) -> Any:
        rows = self._connections.rows(_QUERY.format(column), file_id)
        if not rows:
            raise KeyError(file_id)
        return rows[0][0]


class Connections:
    """Read-only connections to a SQLite file: one per process, for all its threads."""

    def __init__(self, path: Path) -> None:
        self._uri = f"{Path(path).absolute().as_uri()}?mode=ro&immutable=1"
        self._lock = threading.Lock()
        self._opened: dict[int, sqlite3.Connection] = {}

    def rows(self, query: str, *values: Any) -> list[Any]:
        """Return all rows of a query."""
        with self._lock:
            connection = self._opened.get(os.getpid())
            if connection is None:
                connection = sqlite3.connect(self._uri, uri=True, check_same_thread=False)
                self._opened[os.getpid()] = connection
            return connection.execute(query, values).fetchall()


def read_meta(path: Path, format_name: str, what: str) -> dict[str, str]:
    """Return the table `meta` of one of our SQLite files.

    Raises:
        ArtifactError: The file is missing, is no such file, or was written by another version.
    """
    if not path.is_file():
        raise ArtifactError(f"{path} does not exist", HINT)
    try:
        meta: dict[str, str] = dict(Connections(path).rows("SELECT key, value FROM meta"))
    except sqlite3.Error as error:
        raise ArtifactError(f"{path} is not a {what}: {error}", HINT) from None
    if meta.get("format") != format_name:
        raise ArtifactError(f"{path} is a {what} of format {meta.get('format')!r}, not {format_name!r}", HINT)
    return meta
