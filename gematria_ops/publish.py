"""A trained model in S3: one prefix per model, written once, complete when its manifest stands there.

    <destination>/<model id>/bundle/...       the bundle, with its own manifest
    <destination>/<model id>/reports/...      what people read about it
    <destination>/<model id>/manifest.json    every file above with SHA-256 and size; written last

Whoever finds the manifest finds everything it lists. An upload that failed is finished by running it again: what is
there with the right content is kept. A prefix that holds another model, or a part of one, is refused. Two uploads of
different models under one name at the same instant are the caller's to avoid; `download_bundle` would find the mixture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops_common.artifacts import MANIFEST_NAME, atomic_folder, sha256_file, verify_manifest
from ops_common.errors import ArtifactError
from ops_common.object_store import ObjectStore, RetryPolicy
from ops_common.publishing import Published, publish_files, read_published
from ops_common.rundir import RUN_REPORT_NAME

REPORTS = "reports"
"""Folder of an upload for what people read about the model, and what a comparison needs."""

_BUNDLE, _PREDICTIONS = "bundle", "predictions"
_MAIN_REPORT = "evaluation.html"
_NOT_OF_THE_MODEL = frozenset({"comparison.json", "comparison.html", "comparison.md", RUN_REPORT_NAME})


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
    return _report(publish_files(files, destination, model_id, metadata, policy=policy, create_bucket=create_bucket))


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
    done = publish_files({key: predictions}, destination, run_id, metadata, policy=policy, create_bucket=create_bucket)
    return PredictionsReport(done.store.uri(key), done.store.uri(MANIFEST_NAME), done.size_bytes)


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
    manifest = read_published(store)
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
        # Names with a dot in front are what a killed writer left. A comparison is of the day it was made, not of the
        # model: made again, with what is released by then, it would make another model of this one. The report about
        # the run is not about the model either.
        is_kept = name not in _NOT_OF_THE_MODEL and not any(part.startswith(".") for part in name.split("/"))
        if path.is_file() and is_kept:
            files[f"{REPORTS}/{name}"] = path
    return dict(sorted(files.items()))


def _check_same_bundle(folder: Path, manifest_sha256: str) -> None:
    verify_manifest(folder)
    if sha256_file(folder / MANIFEST_NAME) != manifest_sha256:
        raise ArtifactError(f"{folder} holds another bundle", "choose another folder, or remove this one first")


def _report(done: Published) -> UploadReport:
    main_report = f"{REPORTS}/{_MAIN_REPORT}"
    store = done.store
    return UploadReport(
        bundle_uri=store.uri(_BUNDLE),
        manifest_uri=store.uri(MANIFEST_NAME),
        report_uri=store.uri(main_report if main_report in done.manifest["files"] else REPORTS),
        num_files=done.num_files,
        size_bytes=done.size_bytes,
        num_uploaded=done.num_uploaded,
    )
