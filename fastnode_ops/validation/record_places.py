"""Where run records are kept: a folder, or a prefix in S3. Both hold files by name; a file is whole or not there."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Protocol

from ops_common.artifacts import atomic_path, check_relative_path, write_bytes
from ops_common.errors import ArtifactError
from ops_common.object_store import ObjectStore


class Place(Protocol):
    """A folder of files, wherever it is. Names are relative, with `/`."""

    @property
    def uri(self) -> str:
        """Where it is, as a person writes it."""

    def below(self, name: str) -> Place:
        """Return a folder in it."""

    def write(self, name: str, content: bytes) -> None:
        """Write a small file; what stood there is replaced at once."""

    def read(self, name: str) -> bytes | None:
        """Return a small file; None when it is not there."""

    def has(self, name: str) -> bool:
        """Say whether a file is in it."""

    def upload(self, path: Path, name: str) -> None:
        """Copy a file of this machine into it."""

    def download(self, name: str, path: Path) -> None:
        """Copy a file of it onto this machine; ArtifactError when it is not there."""

    def names(self) -> list[str]:
        """Return the names of all files in it and in its folders, sorted."""


def open_place(uri: str) -> Place:
    """Open a folder or an `s3://bucket/prefix`.

    Raises:
        ConfigError: It begins with s3:// but is no place in S3.
    """
    return S3Place(ObjectStore.from_uri(uri)) if uri.startswith("s3://") else FolderPlace(Path(uri))


class FolderPlace:
    """A folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def uri(self) -> str:
        """The path of the folder."""
        return str(self._folder)

    def below(self, name: str) -> FolderPlace:
        """Return a folder in it."""
        return FolderPlace(self._path(name))

    def write(self, name: str, content: bytes) -> None:
        """Write a small file; what stood there is replaced at once."""
        write_bytes(self._path(name), content)

    def read(self, name: str) -> bytes | None:
        """Return a small file; None when it is not there."""
        try:
            return self._path(name).read_bytes()
        except FileNotFoundError:
            return None

    def has(self, name: str) -> bool:
        """Say whether a file is in it."""
        return self._path(name).is_file()

    def upload(self, path: Path, name: str) -> None:
        """Copy a file into it."""
        _check_is_file(path)
        with atomic_path(self._path(name)) as temporary:
            shutil.copyfile(path, temporary)

    def download(self, name: str, path: Path) -> None:
        """Copy a file of it elsewhere; ArtifactError when it is not there."""
        _check_is_file(self._path(name))
        with atomic_path(path) as temporary:
            shutil.copyfile(self._path(name), temporary)

    def names(self) -> list[str]:
        """Return the names of all files in it and in its folders, sorted; what is being written is left out."""
        files = (path for path in self._folder.rglob("*") if path.is_file() and path.suffix != ".part")
        return sorted(path.relative_to(self._folder).as_posix() for path in files)

    def _path(self, name: str) -> Path:
        return self._folder / check_relative_path(name, self.uri)


class S3Place:
    """A prefix in a bucket."""

    def __init__(self, store: ObjectStore, prefix: str = "") -> None:
        self._store, self._prefix = store, prefix

    @property
    def uri(self) -> str:
        """The `s3://` address."""
        return self._store.uri(self._prefix)

    def below(self, name: str) -> S3Place:
        """Return a folder in it."""
        return S3Place(self._store, self._key(name))

    def write(self, name: str, content: bytes) -> None:
        """Write a small object and read it back."""
        self._store.put_bytes(content, self._key(name))

    def read(self, name: str) -> bytes | None:
        """Return a small object; None when it is not there."""
        key = self._key(name)
        return None if self._store.head(key) is None else self._store.get_bytes(key)

    def has(self, name: str) -> bool:
        """Say whether there is an object of this name."""
        return self._store.head(self._key(name)) is not None

    def upload(self, path: Path, name: str) -> None:
        """Copy a file into it and read it back."""
        self._store.put_file(path, self._key(name))

    def download(self, name: str, path: Path) -> None:
        """Copy an object onto this machine; ArtifactError when it is not there."""
        self._store.get_file(self._key(name), path)

    def names(self) -> list[str]:
        """Return the names of all objects below it, sorted."""
        start = f"{self._prefix}/" if self._prefix else ""
        return [info.key.removeprefix(start) for info in self._store.list_objects(start)]

    def _key(self, name: str) -> str:
        check_relative_path(name, self.uri)
        return f"{self._prefix}/{name}" if self._prefix else name


def _check_is_file(path: Path) -> None:
    if not path.is_file():
        raise ArtifactError(f"{path} does not exist", "check the name; list the run's folder to see what it has")
