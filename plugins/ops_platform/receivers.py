"""Who is told: Airflow connections that `OPS_NOTIFY_CONNECTIONS` names, by their type.

* `http`: the message is posted as JSON to the connection's address (a webhook); its password, if it has one, goes
  along as bearer token. The whole address may be a secret, as that of a chat's webhook is: it is never logged.
* `smtp`, `email`: the message goes by e-mail, from the connection's `from_email` to `OPS_NOTIFY_EMAILS`.

A receiver that cannot be reached is logged and costs nothing else: the message is also in the log and in the history.
"""

from __future__ import annotations

import logging
import re
import smtplib
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from email.message import EmailMessage
from typing import Any, Protocol
from urllib.parse import urlsplit

from ops_common.errors import ConfigError
from ops_platform.notices import Notice

LOG = logging.getLogger(__name__)

SEND_SECONDS = 10.0
"""How long a receiver may take."""
NUM_TRIES = 3
RETRY_SECONDS = 2.0
MAX_TITLE_LENGTH = 200

_EMAIL, _HTTP = ("smtp", "email"), ("http", "https", "generic")


class ConnectionFields(Protocol):
    """The part of an Airflow connection that is read here."""

    conn_id: str
    conn_type: str | None
    host: str | None
    schema: str | None
    login: str | None
    password: str | None
    port: int | None

    @property
    def extra_dejson(self) -> dict[str, Any]:
        """Its further settings."""
        ...


class Receiver(Protocol):
    """Somebody who is told."""

    @property
    def name(self) -> str:
        """What it is called in the log and the history."""
        ...

    def send(self, notice: Notice) -> str:
        """Tell it; returns a word about how it went, raises OSError or an error of the protocol."""
        ...


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address that takes JSON."""

    name: str
    url: str = field(repr=False)
    token: str = field(default="", repr=False)

    def send(self, notice: Notice) -> str:
        """Post the message; an answer that says "later" is an error, and so is any refusal."""
        import httpx

        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        body = {**asdict(notice), "text": notice.text}
        try:
            # A redirect is not followed: the token is meant for this address.
            answer = httpx.post(self.url, json=body, headers=headers, timeout=SEND_SECONDS)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ConnectionError(type(error).__name__) from None  # its text may name the address
        if not answer.is_success:
            raise ConnectionError(f"answered {answer.status_code}")
        return f"answered {answer.status_code}"


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail server and who gets mail from it."""

    name: str
    host: str
    port: int
    sender: str
    recipients: tuple[str, ...]
    login: str = ""
    password: str = field(default="", repr=False)
    with_ssl: bool = False
    with_starttls: bool = True

    def send(self, notice: Notice) -> str:
        """Hand the message to the server."""
        message = EmailMessage()
        message["Subject"] = re.sub(r"\s+", " ", f"[{notice.kind}] {notice.title}")[:MAX_TITLE_LENGTH]
        message["From"], message["To"] = self.sender, ", ".join(self.recipients)
        message.set_content(notice.text)
        try:
            with self._connect() as server:
                if self.with_starttls and not self.with_ssl:
                    server.starttls(context=ssl.create_default_context())
                if self.login:
                    server.login(self.login, self.password)
                refused = server.send_message(message)
        except smtplib.SMTPException as error:
            raise ConnectionError(f"{type(error).__name__}: {error}"[:300]) from None
        return f"sent to {len(self.recipients) - len(refused)} of {len(self.recipients)}"

    def _connect(self) -> smtplib.SMTP:
        if self.with_ssl:
            return smtplib.SMTP_SSL(self.host, self.port, timeout=SEND_SECONDS, context=ssl.create_default_context())
        return smtplib.SMTP(self.host, self.port, timeout=SEND_SECONDS)


def receiver_of(connection: ConnectionFields, recipients: Sequence[str]) -> Receiver:
    """The receiver that a connection describes.

    Args:
        connection: The connection.
        recipients: Who gets e-mail.

    Raises:
        ConfigError: It describes none; says what is missing.
    """
    name, kind = connection.conn_id, connection.conn_type
    extra = connection.extra_dejson
    if kind in _EMAIL:
        return _mail(connection, extra, recipients)
    if kind not in _HTTP:
        raise ConfigError(f"connection {name!r} is of type {kind!r}", f"use one of {', '.join((*_HTTP, *_EMAIL))}")
    host = connection.host or ""
    url = host if "://" in host else f"{connection.schema or 'http'}://{host}"
    if connection.port and urlsplit(url).port is None:
        parts = urlsplit(url)
        url = parts._replace(netloc=f"{parts.netloc}:{connection.port}").geturl()
    path = str(extra.get("path", ""))
    url = f"{url.rstrip('/')}/{path.lstrip('/')}" if path else url
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise ConfigError(f"connection {name!r} has no address", "host: https://<host>/<path> of the webhook")
    return Webhook(name, url, connection.password or "")


def _mail(connection: ConnectionFields, extra: Mapping[str, Any], recipients: Sequence[str]) -> Mail:
    sender, with_ssl = str(extra.get("from_email") or ""), not extra.get("disable_ssl", True)
    if not connection.host or not sender or not recipients:
        raise ConfigError(
            f"connection {connection.conn_id!r} cannot send e-mail",
            "it needs a host and from_email in its extra, and OPS_NOTIFY_EMAILS who gets it",
        )
    return Mail(
        name=connection.conn_id,
        host=connection.host,
        port=connection.port or (465 if with_ssl else 587),
        sender=sender,
        recipients=tuple(recipients),
        login=connection.login or "",
        password=connection.password or "",
        with_ssl=with_ssl,
        with_starttls=not extra.get("disable_tls", False),
    )


def deliver(notice: Notice, receivers: Sequence[Receiver]) -> dict[str, str]:
    """Tell everybody; who cannot be told does not keep the others from it.

    Args:
        notice: The message.
        receivers: Who is told.

    Returns:
        How it went, by receiver.
    """
    from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_exponential

    again = retry(
        retry=retry_if_exception_type(OSError),
        stop=stop_after_attempt(NUM_TRIES),
        wait=wait_exponential(RETRY_SECONDS),
        reraise=True,
    )
    sent = {}
    for receiver in receivers:
        try:
            sent[receiver.name] = again(receiver.send)(notice)
        except OSError as error:
            sent[receiver.name] = f"not sent: {error or type(error).__name__}"
            LOG.error("%s was not told of %s %s: %s", receiver.name, notice.dag_id, notice.run_id, error)
    return sent
