"""Uploads into a folder; the same code against a real S3 server, cut off and damaged, is in gematria/test_publish."""

import json
from pathlib import Path
from typing import Any

import pytest

from ops_common.errors import ArtifactError, ConfigError
from ops_common.publishing import Published, publish_files, read_published
from ops_common.stores import FolderStore


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "weights").write_bytes(b"weights")
    (tmp_path / "report").write_text("fine")
    return {"bundle/weights": tmp_path / "weights", "report.html": tmp_path / "report"}


def publish(files: dict[str, Path], tmp_path: Path, name: str = "m1", **metadata: Any) -> Published:
    return publish_files(files, str(tmp_path / "models"), name, metadata, manifest_name="MANIFEST.json")


def test_an_upload_into_a_folder(files: dict[str, Path], tmp_path: Path) -> None:
    done = publish(files, tmp_path, steps=10)
    assert (done.num_files, done.size_bytes, done.num_uploaded) == (2, 11, 2)
    manifest = json.loads((tmp_path / "models/m1/MANIFEST.json").read_bytes())
    assert manifest == done.manifest == read_published(done.store, "MANIFEST.json")
    assert manifest["metadata"] == {"steps": 10}
    assert (tmp_path / "models/m1/bundle/weights").read_bytes() == b"weights"
    assert publish(files, tmp_path, steps=10).num_uploaded == 0


def test_another_model_is_never_written_over_it(files: dict[str, Path], tmp_path: Path) -> None:
    publish(files, tmp_path, steps=10)
    files["report.html"].write_text("more")
    with pytest.raises(ArtifactError, match=r"m1 holds another model: files\.report\.html\.sha256 was"):
        publish(files, tmp_path, steps=10)
    assert (tmp_path / "models/m1/report.html").read_text() == "fine"


def test_an_unfinished_upload_is_finished(files: dict[str, Path], tmp_path: Path) -> None:
    FolderStore(tmp_path / "models/m1").put_bytes(b"weights", "bundle/weights")
    assert publish(files, tmp_path).num_uploaded == 1


def test_an_unfinished_upload_of_something_else_is_refused(files: dict[str, Path], tmp_path: Path) -> None:
    FolderStore(tmp_path / "models/m1").put_bytes(b"others!", "bundle/weights")
    with pytest.raises(ArtifactError, match="has another content than this model's file"):
        publish(files, tmp_path)
    FolderStore(tmp_path / "models/m2").put_bytes(b"x", "other")
    with pytest.raises(ArtifactError, match="holds an unfinished upload of another model: other differs"):
        publish(files, tmp_path, "m2")


def test_what_cannot_be_uploaded(files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"a file of the upload is called MANIFEST\.json"):
        publish({**files, "MANIFEST.json": files["report.html"]}, tmp_path)
    with pytest.raises(ArtifactError, match="gone does not exist, so it cannot be uploaded"):
        publish({"x": tmp_path / "gone"}, tmp_path)
    with pytest.raises(ConfigError, match="cannot name a model"):
        publish(files, tmp_path, "../m1")


def test_no_manifest_and_a_torn_one(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"MANIFEST\.json does not exist"):
        read_published(FolderStore(tmp_path), "MANIFEST.json")
    (tmp_path / "MANIFEST.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"MANIFEST\.json is not JSON"):
        read_published(FolderStore(tmp_path), "MANIFEST.json")
