"""`make upload`: everything in `out/`, under a prefix of its own, complete when `MANIFEST.json` stands there.

    <destination>/python-ggnn-expr-completion/20240131T235959Z/serve/expr_model.frozen.pb
                                                               .../MANIFEST.json

The times are UTC and sort as text (specification 16.1, D57). The prefix is chosen once and remembered in the pipeline's
folder: an upload that failed goes on where it stood, one that is repeated writes nothing, and another content gets
another prefix. Nothing is ever overwritten.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fastnode_ops.pipeline_dir import PipelineDir
from ops_common.artifacts import read_json, sha256_file, write_json
from ops_common.errors import ArtifactError
from ops_common.object_store import RetryPolicy
from ops_common.publishing import publish_files
from ops_common.stores import open_store

MODEL_FOLDER = "python-ggnn-expr-completion"
MANIFEST = "MANIFEST.json"
TIME = "%t"

_TIME_FORMAT = "%Y%m%dT%H%M%SZ"
_REMEMBERED = "upload.json"
_MAX_SECONDS_AHEAD = 60


@dataclass(frozen=True, slots=True)
class UploadReport:
    """What an upload left.

    Attributes:
        model_uri: The prefix of this upload.
        serve_uri: What a product loads: the part of it that is pinned.
        manifest_uri: The manifest that makes the upload complete.
        num_files: Files of the upload, without the manifest.
        size_bytes: Their size.
        num_uploaded: How many of them this call wrote; the others were there already.
    """

    model_uri: str
    serve_uri: str
    manifest_uri: str
    num_files: int
    size_bytes: int
    num_uploaded: int


def upload_out(
    work_dir: Path,
    destination: str,
    metadata: Mapping[str, Any],
    *,
    policy: RetryPolicy | None = None,
    create_bucket: bool = False,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> UploadReport:
    """Upload the `out/` of a pipeline's folder; read everything back before saying that it is done.

    Args:
        work_dir: The pipeline's folder, with a compressed and converted model.
        destination: `s3://bucket/prefix` or a folder. With `%t` in it: the prefix itself, in which `%t` becomes the
            time; without: the model's folder and the time are added.
        metadata: What else the manifest shall say: plain values, the same every time for the same model.
        policy: How patient to be with S3.
        create_bucket: Whether to make a missing bucket.
        now: The clock; tests bring their own.

    Raises:
        ConfigError: The destination cannot be used.
        ArtifactError: The model is not finished, or the prefix holds another one.
        ServiceError: The service did not answer, refused, or returned something else than was written.
    """
    folder = PipelineDir(Path(work_dir))
    files = _files_of(folder)
    place, created_at = _place(folder, destination, _digest(files), policy, now)
    parent, _, name = place.rpartition("/")
    done = publish_files(
        files,
        parent,
        name,
        {**metadata, "created_at": created_at},
        manifest_name=MANIFEST,
        policy=policy,
        create_bucket=create_bucket,
    )
    return UploadReport(
        model_uri=done.store.uri(),
        serve_uri=done.store.uri(folder.serve.name),
        manifest_uri=done.store.uri(MANIFEST),
        num_files=done.num_files,
        size_bytes=done.size_bytes,
        num_uploaded=done.num_uploaded,
    )


def last_upload(work_dir: Path) -> str:
    """The prefix that the newest upload of a pipeline's folder has chosen; whether it was finished, its manifest says.

    Raises:
        ArtifactError: Nothing was uploaded from there.
    """
    path = PipelineDir(Path(work_dir)).tmp / _REMEMBERED
    if not path.exists():
        raise ArtifactError(f"nothing was uploaded from {work_dir} yet", "run `make upload` first")
    return str(read_json(path)["place"])


def _files_of(folder: PipelineDir) -> dict[str, Path]:
    """The files of `out/` by their keys, without what a killed writer left."""
    for needed in (folder.compressed_model, folder.serving_metainfo):
        if not needed.is_file():
            raise ArtifactError(
                f"{needed} does not exist, so there is no model to upload", "run `make`: train, compress, convert"
            )
    files = {}
    for path in folder.out.rglob("*"):
        key = path.relative_to(folder.out).as_posix()
        if path.is_file() and not any(part.startswith(".") for part in key.split("/")):
            files[key] = path
    return dict(sorted(files.items()))


def _digest(files: Mapping[str, Path]) -> str:
    """SHA-256 over names and contents."""
    lines = (f"{sha256_file(path)}  {key}\n" for key, path in files.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _place(
    folder: PipelineDir, destination: str, content: str, policy: RetryPolicy | None, now: Callable[[], datetime]
) -> tuple[str, str]:
    """The prefix of this content at this destination, and the time in it: the one remembered, or a new one."""
    asked = {"destination": destination, "content_sha256": content}
    path = folder.tmp / _REMEMBERED
    if path.exists():
        remembered = read_json(path)
        if isinstance(remembered, dict) and remembered.items() >= asked.items():
            return str(remembered["place"]), str(remembered["created_at"])
    if "://" not in destination:
        destination = str(Path(destination).absolute())
    pattern = destination if TIME in destination else f"{destination.rstrip('/')}/{MODEL_FOLDER}/{TIME}"
    started = now()
    for seconds in range(_MAX_SECONDS_AHEAD):
        time = (started + timedelta(seconds=seconds)).astimezone(UTC).strftime(_TIME_FORMAT)
        place = pattern.replace(TIME, time).rstrip("/")
        if open_store(place, policy=policy).is_empty():
            write_json(path, {**asked, "place": place, "created_at": time})
            return place, time
    raise ArtifactError(f"{pattern} is taken for every time from now on", "see who else writes there")
