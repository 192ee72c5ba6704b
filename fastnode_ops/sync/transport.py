"""Where sample files come from: a folder of this machine, or of another one over ssh and rsync."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fastnode_ops.remote.ssh import Ssh
from fastnode_ops.sample_files.names import FILE_SUFFIX, INDEX_SUFFIX, SampleFileName, parse_name
from ops_common.errors import ConfigError, DataError, ServiceError

_LIST_SECONDS = 60.0
_COPY_SECONDS = 120.0
_SLOWEST_BYTES_PER_SECOND = 20_000  # a copy may take as long as this rate says; silence ends it long before
_NAMES_PER_COMMAND = 500


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A finished sample file of a host.

    Args:
        name: Its name.
        num_bytes: Size of the file and its index together.
        index_bytes: Size of the index.
        version: Changes when one of both does. The times in it are the host's own and are only compared for equality.
    """

    name: SampleFileName
    num_bytes: int
    index_bytes: int
    version: str


@dataclass(frozen=True, slots=True)
class Listing:
    """What a host has.

    Args:
        files: The finished sample files, by their steps.
        num_ignored: Files with names that none of ours has.
    """

    files: list[RemoteFile]
    num_ignored: int


class Transport(Protocol):
    """A host with sample files in a folder. Every method may raise ServiceError; it is then tried again later."""

    name: str

    def list(self) -> Listing:
        """Return what is there; names that begin with a dot are passed over."""

    def fetch(self, names: Sequence[str], folder: Path, num_bytes: int) -> None:
        """Copy files into a folder of ours; what was interrupted before is continued.

        Args:
            names: Their names.
            folder: Where they go. Under its own name stands a file there only when all of it has come.
            num_bytes: Size of all of them.
        """

    def delete(self, names: Sequence[str]) -> None:
        """Delete files; those that are not there are fine."""


class LocalFolder:
    """A folder that this machine can read: what it made itself, or a mounted disk."""

    def __init__(self, folder: Path) -> None:
        self.name = str(folder)
        self._folder = folder

    def list(self) -> Listing:
        """See `Transport`."""
        found = []
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    if entry.is_file(follow_symlinks=False) and not entry.name.startswith("."):
                        status = entry.stat(follow_symlinks=False)
                        found.append((entry.name, status.st_size, str(status.st_mtime_ns)))
        except OSError as error:
            raise ServiceError(f"{self.name} cannot be listed: {error.strerror}", "check the folder") from error
        return pair_up(found)

    def fetch(self, names: Sequence[str], folder: Path, num_bytes: int) -> None:  # noqa: ARG002 - of the interface
        """See `Transport`; a copy within a machine begins anew."""
        for name in names:
            part = folder / f".{name}.part"
            try:
                shutil.copyfile(self._folder / name, part, follow_symlinks=False)
                part.replace(folder / name)
            except OSError as error:
                part.unlink(missing_ok=True)
                raise ServiceError(f"{self._folder / name} cannot be copied: {error.strerror}") from error

    def delete(self, names: Sequence[str]) -> None:
        """See `Transport`."""
        for name in names:
            try:
                (self._folder / name).unlink(missing_ok=True)
            except OSError as error:
                raise ServiceError(f"{self._folder / name} cannot be deleted: {error.strerror}") from error


class SshFolder:
    """A folder of another machine.

    Args:
        ssh: How the machine is reached.
        folder: Absolute path there.

    Raises:
        ConfigError: The path is not absolute.
    """

    def __init__(self, ssh: Ssh, folder: str) -> None:
        if not folder.startswith("/"):
            raise ConfigError(f"{folder!r} is not an absolute path on {ssh.host}", "give the whole path, from / on")
        self.name = str(ssh.host)
        self._ssh = ssh
        self._folder = folder.rstrip("/")

    def list(self) -> Listing:
        """See `Transport`."""
        form = r"%s %T@ %f\0"
        only = ["-mindepth", "1", "-maxdepth", "1", "-type", "f", "!", "-name", ".*"]
        output = self._ssh.run(["find", f"{self._folder}/", *only, "-printf", form], timeout=_LIST_SECONDS)
        found = []
        for entry in output.split("\0")[:-1]:
            size, time, name = entry.split(" ", 2)
            found.append((name, int(size), time))
        return pair_up(found)

    def fetch(self, names: Sequence[str], folder: Path, num_bytes: int) -> None:
        """See `Transport`."""
        seconds = _COPY_SECONDS + num_bytes / _SLOWEST_BYTES_PER_SECOND
        self._ssh.rsync_from(names, self._folder, folder, timeout=seconds)

    def delete(self, names: Sequence[str]) -> None:
        """See `Transport`."""
        for start in range(0, len(names), _NAMES_PER_COMMAND):
            paths = [f"{self._folder}/{name}" for name in names[start : start + _NAMES_PER_COMMAND]]
            self._ssh.run(["rm", "-f", "--", *paths], timeout=_LIST_SECONDS)


def pair_up(found: Iterable[tuple[str, int, str]]) -> Listing:
    """Make a listing of names with their sizes and times; a sample file is finished when its index stands."""
    sizes: dict[str, tuple[int, str]] = {}
    names: list[SampleFileName] = []
    num_ignored = 0
    for text, size, time in found:
        stem = text.removesuffix(INDEX_SUFFIX)
        try:
            name = parse_name(stem + FILE_SUFFIX if stem != text else text)
        except DataError:
            num_ignored += 1
            continue
        sizes[text] = size, time
        if stem != text:
            names.append(name)
    files = []
    for name in sorted(name for name in names if name.file_name in sizes):
        (size, time), (index_size, index_time) = sizes[name.file_name], sizes[name.index_name]
        files.append(RemoteFile(name, size + index_size, index_size, f"{size} {time} {index_size} {index_time}"))
    return Listing(files, num_ignored)
