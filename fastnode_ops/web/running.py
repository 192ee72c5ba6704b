"""The process of an HTTP server: bind the port, serve, end cleanly on SIGTERM and SIGINT."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from ops_common.artifacts import write_text
from ops_common.errors import ConfigError, ServiceError

MAX_CONNECTIONS = 100
KEEP_ALIVE_SECONDS = 30
GRACE_SECONDS = 3

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Served:
    """What is served.

    Args:
        app: The application.
        what: What it serves, for the log.
        before_end: Called when the end was asked for, before open requests are waited for.
    """

    app: FastAPI
    what: str
    before_end: Callable[[], None]


def serve_app(
    open_app: Callable[[], Served],
    *,
    host: str,
    port: int,
    ready_file: Path | None = None,
    ends_with_parent: bool = False,
    header_seconds: float = 20.0,
) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        open_app: Opens what is served; called after the port is bound, so that a taken port is told at once.
        host: Address to listen on.
        port: Port to listen on; 0 for a free one.
        ready_file: Where to write the server's URL as soon as it answers.
        ends_with_parent: Whether to end when the process that started us has ended.
        header_seconds: How long a new connection may take to send the head of its first request.

    Raises:
        ServiceError: The port is taken.
        ConfigError: The address or the port cannot be used.
    """
    with bind(host, port) as listener:
        served = open_app()
        protocol = type("Protocol", (_ImpatientProtocol,), {"header_seconds": header_seconds})
        config = uvicorn.Config(
            served.app,
            http=protocol,
            ws="none",
            log_config=None,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
            limit_concurrency=MAX_CONNECTIONS,
        )
        url = f"http://{_url_host(host)}:{listener.getsockname()[1]}"
        server = _Server(config, served, url, ready_file, os.getppid() if ends_with_parent else None)
        server.run(sockets=[listener])


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        ServiceError: The port is taken.
        ConfigError: The address or the port cannot be used.
    """
    if not 0 <= port <= 65535:
        raise ConfigError(f"{port} is not a port", "give a number from 1 to 65535, or 0 for a free one")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=MAX_CONNECTIONS)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ServiceError(
                f"port {port} on {host} is taken", "stop the program that uses it, or choose another port"
            ) from None
        raise ConfigError(
            f"cannot listen on {host}, port {port}: {error.strerror or error}",
            "an address of this machine, and a port above 1023 for who is not root",
        ) from None


class _Server(uvicorn.Server):
    def __init__(
        self, config: uvicorn.Config, served: Served, url: str, ready_file: Path | None, parent: int | None
    ) -> None:
        super().__init__(config)
        self._served = served
        self._url = url
        self._ready_file = ready_file
        self._parent = parent

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        logger.info("serving %s on %s", self._served.what, self._url)
        if self._ready_file is not None:
            write_text(self._ready_file, self._url)

    async def on_tick(self, counter: int) -> bool:
        orphaned = self._parent is not None and os.getppid() != self._parent
        return orphaned or await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._served.before_end()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn raises the signal again when all is done; to us the signal is a request, and the end is a success
        with super().capture_signals():
            yield
            self._captured_signals.clear()


class _ImpatientProtocol(H11Protocol):
    """Closes a connection on which no request arrives; uvicorn waits for ever."""

    header_seconds = 20.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.loop.call_later(self.header_seconds, self._close_without_request)

    def _close_without_request(self) -> None:
        if self.scope is None and not self.transport.is_closing():
            self.transport.abort()


def _url_host(host: str) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{shown}]" if ":" in shown else shown
