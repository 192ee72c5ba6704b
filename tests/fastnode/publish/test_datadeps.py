"""The bundle of a product: the same bytes from the same lists, damage found, the old one kept when one fails."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fastnode_ops.publish.bundle import Datadeps, DatadepsDiffer, DatadepsMissing, aligned
from fastnode_ops.publish.datadeps import rebuild_bundle, verify_bundle
from fastnode_ops.publish.registry import alone_in, pin_model
from fastnode_ops.publish.upload import upload_out
from ops_common.errors import ArtifactError, ConfigError, DataError, OpsError
from ops_common.object_store import ObjectStore
from tests.fastnode.publish.test_registry import FOLDER
from tests.fastnode.publish.test_upload import FILES, make_out
from tests.local_s3 import IMPATIENT, LocalS3, Proxy, destination, shared_s3, use_endpoint  # noqa: F401 - fixtures

# ruff: noqa: F811 - a fixture's name is an argument's name

ROOT = Path(__file__).parents[3]
AT = datetime(2024, 1, 31, 23, 59, 59, tzinfo=UTC)


def make_product(tmp_path: Path, name: str = "product", store: str = "store", **files: bytes) -> Path:
    """A checkout with one pinned model."""
    content = {**FILES, **{f"serve/{key}": value for key, value in files.items()}}
    place = store if "://" in store else str(tmp_path / store)
    uploaded = upload_out(make_out(tmp_path / f"run-of-{name}", content), place, {}, policy=IMPATIENT, now=lambda: AT)
    checkout = tmp_path / name
    checkout.mkdir(exist_ok=True)
    pin_model(checkout, uploaded.serve_uri, ["json"], policy=IMPATIENT)
    return checkout


@pytest.fixture
def product(tmp_path: Path) -> Path:
    return make_product(tmp_path)


def declare(checkout: Path, *datasets: dict[str, Any]) -> None:
    (checkout / FOLDER / "datasets.json").write_text(json.dumps(datasets))


def test_a_bundle_holds_the_pinned_model_at_aligned_places(product: Path, tmp_path: Path) -> None:
    report = rebuild_bundle(product)
    serve = f"{tmp_path}/store/python-ggnn-expr-completion/20240131T235959Z/serve"
    names = ("attr-fallback.txt", "expr_model.frozen.pb", "metainfo-inference.json")
    assert (report.is_changed, report.num_files) == (True, 3)
    assert report.changes == tuple(f"+ {serve}/{name}" for name in names)

    manifest = json.loads((product / "datadeps/manifest.json").read_bytes())
    data = (product / "datadeps/data.bin").read_bytes()
    assert manifest["created_at"] == "20240131T235959Z"
    assert [entry["offset"] for entry in manifest["files"]] == [0, 64, 128]
    assert len(data) == report.size_bytes == 130
    for entry, name in zip(manifest["files"], names, strict=True):
        content = FILES[f"serve/{name}"]
        assert entry["path"] == f"{serve}/{name}"
        assert data[entry["offset"] : entry["offset"] + entry["size"]] == content
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
    assert data[len(FILES["serve/attr-fallback.txt"]) : 64].strip(b"\0") == b""


def test_the_same_lists_give_the_same_bytes(product: Path, tmp_path: Path) -> None:
    rebuild_bundle(product)
    other = tmp_path / "other"
    (other / FOLDER).mkdir(parents=True)
    # written in another way, but it says the same
    shards = json.loads((product / FOLDER / "models.json").read_bytes())
    (other / FOLDER / "models.json").write_text(json.dumps(shards))
    rebuild_bundle(other)
    for name in ("manifest.json", "data.bin"):
        assert (product / "datadeps" / name).read_bytes() == (other / "datadeps" / name).read_bytes()


def test_a_rebuild_of_the_same_is_told_and_writes_nothing(product: Path) -> None:
    first = rebuild_bundle(product)
    before = {path.name: path.stat().st_ino for path in (product / "datadeps").iterdir()}
    again = rebuild_bundle(product)
    assert (again.is_changed, again.changes, again.content_digest) == (False, (), first.content_digest)
    assert {path.name: path.stat().st_ino for path in (product / "datadeps").iterdir()} == before


def test_another_model_takes_the_place_of_the_old_one(product: Path, tmp_path: Path) -> None:
    rebuild_bundle(product)
    make_product(tmp_path, store="second", extra=b"new")
    report = rebuild_bundle(product)
    assert report.is_changed
    assert [line[0] for line in report.changes] == ["+"] * 4 + ["-"] * 3
    assert [path.name for path in sorted((product / "datadeps").iterdir())] == ["data.bin", "manifest.json"]
    assert verify_bundle(product).files[-1].path.endswith("metainfo-inference.json")


def test_declared_data_sets_are_packed_too(product: Path, tmp_path: Path) -> None:
    (tmp_path / "popular.bin").write_bytes(b"popular")
    digest = hashlib.sha256(b"popular").hexdigest()
    declare(product, {"Path": f"{tmp_path}/popular.bin", "Sha256": digest})
    rebuild_bundle(product)
    with Datadeps(product / "datadeps") as bundle:
        assert bytes(bundle.read(f"{tmp_path}/popular.bin")) == b"popular"
        assert bundle.opened == {f"{tmp_path}/popular.bin"}
        assert len(list(bundle)) == 4

    declare(product, {"Path": f"{tmp_path}/popular.bin", "Sha256": "0" * 64})
    with pytest.raises(ArtifactError, match=r"popular\.bin has SHA-256"):
        rebuild_bundle(product)
    declare(product, {"Path": f"{tmp_path}/gone.bin", "Sha256": digest})
    with pytest.raises(ArtifactError, match=r"gone\.bin does not exist"):
        rebuild_bundle(product)
    declare(product, {"Path": f"{tmp_path}/popular.bin"})
    with pytest.raises(ArtifactError, match="there is no finished upload at"):
        rebuild_bundle(product)
    declare(product, {"Path": f"{tmp_path}/popular.bin", "Sha": digest})
    with pytest.raises(DataError, match=r"datasets\.json: \[0\]\.Sha: Extra inputs"):
        rebuild_bundle(product)


def test_a_rebuild_that_fails_leaves_the_old_bundle(product: Path, tmp_path: Path) -> None:
    rebuild_bundle(product)
    before = (product / "datadeps/data.bin").read_bytes()
    make_product(tmp_path, store="second", extra=b"new")
    next((tmp_path / "second").rglob("extra")).write_bytes(b"NEW")
    with pytest.raises(ArtifactError, match="extra has SHA-256"):
        rebuild_bundle(product)
    assert (product / "datadeps/data.bin").read_bytes() == before
    assert [path.name for path in product.iterdir() if path.name.startswith(".")] == []
    with pytest.raises(DatadepsDiffer, match="was built from other lists"):
        verify_bundle(product)


def test_verify_finds_one_flipped_bit_in_every_place(product: Path) -> None:
    rebuild_bundle(product)
    path = product / "datadeps/data.bin"
    data = path.read_bytes()
    manifest = verify_bundle(product)
    for entry in manifest.files:
        for position in (entry.offset, entry.offset + entry.size - 1):
            damaged = bytearray(data)
            damaged[position] ^= 1
            path.write_bytes(damaged)
            with pytest.raises(DatadepsDiffer, match="has SHA-256") as caught:
                verify_bundle(product)
            assert entry.path in caught.value.message
            assert caught.value.exit_code == 2
    path.write_bytes(data)
    verify_bundle(product)


def test_verify_tells_missing_from_damaged(product: Path) -> None:
    with pytest.raises(DatadepsMissing, match=r"manifest\.json does not exist") as caught:
        verify_bundle(product)
    assert caught.value.exit_code == 3
    rebuild_bundle(product)
    folder = product / "datadeps"
    (folder / "data.bin").rename(product / "aside")
    with pytest.raises(DatadepsMissing, match=r"data\.bin does not exist"):
        verify_bundle(product)
    (folder / "data.bin").write_bytes((product / "aside").read_bytes()[:-1])
    with pytest.raises(DatadepsDiffer, match="has 129 bytes, not 130"):
        verify_bundle(product)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("schema_version", 2, "schema_version: Input should be 1"),
        ("content_digest", "0" * 64, "content_digest is not that of the files"),
        ("registry_digest", "x", "registry_digest: String should match pattern"),
        ("extra", 1, "extra: Extra inputs are not permitted"),
        ("files", [{"path": "a", "sha256": "0" * 64, "size": 1, "offset": 1}], "a begins at 1, not at 0"),
        ("files", [{"path": "a", "sha256": "0" * 64, "size": -1, "offset": 0}], "size: Input should be greater"),
        (
            "files",
            [{"path": name, "sha256": "0" * 64, "size": 0, "offset": 0} for name in "ba"],
            "files must be sorted by path",
        ),
    ],
)
def test_a_damaged_manifest(product: Path, key: str, value: Any, message: str) -> None:
    rebuild_bundle(product)
    path = product / "datadeps/manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), key: value}))
    with pytest.raises(DatadepsDiffer, match=message):
        verify_bundle(product)
    assert rebuild_bundle(product).is_changed  # a damaged bundle is as good as none
    verify_bundle(product)


def test_a_torn_manifest(product: Path) -> None:
    rebuild_bundle(product)
    (product / "datadeps/manifest.json").write_text("{")
    with pytest.raises(DatadepsDiffer, match="is not JSON"):
        Datadeps(product / "datadeps")


def test_the_reader_checks_a_file_when_it_is_used(product: Path) -> None:
    rebuild_bundle(product)
    path = product / "datadeps/data.bin"
    data = bytearray(path.read_bytes())
    data[64] ^= 1
    path.write_bytes(data)
    with Datadeps(product / "datadeps") as bundle:
        fallback, frozen, _ = bundle
        assert bytes(bundle.read(fallback)) == FILES["serve/attr-fallback.txt"]
        assert bundle.read(fallback).readonly
        with pytest.raises(DatadepsDiffer, match="do not use what is there"):
            bundle.read(frozen)
        assert frozen in bundle and "s3://other" not in bundle
        with pytest.raises(ArtifactError, match="s3://other is not in"):
            bundle.read("s3://other")
        assert bundle.opened == {fallback}


def test_a_product_without_models_has_an_empty_bundle(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir(parents=True)
    assert rebuild_bundle(tmp_path).num_files == 0
    assert verify_bundle(tmp_path).files == []


def test_a_folder_with_something_else_is_not_replaced(product: Path) -> None:
    (product / "datadeps").mkdir()
    (product / "datadeps/notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"holds more than a bundle: notes\.txt"):
        rebuild_bundle(product)
    assert rebuild_bundle(product, product / "packed").is_changed
    verify_bundle(product, product / "packed")


def test_only_one_rebuild_or_pin_at_a_time(product: Path) -> None:
    with alone_in(product / FOLDER), pytest.raises(ConfigError, match="another pin or rebuild is running"):
        rebuild_bundle(product)
    assert rebuild_bundle(product).is_changed


def test_alignment() -> None:
    assert [aligned(position) for position in (0, 1, 63, 64, 65)] == [0, 64, 64, 64, 128]


@pytest.mark.slow
def test_a_model_from_s3_is_packed_and_a_changed_object_is_refused(tmp_path: Path, destination: str) -> None:
    product = make_product(tmp_path, store=destination)
    report = rebuild_bundle(product, policy=IMPATIENT)
    serve = f"{destination}/python-ggnn-expr-completion/20240131T235959Z/serve"
    assert report.changes[0] == f"+ {serve}/attr-fallback.txt"
    with Datadeps(product / "datadeps") as bundle:
        assert bytes(bundle.read(f"{serve}/expr_model.frozen.pb")) == FILES["serve/expr_model.frozen.pb"]

    ObjectStore.from_uri(serve, policy=IMPATIENT).put_bytes(b"Frozen graph", "expr_model.frozen.pb")
    (product / "datadeps/data.bin").unlink()
    with pytest.raises(OpsError, match=r"expr_model\.frozen\.pb at .* has SHA-256"):
        rebuild_bundle(product, policy=IMPATIENT)


@pytest.mark.slow
def test_a_killed_rebuild_leaves_the_old_bundle_and_the_next_one_cleans_up(
    tmp_path: Path, destination: str, shared_s3: LocalS3
) -> None:
    product = make_product(tmp_path, store=destination)
    rebuild_bundle(product, policy=IMPATIENT)
    old = verify_bundle(product)
    make_product(tmp_path, store=f"{destination}/second", extra=b"new")
    proxy = Proxy(shared_s3.port, hold_reads_of="serve/metainfo-inference.json")
    code = (
        "import sys; from pathlib import Path; from fastnode_ops.publish.datadeps import rebuild_bundle;"
        "rebuild_bundle(Path(sys.argv[1]))"
    )
    environment = {**os.environ, "AWS_ENDPOINT_URL": proxy.endpoint}
    rebuild = subprocess.Popen([sys.executable, "-c", code, str(product)], env=environment, cwd=ROOT)
    assert proxy.refused.wait(60)
    rebuild.send_signal(signal.SIGKILL)
    rebuild.wait()
    proxy.close()

    assert list(product.glob(".datadeps.*.part")) != []  # it was in the middle of the data
    with Datadeps(product / "datadeps") as bundle:
        assert bundle.manifest == old
        assert all(bundle.read(path) is not None for path in bundle)
    use = rebuild_bundle(product, policy=IMPATIENT)
    assert use.is_changed and list(product.glob(".datadeps.*.part")) == []
    verify_bundle(product)
