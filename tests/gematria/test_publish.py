"""Models in S3, against the real local server: whole or refused, whatever happens on the way."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest

from gematria_ops.publish import UploadReport, download_bundle, upload_bundle
from ops_common.artifacts import sha256_file, verify_manifest, write_manifest
from ops_common.errors import ArtifactError, ConfigError, OpsError, ServiceError
from ops_common.object_store import ObjectStore, RetryPolicy, parse_s3_uri
from tests.local_s3 import (  # noqa: F401 - fixtures
    IMPATIENT,
    ONE_TRY,
    LocalS3,
    Proxy,
    destination,
    own_s3,
    shared_s3,
    use_endpoint,
)

# ruff: noqa: F811 - a fixture's name is an argument's name

pytestmark = pytest.mark.slow  # a server is started

WEIGHTS = random.Random(7).randbytes(100_000)
METADATA = {"global_step": 100, "tasks": ["bhive: skl"]}


class Model:
    """A bundle of three files and a manifest, and two reports."""

    num_files = 6

    def __init__(self, folder: Path, weights: bytes = WEIGHTS) -> None:
        self.bundle, self.reports = folder / "bundle", folder / "reports"
        self.bundle.mkdir(parents=True)
        (self.bundle / "config.json").write_text('{"width": 256}')
        (self.bundle / "tokens.txt").write_text("ADD\nMOV\n")
        (self.bundle / "weights.data").write_bytes(weights)
        write_manifest(self.bundle, ["config.json", "tokens.txt", "weights.data"], kind="bundle")
        (self.reports / "plots").mkdir(parents=True)
        (self.reports / "evaluation.html").write_text("<html></html>")
        (self.reports / "plots" / "errors.svg").write_text("<svg/>")
        (self.reports / ".evaluation.json.1.0.part").write_text("half of a rep")

    def upload(self, destination: str, model_id: str = "m1", policy: RetryPolicy = IMPATIENT) -> UploadReport:
        return upload_bundle(self.bundle, self.reports, destination, model_id, METADATA, policy=policy)


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return Model(tmp_path / "run")


def keys(destination: str) -> list[str]:
    return [info.key for info in ObjectStore.from_uri(destination, policy=IMPATIENT).list_objects()]


def check_uploaded(model: Model, destination: str, folder: Path, model_id: str = "m1") -> None:
    """Everything is there once, and comes back as it was."""
    assert keys(destination) == sorted(
        f"{model_id}/{name}"
        for name in (
            "bundle/config.json",
            "bundle/manifest.json",
            "bundle/tokens.txt",
            "bundle/weights.data",
            "manifest.json",
            "reports/evaluation.html",
            "reports/plots/errors.svg",
        )
    )
    download_bundle(f"{destination}/{model_id}", folder, policy=IMPATIENT)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        path.name: path.read_bytes() for path in model.bundle.iterdir()
    }


def test_upload_and_download(model: Model, destination: str, tmp_path: Path) -> None:
    report = model.upload(destination)

    size = sum(path.stat().st_size for path in (*model.bundle.iterdir(), *model.reports.rglob("[!.]*.*")))
    assert report == UploadReport(
        bundle_uri=f"{destination}/m1/bundle",
        manifest_uri=f"{destination}/m1/manifest.json",
        report_uri=f"{destination}/m1/reports/evaluation.html",
        num_files=model.num_files,
        size_bytes=size,
        num_uploaded=model.num_files,
    )
    check_uploaded(model, destination, tmp_path / "copy")
    for number, uri in enumerate((report.bundle_uri, report.manifest_uri, f"{destination}/m1/")):
        manifest = download_bundle(uri, tmp_path / str(number), policy=IMPATIENT)
        assert verify_manifest(tmp_path / str(number))["kind"] == "bundle"
        assert (manifest["model_id"], manifest["metadata"]) == ("m1", METADATA)
        assert len(manifest["files"]) == model.num_files


def test_model_without_reports(model: Model, destination: str, tmp_path: Path) -> None:
    report = upload_bundle(model.bundle, tmp_path / "none", destination, "m1", {}, policy=IMPATIENT)
    assert (report.num_files, report.report_uri) == (4, f"{destination}/m1/reports")


def test_second_upload_writes_nothing(model: Model, destination: str, tmp_path: Path) -> None:
    first = model.upload(destination)
    second = model.upload(f"{destination}/")
    assert second.num_uploaded == 0
    assert (second.manifest_uri, second.size_bytes) == (first.manifest_uri, first.size_bytes)
    check_uploaded(model, destination, tmp_path / "copy")


@pytest.mark.parametrize("num_puts", [0, 1, 3, 6])
def test_upload_cut_off_after_some_files_is_finished_by_a_retry(
    num_puts: int, model: Model, destination: str, shared_s3: LocalS3, tmp_path: Path, monkeypatch
) -> None:
    proxy = Proxy(shared_s3.port, num_puts=num_puts)
    use_endpoint(monkeypatch, proxy.endpoint)
    with pytest.raises(ServiceError, match=f"S3 at {proxy.endpoint}, bucket tests"):
        model.upload(destination, policy=ONE_TRY)
    proxy.close()
    use_endpoint(monkeypatch, shared_s3.endpoint)
    assert len(keys(destination)) == num_puts
    assert "m1/manifest.json" not in keys(destination)
    with pytest.raises(ArtifactError, match=r"m1/manifest\.json does not exist"):
        download_bundle(f"{destination}/m1", tmp_path / "early", policy=IMPATIENT)

    assert model.upload(destination).num_uploaded == model.num_files - num_puts
    check_uploaded(model, destination, tmp_path / "copy")


def test_killed_upload_is_finished_by_a_retry(
    model: Model, destination: str, shared_s3: LocalS3, tmp_path: Path
) -> None:
    proxy = Proxy(shared_s3.port, num_puts=2, hold=True)
    code = (
        "import sys; from pathlib import Path; from gematria_ops.publish import upload_bundle;"
        "upload_bundle(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], 'm1', {'global_step': 100, "
        "'tasks': ['bhive: skl']})"
    )
    command = [sys.executable, "-c", code, str(model.bundle), str(model.reports), destination]
    environment = os.environ | {"AWS_ENDPOINT_URL": proxy.endpoint}
    uploader = subprocess.Popen(command, env=environment, cwd=Path(__file__).parents[2])
    assert proxy.refused.wait(60)
    uploader.send_signal(signal.SIGKILL)
    uploader.wait()
    proxy.close()

    assert len(keys(destination)) == 2
    assert model.upload(destination).num_uploaded == model.num_files - 2
    check_uploaded(model, destination, tmp_path / "copy")


def test_server_killed_in_the_middle_comes_back_during_the_retries(
    own_s3: LocalS3, tmp_path: Path, monkeypatch
) -> None:
    model = Model(tmp_path / "run", weights=os.urandom(20 * 2**20))
    proxy = Proxy(own_s3.port, num_puts=2)
    use_endpoint(monkeypatch, proxy.endpoint)

    def pause(seconds: float) -> None:
        if proxy.refused.is_set():
            proxy.refused.clear()
            own_s3.kill()
            own_s3.start()
            use_endpoint(monkeypatch, own_s3.endpoint)
        proxy._num_puts = None

    model.upload("s3://own/models", policy=RetryPolicy(total_seconds=600, request_attempts=1, sleep=pause))

    use_endpoint(monkeypatch, own_s3.endpoint)
    check_uploaded(model, "s3://own/models", tmp_path / "copy")
    proxy.close()


def test_server_that_is_down(own_s3: LocalS3, model: Model, tmp_path: Path) -> None:
    own_s3.stop()
    with pytest.raises(ServiceError, match=rf"S3 at {own_s3.endpoint}, bucket own: .* \(tried \d+ times\)"):
        model.upload("s3://own/models")
    own_s3.start()
    model.upload("s3://own/models")
    check_uploaded(model, "s3://own/models", tmp_path / "copy")


def test_flipped_byte_on_the_disk_is_found(destination: str, shared_s3: LocalS3, tmp_path: Path) -> None:
    weights = os.urandom(100_000)
    Model(tmp_path / "run", weights).upload(destination)
    shared_s3.flip_byte(weights)
    # This server finds it itself and gives nothing; what another would give is compared (test_object_store).
    with pytest.raises(OpsError, match=r"bundle/weights\.data"):
        download_bundle(f"{destination}/m1", tmp_path / "copy", policy=ONE_TRY)
    assert not (tmp_path / "copy").exists()


def test_changed_file_of_a_finished_upload_is_put_right(model: Model, destination: str, tmp_path: Path) -> None:
    model.upload(destination)
    ObjectStore.from_uri(destination, policy=IMPATIENT).put_bytes(b"v" * 100_000, "m1/bundle/weights.data")
    with pytest.raises(ArtifactError, match=r"m1/bundle/weights\.data at .* has SHA-256"):
        download_bundle(f"{destination}/m1", tmp_path / "copy", policy=IMPATIENT)
    assert not (tmp_path / "copy").exists()

    assert model.upload(destination).num_uploaded == 1  # the manifest proves what belongs there
    check_uploaded(model, destination, tmp_path / "copy")


def test_damaged_file_of_an_unfinished_upload_is_put_right(model: Model, destination: str, tmp_path: Path) -> None:
    bucket, prefix = parse_s3_uri(f"{destination}/m1")
    meant = {"sha256": sha256_file(model.bundle / "weights.data")}
    boto3.client("s3").put_object(
        Bucket=bucket, Key=f"{prefix}/bundle/weights.data", Body=b"v" * 100_000, Metadata=meant
    )
    assert model.upload(destination).num_uploaded == model.num_files
    check_uploaded(model, destination, tmp_path / "copy")


def test_prefix_of_another_model_is_refused(model: Model, destination: str, tmp_path: Path) -> None:
    model.upload(destination)
    other = Model(tmp_path / "other", weights=b"v" * 100_000)

    with pytest.raises(
        ArtifactError, match=r"m1 holds another model: files\.bundle/manifest\.json\.sha256 was"
    ) as caught:
        other.upload(destination)
    assert "use another model id" in caught.value.hint
    with pytest.raises(ArtifactError, match=r"m1 holds another model: metadata\.global_step was 100, now not given"):
        upload_bundle(model.bundle, model.reports, destination, "m1", {"tasks": ["bhive: skl"]}, policy=IMPATIENT)
    check_uploaded(model, destination, tmp_path / "copy")
    assert other.upload(destination, "m2").num_uploaded == other.num_files


@pytest.mark.parametrize(
    ("key", "content", "message"),
    [
        ("bundle/weights.data", b"v" * 100_000, "m1/bundle/weights.data has another content than this model's file"),
        (
            "bundle/weights.data",
            b"short",
            "m1 holds an unfinished upload of another model: bundle/weights.data differs",
        ),
        ("bundle/optimizer", b"x", "m1 holds an unfinished upload of another model: bundle/optimizer differs"),
        ("manifest.json", b"{ torn", "m1/manifest.json is not JSON"),
        ("manifest.json", b"[]", "m1/manifest.json is not a manifest: it has no 'files' table"),
        (
            "manifest.json",
            json.dumps({"files": {"../../etc/passwd": {"sha256": "0" * 64, "size_bytes": 1}}}).encode(),
            "m1/manifest.json: '../../etc/passwd' is not a plain relative path",
        ),
    ],
)
def test_prefix_with_something_else_is_refused(
    key: str, content: bytes, message: str, model: Model, destination: str
) -> None:
    ObjectStore.from_uri(f"{destination}/m1", policy=IMPATIENT).put_bytes(content, key)
    with pytest.raises(ArtifactError) as caught:
        model.upload(destination)
    assert message in caught.value.message
    assert keys(destination) == [f"m1/{key}"]


def test_two_uploads_of_one_model_at_once(destination: str, tmp_path: Path) -> None:
    models = [Model(tmp_path / name, weights=WEIGHTS * 100) for name in ("a", "b")]
    barrier = threading.Barrier(2)

    def upload(model: Model) -> UploadReport:
        barrier.wait()
        return model.upload(destination)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(upload, models)

    assert first.manifest_uri == second.manifest_uri
    check_uploaded(models[0], destination, tmp_path / "copy")


def test_damaged_bundle_is_not_uploaded(model: Model, destination: str) -> None:
    (model.bundle / "tokens.txt").write_text("ADD\nMUL\n")
    with pytest.raises(ArtifactError, match=r"tokens\.txt has SHA-256"):
        model.upload(destination)
    assert keys(destination) == []


def test_download_into_a_folder_that_exists(model: Model, destination: str, tmp_path: Path) -> None:
    model.upload(destination)
    download_bundle(f"{destination}/m1", tmp_path / "copy", policy=IMPATIENT)
    before = (tmp_path / "copy" / "tokens.txt").stat().st_ino
    download_bundle(f"{destination}/m1", tmp_path / "copy", policy=IMPATIENT)
    assert (tmp_path / "copy" / "tokens.txt").stat().st_ino == before

    other = Model(tmp_path / "other", weights=b"other")
    with pytest.raises(ArtifactError, match="holds another bundle"):
        download_bundle(f"{destination}/m1", other.bundle, policy=IMPATIENT)
    with pytest.raises(ArtifactError, match=r"manifest\.json does not exist"):
        download_bundle(f"{destination}/m1", tmp_path, policy=IMPATIENT)


@pytest.mark.parametrize("model_id", ["", "a/b", "..", ".hidden", "a b", "x" * 129])
def test_wrong_model_ids(model_id: str, model: Model) -> None:
    with pytest.raises(ConfigError, match="cannot name a model in S3"):
        model.upload("s3://nowhere/models", model_id)


def test_metadata_that_json_cannot_say(model: Model) -> None:
    with pytest.raises(ConfigError, match="the metadata of the model cannot be written as JSON"):
        upload_bundle(model.bundle, model.reports, "s3://nowhere/x", "m1", {"loss": float("nan")}, policy=IMPATIENT)


def test_missing_bucket(model: Model, shared_s3: LocalS3, monkeypatch) -> None:
    use_endpoint(monkeypatch, shared_s3.endpoint)
    with pytest.raises(OpsError, match="there is no bucket not-there-yet at http"):
        model.upload("s3://not-there-yet/models")
    report = upload_bundle(
        model.bundle, model.reports, "s3://not-there-yet/models", "m1", {}, policy=IMPATIENT, create_bucket=True
    )
    assert report.num_uploaded == model.num_files
