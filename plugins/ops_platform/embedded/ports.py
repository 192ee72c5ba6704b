"""Free ports, and who holds the ones that are not."""

from __future__ import annotations

import socket
from collections.abc import Collection
from contextlib import suppress

import psutil

from ops_common.errors import ConfigError

_NUM_TRIES = 50


def choose_port(wanted: int, variable: str, *, may_move: bool, taken: Collection[int], host: str) -> int:
    """A port that a service can listen on.

    Args:
        wanted: The port to use if it is free.
        variable: The environment variable that asks for another one, for the error message.
        may_move: Whether the next free port will do as well.
        taken: Ports that were given to other services just now.
        host: The address to listen on.

    Returns:
        The port.

    Raises:
        ConfigError: The port is taken and may not move, or no port near it is free.
    """
    for port in range(wanted, min(wanted + (_NUM_TRIES if may_move else 1), 65536)):
        if port not in taken and is_free(port, host):
            return port
    raise ConfigError(
        f"port {wanted} ({variable}) is taken by {holder(wanted)}",
        f"end that process, or set {variable} to a free port",
    )


def is_free(port: int, host: str) -> bool:
    """Whether a service could listen on a port right now, on this address and on all addresses."""
    for address in (host, "0.0.0.0"):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: old connections do not count
            try:
                probe.bind((address, port))
            except OSError:
                return False
    return True


def holder(port: int) -> str:
    """Who listens on a port, in words: the process's name and id when the system tells us."""
    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections(kind="tcp"):
            if connection.laddr and connection.laddr.port == port and connection.pid is not None:
                process = psutil.Process(connection.pid)
                return f"process {process.pid} ({' '.join(process.cmdline())[:120] or process.name()})"
    return "another process (of another user)"
