"""A trained model in S3: one prefix per model, written once, complete when its manifest stands there.

    <destination>/<model id>/bundle/...       the bundle, with its own manifest
    <destination>/<model id>/reports/...      what people read about it
    <destination>/<model id>/manifest.json    every file above with SHA-256 and size; written last

Whoever finds the manifest finds everything it lists. An upload that failed is finished by running it again: what is
there with the right content is kept. A prefix that holds another model, or a part of one, is refused. Two uploads of
different models under one name at the same instant are the caller's to avoid; `download_bundle` would find the mixture.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops_common.artifacts import (
    MANIFEST_NAME,
    atomic_folder,
    check_manifest,
    sha256_file,
    verify_manifest,
)
from ops_common.errors import ArtifactError, ConfigError
from ops_common.object_store import ObjectInfo, ObjectStore, RetryPolicy
from ops_common.progress import Progress
from ops_common.rundir import first_difference

_BUNDLE, _REPORTS, _PREDICTIONS = "bundle", "reports", "predictions"
_MAIN_REPORT = "evaluation.html"


@dataclass(frozen=True, slots=True)
class UploadReport:
    """What an upload left in S3.

    Attributes:
        bundle_uri: The folder of the bundle.
        manifest_uri: The manifest that makes the upload complete.
        report_uri: The page to read; the folder of the reports when there is no page.
        num_files: Files of the upload, without the manifest.
        size_bytes: Their size.
        num_uploaded: How many of them this call wrote; the others were there already.
    """

    bundle_uri: str
    manifest_uri: str
    report_uri: str
    num_files: int
    size_bytes: int
    num_uploaded: int


@dataclass(frozen=True, slots=True)
class PredictionsReport:
    """What an upload of predictions left in S3.

    Attributes:
        predictions_uri: The file.
        manifest_uri: The manifest that makes the upload complete.
        size_bytes: Size of the file.
    """

    predictions_uri: str
    manifest_uri: str
    size_bytes: int


def upload_bundle(
    bundle_dir: Path,
    reports_dir: Path,
    destination: str,
    model_id: str,
    metadata: Mapping[str, Any],
    *,
    policy: RetryPolicy | None = None,
    create_bucket: bool = False,
) -> UploadReport:
    """Uploads a bundle and its reports; reads everything back and compares before it says that it is done.

    Args:
        bundle_dir: A bundle with its manifest, which is checked first.
        reports_dir: Reports about it; every file is uploaded. May be missing.
        destination: Where models are kept: `s3://bucket/prefix`.
        model_id: The name of this model there.
        metadata: What else the manifest shall say: plain values, the same every time for the same model.
        policy: How patient to be with the service.
        create_bucket: Whether to make a missing bucket.

    Returns:
        Where everything stands.

    Raises:
        ConfigError: The destination or the model's name cannot be used.
        ArtifactError: The bundle is damaged, or the prefix holds another model.
        ServiceError: The service did not answer, refused, or returned something else than was written.
    """
    files = _files_to_upload(Path(bundle_dir), Path(reports_dir))
    store, manifest, num_uploaded = _upload(files, destination, model_id, metadata, policy, create_bucket)
    return _report(store, manifest, num_uploaded)


def upload_predictions(
    predictions: Path,
    destination: str,
    run_id: str,
    metadata: Mapping[str, Any],
    *,
    policy: RetryPolicy | None = None,
    create_bucket: bool = False,
) -> PredictionsReport:
    """Uploads a file of predictions to `<destination>/<run id>/predictions/`, with a manifest, as models are uploaded.

    Args:
        predictions: The file.
        destination: Where predictions are kept: `s3://bucket/prefix`.
        run_id: The name of this prediction there.
        metadata: What else the manifest shall say: plain values, the same every time for the same prediction.
        policy: How patient to be with the service.
        create_bucket: Whether to make a missing bucket.

    Raises:
        ConfigError: The destination or the name cannot be used.
        ArtifactError: The file does not exist, or the prefix holds another prediction.
        ServiceError: The service did not answer, refused, or returned something else than was written.
    """
    if not predictions.is_file():
        raise ArtifactError(f"{predictions} does not exist", "run predict-blocks first")
    key = f"{_PREDICTIONS}/{predictions.name}"
    store, manifest, _ = _upload({key: predictions}, destination, run_id, metadata, policy, create_bucket)
    return PredictionsReport(store.uri(key), store.uri(MANIFEST_NAME), manifest["files"][key]["size_bytes"])


def _upload(
    files: Mapping[str, Path],
    destination: str,
    model_id: str,
    metadata: Mapping[str, Any],
    policy: RetryPolicy | None,
    create_bucket: bool,
) -> tuple[ObjectStore, dict[str, Any], int]:
    """Uploads files by their keys, the manifest last, and reads everything back; tells how many it had to write."""
    manifest = _manifest(files, model_id, metadata)
    store = _open(destination, model_id, policy)
    store.ensure_bucket(create=create_bucket)
    present = {info.key: info for info in store.list_objects()}
    is_complete = _check_not_taken(store, present, manifest)

    size_bytes = sum(entry["size_bytes"] for entry in manifest["files"].values())
    with Progress(f"upload {model_id}", size_bytes, "bytes") as progress:
        # First everything that is there is read, so that nothing is written beside another model's files.
        stored = _stored_already(store, present, manifest, is_complete, progress)
        missing = [key for key in files if key not in stored]
        for key in missing:
            entry = manifest["files"][key]
            stored[key] = store.put_file(files[key], key, sha256=entry["sha256"])
            progress.advance(entry["size_bytes"])
    if not is_complete:
        _check_not_taken(store, {info.key: info for info in store.list_objects()}, manifest)
        store.put_bytes(_encoded(manifest), MANIFEST_NAME)
    _check_whole(store, manifest, stored)
    return store, manifest, len(missing)


def download_bundle(uri: str, folder: Path, *, policy: RetryPolicy | None = None) -> dict[str, Any]:
    """Copies a model's bundle from S3 into a folder, which appears only when every file is there and right.

    A folder that holds the very same bundle already is left as it is.

    Args:
        uri: What `upload_bundle` reported: the manifest's URI, the bundle's, or the model's prefix.
        folder: The folder to make.
        policy: How patient to be with the service.

    Returns:
        The model's manifest.

    Raises:
        ArtifactError: There is no complete model, a file is not what the manifest says, or the folder exists and
            holds something else.
        ServiceError: The service did not answer.
    """
    place = uri.rstrip("/").removesuffix(f"/{MANIFEST_NAME}").removesuffix(f"/{_BUNDLE}")
    store = ObjectStore.from_uri(place, policy=policy)
    manifest = _read_manifest(store)
    wanted = {key: entry for key, entry in manifest["files"].items() if key.startswith(f"{_BUNDLE}/")}
    if f"{_BUNDLE}/{MANIFEST_NAME}" not in wanted:
        raise ArtifactError(f"{store.uri(MANIFEST_NAME)} lists no bundle", "check the URI of the model")
    if Path(folder).exists():
        _check_same_bundle(Path(folder), wanted[f"{_BUNDLE}/{MANIFEST_NAME}"]["sha256"])
        return manifest
    with atomic_folder(Path(folder)) as temporary:
        for key, entry in wanted.items():
            store.get_file(key, temporary / key.removeprefix(f"{_BUNDLE}/"), sha256=entry["sha256"])
        verify_manifest(temporary)
    return manifest


def _files_to_upload(bundle_dir: Path, reports_dir: Path) -> dict[str, Path]:
    bundle = verify_manifest(bundle_dir)
    files = {f"{_BUNDLE}/{name}": bundle_dir / name for name in (*bundle["files"], MANIFEST_NAME)}
    for path in sorted(reports_dir.rglob("*")):
        name = path.relative_to(reports_dir).as_posix()
        # Names with a dot in front are what a killed writer left.
        if path.is_file() and not any(part.startswith(".") for part in name.split("/")):
            files[f"{_REPORTS}/{name}"] = path
    return dict(sorted(files.items()))


def _manifest(files: Mapping[str, Path], model_id: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    entries = {key: {"sha256": sha256_file(path), "size_bytes": path.stat().st_size} for key, path in files.items()}
    manifest: dict[str, Any] = json.loads(
        _encoded({"files": entries, "model_id": model_id, "metadata": dict(metadata)})
    )
    return manifest


def _encoded(manifest: Mapping[str, Any]) -> bytes:
    try:
        text = json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the metadata of the model cannot be written as JSON: {error}", "use plain values") from None
    return (text + "\n").encode("utf-8")


def _open(destination: str, model_id: str, policy: RetryPolicy | None) -> ObjectStore:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", model_id):
        raise ConfigError(
            f"{model_id!r} cannot name a model in S3", "use up to 128 letters, digits, dots, dashes and underscores"
        )
    return ObjectStore.from_uri(f"{destination.rstrip('/')}/{model_id}", policy=policy)


def _check_not_taken(store: ObjectStore, present: Mapping[str, ObjectInfo], manifest: Mapping[str, Any]) -> bool:
    """Refuses a prefix that holds another model; says whether it holds this one, complete."""
    hint = f"models are never overwritten: use another model id, or remove {store.uri()} first"
    if MANIFEST_NAME in present:
        difference = first_difference(_read_manifest(store), manifest)
        if difference:
            raise ArtifactError(f"{store.uri()} holds another model: {difference}", hint)
        return True
    for key, info in present.items():
        entry = manifest["files"].get(key)
        if entry is None or entry["size_bytes"] != info.size_bytes:
            raise ArtifactError(f"{store.uri()} holds an unfinished upload of another model: {key} differs", hint)
    return False


def _stored_already(
    store: ObjectStore,
    present: Mapping[str, ObjectInfo],
    manifest: Mapping[str, Any],
    is_complete: bool,
    progress: Progress,
) -> dict[str, ObjectInfo]:
    """The files that stand in S3 with their right content, proven by reading them."""
    stored: dict[str, ObjectInfo] = {}
    for key, entry in manifest["files"].items():
        if key not in present:
            continue
        found = store.measure(key)
        if found.sha256 == entry["sha256"]:
            stored[key] = found
            progress.advance(entry["size_bytes"])
        elif not is_complete and not _was_meant(store, key, entry["sha256"]):
            raise ArtifactError(
                f"{store.uri(key)} has another content than this model's file",
                f"an upload of another model was started here, or the storage is damaged: remove {store.uri()}, "
                "or use another model id",
            )
    return stored


def _was_meant(store: ObjectStore, key: str, sha256: str) -> bool:
    """Whether the writer of an object meant to store this content: then it is ours, and the storage damaged it."""
    head = store.head(key)
    return head is not None and head.sha256 == sha256


def _check_whole(store: ObjectStore, manifest: Mapping[str, Any], stored: Mapping[str, ObjectInfo]) -> None:
    """The last look: nobody wrote other content while we were at it."""
    wrong = first_difference(manifest, _read_manifest(store))
    listed = {info.key: info for info in store.list_objects()}
    for key, entry in manifest["files"].items():
        # The same ETag means that nothing was written since we read it; another one may still be the same content.
        if key not in listed or listed[key].etag != stored[key].etag:
            wrong = wrong or ("" if key in listed and store.measure(key).sha256 == entry["sha256"] else key)
    if wrong:
        raise ArtifactError(
            f"{store.uri()} was changed by somebody else during the upload: {wrong}",
            "see who else writes there; then use another model id",
        )


def _read_manifest(store: ObjectStore) -> dict[str, Any]:
    where = store.uri(MANIFEST_NAME)
    try:
        return check_manifest(json.loads(store.get_bytes(MANIFEST_NAME)), where)
    except ValueError:
        raise ArtifactError(f"{where} is not JSON", "the model has to be uploaded again, under another id") from None


def _check_same_bundle(folder: Path, manifest_sha256: str) -> None:
    verify_manifest(folder)
    if sha256_file(folder / MANIFEST_NAME) != manifest_sha256:
        raise ArtifactError(f"{folder} holds another bundle", "choose another folder, or remove this one first")


def _report(store: ObjectStore, manifest: Mapping[str, Any], num_uploaded: int) -> UploadReport:
    main_report = f"{_REPORTS}/{_MAIN_REPORT}"
    return UploadReport(
        bundle_uri=store.uri(_BUNDLE),
        manifest_uri=store.uri(MANIFEST_NAME),
        report_uri=store.uri(main_report if main_report in manifest["files"] else _REPORTS),
        num_files=len(manifest["files"]),
        size_bytes=sum(entry["size_bytes"] for entry in manifest["files"].values()),
        num_uploaded=num_uploaded,
    )
