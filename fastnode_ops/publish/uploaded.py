"""What stands at an address: the upload that it belongs to, with the manifest that proves each of its files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fastnode_ops.publish.upload import MANIFEST
from ops_common.errors import ArtifactError
from ops_common.object_store import RetryPolicy
from ops_common.publishing import read_published
from ops_common.stores import Store, open_store

_MAX_LEVELS_UP = 3


@dataclass(frozen=True, slots=True)
class Uploaded:
    """An address within an upload.

    Attributes:
        uri: The address.
        store: The whole upload.
        manifest: Its manifest.
        prefix: The address, from the upload's prefix; empty for the upload itself.
    """

    uri: str
    store: Store
    manifest: Mapping[str, Any]
    prefix: str

    @property
    def files(self) -> dict[str, Mapping[str, Any]]:
        """The manifest's entries of the files at or below the address, by their keys in the upload, sorted."""
        below = f"{self.prefix}/" if self.prefix else ""
        entries: Mapping[str, Mapping[str, Any]] = self.manifest["files"]
        return {key: entries[key] for key in sorted(entries) if key == self.prefix or key.startswith(below)}

    @property
    def created_at(self) -> str:
        """When the upload was begun, as it says itself; empty when it does not."""
        metadata = self.manifest.get("metadata")
        return str(metadata.get("created_at", "")) if isinstance(metadata, Mapping) else ""


def find_upload(uri: str, *, policy: RetryPolicy | None = None) -> Uploaded:
    """Find the manifest at an address, or a few folders above it.

    Raises:
        ConfigError: It is no address.
        ArtifactError: There is no manifest, it is damaged, or it lists nothing at this address.
        ServiceError: The service does not answer.
    """
    for place, prefix in _at_and_above(uri.rstrip("/")):
        store = open_store(place, policy=policy)
        if store.head(MANIFEST) is not None:
            found = Uploaded(uri.rstrip("/"), store, read_published(store, MANIFEST), prefix)
            if not found.files:
                raise ArtifactError(f"{store.uri(MANIFEST)} lists nothing at {uri}", "check the address")
            return found
    raise ArtifactError(
        f"there is no finished upload at {uri}: no {MANIFEST} there or above",
        "`make upload` writes it, last of all",
    )


def _at_and_above(uri: str) -> Iterator[tuple[str, str]]:
    place, prefix = uri, ""
    for _ in range(_MAX_LEVELS_UP + 1):
        yield place, prefix
        parent, _, name = place.rpartition("/")
        if not name or not parent.partition("://")[2 if "://" in place else 0]:
            return  # nothing is above a bucket, or a folder of the root
        place, prefix = parent, f"{name}/{prefix}" if prefix else name
