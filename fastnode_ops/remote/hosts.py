"""Names of hosts as a person writes them: `[user@]name[:port]`, an IPv6 address in brackets."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

from ops_common.errors import ConfigError

MAX_HOSTS = 1_000

_USER = re.compile(r"[A-Za-z_][A-Za-z0-9._-]{0,31}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")
_FORM = re.compile(r"(?:(?P<user>[^@]*)@)?(?:\[(?P<address>[^\]]*)\]|(?P<name>[^:\[\]]*))(?::(?P<port>[^:]*))?")
_HINT = "write [user@]name[:port], an IPv6 address in brackets: [2001:db8::1]:22"


@dataclass(frozen=True)
class Host:
    """A machine that is reached over ssh.

    Attributes:
        name: Its name, its alias in the ssh configuration, or its address (IPv6 without brackets).
        user: Who we are there; empty: as the ssh configuration says.
        port: Of its ssh server; 0: as the ssh configuration says.
    """

    name: str
    user: str = ""
    port: int = 0

    def __str__(self) -> str:
        port = f":{self.port}" if self.port else ""
        return f"{self.rsync_name}{port}"

    @property
    def rsync_name(self) -> str:
        """User and name as rsync wants them before the colon of a path."""
        user = f"{self.user}@" if self.user else ""
        return f"{user}[{self.name}]" if ":" in self.name else f"{user}{self.name}"


def parse_host(text: str) -> Host:
    """Read a host's name.

    What is not a plain name never reaches a command: no leading dash, space, quote or `$` gets past here.

    Raises:
        ConfigError: It has another form.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise ConfigError(f"{text!r} is not the name of a host", _HINT)
    user, port = match["user"], match["port"]
    if user is not None and not _USER.fullmatch(user):
        raise ConfigError(f"host {text!r}: {user!r} is not a user's name", _HINT)
    return Host(_checked_name(text, match["address"], match["name"]), user or "", _checked_port(text, port))


def parse_hosts(texts: Iterable[str]) -> list[Host]:
    """Read several hosts; each text may hold many, with spaces or commas between them.

    Raises:
        ConfigError: One has another form, one occurs twice, or there are none or too many.
    """
    hosts = [parse_host(word) for text in texts for word in re.split(r"[\s,]+", text) if word]
    if not hosts:
        raise ConfigError("no hosts are given", "name at least one: TRAINDATA_HOSTS='host1 user@host2:2222'")
    if len(hosts) > MAX_HOSTS:
        raise ConfigError(f"{len(hosts)} hosts are more than {MAX_HOSTS}")
    for host in hosts:
        if hosts.count(host) > 1:
            raise ConfigError(f"host {host} is given twice", "name each host once")
    return hosts


def _checked_name(text: str, address: str | None, name: str) -> str:
    if address is None:
        if not _NAME.fullmatch(name):
            raise ConfigError(f"host {text!r}: {name!r} is not a host's name", _HINT)
        return name
    try:
        parsed = ipaddress.IPv6Address(address)
    except ValueError:
        raise ConfigError(f"host {text!r}: {address!r} is not an IPv6 address", _HINT) from None
    if parsed.scope_id:
        raise ConfigError(f"host {text!r}: an address with a zone cannot be used", "give the host a name in SSH_CONFIG")
    return str(parsed)


def _checked_port(text: str, port: str | None) -> int:
    if port is None:
        return 0
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65_535:
        raise ConfigError(f"host {text!r}: {port!r} is not a port", _HINT)
    return int(port)
