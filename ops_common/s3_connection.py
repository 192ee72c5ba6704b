"""A client of S3, how patiently it asks, and what its errors mean: worth another try, missing, or a person's to fix."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeVar
from urllib.parse import urlsplit

from ops_common.errors import ConfigError, OpsError, ServiceError

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

# Codes that come with a status below 500 and pass by themselves. A server that was restarted forgets the upload that
# was under way (NoSuchUpload); the next try starts a new one.
_TRANSIENT_CODES = frozenset(
    {
        "SlowDown",
        "RequestTimeout",
        "RequestTimeTooSkewed",
        "Throttling",
        "ThrottlingException",
        "NoSuchUpload",
        "ConditionalRequestConflict",
    }
)
_DENIED_CODES = frozenset({"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "403"})


T = TypeVar("T")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long and how patiently a service that does not answer is asked again.

    Attributes:
        total_seconds: No new try starts after this time; also the longest sum of all pauses.
        first_wait_seconds: The first pause; each following one is about twice as long.
        max_wait_seconds: The longest pause.
        request_attempts: Tries of a single request inside a try of the whole operation, so that one lost part does
            not repeat the upload of a large file.
        connect_timeout_seconds: How long to wait for a connection.
        read_timeout_seconds: How long to wait for the next bytes of an answer.
        sleep: How to pause.
    """

    total_seconds: float = 120.0
    first_wait_seconds: float = 0.5
    max_wait_seconds: float = 15.0
    request_attempts: int = 3
    connect_timeout_seconds: float = 5.0
    read_timeout_seconds: float = 60.0
    sleep: Callable[[float], None] = field(default=time.sleep, compare=False)


@dataclass(frozen=True, slots=True)
class Connection:
    """A client and what may be said about it.

    Attributes:
        client: The client of boto3.
        endpoint: Its address, without any credentials.
        secrets: What must not appear in a message.
        policy: How patient to be.
    """

    client: S3Client
    endpoint: str
    secrets: tuple[str, ...]
    policy: RetryPolicy

    def describe(self, error: BaseException | None) -> str:
        """An error in words, without credentials."""
        text = without_user(str(error)) or type(error).__name__
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text

    def call(self, bucket: str, what: str, action: Callable[[], T]) -> T:
        """Does something with the service, again while it does not answer, and for a bounded time.

        Args:
            bucket: The bucket that it is about.
            what: What is to be done, for messages: "write bundle/tokens.txt".
            action: Does it; may be called several times.

        Raises:
            ConfigError: There are no credentials, or the request makes no sense.
            ServiceError: The service did not answer in time, or refused.
        """
        from tenacity import RetryCallState, Retrying, retry_if_exception
        from tenacity.wait import wait_exponential_jitter

        policy = self.policy

        def is_over(state: RetryCallState) -> bool:
            # The sum of the pauses counts as well, so that the end comes also where a pause takes no time (tests).
            return max(state.seconds_since_start or 0.0, state.idle_for) >= policy.total_seconds

        def note(state: RetryCallState) -> None:
            if state.outcome is not None and state.next_action is not None:
                reason, pause = self.describe(state.outcome.exception()), state.next_action.sleep
                _log.warning("S3 at %s, %s: %s; trying again in %.1f s", self.endpoint, what, reason, pause)

        retrying = Retrying(
            retry=retry_if_exception(is_transient),
            stop=is_over,
            wait=wait_exponential_jitter(
                initial=policy.first_wait_seconds, max=policy.max_wait_seconds, jitter=policy.first_wait_seconds
            ),
            sleep=policy.sleep,
            before_sleep=note,
            reraise=True,
        )
        try:
            return retrying(action)
        except OpsError:
            raise
        except Exception as error:
            num_tries = int(retrying.statistics.get("attempt_number", 1))
            known = translated(error, self, bucket, what, num_tries)
            if known is None:
                raise
            raise known from None


def connect(policy: RetryPolicy) -> Connection:
    """Makes a client from the environment. Nothing is asked of the service yet.

    Raises:
        ConfigError: The endpoint is no address, or the profile does not exist.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    def config(addressing_style: Literal["auto", "path"]) -> Config:
        return Config(
            connect_timeout=policy.connect_timeout_seconds,
            read_timeout=policy.read_timeout_seconds,
            retries={"total_max_attempts": policy.request_attempts, "mode": "standard"},
            s3={"addressing_style": addressing_style},
            # We compare SHA-256 ourselves; a CRC that only some servers keep would say the same in other words.
            response_checksum_validation="when_required",
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
    return Connection(client, without_user(client.meta.endpoint_url), secrets, policy)


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


def has_code(error: BaseException, *codes: str) -> bool:
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
