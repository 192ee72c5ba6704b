"""Uploads of a pipeline's `out/`: into a folder, and into a real S3 server that is cut off in the middle."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from fastnode_ops.pipeline_dir import PipelineDir
from fastnode_ops.publish.upload import UploadReport, upload_out
from ops_common.artifacts import sha256_file
from ops_common.errors import ArtifactError, ConfigError, ServiceError
from ops_common.object_store import ObjectStore
from tests.local_s3 import (  # noqa: F401 - fixtures
    IMPATIENT,
    ONE_TRY,
    LocalS3,
    Proxy,
    destination,
    shared_s3,
    use_endpoint,
)

# ruff: noqa: F811 - a fixture's name is an argument's name

LAST_SECOND = datetime(2024, 1, 31, 23, 59, 59, tzinfo=UTC)
FILES = {
    "metainfo.json": b"{}",
    "serve/expr_model.frozen.pb": b"frozen graph",
    "serve/metainfo-inference.json": b"{}",
    "serve/attr-fallback.txt": b"matplotlib.pyplot\n",
    "saved_model/variables/variables.index": b"index",
}


@pytest.fixture
def work_dir(tmp_path: Path) -> Path:
    return make_out(tmp_path / "run")


def make_out(work_dir: Path, files: dict[str, bytes] = FILES) -> Path:
    for name, content in files.items():
        path = PipelineDir(work_dir).out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return work_dir


def upload(work_dir: Path, destination: str, at: datetime = LAST_SECOND) -> UploadReport:
    return upload_out(work_dir, destination, {"model_name": "m"}, policy=IMPATIENT, now=lambda: at)


def test_an_upload_into_a_folder_has_a_manifest_of_everything(work_dir: Path, tmp_path: Path) -> None:
    (work_dir / "out/.metainfo.json.1.0.part").write_text("half")
    report = upload(work_dir, str(tmp_path / "store"))

    place = tmp_path / "store/python-ggnn-expr-completion/20240131T235959Z"
    assert report == UploadReport(
        model_uri=str(place),
        serve_uri=str(place / "serve"),
        manifest_uri=str(place / "MANIFEST.json"),
        num_files=5,
        size_bytes=sum(map(len, FILES.values())),
        num_uploaded=5,
    )
    manifest = json.loads((place / "MANIFEST.json").read_bytes())
    assert manifest["metadata"] == {"model_name": "m", "created_at": "20240131T235959Z"}
    assert manifest["files"] == {
        name: {"sha256": sha256_file(place / name), "size_bytes": len(content)} for name, content in FILES.items()
    }


def test_times_are_utc_whatever_the_clock_shows(work_dir: Path, tmp_path: Path) -> None:
    in_india = LAST_SECOND.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert upload(work_dir, str(tmp_path), in_india).model_uri.endswith("/20240131T235959Z")


def test_a_percent_t_in_the_destination_is_the_time_and_nothing_is_added(work_dir: Path, tmp_path: Path) -> None:
    assert upload(work_dir, f"{tmp_path}/models/%t").model_uri == f"{tmp_path}/models/20240131T235959Z"
    other = make_out(tmp_path / "other")
    assert upload(other, f"{tmp_path}/%t/expr/").serve_uri == f"{tmp_path}/20240131T235959Z/expr/serve"


def test_the_same_content_is_uploaded_once_and_another_one_beside_it(work_dir: Path, tmp_path: Path) -> None:
    first = upload(work_dir, str(tmp_path / "store"))
    again = upload(work_dir, str(tmp_path / "store"), LAST_SECOND + timedelta(days=1))
    assert (again.model_uri, again.num_uploaded) == (first.model_uri, 0)

    (work_dir / "out/serve/attr-fallback.txt").write_text("json\n")
    later = upload(work_dir, str(tmp_path / "store"), LAST_SECOND + timedelta(seconds=1))
    assert later.model_uri.endswith("/20240201T000000Z")
    assert Path(first.serve_uri, "attr-fallback.txt").read_bytes() == FILES["serve/attr-fallback.txt"]


def test_two_pipelines_in_one_second_do_not_meet(work_dir: Path, tmp_path: Path) -> None:
    other = make_out(tmp_path / "other", {**FILES, "metainfo.json": b"[]"})
    upload(work_dir, str(tmp_path / "store"))
    assert upload(other, str(tmp_path / "store")).model_uri.endswith("/20240201T000000Z")


def test_nothing_is_written_over_what_somebody_changed(work_dir: Path, tmp_path: Path) -> None:
    place = Path(upload(work_dir, str(tmp_path / "store")).model_uri)
    (place / "MANIFEST.json").write_text(json.dumps({"files": {}, "model_id": "another"}))
    with pytest.raises(ArtifactError, match="holds another model"):
        upload(work_dir, str(tmp_path / "store"))


@pytest.mark.parametrize("name", ["serve/expr_model.frozen.pb", "serve/metainfo-inference.json"])
def test_a_model_that_is_not_finished_is_not_uploaded(work_dir: Path, tmp_path: Path, name: str) -> None:
    (work_dir / "out" / name).unlink()
    with pytest.raises(ArtifactError, match=f"{name} does not exist, so there is no model") as caught:
        upload(work_dir, str(tmp_path / "store"))
    assert "make" in caught.value.hint
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("place", ["gs://models", "s3://UPPER/x", "s3://%t", "s3:///x"])
def test_destinations_that_are_no_place(work_dir: Path, place: str) -> None:
    with pytest.raises(ConfigError, match=r"is not a bucket name|is no place for files"):
        upload(work_dir, place)


@pytest.mark.slow
def test_an_upload_to_s3_that_was_cut_off_goes_on_at_the_same_prefix(
    work_dir: Path, destination: str, shared_s3: LocalS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = Proxy(shared_s3.port, num_puts=2)
    use_endpoint(monkeypatch, proxy.endpoint)
    with pytest.raises(ServiceError):
        upload_out(work_dir, destination, {"model_name": "m"}, policy=ONE_TRY, now=lambda: LAST_SECOND)
    proxy.close()
    use_endpoint(monkeypatch, shared_s3.endpoint)
    store = ObjectStore.from_uri(destination, policy=IMPATIENT)
    assert len(store.list_objects()) == 2

    report = upload(work_dir, destination, LAST_SECOND + timedelta(hours=1))
    assert report.model_uri == f"{destination}/python-ggnn-expr-completion/20240131T235959Z"
    assert report.num_uploaded == 3
    assert len(store.list_objects()) == len(FILES) + 1
    for name, content in FILES.items():
        assert store.get_bytes(f"python-ggnn-expr-completion/20240131T235959Z/{name}") == content


@pytest.mark.slow
def test_a_bucket_that_is_missing_is_made_when_it_may_be(
    work_dir: Path, shared_s3: LocalS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_endpoint(monkeypatch, shared_s3.endpoint)
    with pytest.raises(ServiceError, match="there is no bucket expr-not-there-yet"):
        upload(work_dir, "s3://expr-not-there-yet/models")
    report = upload_out(work_dir, "s3://expr-not-there-yet/models", {}, policy=IMPATIENT, create_bucket=True)
    assert report.num_uploaded == len(FILES)
