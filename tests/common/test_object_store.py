"""The object store against the real local server."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from ops_common.errors import ArtifactError, ConfigError, OpsError, ServiceError
from ops_common.object_store import ObjectStore, RetryPolicy, parse_s3_uri
from tests.local_s3 import (  # noqa: F401 - fixtures
    IMPATIENT,
    SECRET_KEY,
    LocalS3,
    Proxy,
    destination,
    own_s3,
    shared_s3,
    use_endpoint,
)

# ruff: noqa: F811 - a fixture's name is an argument's name


pytestmark = pytest.mark.slow  # a server is started


@pytest.fixture
def store(destination: str) -> ObjectStore:
    return ObjectStore.from_uri(destination, policy=IMPATIENT, page_size=3)


def test_large_file_goes_up_in_parts_and_comes_back(store: ObjectStore, tmp_path: Path) -> None:
    source, copy = tmp_path / "weights.data", tmp_path / "copy" / "weights.data"
    source.write_bytes(os.urandom(20 * 2**20 + 17))
    digest = hashlib.sha256(source.read_bytes()).hexdigest()

    stored = store.put_file(source, "a/weights.data")

    assert (stored.sha256, stored.size_bytes) == (digest, 20 * 2**20 + 17)
    assert store.get_file("a/weights.data", copy, sha256=digest) == digest
    assert copy.read_bytes() == source.read_bytes()
    head = store.head("a/weights.data")
    assert head is not None
    assert (head.sha256, head.size_bytes) == (digest, stored.size_bytes)


def test_small_and_empty_objects(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    store.put_file(tmp_path / "empty", "empty")
    store.put_bytes(b"first", "näme with + and blank")
    store.put_bytes(b"second", "näme with + and blank")
    assert store.get_bytes("empty") == b""
    assert store.get_bytes("näme with + and blank") == b"second"
    assert store.uri("empty").endswith("/models/empty")


def test_a_write_on_condition(store: ObjectStore) -> None:
    first = store.put_bytes_if(b"1", "pointer.json", etag="")
    assert first is not None
    assert store.put_bytes_if(b"2", "pointer.json", etag="") is None
    second = store.put_bytes_if(b"2", "pointer.json", etag=first.etag)
    assert second is not None
    assert store.put_bytes_if(b"3", "pointer.json", etag=first.etag) is None
    assert store.put_bytes_if(b"3", "other", etag=first.etag) is None
    assert store.get_bytes("pointer.json") == b"2"
    assert store.put_bytes_if(b"2", "pointer.json", etag=first.etag) == second  # an answer was lost: it is ours


def test_list_goes_through_all_pages_of_its_own_prefix(store: ObjectStore) -> None:
    for index in range(7):
        store.put_bytes(b"x" * index, f"many/{index}")
    store.put_bytes(b"", "many-more")
    outside = ObjectStore.from_uri(f"s3://{store.bucket}/modelsx", policy=IMPATIENT)
    outside.put_bytes(b"", "many/other")

    found = [(info.key, info.size_bytes) for info in store.list_objects("many/")]

    assert found == [(f"many/{index}", index) for index in range(7)]
    assert "many/other" not in {info.key for info in store.list_objects()}


def test_missing_objects(store: ObjectStore, tmp_path: Path) -> None:
    store.delete("none")
    assert store.head("none") is None
    assert store.list_objects("none") == []
    for read in (store.get_bytes, store.measure, lambda key: store.get_file(key, tmp_path / "x")):
        with pytest.raises(ArtifactError, match=r"models/none does not exist at http://127\.0\.0\.1:"):
            read("none")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ArtifactError, match="cannot be uploaded"):
        store.put_file(tmp_path / "x", "x")


def test_delete(store: ObjectStore) -> None:
    store.put_bytes(b"x", "gone")
    store.delete("gone")
    assert store.head("gone") is None


def test_changed_bytes_that_come_are_not_taken(
    shared_s3: LocalS3, destination: str, tmp_path: Path, monkeypatch
) -> None:
    digest = ObjectStore.from_uri(destination, policy=IMPATIENT).put_bytes(b"hay needle hay", "object").sha256
    proxy = Proxy(shared_s3.port, num_flips=1000)
    use_endpoint(monkeypatch, proxy.endpoint)
    store = ObjectStore.from_uri(destination, policy=IMPATIENT)

    with pytest.raises(ArtifactError, match=r"models/object at .* has SHA-256 .*, not "):
        store.verify("object", digest)
    with pytest.raises(ArtifactError, match="has SHA-256"):
        store.get_file("object", tmp_path / "copy", sha256=digest)
    assert list(tmp_path.iterdir()) == []
    proxy.close()


def test_byte_that_flips_on_the_way_is_written_again(shared_s3: LocalS3, destination: str, monkeypatch) -> None:
    proxy = Proxy(shared_s3.port, num_flips=1)
    use_endpoint(monkeypatch, proxy.endpoint)
    store = ObjectStore.from_uri(destination, policy=IMPATIENT)
    assert store.put_bytes(b"hay needle hay", "object").size_bytes == 14
    assert proxy.num_flips == 0

    proxy.num_flips = 1000
    with pytest.raises(ServiceError, match=r"models/object at .* reads back with SHA-256"):
        store.put_bytes(b"hay needle hay", "object")
    proxy.close()


def test_missing_bucket_is_made_only_when_asked(shared_s3: LocalS3, monkeypatch) -> None:
    use_endpoint(monkeypatch, shared_s3.endpoint)
    store = ObjectStore.from_uri("s3://made-on-demand/x", policy=IMPATIENT)
    with pytest.raises(ServiceError, match="there is no bucket made-on-demand at http://127"):
        store.ensure_bucket(create=False)
    with pytest.raises(ServiceError, match="bucket made-on-demand: could not write a: the bucket does not exist"):
        store.put_bytes(b"", "a")
    with pytest.raises(ServiceError, match="could not list objects: the bucket does not exist"):
        store.list_objects()

    for _ in range(2):
        store.ensure_bucket(create=True)
    store.ensure_bucket(create=False)


def test_server_that_is_down_is_asked_again_then_named(own_s3: LocalS3) -> None:
    pauses: list[float] = []
    policy = RetryPolicy(total_seconds=60, first_wait_seconds=1, request_attempts=1, sleep=pauses.append)
    store = ObjectStore.from_uri("s3://own/x", policy=policy)
    own_s3.stop()

    with pytest.raises(ServiceError) as caught:
        store.put_bytes(b"x", "a")

    assert f"S3 at {own_s3.endpoint}, bucket own: could not write a" in caught.value.message
    assert f"(tried {len(pauses) + 1} times)" in caught.value.message
    assert "run the step again" in caught.value.hint
    assert len(pauses) > 3
    assert 60 <= sum(pauses) <= 60 + policy.max_wait_seconds
    assert pauses[0] < pauses[-1] <= policy.max_wait_seconds  # growing, and bounded


def test_server_that_comes_back_during_the_retries(own_s3: LocalS3, caplog: pytest.LogCaptureFixture) -> None:
    num_pauses = 0

    def pause(seconds: float) -> None:
        nonlocal num_pauses
        num_pauses += 1
        if num_pauses == 2:
            own_s3.start()

    policy = RetryPolicy(total_seconds=600, request_attempts=1, sleep=pause)
    store = ObjectStore.from_uri("s3://own/x", policy=policy)
    store.put_bytes(b"before", "a")
    own_s3.kill()

    store.put_bytes(b"after", "b")

    assert num_pauses == 2
    assert "trying again in" in caplog.text
    assert [store.get_bytes(key) for key in ("a", "b")] == [b"before", b"after"]


def test_credentials_are_in_no_message(own_s3: LocalS3, monkeypatch, caplog: pytest.LogCaptureFixture) -> None:
    address = own_s3.endpoint.removeprefix("http://")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://somebody:{SECRET_KEY}@{address}")
    store = ObjectStore.from_uri("s3://own/x", policy=IMPATIENT)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    denied = ObjectStore.from_uri("s3://own/x", policy=IMPATIENT)
    messages = []
    for act in (lambda: denied.put_bytes(b"", "a"), own_s3.stop, lambda: store.put_bytes(b"", "a")):
        try:
            act()
        except OpsError as error:
            messages.append(str(error))
    assert "access denied (SignatureDoesNotMatch)" in messages[0]
    assert "Could not connect" in messages[1]
    text = caplog.text + "".join(messages)
    assert address in text
    assert not [word for word in (SECRET_KEY, "not-the-secret", "somebody") if word in text]


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"AWS_ENDPOINT_URL": "nowhere"}, "Invalid endpoint: nowhere"),
        ({"AWS_PROFILE": "nobody"}, r"The config profile \(nobody\) could not be found"),
        ({"AWS_ACCESS_KEY_ID": "half"}, "Partial credentials found in env, missing: AWS_SECRET_ACCESS_KEY"),
        ({}, "could not read a: Unable to locate credentials"),
    ],
)
def test_wrong_environment(environment: dict[str, str], message: str, tmp_path: Path, monkeypatch) -> None:
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name, value in ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"} | environment).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=message):
        ObjectStore.from_uri("s3://own/x", policy=IMPATIENT).get_bytes("a")


@pytest.mark.parametrize(
    ("uri", "parts"),
    [
        ("s3://models", ("models", "")),
        ("s3://models/", ("models", "")),
        ("s3://my.models-1/a/b/", ("my.models-1", "a/b")),
    ],
)
def test_uris(uri: str, parts: tuple[str, str]) -> None:
    assert parse_s3_uri(uri) == parts


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("", "does not start with s3://"),
        ("/srv/models", "does not start with s3://"),
        ("https://host/models", "does not start with s3://"),
        ("s3:/models", "does not start with s3://"),
        ("s3://", "'' is not a bucket name"),
        ("s3:///key", "'' is not a bucket name"),
        ("s3://Models/x", "'Models' is not a bucket name"),
        ("s3://a_b_c/x", "'a_b_c' is not a bucket name"),
        ("s3://a..b/x", "'a..b' is not a bucket name"),
        ("s3://ab", "'ab' is not a bucket name"),
        ("s3://models/../x", "'../x' is not a plain relative path"),
        ("s3://models//x", "'/x' is not a plain relative path"),
        ("s3://models/a//b", "'a//b' is not a plain relative path"),
    ],
)
def test_wrong_uris(uri: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_s3_uri(uri)
    assert message in caught.value.message


def test_a_place_is_empty_until_something_stands_there(store: ObjectStore) -> None:
    assert store.is_empty()
    store.put_bytes(b"x", "a/b")
    assert not store.is_empty()
    assert ObjectStore.from_uri("s3://no-such-bucket-yet/x", policy=IMPATIENT).is_empty()
