"""Who is told: webhooks and e-mail, against real servers on this machine."""

from __future__ import annotations

import asyncore
import json
import smtpd
import socket
import threading
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ops_platform import receivers
from ops_platform.notices import Notice, failure_notice
from ops_platform.receivers import Webhook, deliver, receiver_of

from ops_common.errors import ConfigError
from tests.http_sink import Sink, http_sink


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receivers, "RETRY_SECONDS", 0)


@pytest.fixture
def sink() -> Iterator[Sink]:
    with http_sink() as running:
        yield running


@pytest.fixture
def notice(tmp_path: Path) -> Notice:
    return failure_notice("gematria_train", "night\n3", tmp_path, "http://airflow/x", "train_model: no answer, größer")


def connection(kind: str, host: str | None, **fields: Any) -> Any:
    fields = {"schema": None, "login": None, "password": None, "port": None, **fields}
    return SimpleNamespace(
        conn_id=f"ops_{kind}", conn_type=kind, host=host, extra_dejson=fields.pop("extra", {}), **fields
    )


def test_a_webhook_gets_the_message_and_the_token(sink: Sink, notice: Notice) -> None:
    hook = receiver_of(connection("http", f"{sink.url}/hooks/1", password="t0ken"), ())
    assert deliver(notice, [hook]) == {"ops_http": "answered 204"}
    (body,) = sink.bodies
    assert (body["kind"], body["dag_id"], body["run_id"]) == ("failed", "gematria_train", "night\n3")
    assert body["reasons"] == ["train_model: no answer, größer"] and body["text"] == notice.text
    assert sink.headers[0]["Authorization"] == "Bearer t0ken"
    assert "t0ken" not in json.dumps(body) and "t0ken" not in repr(hook)


def test_a_connection_in_parts_makes_the_same_address(sink: Sink) -> None:
    port = int(sink.url.rpartition(":")[2])
    parts = connection("http", "127.0.0.1", schema="http", port=port, extra={"path": "/hooks/1"})
    assert receiver_of(parts, ()) == receiver_of(connection("http", f"{sink.url}/hooks/1"), ())


def test_an_answer_that_asks_for_patience_is_asked_again(sink: Sink, notice: Notice) -> None:
    sink.answers[:] = [503, 500]
    assert deliver(notice, [Webhook("hook", sink.url)]) == {"hook": "answered 204"}
    assert len(sink.bodies) == 3


@pytest.mark.parametrize("status", [307, 404, 500])
def test_one_that_refuses_is_given_up_and_the_others_are_told(sink: Sink, notice: Notice, status: int) -> None:
    sink.answers[:] = [status] * receivers.NUM_TRIES
    sent = deliver(notice, [Webhook("bad", sink.url, "t0ken"), Webhook("good", sink.url)])
    assert sent == {"bad": f"not sent: answered {status}", "good": "answered 204"}
    assert len(sink.bodies) == receivers.NUM_TRIES + 1


def test_one_that_is_not_there_is_named_without_its_address(notice: Notice, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    sent = deliver(notice, [Webhook("hook", f"http://127.0.0.1:{port}/hooks/secret-part")])
    assert sent == {"hook": "not sent: ConnectError"}
    assert "hook was not told of gematria_train" in caplog.text
    assert "secret-part" not in caplog.text


def test_one_that_never_answers_costs_a_bounded_time(notice: Notice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receivers, "SEND_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert deliver(notice, [Webhook("hook", url)]) == {"hook": "not sent: ReadTimeout"}


@pytest.fixture
def mails() -> Iterator[tuple[int, list[EmailMessage]]]:
    """A mail server: its port, and what it got."""
    got: list[EmailMessage] = []

    class Server(smtpd.SMTPServer):
        def process_message(self, peer: Any, mailfrom: str, rcpttos: list[str], data: bytes, **kwargs: Any) -> None:
            got.append(message_from_bytes(data, policy=policy.default))

    channels: dict[Any, Any] = {}
    server = Server(("127.0.0.1", 0), None, map=channels)
    port = server.socket.getsockname()[1]
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            asyncore.loop(0.05, map=channels, count=1)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield port, got
    ended.set()
    thread.join()
    asyncore.close_all(channels)


def test_mail_arrives_with_one_line_of_subject(mails: tuple[int, list[EmailMessage]], notice: Notice) -> None:
    port, got = mails
    extra = {"from_email": "ops@here", "disable_tls": True}
    mail = receiver_of(connection("smtp", "127.0.0.1", port=port, extra=extra), ("a@here", "b@here"))
    odd = Notice("failed", "dag", "run", "a\ntitle: größer", notice.reasons, "/r", "http://x", "now")
    assert deliver(odd, [mail]) == {"ops_smtp": "sent to 2 of 2"}
    (message,) = got
    assert (message["Subject"], message["To"]) == ("[failed] a title: größer", "a@here, b@here")
    assert message.get_content().strip() == odd.text
    unencrypted = receiver_of(connection("smtp", "127.0.0.1", port=port, extra={"from_email": "ops@here"}), ("a@here",))
    assert "not sent: SMTPNotSupportedError" in deliver(odd, [unencrypted])["ops_smtp"]  # TLS unless switched off
    assert len(got) == 1


@pytest.mark.parametrize(
    ("kind", "host", "extra", "emails", "message"),
    [
        ("ftp", "x", {}, (), "is of type 'ftp'"),
        ("http", None, {}, (), "has no address"),
        ("http", "file:///etc/passwd", {}, (), "has no address"),
        ("smtp", "mail", {"from_email": "a@b"}, (), "cannot send e-mail"),
        ("smtp", "mail", {}, ("a@b",), "cannot send e-mail"),
        ("smtp", None, {"from_email": "a@b"}, ("a@b",), "cannot send e-mail"),
    ],
)
def test_a_connection_that_is_no_receiver_is_refused(
    kind: str, host: str | None, extra: dict[str, Any], emails: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        receiver_of(connection(kind, host, extra=extra), emails)
