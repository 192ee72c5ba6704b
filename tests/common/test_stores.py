"""A folder as a place for files: the promises that S3 gives as well (those are tested in test_object_store)."""

from pathlib import Path

import pytest

from ops_common.artifacts import sha256_file
from ops_common.errors import ArtifactError, ConfigError, OpsError
from ops_common.object_store import ObjectStore
from ops_common.stores import FolderStore, open_store


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


def test_what_is_written_comes_back(store: FolderStore, tmp_path: Path) -> None:
    (tmp_path / "model.pb").write_bytes(b"weights")
    written = store.put_file(tmp_path / "model.pb", "serve/model.pb")
    assert (written.size_bytes, written.sha256) == (7, sha256_file(tmp_path / "model.pb"))
    store.put_bytes(b"{}", "manifest.json")
    assert store.get_bytes("serve/model.pb") == b"weights"
    assert store.get_file("serve/model.pb", tmp_path / "copy", sha256=written.sha256) == written.sha256
    assert (tmp_path / "copy").read_bytes() == b"weights"
    assert [info.key for info in store.list_objects()] == ["manifest.json", "serve/model.pb"]
    assert [info.key for info in store.list_objects("serve/")] == ["serve/model.pb"]
    head = store.head("serve/model.pb")
    assert head is not None and head.etag == store.measure("serve/model.pb").etag == written.etag
    assert store.uri("serve/model.pb") == str(tmp_path / "store/serve/model.pb")


def test_a_write_on_condition(store: FolderStore) -> None:
    first = store.put_bytes_if(b"1", "a/pointer.json", etag="")
    assert first is not None
    assert store.put_bytes_if(b"2", "a/pointer.json", etag="") is None
    second = store.put_bytes_if(b"2", "a/pointer.json", etag=first.etag)
    assert second is not None
    assert store.put_bytes_if(b"3", "a/pointer.json", etag=first.etag) is None
    assert store.put_bytes_if(b"3", "a/other", etag=first.etag) is None
    assert store.get_bytes("a/pointer.json") == b"2"
    assert [info.key for info in store.list_objects()] == ["a/pointer.json"]


def test_what_is_not_there(store: FolderStore, tmp_path: Path) -> None:
    assert store.list_objects() == []
    assert store.head("a") is None
    for ask in (store.get_bytes, store.measure, lambda key: store.get_file(key, tmp_path / "copy")):
        with pytest.raises(ArtifactError, match="store/a does not exist"):
            ask("a")
    with pytest.raises(ArtifactError, match="nothing does not exist, so it cannot be copied"):
        store.put_file(tmp_path / "nothing", "a")


def test_another_digest_than_wanted_gives_no_file(store: FolderStore, tmp_path: Path) -> None:
    store.put_bytes(b"weights", "a")
    with pytest.raises(ArtifactError, match="has SHA-256"):
        store.get_file("a", tmp_path / "copy", sha256="0" * 64)
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("key", ["../out", "/etc/passwd", "a/../../b", "", "a\\b"])
def test_no_key_leads_out_of_the_folder(store: FolderStore, key: str) -> None:
    with pytest.raises(ArtifactError, match="is not a plain relative path"):
        store.put_bytes(b"", key)


def test_what_a_killed_writer_left_is_not_listed(store: FolderStore, tmp_path: Path) -> None:
    store.put_bytes(b"", "a")
    (tmp_path / "store/.b.17.0.part").write_bytes(b"half")
    assert [info.key for info in store.list_objects()] == ["a"]


def test_a_file_where_the_folder_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OpsError, match="cannot be written to"):
        FolderStore(tmp_path / "file/store").ensure_bucket(create=True)


def test_places(tmp_path: Path) -> None:
    assert isinstance(open_store("s3://models/x"), ObjectStore)
    assert isinstance(open_store(str(tmp_path)), FolderStore)
    for place in ("", "gs://models/x", "http://models"):
        with pytest.raises(ConfigError, match="is no place for files"):
            open_store(place)
