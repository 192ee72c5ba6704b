"""What a syncer has brought, read from its state beside it: whether one works in the folder does not matter."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from fastnode_ops.sample_files.names import SampleFileName, parse_name
from fastnode_ops.sync.state import SCHEMA_VERSION
from ops_common.errors import ArtifactError

_BROUGHT = """SELECT name, sha256, host, EXISTS (SELECT 1 FROM marks WHERE marks.name = files.name)
    FROM files WHERE sha256 != '' ORDER BY name"""
_COPIES = "SELECT name, host FROM copies WHERE standing IN ('offered', 'removing') ORDER BY name, host"


@dataclass(frozen=True, slots=True)
class BroughtFile:
    """A file that was brought here and verified, whether it still stands here or not.

    Args:
        name: Its name.
        sha256: Its digest.
        host: From where it came last; empty: it stood here.
        is_marked: Whether it was ever reported as used.
    """

    name: SampleFileName
    sha256: str
    host: str
    is_marked: bool


@dataclass(frozen=True, slots=True)
class SyncAccounts:
    """What the state says.

    Args:
        brought: Files that were verified here.
        copies: The hosts that a good copy of a file was last seen on, by its name.
    """

    brought: list[BroughtFile]
    copies: dict[SampleFileName, list[str]]


def read_accounts(path: Path) -> SyncAccounts:
    """Read the state of a syncer; where there is none, nothing was brought.

    Raises:
        ArtifactError: It cannot be read, or is none of ours.
    """
    if not path.exists():
        return SyncAccounts([], {})
    copies: dict[SampleFileName, list[str]] = {}
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version != SCHEMA_VERSION:
                raise ArtifactError(f"{path} has version {version}, not {SCHEMA_VERSION}", "use the tool that wrote it")
            db.execute("BEGIN")  # both questions see the same moment
            brought = [
                BroughtFile(parse_name(name), sha256, host, bool(is_marked))
                for name, sha256, host, is_marked in db.execute(_BROUGHT)
            ]
            for name, host in db.execute(_COPIES):
                copies.setdefault(parse_name(name), []).append(host)
    except sqlite3.Error as error:
        raise ArtifactError(f"{path} cannot be read: {error}", "look whether it is whole") from None
    return SyncAccounts(brought, copies)
