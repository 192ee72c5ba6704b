"""Files in S3, or in anything that speaks its protocol.

The endpoint and the credentials come from where every client of S3 finds them: `AWS_ENDPOINT_URL`,
`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, a profile, the role of the machine. They appear in no message.

What does not answer is asked again with growing pauses, for a bounded time; then a ServiceError names the endpoint and
the bucket. What was written is read back whole and compared by SHA-256, because a server that accepts a checksum with
an upload need not check it.
"""

from __future__ import annotations

import hashlib
import io
import mimetypes
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self, TypeVar

from ops_common.artifacts import atomic_path, check_relative_path, sha256_file
from ops_common.errors import ArtifactError, ConfigError, ServiceError
from ops_common.s3_connection import Connection, RetryPolicy, connect, has_code

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3.type_defs import ListObjectsV2OutputTypeDef

__all__ = ["ObjectInfo", "ObjectStore", "RetryPolicy", "parse_s3_uri"]

T = TypeVar("T")

_CHUNK_BYTES = 1 << 20
_MULTIPART_BYTES = 8 << 20
_NUM_UPLOAD_THREADS = 4
_SHA256_KEY = "sha256"


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a store says about an object.

    Attributes:
        key: Its name below the store's prefix.
        size_bytes: Its size.
        etag: Changes when the object is written with another content.
        sha256: Its digest. Where the content was read (`measure`, `put_file`) it is what was read; from `head` it is
            what the writer put into the metadata, or empty, and no proof.
    """

    key: str
    size_bytes: int
    etag: str
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class _Body:
    """The content of an object on its way, once."""

    stream: StreamingBody
    etag: str

    def chunks(self) -> Iterator[bytes]:
        with closing(self.stream):
            yield from self.stream.iter_chunks(_CHUNK_BYTES)


class ObjectStore:
    """The objects of one bucket whose names start with one prefix. Made with `from_uri`.

    All keys of the methods are relative to the prefix.
    """

    def __init__(self, bucket: str, prefix: str, connection: Connection, page_size: int = 1000) -> None:
        self.bucket, self.prefix = bucket, prefix
        self._connection, self._page_size = connection, page_size
        self._client = connection.client

    @classmethod
    def from_uri(cls, uri: str, *, policy: RetryPolicy | None = None, page_size: int = 1000) -> Self:
        """Opens `s3://bucket/prefix`. Nothing is asked of the service yet.

        Args:
            uri: The place. A slash at the end makes no difference.
            policy: How patient to be.
            page_size: How many objects are listed with one request.

        Raises:
            ConfigError: The URI is not a place in S3, or the endpoint or the profile of the environment is wrong.
        """
        bucket, prefix = parse_s3_uri(uri)
        return cls(bucket, prefix, connect(policy or RetryPolicy()), page_size)

    @property
    def endpoint(self) -> str:
        """The address of the service."""
        return self._connection.endpoint

    def uri(self, key: str = "") -> str:
        """The `s3://` URI of an object, or of the store itself."""
        return "/".join(part for part in (f"s3://{self.bucket}", self.prefix, key) if part)

    def ensure_bucket(self, *, create: bool) -> None:
        """Checks that the bucket is there.

        Args:
            create: Whether to make a missing bucket.

        Raises:
            ServiceError: It is missing and was not to be made, or could not be made, or the service does not answer.
        """
        if self._call("look for the bucket", lambda: self._unless_missing(self._head_bucket)):
            return
        if not create:
            raise ServiceError(
                f"there is no bucket {self.bucket} at {self.endpoint}", "make it first, or correct the destination"
            )
        self._call("make the bucket", self._create_bucket)

    def put_file(
        self, path: Path, key: str, *, sha256: str = "", sent: Callable[[int], None] | None = None
    ) -> ObjectInfo:
        """Writes a file as an object, in parts when it is large, then reads the object back and compares.

        Args:
            path: The file.
            key: The object's name; what stood there is replaced in one step.
            sha256: The file's digest when it is known already.
            sent: Is told the number of bytes whenever some were sent; more than the file has when parts are repeated.

        Returns:
            What was read back.

        Raises:
            ArtifactError: The file does not exist.
            ServiceError: The service did not take it, or returned something else when it was read back.
        """
        if not Path(path).is_file():
            raise ArtifactError(f"{path} does not exist, so it cannot be uploaded")
        return self._put(lambda: path.open("rb"), key, sha256 or sha256_file(path), sent)

    def put_bytes(self, content: bytes, key: str) -> ObjectInfo:
        """Writes an object, reads it back and compares, like `put_file`."""
        return self._put(lambda: io.BytesIO(content), key, hashlib.sha256(content).hexdigest(), None)

    def put_bytes_if(self, content: bytes, key: str, *, etag: str) -> ObjectInfo | None:
        """Writes a small object only where nobody has written since somebody looked; the service decides, in one step.

        Args:
            content: What to write.
            key: The object's name.
            etag: The tag that the object must still have; empty: there must be no such object.

        Returns:
            What was read back; None when the object is another one by now, and nothing was written.

        Raises:
            ServiceError: The service did not take it, or does not know such writes.
        """
        condition: dict[str, Any] = {"IfMatch": f'"{etag}"'} if etag else {"IfNoneMatch": "*"}
        kind = mimetypes.guess_type(key)[0] or "application/octet-stream"
        sha256 = hashlib.sha256(content).hexdigest()

        def write() -> bool:
            try:
                self._client.put_object(
                    Bucket=self.bucket,
                    Key=self._full_key(key),
                    Body=content,
                    ContentType=kind,
                    Metadata={_SHA256_KEY: sha256},
                    **condition,
                )
            except Exception as error:
                if has_code(error, "PreconditionFailed", "NoSuchKey", "412"):
                    return False
                raise
            return True

        is_written = self._call(f"write {key}", write)
        if not is_written and self.head(key) is None:
            return None  # it was to be there with a tag, and is not there at all
        # Also where we are refused: an answer that got lost makes a second try find the first one's object.
        found = self.measure(key)
        return found if found.sha256 == sha256 else None

    def get_file(self, key: str, path: Path, *, sha256: str = "") -> str:
        """Copies an object into a file, which appears only when it is whole.

        Args:
            key: The object's name.
            path: The file.
            sha256: The digest that it must have.

        Returns:
            The digest that it has.

        Raises:
            ArtifactError: There is no such object, or it has another digest.
        """

        def copy() -> str:
            digest = hashlib.sha256()
            with atomic_path(path) as temporary:
                with temporary.open("wb") as file:
                    for chunk in self._get(key).chunks():
                        digest.update(chunk)
                        file.write(chunk)
                self._check_digest(key, digest.hexdigest(), sha256)
            return digest.hexdigest()

        return self._call(f"read {key}", copy)

    def get_bytes(self, key: str) -> bytes:
        """Returns the content of a small object; ArtifactError when there is none."""
        return self._call(f"read {key}", lambda: b"".join(self._get(key).chunks()))

    def measure(self, key: str) -> ObjectInfo:
        """Reads an object whole and returns the SHA-256 and the size of what came; ArtifactError when there is none."""

        def read() -> ObjectInfo:
            body = self._get(key)
            digest, size_bytes = hashlib.sha256(), 0
            for chunk in body.chunks():
                digest.update(chunk)
                size_bytes += len(chunk)
            return ObjectInfo(key, size_bytes, body.etag, digest.hexdigest())

        return self._call(f"read {key}", read)

    def verify(self, key: str, sha256: str) -> None:
        """Reads an object whole; ArtifactError unless it is there with this digest."""
        self._check_digest(key, self.measure(key).sha256, sha256)

    def head(self, key: str) -> ObjectInfo | None:
        """What the service says about an object; None when there is none."""

        def ask() -> ObjectInfo:
            answer = self._client.head_object(Bucket=self.bucket, Key=self._full_key(key))
            # Names of metadata are case-insensitive, and some servers change them.
            metadata = {name.lower(): value for name, value in answer["Metadata"].items()}
            etag = answer["ETag"].strip('"')
            return ObjectInfo(key, answer["ContentLength"], etag, metadata.get(_SHA256_KEY, ""))

        return self._call(f"look at {key}", lambda: self._unless_missing(ask))

    def list_objects(self, prefix: str = "") -> list[ObjectInfo]:
        """Lists the objects whose keys start with a prefix, however many, in the order of their keys."""
        start = f"{self.prefix}/" if self.prefix else ""
        found: list[ObjectInfo] = []
        token: str | None = None
        while True:
            page = self._call("list objects", lambda: self._list_page(start + prefix, token))  # noqa: B023 - called now
            for item in page.get("Contents", []):
                found.append(ObjectInfo(item["Key"][len(start) :], item["Size"], item["ETag"].strip('"')))
            token = page.get("NextContinuationToken")
            if not page["IsTruncated"] or not token:
                return sorted(found, key=lambda info: info.key)

    def is_empty(self) -> bool:
        """Whether there is no object, as in a bucket that does not exist."""
        start = f"{self.prefix}/" if self.prefix else ""
        page = self._call("list objects", lambda: self._unless_missing(lambda: self._list_page(start, None)))
        return page is None or not page.get("Contents")

    def delete(self, key: str) -> None:
        """Removes an object; one that is not there is fine."""
        self._call(f"remove {key}", lambda: self._client.delete_object(Bucket=self.bucket, Key=self._full_key(key)))

    def _put(
        self, source: Callable[[], BinaryIO], key: str, sha256: str, sent: Callable[[int], None] | None
    ) -> ObjectInfo:
        self._call(f"write {key}", lambda: self._upload(source, key, sha256, sent))
        stored = self.measure(key)
        if stored.sha256 != sha256:  # a byte that flipped on the way is worth a second try, not more
            self._call(f"write {key}", lambda: self._upload(source, key, sha256, sent))
            stored = self.measure(key)
        if stored.sha256 != sha256:
            raise ServiceError(
                f"{self.uri(key)} at {self.endpoint} reads back with SHA-256 {stored.sha256[:16]}…, "
                f"written was {sha256[:16]}…",
                "the network or the storage changes data; have it checked, then run the step again",
            )
        return stored

    def _call(self, what: str, action: Callable[[], T]) -> T:
        return self._connection.call(self.bucket, what, action)

    def _upload(
        self, source: Callable[[], BinaryIO], key: str, sha256: str, sent: Callable[[int], None] | None
    ) -> None:
        from boto3.s3.transfer import TransferConfig

        kind = mimetypes.guess_type(key)[0] or "application/octet-stream"
        with source() as file:
            self._client.upload_fileobj(
                file,
                self.bucket,
                self._full_key(key),
                ExtraArgs={"Metadata": {_SHA256_KEY: sha256}, "ContentType": kind},
                Callback=sent,
                Config=TransferConfig(
                    multipart_threshold=_MULTIPART_BYTES,
                    multipart_chunksize=_MULTIPART_BYTES,
                    max_concurrency=_NUM_UPLOAD_THREADS,
                ),
            )

    def _get(self, key: str) -> _Body:
        try:
            answer = self._client.get_object(Bucket=self.bucket, Key=self._full_key(key))
        except Exception as error:
            if has_code(error, "NoSuchKey"):
                raise ArtifactError(f"{self.uri(key)} does not exist at {self.endpoint}", "upload it first") from None
            raise
        return _Body(answer["Body"], answer["ETag"].strip('"'))

    def _list_page(self, prefix: str, token: str | None) -> ListObjectsV2OutputTypeDef:
        if token is None:
            return self._client.list_objects_v2(Bucket=self.bucket, Prefix=prefix, MaxKeys=self._page_size)
        return self._client.list_objects_v2(
            Bucket=self.bucket, Prefix=prefix, MaxKeys=self._page_size, ContinuationToken=token
        )

    def _head_bucket(self) -> bool:
        self._client.head_bucket(Bucket=self.bucket)
        return True

    def _create_bucket(self) -> None:
        region = self._client.meta.region_name
        try:
            if region in (None, "us-east-1", "aws-global"):
                self._client.create_bucket(Bucket=self.bucket)
            else:
                # AWS refuses the default region as a constraint, and wants every other one named.
                self._client.create_bucket(Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": region})  # type: ignore[typeddict-item]
        except Exception as error:
            # Somebody else made it between our question and our order.
            if not has_code(error, "BucketAlreadyOwnedByYou", "BucketAlreadyExists") or not self._head_bucket():
                raise

    def _unless_missing(self, ask: Callable[[], T]) -> T | None:
        try:
            return ask()
        except Exception as error:
            if has_code(error, "404", "NoSuchKey", "NoSuchBucket", "NotFound"):
                return None
            raise

    def _check_digest(self, key: str, actual: str, wanted: str) -> None:
        if wanted and actual != wanted:
            raise ArtifactError(
                f"{self.uri(key)} at {self.endpoint} has SHA-256 {actual[:16]}…, not {wanted[:16]}…",
                "do not use it; upload it again",
            )

    def _full_key(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key


def parse_s3_uri(uri: str) -> tuple[str, str]:
    """Splits `s3://bucket/prefix` into bucket and prefix; the prefix has no slash at either end and may be empty.

    Raises:
        ConfigError: It is not such a URI; says what is wrong with it.
    """
    hint = "give a place like s3://models/gematria"
    scheme, separator, rest = uri.partition("://")
    if scheme != "s3" or not separator:
        raise ConfigError(f"{uri!r} is not an S3 URI: it does not start with s3://", hint)
    bucket, _, prefix = rest.partition("/")
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", bucket) or ".." in bucket:
        raise ConfigError(
            f"{uri!r}: {bucket!r} is not a bucket name",
            "3 to 63 lower-case letters, digits, dots and dashes, with a letter or digit at both ends",
        )
    prefix = prefix.removesuffix("/")
    if prefix:
        try:
            check_relative_path(prefix, repr(uri))
        except ArtifactError as error:
            raise ConfigError(error.message, hint) from None
    return bucket, prefix
