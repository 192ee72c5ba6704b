"""The local S3 server keeps what it acknowledged, and nothing else, through kills, full disks and restarts."""

from __future__ import annotations

import http.client
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from ops_platform import s3_server

from ops_common.errors import ConfigError, ServiceError
from tests.local_s3 import ACCESS_KEY, HOST, SECRET_KEY, LocalS3

pytestmark = pytest.mark.slow  # a server is started

BIG = os.urandom(9 * 2**20)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LocalS3]:
    local = LocalS3(tmp_path)
    local.start()
    yield local
    local.stop()


def client_of(server: LocalS3, secret_key: str = SECRET_KEY) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=secret_key,
        region_name=s3_server.REGION,
        config=Config(signature_version="s3v4", retries={"total_max_attempts": 1}),
    )


@pytest.fixture
def client(server: LocalS3) -> Any:
    client = client_of(server)
    client.create_bucket(Bucket="models")
    return client


def content(client: Any, key: str) -> bytes | None:
    try:
        return client.get_object(Bucket="models", Key=key)["Body"].read()
    except ClientError as error:
        assert error.response["Error"]["Code"] == "NoSuchKey"
        return None


def begin_put(server: LocalS3, client: Any, key: str) -> http.client.HTTPConnection:
    """Sends 15 of 20 MiB of an object: more than the buffers between us and the server hold."""
    url = client.generate_presigned_url("put_object", Params={"Bucket": "models", "Key": key})
    connection = http.client.HTTPConnection(HOST, server.port)
    connection.putrequest("PUT", url.removeprefix(server.endpoint))
    connection.putheader("Content-Length", str(20 * 2**20))
    connection.endheaders()
    connection.send(os.urandom(15 * 2**20))
    return connection


def test_what_was_acknowledged_survives_a_kill(server: LocalS3, client: Any, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(BIG)
    client.upload_file(str(tmp_path / "big"), "models", "a/big")  # in two parts
    client.put_object(Bucket="models", Key="a/small", Body=b"old")
    client.put_object(Bucket="models", Key="a/small", Body=b"new", Metadata={"sha256": "abc"})
    client.put_object(Bucket="models", Key="gone", Body=b"x")
    client.delete_object(Bucket="models", Key="gone")

    server.kill()
    server.start()

    assert content(client, "a/big") == BIG
    assert content(client, "a/small") == b"new"
    assert client.head_object(Bucket="models", Key="a/big")["ContentLength"] == len(BIG)
    listed = client.list_objects_v2(Bucket="models", Prefix="a/")["Contents"]
    assert [item["Key"] for item in listed] == ["a/big", "a/small"]
    assert content(client, "gone") is None
    assert client.head_object(Bucket="models", Key="a/small")["Metadata"] == {"sha256": "abc"}


@pytest.mark.parametrize("old", [None, b"old"])
@pytest.mark.parametrize("who", ["client", "server"])
def test_broken_upload_changes_nothing(server: LocalS3, client: Any, who: str, old: bytes | None) -> None:
    if old is not None:
        client.put_object(Bucket="models", Key="object", Body=old)
    connection = begin_put(server, client, "object")
    assert content(client, "object") == old
    if who == "server":
        server.kill()
        server.start()
    connection.close()
    assert content(client, "object") == old


def test_unfinished_multipart_upload_is_invisible_and_can_be_finished(server: LocalS3, client: Any) -> None:
    place = {"Bucket": "models", "Key": "object"}
    upload = client.create_multipart_upload(**place)["UploadId"]
    etag = client.upload_part(**place, UploadId=upload, PartNumber=1, Body=BIG)["ETag"]
    server.kill()
    server.start()
    assert client.list_objects_v2(Bucket="models")["KeyCount"] == 0
    assert content(client, "object") is None
    client.complete_multipart_upload(
        **place, UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]}
    )
    assert content(client, "object") == BIG


@pytest.mark.parametrize("page_size", [1, 3, 1000])
def test_lists_are_complete_whatever_the_names(client: Any, page_size: int) -> None:
    keys = ["a b", "a-b", "a.b", "a/x", "a/y", "a/z-1", "a/z/1", "a0", "ab", "B", "b/1", "ä"]
    for key in keys:
        client.put_object(Bucket="models", Key=key, Body=b"")
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="models", PaginationConfig={"PageSize": page_size})
    assert sorted(item["Key"] for page in pages for item in page["Contents"]) == sorted(keys)


def test_content_that_changed_on_the_way_is_refused(client: Any) -> None:
    with pytest.raises(ClientError, match="BadDigest"):
        client.put_object(Bucket="models", Key="object", Body=b"x", ChecksumSHA256="A" * 43 + "=")
    assert content(client, "object") is None


def test_conditional_writes(client: Any) -> None:
    client.put_object(Bucket="models", Key="object", Body=b"first", IfNoneMatch="*")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        client.put_object(Bucket="models", Key="object", Body=b"second", IfNoneMatch="*")
    assert content(client, "object") == b"first"


def test_writes_at_once(client: Any) -> None:
    bodies = [bytes([index]) * (2**18 + index) for index in range(6)]

    def write(index: int, round_index: int) -> None:
        client.put_object(Bucket="models", Key=f"same-{round_index}", Body=bodies[index])
        client.put_object(Bucket="models", Key=f"own-{index}", Body=bodies[index])

    with ThreadPoolExecutor(6) as pool:
        for round_index in range(20):
            list(pool.map(write, range(6), [round_index] * 6))
    assert all(content(client, f"same-{round_index}") in bodies for round_index in range(20))
    assert [content(client, f"own-{index}") for index in range(6)] == bodies


def test_full_disk(tmp_path: Path) -> None:
    server = LocalS3(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6 * 2**20, limits[1]))  # inherited by the server
    try:
        server.start()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    try:
        client = client_of(server)
        client.create_bucket(Bucket="models")
        client.put_object(Bucket="models", Key="object", Body=b"old")
        with pytest.raises(ClientError):
            client.put_object(Bucket="models", Key="object", Body=BIG)
        assert content(client, "object") == b"old"
    finally:
        server.stop()


def test_only_the_right_keys_open_it(server: LocalS3, client: Any) -> None:
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        client_of(server, "wrong").list_buckets()
    anonymous = http.client.HTTPConnection(HOST, server.port)
    anonymous.request("GET", "/models")
    assert anonymous.getresponse().status == 403
    command = Path(f"/proc/{server.process_id}/cmdline").read_text()
    assert "weed" in command
    assert SECRET_KEY not in command


def test_buckets_are_made_at_the_start(tmp_path: Path) -> None:
    tmp_path /= "a-long-name-of-a-folder-" * 8
    port = s3_server.free_port()
    keys = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
    process = s3_server.start(tmp_path / "s3", HOST, port, tmp_path / "log", buckets=["models", "data"], **keys)
    try:
        local = LocalS3(tmp_path)
        local.port = port
        assert [item["Name"] for item in client_of(local).list_buckets()["Buckets"]] == ["data", "models"]
        with pytest.raises(ConfigError, match=f"cannot listen on {HOST}:{port}: Address already in use"):
            s3_server.start(tmp_path / "other", HOST, port, tmp_path / "log2", **keys)
        with pytest.raises(ServiceError, match="ended with status 3") as caught:
            s3_server.start(tmp_path / "s3", HOST, s3_server.free_port(), tmp_path / "log2", **keys)
        assert "another S3 server serves" in caught.value.hint
    finally:
        s3_server.stop(process)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "the S3 server needs AWS_ACCESS_KEY_ID"),
        ({"AWS_ACCESS_KEY_ID": "a"}, "the S3 server needs AWS_SECRET_ACCESS_KEY"),
        ({"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": ""}, "the S3 server needs AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_wrong_keys(environment: dict[str, str], message: str, tmp_path: Path) -> None:
    command = s3_server.command(tmp_path, HOST, s3_server.free_port())
    root = Path(__file__).parents[2]
    python_path = os.pathsep.join([str(root), str(root / "plugins")])
    done = subprocess.run(
        command, env={"PYTHONPATH": python_path} | environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert command[0] == sys.executable
