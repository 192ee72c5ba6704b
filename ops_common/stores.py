"""A place for files by key: in S3, or in a folder of this machine, with the same promises.

`open_store` takes `s3://bucket/prefix`, or the path of a folder. Whoever works through the protocol `Store` need not
know which one it is.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from ops_common.artifacts import atomic_path, check_relative_path, make_folder, sha256_file, write_bytes
from ops_common.errors import ArtifactError, ConfigError, ServiceError
from ops_common.object_store import ObjectInfo, ObjectStore, RetryPolicy

_SCHEME = "://"


class Store(Protocol):
    """What `ObjectStore` and `FolderStore` have in common; see `ObjectStore` for the promises of each method."""

    def uri(self, key: str = "") -> str:
        """The address of a file, or of the store itself."""
        ...

    def ensure_bucket(self, *, create: bool) -> None:
        """Checks that files can be written, and makes room for them if `create`."""
        ...

    def put_file(self, path: Path, key: str, *, sha256: str = "") -> ObjectInfo:
        """Writes a file in one step, reads it back and compares."""
        ...

    def put_bytes(self, content: bytes, key: str) -> ObjectInfo:
        """Writes a small file in one step, reads it back and compares."""
        ...

    def put_bytes_if(self, content: bytes, key: str, *, etag: str) -> ObjectInfo | None:
        """Writes a small file only where nobody has written since somebody looked."""
        ...

    def get_file(self, key: str, path: Path, *, sha256: str = "") -> str:
        """Copies a file out, which appears only when it is whole; returns its digest."""
        ...

    def get_bytes(self, key: str) -> bytes:
        """The content of a small file."""
        ...

    def measure(self, key: str) -> ObjectInfo:
        """Reads a file whole and says what came."""
        ...

    def head(self, key: str) -> ObjectInfo | None:
        """What the store says about a file; None when there is none."""
        ...

    def list_objects(self, prefix: str = "") -> list[ObjectInfo]:
        """The files whose keys start with a prefix, in the order of their keys."""
        ...

    def is_empty(self) -> bool:
        """Whether nothing stands there."""
        ...


class FolderStore:
    """The files of one folder.

    Args:
        folder: The folder; need not exist before something is written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = Path(folder)

    def uri(self, key: str = "") -> str:
        """The path of a file, or of the folder."""
        return str(self._folder / key) if key else str(self._folder)

    def ensure_bucket(self, *, create: bool) -> None:
        """Checks that the folder, or the nearest one above it that exists, is a folder; `create` makes no difference.

        Raises:
            ServiceError: It cannot be written to.
        """
        del create  # a folder costs nothing; it is made with the first file
        above = next(path for path in (self._folder, *self._folder.parents) if path.exists())
        if not above.is_dir() or not os.access(above, os.W_OK):
            raise ServiceError(f"{self._folder} cannot be written to", f"{above} is no folder, or not ours to write")

    def put_file(self, path: Path, key: str, *, sha256: str = "") -> ObjectInfo:
        """Copies a file in, reads it back and compares."""
        if not Path(path).is_file():
            raise ArtifactError(f"{path} does not exist, so it cannot be copied")
        wanted = sha256 or sha256_file(path)
        target = self._path(key)
        with atomic_path(target) as temporary:
            shutil.copyfile(path, temporary)
        return self._written(key, wanted)

    def put_bytes(self, content: bytes, key: str) -> ObjectInfo:
        """Writes a file, reads it back and compares."""
        write_bytes(self._path(key), content)
        return self._written(key, hashlib.sha256(content).hexdigest())

    def put_bytes_if(self, content: bytes, key: str, *, etag: str) -> ObjectInfo | None:
        """Writes a file only while it has a tag (empty: does not exist); None when it is another one by now."""
        path = self._path(key)
        make_folder(path.parent)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)  # the system lets go of it however we end
            found = self.head(key)
            if (found.etag if found else "") != etag:
                return None
            return self.put_bytes(content, key)
        finally:
            os.close(folder)

    def get_file(self, key: str, path: Path, *, sha256: str = "") -> str:
        """Copies a file out; ArtifactError when there is none, or it has another digest."""
        source = self._existing(key)
        with atomic_path(path) as temporary:
            shutil.copyfile(source, temporary)
            digest = sha256_file(temporary)
            if sha256 and digest != sha256:
                raise ArtifactError(
                    f"{source} has SHA-256 {digest[:16]}…, not {sha256[:16]}…", "do not use it; upload it again"
                )
        return digest

    def get_bytes(self, key: str) -> bytes:
        """The content of a small file; ArtifactError when there is none."""
        return self._existing(key).read_bytes()

    def measure(self, key: str) -> ObjectInfo:
        """Reads a file whole; ArtifactError when there is none."""
        path = self._existing(key)
        return ObjectInfo(key, path.stat().st_size, _tag(path), sha256_file(path))

    def head(self, key: str) -> ObjectInfo | None:
        """Size and tag of a file; None when there is none."""
        path = self._path(key)
        with suppress(OSError):
            if path.is_file():
                return ObjectInfo(key, path.stat().st_size, _tag(path))
        return None

    def list_objects(self, prefix: str = "") -> list[ObjectInfo]:
        """The files whose keys start with a prefix, without those that a killed writer left half."""
        found = []
        for path in self._folder.rglob("*"):
            key = path.relative_to(self._folder).as_posix()
            if key.startswith(prefix) and path.is_file() and not _is_half_written(path.name):
                found.append(ObjectInfo(key, path.stat().st_size, _tag(path)))
        return sorted(found, key=lambda info: info.key)

    def is_empty(self) -> bool:
        """Whether there is no file."""
        return not self.list_objects()

    def _path(self, key: str) -> Path:
        if _is_manifest_key(key):
            return self._folder / key
        return self._folder / check_relative_path(key, f"folder {self._folder}")

    def _existing(self, key: str) -> Path:
        path = self._path(key)
        if not path.is_file():
            raise ArtifactError(f"{path} does not exist", "upload it first")
        return path

    def _written(self, key: str, sha256: str) -> ObjectInfo:
        found = self.measure(key)
        if found.sha256 != sha256:
            raise ServiceError(
                f"{self.uri(key)} reads back with SHA-256 {found.sha256[:16]}…, written was {sha256[:16]}…",
                "the disk changes data; have it checked, then run the step again",
            )
        return found


def open_store(place: str, *, policy: RetryPolicy | None = None) -> Store:
    """Opens a place for files. Nothing is asked of it yet.

    Args:
        place: `s3://bucket/prefix`, or the path of a folder.
        policy: How patient to be with S3.

    Raises:
        ConfigError: The place has another scheme, is empty, or is no place in S3.
    """
    if place.startswith(f"s3{_SCHEME}"):
        return ObjectStore.from_uri(place, policy=policy)
    if not place or _SCHEME in place or "\0" in place:
        raise ConfigError(f"{place!r} is no place for files", "give s3://bucket/prefix, or the path of a folder")
    return FolderStore(Path(place).absolute())


def _is_manifest_key(key: str) -> bool:
    # A manifest may not list itself, which is what check_relative_path sees to; a store does hold it.
    return key == "manifest.json"


def _is_half_written(name: str) -> bool:
    return name.startswith(".") and name.endswith(".part")  # the names of `atomic_path`


def _tag(path: Path) -> str:
    status = path.stat()
    return f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"
