"""A client of S3, and what its errors mean: worth another try, missing, or something a person has to put right."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from ops_common.errors import ConfigError, OpsError, ServiceError

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

# Codes that come with a status below 500 and pass by themselves. A server that was restarted forgets the upload that
# was under way (NoSuchUpload); the next try starts a new one.
_TRANSIENT_CODES = frozenset(
    {"SlowDown", "RequestTimeout", "RequestTimeTooSkewed", "Throttling", "ThrottlingException", "NoSuchUpload"}
)
_DENIED_CODES = frozenset({"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "403"})


@dataclass(frozen=True, slots=True)
class Connection:
    """A client and what may be said about it.

    Attributes:
        client: The client of boto3.
        endpoint: Its address, without any credentials.
        secrets: What must not appear in a message.
    """

    client: S3Client
    endpoint: str
    secrets: tuple[str, ...]

    def describe(self, error: BaseException | None) -> str:
        """An error in words, without credentials."""
        text = without_user(str(error)) or type(error).__name__
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


def connect(request_attempts: int, connect_timeout_seconds: float, read_timeout_seconds: float) -> Connection:
    """Makes a client from the environment. Nothing is asked of the service yet.

    Raises:
        ConfigError: The endpoint is no address, or the profile does not exist.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    def config(addressing_style: Literal["auto", "path"]) -> Config:
        return Config(
            connect_timeout=connect_timeout_seconds,
            read_timeout=read_timeout_seconds,
            retries={"total_max_attempts": request_attempts, "mode": "standard"},
            s3={"addressing_style": addressing_style},
        )

    try:
        session = boto3.session.Session()
        client = session.client("s3", config=config("auto"))
        if not (urlsplit(client.meta.endpoint_url).hostname or "").endswith((".amazonaws.com", ".amazonaws.com.cn")):
            # Only AWS has a host name for every bucket.
            client = session.client("s3", config=config("path"))
        credentials = session.get_credentials()
        known = credentials.get_frozen_credentials() if credentials else None
    except (BotoCoreError, ValueError) as error:
        raise ConfigError(
            f"no connection to S3 can be set up: {without_user(str(error))}",
            "check AWS_ENDPOINT_URL, AWS_PROFILE and the AWS_* variables",
        ) from None
    secrets = tuple(value for value in (known or ()) if isinstance(value, str) and len(value) > 3)
    return Connection(client, without_user(client.meta.endpoint_url), secrets)


def is_transient(error: BaseException) -> bool:
    """Whether the same request may well succeed a little later."""
    from botocore.exceptions import ChecksumError, ClientError, HTTPClientError, IncompleteReadError
    from botocore.exceptions import ConnectionError as NoConnectionError
    from urllib3.exceptions import HTTPError

    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= 500 or status == 429 or error_code(error) in _TRANSIENT_CODES
    passing = (HTTPClientError, NoConnectionError, IncompleteReadError, ChecksumError, HTTPError, ConnectionError)
    return isinstance(error, passing)


def is_missing(error: BaseException, *codes: str) -> bool:
    """Whether the service answered with one of these codes."""
    return error_code(error) in codes


def error_code(error: BaseException) -> str:
    """The code of the service's answer, such as NoSuchKey or 404; empty when there was no answer."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def translated(error: BaseException, connection: Connection, bucket: str, what: str, num_tries: int) -> OpsError | None:
    """An error of boto3 as one that a person can act on; None for an error that is not about S3.

    Args:
        error: What was raised last.
        connection: Where.
        bucket: The bucket.
        what: What was to be done: "write bundle/tokens.txt".
        num_tries: How often it was tried.
    """
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        CredentialRetrievalError,
        NoCredentialsError,
        PartialCredentialsError,
    )

    place = f"S3 at {connection.endpoint}, bucket {bucket}: could not {what}"
    if isinstance(error, NoCredentialsError | PartialCredentialsError | CredentialRetrievalError):
        return ConfigError(
            f"{place}: {connection.describe(error)}", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role"
        )
    if is_transient(error):
        return ServiceError(
            f"{place}: {connection.describe(error)} (tried {num_tries} times)",
            "check that the service runs and can be reached, then run the step again: what is done is not repeated",
        )
    code = error_code(error)
    if code in _DENIED_CODES:
        return ServiceError(f"{place}: access denied ({code})", "check the credentials and what they may do")
    if code == "NoSuchBucket":
        return ServiceError(f"{place}: the bucket does not exist", "make it first, or correct the destination")
    if isinstance(error, ClientError | BotoCoreError | Boto3Error):
        return ServiceError(f"{place}: {connection.describe(error)}", "correct the destination or the service")
    return None


def without_user(text: str) -> str:
    """A text without the names and passwords of the addresses in it."""
    return re.sub(r"://[^/@\s]*@", "://", text)
