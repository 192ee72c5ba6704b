"""Which files hold a symbol, in which context, how often (specification 3.3), and which give samples of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fastnode_ops.analysis.sites import Site
from fastnode_ops.corpus.store import Connections, read_meta
from fastnode_ops.statistics.hits import CONTEXTS

INDEX_NAME = "index.sqlite"
INDEX_FORMAT = "fastnode-index-2"

INDEX_SCHEMA = f"""
PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE file (number INTEGER PRIMARY KEY, id TEXT NOT NULL, split TEXT NOT NULL);
CREATE TABLE symbol (number INTEGER PRIMARY KEY, canonical INTEGER NOT NULL, path TEXT NOT NULL,
    {", ".join(f"{context}_score INTEGER NOT NULL" for context in CONTEXTS)}, UNIQUE (canonical, path));
CREATE TABLE symbol_hits (symbol INTEGER, file INTEGER,
    {", ".join(f"{context}_count INTEGER NOT NULL" for context in CONTEXTS)}, sites INTEGER NOT NULL,
    PRIMARY KEY (symbol, file)) WITHOUT ROWID;
CREATE TABLE signature (function TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE keyword (function TEXT, keyword TEXT, count INTEGER NOT NULL, PRIMARY KEY (function, keyword))
    WITHOUT ROWID;
CREATE TABLE subtoken (row INTEGER PRIMARY KEY, subtoken TEXT NOT NULL, count INTEGER NOT NULL);
"""
"""One row per symbol and file, with a column per context, and with the kinds of places as bits (`Site`); files are
numbered in the order of their ids. The scores are sums over the training files."""

_ALL = "all"
_SYMBOLS_PER_QUERY = 500
_FILES_OF = """SELECT file.id FROM symbol_hits JOIN file ON file.number = symbol_hits.file
    WHERE symbol = (SELECT number FROM symbol WHERE canonical = ? AND path = ?) AND split = ?"""


class SymbolIndex:
    """The index of a corpus; read only, for every thread and process.

    Attributes:
        digest: SHA-256 over everything that was counted.
        corpus_digest: Of the corpus that was indexed.
        symbols_digest: Of the symbols it was analysed with.
    """

    def __init__(self, path: Path) -> None:
        meta = read_meta(path, INDEX_FORMAT, "symbol index")
        self.path = path
        self.digest = meta["digest"]
        self.corpus_digest = meta["corpus_digest"]
        self.symbols_digest = meta["symbols_digest"]
        self._connections = Connections(path)

    @classmethod
    def open(cls, folder: Path) -> SymbolIndex:
        """Open the index in a corpus folder.

        Raises:
            ArtifactError: There is none, or it was not made by this version.
        """
        return cls(Path(folder) / INDEX_NAME)

    def __reduce__(self) -> tuple[Any, ...]:
        return SymbolIndex, (self.path,)

    def files(self, symbol: str, context: str, *, canonical: bool, split: str) -> list[str]:
        """Return the sorted ids of the files of a split that hold a symbol in a context.

        Args:
            symbol: Path as written, or canonical path.
            context: One of `CONTEXTS`, or "all".
            canonical: Which of the two it is.
            split: "train", "validation" or "test".

        Raises:
            ValueError: There is no such context.
        """
        query = f"{_FILES_OF} AND {_column(context, 'count')} > 0 ORDER BY file.number"
        return [row[0] for row in self._connections.rows(query, int(canonical), symbol, split)]

    def files_with_site(self, symbol: str, site: Site, *, canonical: bool, split: str) -> list[str]:
        """Return the sorted ids of the files of a split that have a place of a kind of a symbol.

        Args:
            symbol: Path as written, or canonical path.
            site: One kind.
            canonical: Which of the two it is.
            split: "train", "validation" or "test".
        """
        query = f"{_FILES_OF} AND sites & ? ORDER BY file.number"
        return [row[0] for row in self._connections.rows(query, int(canonical), symbol, split, int(site))]

    def scores(self, symbols: Iterable[str], context: str, *, canonical: bool) -> dict[str, int]:
        """Return how often symbols stand in the training files in a context; 0 for those that never do.

        Raises:
            ValueError: There is no such context.
        """
        scores = dict.fromkeys(symbols, 0)
        wanted = list(scores)
        column = _column(context, "score")
        for start in range(0, len(wanted), _SYMBOLS_PER_QUERY):
            some = wanted[start : start + _SYMBOLS_PER_QUERY]
            marks = ", ".join("?" * len(some))
            query = f"SELECT path, {column} FROM symbol WHERE canonical = ? AND path IN ({marks})"
            scores.update(self._connections.rows(query, int(canonical), *some))
        return scores

    def symbols(self, context: str, min_score: int, *, canonical: bool) -> list[str]:
        """Return the symbols that have at least a score in a context, sorted."""
        query = f"SELECT path FROM symbol WHERE canonical = ? AND {_column(context, 'score')} >= ? ORDER BY path"
        return [row[0] for row in self._connections.rows(query, int(canonical), min_score)]

    def package_imports(self) -> dict[str, int]:
        """Return how often something of each top-level package is imported, most often first, then by name."""
        query = """SELECT CASE INSTR(path, '.') WHEN 0 THEN path ELSE SUBSTR(path, 1, INSTR(path, '.') - 1) END AS top,
            SUM(import_score) AS n FROM symbol WHERE canonical = 0 GROUP BY top HAVING n > 0 ORDER BY n DESC, top"""
        return dict(self._connections.rows(query))

    def subtokens(self) -> list[str]:
        """Return the most frequent subtokens of the training files, most frequent first; the index is the row."""
        return [row[0] for row in self._connections.rows("SELECT subtoken FROM subtoken ORDER BY row")]

    def num_files(self, split: str) -> int:
        """Return how many files of a split were analysed."""
        rows: Sequence[Any] = self._connections.rows("SELECT COUNT(*) FROM file WHERE split = ?", split)
        return int(rows[0][0])


def _column(context: str, tail: str) -> str:
    if context == _ALL:
        return f"({' + '.join(f'{name}_{tail}' for name in CONTEXTS)})"
    if context not in CONTEXTS:
        raise ValueError(f"no symbol context {context!r}; there are {', '.join((*CONTEXTS, _ALL))}")
    return f"{context}_{tail}"
