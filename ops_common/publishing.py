"""Files under one prefix of a store: written once, complete when the manifest stands there.

    <place>/<name>/...                 the files
    <place>/<name>/<manifest name>     every file above with SHA-256 and size; written last

Whoever finds the manifest finds everything it lists. An upload that failed is finished by running it again: what is
there with the right content is kept. A prefix that holds another model, or a part of one, is refused. Two uploads of
different models under one name at the same instant are the caller's to avoid.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops_common.artifacts import MANIFEST_NAME, check_manifest, sha256_file
from ops_common.errors import ArtifactError, ConfigError
from ops_common.object_store import ObjectInfo, RetryPolicy
from ops_common.progress import Progress
from ops_common.rundir import first_difference
from ops_common.stores import Store, open_store

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Published:
    """What an upload left.

    Attributes:
        store: Where it stands.
        manifest: Its manifest.
        num_uploaded: How many of the files this call wrote; the others were there already.
    """

    store: Store
    manifest: Mapping[str, Any]
    num_uploaded: int

    @property
    def num_files(self) -> int:
        """Files of the upload, without the manifest."""
        return len(self.manifest["files"])

    @property
    def size_bytes(self) -> int:
        """Their size."""
        return sum(entry["size_bytes"] for entry in self.manifest["files"].values())


def publish_files(
    files: Mapping[str, Path],
    place: str,
    name: str,
    metadata: Mapping[str, Any],
    *,
    manifest_name: str = MANIFEST_NAME,
    policy: RetryPolicy | None = None,
    create_bucket: bool = False,
) -> Published:
    """Uploads files by their keys, the manifest last, and reads everything back.

    Args:
        files: The files by their keys, relative and with `/`.
        place: Where models are kept: `s3://bucket/prefix`, or a folder.
        name: The name of this model there.
        metadata: What else the manifest shall say: plain values, the same every time for the same model.
        manifest_name: What the manifest is called.
        policy: How patient to be with the service.
        create_bucket: Whether to make a missing bucket.

    Raises:
        ConfigError: The place or the name cannot be used.
        ArtifactError: A file is missing, or the prefix holds another model.
        ServiceError: The service did not answer, refused, or returned something else than was written.
    """
    if manifest_name in files:
        raise ArtifactError(f"a file of the upload is called {manifest_name}, as its manifest is", "rename the file")
    upload = _Upload(_open(place, name, policy=policy), files, name, metadata, manifest_name)
    upload.store.ensure_bucket(create=create_bucket)
    return upload.run()


def _open(place: str, name: str, *, policy: RetryPolicy | None = None) -> Store:
    """Opens the prefix of one model.

    Raises:
        ConfigError: The place or the name cannot be used.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", name):
        raise ConfigError(
            f"{name!r} cannot name a model in S3", "use up to 128 letters, digits, dots, dashes and underscores"
        )
    return open_store(f"{place.rstrip('/')}/{name}", policy=policy)


def read_published(store: Store, manifest_name: str = MANIFEST_NAME) -> dict[str, Any]:
    """Reads the manifest of an upload; ArtifactError when there is none, or it is damaged."""
    where = store.uri(manifest_name)
    try:
        return check_manifest(json.loads(store.get_bytes(manifest_name)), where)
    except (ValueError, RecursionError):
        raise ArtifactError(f"{where} is not JSON", "the model has to be uploaded again, under another id") from None


def verify_published(store: Store, manifest_name: str = MANIFEST_NAME) -> dict[str, Any]:
    """Reads every file of an upload and compares it with the manifest, which is returned.

    Raises:
        ArtifactError: There is no manifest, or a file is missing or is not what the manifest says; names it.
        ServiceError: The service did not answer.
    """
    manifest = read_published(store, manifest_name)
    entries = manifest["files"]
    with Progress("verify", sum(entry["size_bytes"] for entry in entries.values()), "bytes") as progress:
        for key, entry in entries.items():
            found = store.measure(key)
            if found.sha256 != entry["sha256"]:
                raise ArtifactError(
                    f"{store.uri(key)} has SHA-256 {found.sha256[:16]}…, not {entry['sha256'][:16]}… as "
                    f"{manifest_name} says",
                    "do not use this model; upload it again, under another id",
                )
            progress.advance(entry["size_bytes"])
    return manifest


class _Upload:
    """One upload: its store, its files, and the manifest that they shall have."""

    def __init__(
        self, store: Store, files: Mapping[str, Path], name: str, metadata: Mapping[str, Any], manifest_name: str
    ) -> None:
        self.store, self._files, self._name, self._manifest_name = store, files, name, manifest_name
        self._manifest = _manifest(files, name, metadata)
        self._entries: Mapping[str, Any] = self._manifest["files"]

    def run(self) -> Published:
        """Write what is missing, the manifest last, and look at everything once more."""
        present = {info.key: info for info in self.store.list_objects()}
        is_complete = self._check_not_taken(present)
        size_bytes = sum(entry["size_bytes"] for entry in self._entries.values())
        with Progress(f"upload {self._name}", size_bytes, "bytes") as progress:
            # First everything that is there is read, so that nothing is written beside another model's files.
            stored = self._stored_already(present, is_complete, progress)
            missing = [key for key in self._files if key not in stored]
            for key in missing:
                stored[key] = self.store.put_file(self._files[key], key, sha256=self._entries[key]["sha256"])
                LOG.info("%s -> %s", self._files[key], self.store.uri(key))
                progress.advance(self._entries[key]["size_bytes"])
        if not is_complete:
            self._check_not_taken({info.key: info for info in self.store.list_objects()})
            self.store.put_bytes(_encoded(self._manifest), self._manifest_name)
        self._check_whole(stored)
        return Published(self.store, self._manifest, len(missing))

    def _check_not_taken(self, present: Mapping[str, ObjectInfo]) -> bool:
        """Refuses a prefix that holds another model; says whether it holds this one, complete."""
        where = self.store.uri()
        hint = f"models are never overwritten: use another model id, or remove {where} first"
        if self._manifest_name in present:
            difference = first_difference(read_published(self.store, self._manifest_name), self._manifest)
            if difference:
                raise ArtifactError(f"{where} holds another model: {difference}", hint)
            return True
        for key, info in present.items():
            entry = self._entries.get(key)
            if entry is None or entry["size_bytes"] != info.size_bytes:
                raise ArtifactError(f"{where} holds an unfinished upload of another model: {key} differs", hint)
        return False

    def _stored_already(
        self, present: Mapping[str, ObjectInfo], is_complete: bool, progress: Progress
    ) -> dict[str, ObjectInfo]:
        """The files that stand there with their right content, proven by reading them."""
        stored: dict[str, ObjectInfo] = {}
        for key, entry in self._entries.items():
            if key not in present:
                continue
            found = self.store.measure(key)
            if found.sha256 == entry["sha256"]:
                stored[key] = found
                progress.advance(entry["size_bytes"])
            elif not is_complete and not self._was_meant(key, entry["sha256"]):
                raise ArtifactError(
                    f"{self.store.uri(key)} has another content than this model's file",
                    "an upload of another model was started here, or the storage is damaged: remove "
                    f"{self.store.uri()}, or use another model id",
                )
        return stored

    def _was_meant(self, key: str, sha256: str) -> bool:
        """Whether the writer of an object meant to store this content: then it is ours, and the storage damaged it."""
        head = self.store.head(key)
        return head is not None and head.sha256 == sha256

    def _check_whole(self, stored: Mapping[str, ObjectInfo]) -> None:
        """The last look: nobody wrote other content while we were at it."""
        wrong = first_difference(self._manifest, read_published(self.store, self._manifest_name))
        listed = {info.key: info for info in self.store.list_objects()}
        for key, entry in self._entries.items():
            # The same ETag means that nothing was written since we read it; another one may still be the same content.
            if key not in listed or listed[key].etag != stored[key].etag:
                is_same = key in listed and self.store.measure(key).sha256 == entry["sha256"]
                wrong = wrong or ("" if is_same else key)
        if wrong:
            raise ArtifactError(
                f"{self.store.uri()} was changed by somebody else during the upload: {wrong}",
                "see who else writes there; then use another model id",
            )


def _manifest(files: Mapping[str, Path], name: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    entries = {}
    for key, path in files.items():
        if not path.is_file():
            raise ArtifactError(f"{path} does not exist, so it cannot be uploaded")
        entries[key] = {"sha256": sha256_file(path), "size_bytes": path.stat().st_size}
    manifest: dict[str, Any] = json.loads(_encoded({"files": entries, "model_id": name, "metadata": dict(metadata)}))
    return manifest


def _encoded(manifest: Mapping[str, Any]) -> bytes:
    try:
        text = json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the metadata of the model cannot be written as JSON: {error}", "use plain values") from None
    return (text + "\n").encode("utf-8")
