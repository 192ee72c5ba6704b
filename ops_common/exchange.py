"""Folders that go to another machine and come back changed, through a store that both reach.

    <place>/objects/<SHA-256>       contents, each once, whoever sent them
    <place>/<name>/<part>.json      a snapshot: which files a set of folders has; written last

A snapshot names its contents, so whoever finds it finds all that it lists, and what the other side has already is not
sent again. What comes back is laid over the folders as a change: files that the other side changed, made or removed.
Files that it did not touch stay as they are, also when somebody here changed them meanwhile.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from ops_common.artifacts import check_relative_path, sha256_file
from ops_common.config import Section
from ops_common.errors import ArtifactError, ConfigError, DataError
from ops_common.stores import Store

BEFORE, AFTER = "before", "after"
"""Snapshots of a task: what its command starts from, and what it left so far."""

_NUM_THREADS = 8
_SMALL_BYTES = 8 << 20  # read in one go, so that a file which grows meanwhile is still stored as it was at one moment


class FileEntry(Section):
    """One file of a snapshot."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size_bytes: int = Field(ge=0)


Files = dict[str, FileEntry]


class Snapshot(Section):
    """What a set of folders holds.

    Attributes:
        schema_version: Of this form.
        folders: Folder name to relative path to file.
        answers: Digest of the snapshot that the sender had started from; empty: from nothing.
        status: Exit status of the command that left it; None: the command was still running, or there is none.
    """

    schema_version: Annotated[int, Field(ge=1, le=1)] = 1
    folders: dict[str, Files]
    answers: str = ""
    status: int | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of everything above."""
        return hashlib.sha256(_encoded(self)).hexdigest()

    @property
    def size_bytes(self) -> int:
        """Size of all files."""
        return sum(entry.size_bytes for files in self.folders.values() for entry in files.values())


class ChangedMeanwhileError(DataError):
    """Files came or went while the snapshot was taken: it would be of no one moment."""


class Exchange:
    """The snapshots of one task.

    Args:
        store: What both sides reach.
        name: Name of the task there, with `/`.
    """

    def __init__(self, store: Store, name: str) -> None:
        self._store, self._name = store, check_relative_path(name, "exchange")

    def send(self, part: str, folders: Mapping[str, Path], *, answers: str = "", status: int | None = None) -> Snapshot:
        """Stores what the folders hold, the snapshot last.

        Args:
            part: Name of the snapshot.
            folders: The folders by name; one that does not exist is empty.
            answers: Digest of the snapshot that these folders were made from.
            status: How the command ended that left them so.

        Raises:
            ChangedMeanwhileError: Files came or went meanwhile. Nothing was lost: the snapshot before still stands.
            ServiceError: The store did not take it.
        """
        present = {name: _list_files(folder) for name, folder in folders.items()}
        paths = [(name, key, folders[name] / key) for name, keys in present.items() for key in keys]
        try:
            entries = _in_parallel(lambda item: self._send_file(item[2]), paths)
        except FileNotFoundError as error:
            raise ChangedMeanwhileError(f"{error.filename} went away while it was stored") from None
        for name, keys in present.items():
            if (now := _list_files(folders[name])) != keys:
                raise ChangedMeanwhileError(
                    f"{folders[name]}: {sorted(set(now) ^ set(keys))[0]} came or went meanwhile"
                )
        files: dict[str, Files] = {name: {} for name in folders}
        for (name, key, _), entry in zip(paths, entries, strict=True):
            files[name][key] = entry
        snapshot = Snapshot(folders=files, answers=answers, status=status)
        self._store.put_bytes(_encoded(snapshot), self._key(part))
        return snapshot

    def read(self, part: str) -> Snapshot | None:
        """A snapshot; None when there is none.

        Raises:
            ArtifactError: It is not of the form, or lists a path that leads out of its folder.
        """
        key = self._key(part)
        if self._store.head(key) is None:
            return None
        try:
            snapshot = Snapshot.model_validate_json(self._store.get_bytes(key))
        except ValidationError as error:
            raise ArtifactError(f"{self._store.uri(key)} is no snapshot: {error.error_count()} errors") from None
        for files in snapshot.folders.values():
            for path in files:
                check_relative_path(f"files/{path}", self._store.uri(key))  # below `files`, a manifest.json is a file
        return snapshot

    def fetch(self, snapshot: Snapshot, folders: Mapping[str, Path], *, since: Snapshot | None = None) -> int:
        """Brings what a snapshot holds, or what changed since another one; each file appears whole or not at all.

        Args:
            snapshot: What to bring.
            folders: Where to; folders of the snapshot that are not named here are left out.
            since: What the sender had started from: only the difference is brought, and files that it removed go.

        Returns:
            How many files were written or removed.

        Raises:
            ArtifactError: A content is missing in the store or damaged.
        """
        wanted, gone = [], []
        for name, folder in folders.items():
            before = since.folders.get(name, {}) if since else {}
            after = snapshot.folders.get(name, {})
            wanted += [(folder / key, entry) for key, entry in after.items() if before.get(key) != entry]
            gone += [folder / key for key in before if key not in after]
        written: list[bool] = _in_parallel(lambda item: self._fetch_file(*item), wanted)
        for path in gone:
            path.unlink(missing_ok=True)
        return sum(written) + len(gone)

    def _send_file(self, path: Path) -> FileEntry:
        size_bytes = path.stat().st_size
        if size_bytes <= _SMALL_BYTES:
            content = path.read_bytes()
            entry = FileEntry(sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
            if not self._has(entry):
                self._store.put_bytes(content, _object_key(entry))
            return entry
        entry = FileEntry(sha256=sha256_file(path), size_bytes=size_bytes)
        if not self._has(entry):
            self._store.put_file(path, _object_key(entry), sha256=entry.sha256)
        return entry

    def _has(self, entry: FileEntry) -> bool:
        found = self._store.head(_object_key(entry))
        return found is not None and found.size_bytes == entry.size_bytes

    def _fetch_file(self, path: Path, entry: FileEntry) -> bool:
        if path.is_file() and path.stat().st_size == entry.size_bytes and sha256_file(path) == entry.sha256:
            return False
        self._store.get_file(_object_key(entry), path, sha256=entry.sha256)
        return True

    def _key(self, part: str) -> str:
        return f"{self._name}/{part}.json"


def named_folders(texts: Sequence[str]) -> dict[str, Path]:
    """Folders by name, from `name=/path` each; ConfigError for anything else."""
    folders = {}
    for text in texts:
        name, _, path = text.partition("=")
        if not name or not Path(path).is_absolute():
            raise ConfigError(f"{text!r} does not name a folder", "give name=/path")
        folders[name] = Path(path)
    return folders


def _object_key(entry: FileEntry) -> str:
    return f"objects/{entry.sha256}"


def _list_files(folder: Path) -> list[str]:
    """The files of a folder, without those that are being written, and locks: relative, sorted."""
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if not any(_is_passing(part) for part in path.relative_to(folder).parts)
        and path.is_file()
        and not path.is_symlink()
    )


def _is_passing(name: str) -> bool:
    return name.startswith(".") and name.endswith((".part", ".guard", ".lock"))


def _encoded(snapshot: Snapshot) -> bytes:
    return (json.dumps(snapshot.model_dump(), sort_keys=True, ensure_ascii=False) + "\n").encode()


def _in_parallel(action: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    with ThreadPoolExecutor(_NUM_THREADS, thread_name_prefix="exchange") as pool:
        return list(pool.map(action, items))
