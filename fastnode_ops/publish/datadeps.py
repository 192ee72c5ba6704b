"""Rebuild and verify the bundle of files that a product needs, from what its lists say and from nothing else.

Inputs are the list of models (`registry.py`) and, beside it, `datasets.json`: data sets that the product loads as well,

    [{"Path": "s3://bucket/folder-with-MANIFEST.json"}, {"Path": "s3://bucket/file.bin", "Sha256": "..."}]

Everything is downloaded against a digest that was known before. The new bundle takes the old one's place in one step:
whatever fails or is killed on the way leaves the old one as it was.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from fastnode_ops.publish.bundle import (
    DATA_FILE,
    MANIFEST_FILE,
    Datadeps,
    DatadepsDiffer,
    Digest,
    Entry,
    Manifest,
    aligned,
    content_digest,
)
from fastnode_ops.publish.registry import (
    REGISTRY_FILE,
    Shard,
    alone_in,
    find_registry,
    parse_list,
    read_limited,
    read_shards,
)
from fastnode_ops.publish.uploaded import find_upload
from ops_common.artifacts import atomic_folder, write_bytes
from ops_common.errors import ArtifactError, ConfigError, OpsError
from ops_common.object_store import RetryPolicy
from ops_common.progress import Progress
from ops_common.stores import Store, open_store

LOG = logging.getLogger(__name__)

BUNDLE_FOLDER, DATASETS_FILE = "datadeps", "datasets.json"

_DOWNLOAD = ".download"
_MAX_REPORTED = 20


class DataSet(BaseModel):
    """A file or a folder that a product loads beside its models.

    Args:
        Path: Its address. Without a digest the files are those of the manifest there, or above.
        Sha256: The digest of a single file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    Path: Annotated[str, Field(min_length=1, max_length=2_000, pattern=r"^[^\x00-\x20]+$")]
    Sha256: Digest | None = None


_DATASETS = TypeAdapter(list[DataSet])


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """What a rebuild did.

    Attributes:
        is_changed: Whether there is a new bundle; False when the old one has the same content.
        folder: Where the bundle stands.
        num_files: Its files.
        size_bytes: Its data.
        content_digest: SHA-256 over the files.
        changes: A line for each file that came (`+`), went (`-`) or has another content (`~`).
    """

    is_changed: bool
    folder: Path
    num_files: int
    size_bytes: int
    content_digest: str
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a file comes from."""

    store: Store
    key: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class _Inputs:
    shards: Sequence[Shard]
    datasets: Sequence[DataSet]

    @property
    def digest(self) -> str:
        """SHA-256 of what the lists say, however they are written."""
        values = {"models": [item.model_dump() for item in self.shards]}
        values["datasets"] = [item.model_dump() for item in self.datasets]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode("ascii")).hexdigest()


def rebuild_bundle(
    checkout: Path, output_dir: Path | None = None, *, policy: RetryPolicy | None = None
) -> RebuildReport:
    """Pack every file that a product needs.

    Args:
        checkout: The product's checkout.
        output_dir: The bundle's folder; `datadeps` of the checkout when None.
        policy: How patient to be with S3.

    Raises:
        ConfigError: There is no checkout, the folder holds something else, or another rebuild or pin is running.
        DataError: A list is damaged.
        ArtifactError: A file is missing or is not what its manifest says.
        ServiceError: The service does not answer.
    """
    folder = output_dir or Path(checkout) / BUNDLE_FOLDER
    registry = find_registry(checkout)
    inputs = _read_inputs(registry)
    with alone_in(registry):
        _check_ours(folder)
        sources, created_at = _sources(inputs, policy)
        entries = _entries(sources)
        manifest = Manifest(
            created_at=created_at,
            registry_digest=inputs.digest,
            content_digest=content_digest(entries),
            files=entries,
        )
        old = _intact(folder)
        is_changed = old is None or old.content_digest != manifest.content_digest
        if is_changed:
            with atomic_folder(folder, replace=True) as temporary:
                _write_data(temporary, manifest, sources)
                write_bytes(temporary / MANIFEST_FILE, manifest.encoded())
        elif old != manifest:  # the lists changed, but not what follows from them
            write_bytes(folder / MANIFEST_FILE, manifest.encoded())
    changes = _changes(old.files if old else (), manifest.files)
    return RebuildReport(is_changed, folder, len(entries), manifest.size_bytes, manifest.content_digest, tuple(changes))


def verify_bundle(checkout: Path, output_dir: Path | None = None) -> Manifest:
    """Read every file of the bundle again, and compare with its manifest and with the lists of the checkout.

    Raises:
        ConfigError: There is no checkout.
        DatadepsMissing: There is no bundle.
        DatadepsDiffer: A file has another content, or the lists have changed since; names the files.
    """
    folder = output_dir or Path(checkout) / BUNDLE_FOLDER
    manifest = _verified(folder)
    if manifest.registry_digest != _read_inputs(find_registry(checkout)).digest:
        raise DatadepsDiffer(
            f"{folder} was built from other lists of models and data sets than {checkout} has now",
            "rebuild the datadeps",
        )
    return manifest


def _verified(folder: Path) -> Manifest:
    """Every file read and compared."""
    wrong: list[str] = []
    with Datadeps(folder) as bundle:
        for path in bundle:
            try:
                bundle.read(path)
            except DatadepsDiffer as error:
                wrong.append(error.message)
        if wrong:
            more = f"\n... and {len(wrong) - _MAX_REPORTED} more" if len(wrong) > _MAX_REPORTED else ""
            raise DatadepsDiffer("\n".join(wrong[:_MAX_REPORTED]) + more, "rebuild the datadeps")
        return bundle.manifest


def _intact(folder: Path) -> Manifest | None:
    """The manifest of a bundle that is whole; None when there is none, or a damaged one, which is as good as none."""
    try:
        return _verified(folder)
    except OpsError as error:
        LOG.info("no bundle to compare with: %s", error.message)
        return None


def _read_inputs(registry: Path) -> _Inputs:
    datasets = registry / DATASETS_FILE
    form = '[{"Path": text}, {"Path": text, "Sha256": text}, ...]'
    declared = parse_list(_DATASETS, read_limited(datasets), datasets, form) if datasets.exists() else []
    return _Inputs(read_shards(registry / REGISTRY_FILE), declared)


def _sources(inputs: _Inputs, policy: RetryPolicy | None) -> tuple[dict[str, _Source], str]:
    """Every file by its address, and when the newest upload was made."""
    sources: dict[str, _Source] = {}
    created_at = ""
    for address in (*(item.ModelPath for item in inputs.shards), *(x.Path for x in inputs.datasets if not x.Sha256)):
        upload = find_upload(address, policy=policy)
        created_at = max(created_at, upload.created_at)
        for key, entry in upload.files.items():
            _add(sources, upload.store, key, entry["sha256"], entry["size_bytes"])
    for dataset in inputs.datasets:
        if dataset.Sha256:
            parent, _, name = dataset.Path.rpartition("/")
            store = open_store(parent, policy=policy)
            head = store.head(name)
            if head is None:
                raise ArtifactError(f"{dataset.Path} does not exist", f"correct {DATASETS_FILE}, or upload it")
            _add(sources, store, name, dataset.Sha256, head.size_bytes)
    return sources, created_at


def _add(sources: dict[str, _Source], store: Store, key: str, sha256: str, size: int) -> None:
    path = store.uri(key)
    known = sources.get(path)
    if known is not None and known.sha256 != sha256:
        raise ArtifactError(f"{path} is declared twice, with different digests", f"correct {DATASETS_FILE}")
    sources[path] = _Source(store, key, sha256, size)


def _entries(sources: Mapping[str, _Source]) -> list[Entry]:
    entries: list[Entry] = []
    end = 0
    for path, source in sorted(sources.items()):
        entries.append(Entry(path=path, sha256=source.sha256, size=source.size, offset=aligned(end)))
        end = entries[-1].offset + source.size
    return entries


def _write_data(folder: Path, manifest: Manifest, sources: Mapping[str, _Source]) -> None:
    with (
        Progress("datadeps", manifest.size_bytes, "bytes") as progress,
        (folder / DATA_FILE).open("wb") as data,
    ):
        for entry in manifest.files:
            source = sources[entry.path]
            download = folder / _DOWNLOAD
            source.store.get_file(source.key, download, sha256=entry.sha256)
            data.write(b"\0" * (entry.offset - data.tell()))
            _append(download, data)
            if data.tell() != entry.offset + entry.size:  # the size was only declared, the content is proven
                raise ArtifactError(f"{entry.path} has another size than its manifest says", "upload it again")
            download.unlink()
            progress.advance(entry.size)


def _append(path: Path, data: BinaryIO) -> None:
    with path.open("rb") as file:
        shutil.copyfileobj(file, data, 1 << 20)


def _changes(before: Sequence[Entry], after: Sequence[Entry]) -> Iterator[str]:
    old, new = ({entry.path: entry.sha256 for entry in entries} for entries in (before, after))
    for path in sorted({*old, *new}):
        if path not in old:
            yield f"+ {path}"
        elif path not in new:
            yield f"- {path}"
        elif old[path] != new[path]:
            yield f"~ {path}"


def _check_ours(folder: Path) -> None:
    """Refuse a folder with anything but a bundle in it, for it is replaced as a whole; remove what a kill left."""
    for leftover in folder.parent.glob(f".{folder.name}.*.part"):
        shutil.rmtree(leftover, ignore_errors=True)
    if not folder.exists():
        return
    strange = sorted(path.name for path in folder.iterdir() if path.name not in (MANIFEST_FILE, DATA_FILE))
    if strange:
        raise ConfigError(f"{folder} holds more than a bundle: {', '.join(strange[:3])}", "move that elsewhere")
