"""Models and files that may stand in S3: a local path for as long as somebody reads from it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gematria_ops.publish import download_bundle
from ops_common.errors import ConfigError
from ops_common.object_store import ObjectStore, parse_s3_uri

_SCHEME = "s3://"


def is_remote(place: str) -> bool:
    """Answers whether a place is in S3."""
    return place.startswith(_SCHEME)


@contextmanager
def local_bundle(place: str) -> Iterator[Path]:
    """Gives the folder of a bundle.

    Args:
        place: A folder, or what `upload-model` reported: the URI of the bundle, of the manifest, or of the model.

    Yields:
        The folder; a download, whose every file has the digest of the manifest, is gone afterwards.

    Raises:
        ArtifactError: There is no complete model at a URI, or a file is not what the manifest says. A folder is checked
            by those who load it.
        ServiceError: The service did not answer.
    """
    if not is_remote(place):
        yield Path(place)
        return
    with tempfile.TemporaryDirectory(prefix="gematria-bundle-") as folder:
        bundle_dir = Path(folder) / "bundle"
        download_bundle(place, bundle_dir)
        yield bundle_dir


@contextmanager
def local_file(place: str | None) -> Iterator[Path | None]:
    """Gives a file: itself, or a copy of an object of S3, which is gone afterwards; None for None.

    Raises:
        ConfigError: A URI names no object.
        ArtifactError: There is no such object.
        ServiceError: The service did not answer.
    """
    if not place or not is_remote(place):
        yield Path(place) if place else None
        return
    bucket, key = parse_s3_uri(place)
    if not key:
        raise ConfigError(f"{place} names a bucket, not a file", "give s3://bucket/path/of/the/file")
    with tempfile.TemporaryDirectory(prefix="gematria-input-") as folder:
        path = Path(folder) / Path(key).name
        ObjectStore.from_uri(f"{_SCHEME}{bucket}").get_file(key, path)
        yield path
