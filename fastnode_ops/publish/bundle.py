"""The bundle of files that a product needs, in two files: where each stands, and all of them one after the other.

    datadeps/manifest.json   header, and per file: path, SHA-256, size, offset; sorted by path
    datadeps/data.bin        the contents, each at a multiple of 64 bytes

The same files give the same bytes (specification 16.4). `Datadeps` reads it at run time, without a network.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ops_common.artifacts import read_json
from ops_common.errors import ArtifactError

MANIFEST_FILE, DATA_FILE = "manifest.json", "data.bin"
ALIGNMENT = 64

_CHUNK_BYTES = 1 << 20

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Size = Annotated[int, Field(ge=0)]


class DatadepsMissing(ArtifactError):
    """There is no bundle, or no data in it."""

    exit_code = 3


class DatadepsDiffer(ArtifactError):
    """The bundle is not what its manifest, or the list of models, says."""

    exit_code = 2


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Entry(_Part):
    """One file: its address, and where its content stands in the data."""

    path: Annotated[str, Field(min_length=1)]
    sha256: Digest
    size: Size
    offset: Size


class Manifest(_Part):
    """What is in a bundle.

    Args:
        schema_version: Form of this file.
        created_at: When the newest of the uploads in it was made. Not the time of the rebuild: the same inputs shall
            give the same bytes.
        registry_digest: SHA-256 of the list of models and data sets that it was built from.
        content_digest: SHA-256 over path, digest and size of every file.
        files: The files, sorted by path.
    """

    schema_version: Literal[1] = 1
    created_at: str
    registry_digest: Digest
    content_digest: Digest
    files: list[Entry]

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        end = 0
        for before, entry in zip([None, *self.files], self.files):
            if before is not None and before.path >= entry.path:
                raise ValueError(f"files must be sorted by path: {entry.path} stands behind {before.path}")
            if entry.offset != aligned(end):
                raise ValueError(f"{entry.path} begins at {entry.offset}, not at {aligned(end)}")
            end = entry.offset + entry.size
        if content_digest(self.files) != self.content_digest:
            raise ValueError("content_digest is not that of the files")
        return self

    @property
    def size_bytes(self) -> int:
        """The size of the data."""
        return self.files[-1].offset + self.files[-1].size if self.files else 0

    def encoded(self) -> bytes:
        """The content of the manifest file."""
        return (json.dumps(self.model_dump(), indent=2, ensure_ascii=False) + "\n").encode("utf-8")


def aligned(position: int) -> int:
    """The first multiple of the alignment at or behind a position."""
    return -(-position // ALIGNMENT) * ALIGNMENT


def content_digest(files: Sequence[Entry]) -> str:
    """SHA-256 over path, digest and size of each file."""
    text = json.dumps([[entry.path, entry.sha256, entry.size] for entry in files], ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def read_bundle_manifest(folder: Path) -> Manifest:
    """Read the manifest of a bundle, and compare the size of the data.

    Raises:
        DatadepsMissing: The manifest or the data are not there.
        DatadepsDiffer: The manifest is damaged, or the data have another size.
    """
    manifest_path, data_path = folder / MANIFEST_FILE, folder / DATA_FILE
    for path in (manifest_path, data_path):
        if not path.is_file():
            raise DatadepsMissing(f"{path} does not exist", "rebuild the datadeps")
    try:
        manifest = Manifest.model_validate(read_json(manifest_path))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise DatadepsDiffer(f"{manifest_path}: {key}: {first['msg']}", "rebuild the datadeps") from None
    except ArtifactError as error:
        raise DatadepsDiffer(error.message, "rebuild the datadeps") from None
    size = data_path.stat().st_size
    if size != manifest.size_bytes:
        raise DatadepsDiffer(f"{data_path} has {size} bytes, not {manifest.size_bytes}", "rebuild the datadeps")
    return manifest


class Datadeps:
    """A bundle at run time: the data in the memory's map, each file checked when it is first used.

    Args:
        folder: The folder of the bundle.

    Raises:
        DatadepsMissing: There is no bundle.
        DatadepsDiffer: It is damaged, as far as can be seen without reading the data.
    """

    def __init__(self, folder: Path) -> None:
        self.manifest = read_bundle_manifest(Path(folder))
        self._where = Path(folder) / DATA_FILE
        self._entries = {entry.path: entry for entry in self.manifest.files}
        self._opened: set[str] = set()
        with self._where.open("rb") as file:
            # the system cannot map a file without bytes
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if self.manifest.size_bytes else None
        self._data = memoryview(self._map if self._map is not None else b"")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._data.release()
        if self._map is not None:
            self._map.close()

    def __contains__(self, path: str) -> bool:
        return path in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def read(self, path: str) -> memoryview:
        """The content of a file; read-only, valid while the bundle is open.

        Raises:
            ArtifactError: The bundle has no such file.
            DatadepsDiffer: Its content is not what the manifest says.
        """
        entry = self._entries.get(path)
        if entry is None:
            raise ArtifactError(f"{path} is not in {self._where}", "is it pinned? then rebuild the datadeps")
        content = self._data[entry.offset : entry.offset + entry.size]
        if path not in self._opened:
            check_content(entry, content, self._where)
            self._opened.add(path)
        return content

    @property
    def opened(self) -> frozenset[str]:
        """The files that were used: what a run really needs, to compare with what is packed."""
        return frozenset(self._opened)


def check_content(entry: Entry, content: memoryview, where: Path) -> None:
    """Raises DatadepsDiffer unless a content has the digest of its entry."""
    digest = hashlib.sha256()
    for start in range(0, len(content), _CHUNK_BYTES):
        digest.update(content[start : start + _CHUNK_BYTES])
    if digest.hexdigest() != entry.sha256:
        raise DatadepsDiffer(
            f"{where}: {entry.path} has SHA-256 {digest.hexdigest()[:16]}…, not {entry.sha256[:16]}…",
            "rebuild the datadeps; do not use what is there",
        )
