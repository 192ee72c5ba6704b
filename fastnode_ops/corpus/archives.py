"""Python files in archives: read as a stream, never unpacked, within bounds that no hostile archive can pass."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

import zstandard

from fastnode_ops.corpus.found import MAX_BYTES, Found, package_of

MAX_TOTAL_BYTES = 2_000_000_000
MAX_MEMBERS = 500_000
MAX_RATIO = 200
"""Unpacked bytes per packed byte; Python code is seldom packed better than 10 to 1."""

_RATIO_FREE_BYTES = 1_000_000  # of which a member or an archive may be packed ever so well

_ZIP_SUFFIXES = (".zip", ".whl", ".egg")
_OPENERS: dict[str, Callable[[Any], Any]] = {
    ".tar": lambda file: file,
    ".tar.gz": lambda file: gzip.GzipFile(fileobj=file),
    ".tgz": lambda file: gzip.GzipFile(fileobj=file),
    ".tar.bz2": bz2.BZ2File,
    ".tbz2": bz2.BZ2File,
    ".tar.xz": lzma.LZMAFile,
    ".txz": lzma.LZMAFile,
    ".tar.zst": lambda file: io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(file)),
}
_BROKEN = (
    *(zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error, zstandard.ZstdError),
    *(OSError, EOFError, NotImplementedError, RuntimeError, ValueError, UnicodeError),
)


class _Bomb(Exception):
    """An archive unpacks to more than it may."""


def is_archive(path: Path) -> bool:
    """Say whether a file's name is that of an archive that can be read."""
    return path.name.lower().endswith((*_ZIP_SUFFIXES, *_OPENERS))


def members(path: Path, label: str) -> Iterator[Found]:
    """Yield the Python files of an archive with their content, and what is left out with its reason.

    Archives within it are not opened.
    """
    read = _zip_members if path.name.lower().endswith(_ZIP_SUFFIXES) else _tar_members
    try:
        for name, content, reason in read(path):
            yield _found(label, name, content, reason)
    except _Bomb:
        yield Found(label, "", reason="archive_bomb")
    except _BROKEN:
        yield Found(label, "", reason="broken_archive")


def _found(label: str, name: str, content: bytes | None, reason: str) -> Found:
    place = PurePosixPath(name.replace("\\", "/"))
    if place.is_absolute() or ".." in place.parts or "\0" in name or name[1:2] == ":":
        content, reason = None, "unsafe_path"
    origin = f"{label}/{place}".encode("utf-8", "backslashreplace").decode()
    return Found(origin, package_of(place.parts), content=content, reason=reason)


_Member = tuple[str, bytes | None, str]


def _zip_members(path: Path) -> Iterator[_Member]:
    total = 0
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if len(entries) > MAX_MEMBERS:
            raise _Bomb
        for entry in entries:
            if entry.is_dir() or not entry.filename.endswith(".py"):
                continue
            if (entry.external_attr >> 28) not in (0, 8):  # neither unknown nor a plain file: a link, a device
                yield entry.filename, None, "special_file"
            elif entry.flag_bits & 1:
                yield entry.filename, None, "encrypted"
            elif entry.file_size > MAX_BYTES:
                yield entry.filename, None, "too_large"
            elif _is_packed_too_well(entry.file_size, entry.compress_size):
                yield entry.filename, None, "archive_bomb"
            else:
                content, reason = _read_entry(archive, entry)
                total += len(content or b"")
                if total > MAX_TOTAL_BYTES:
                    raise _Bomb
                yield entry.filename, content, reason


def _read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> tuple[bytes | None, str]:
    try:
        with archive.open(entry) as file:
            content = file.read(MAX_BYTES + 1)
    except _BROKEN:
        return None, "unreadable"
    return (content, "") if len(content) <= MAX_BYTES else (None, "too_large")


def _tar_members(path: Path) -> Iterator[_Member]:
    opener = _OPENERS[max((suffix for suffix in _OPENERS if path.name.lower().endswith(suffix)), key=len)]
    num_members = 0
    with path.open("rb") as packed, opener(packed) as unpacked:
        stream: Any = _Bounded(unpacked, path.stat().st_size)
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            headers: list[tarfile.TarInfo] = vars(archive)["members"]
            for entry in archive:
                headers.clear()  # tarfile would keep every one
                num_members += 1
                if num_members > MAX_MEMBERS:
                    raise _Bomb
                if entry.isdir() or not entry.name.endswith(".py"):
                    continue
                if not entry.isreg() or entry.issparse():
                    yield entry.name, None, "special_file"
                elif entry.size > MAX_BYTES:
                    yield entry.name, None, "too_large"
                else:
                    file = archive.extractfile(entry)
                    yield entry.name, file.read() if file is not None else None, ""


class _Bounded:
    """A stream of unpacked bytes that ends in an error when there are too many."""

    def __init__(self, file: IO[bytes], packed_size: int) -> None:
        self._file = file
        self._packed_size = packed_size
        self._total = 0

    def read(self, size: int) -> bytes:
        content = self._file.read(size)
        self._total += len(content)
        if self._total > MAX_TOTAL_BYTES or _is_packed_too_well(self._total, self._packed_size):
            raise _Bomb
        return content


def _is_packed_too_well(size: int, packed_size: int) -> bool:
    return size > _RATIO_FREE_BYTES // 4 and size > packed_size * MAX_RATIO
