"""Hosts on one machine: network namespaces with addresses, sshd, keys and home folders of their own.

    with NetworkHosts(tmp_path, 3) as hosts:
        Ssh(hosts[0].host, hosts.options).run(["true"])
        hosts[1].cut()

A host is everything that an address, ssh and rsync make of it. The process table and the disk are shared, but for two
folders: $HOME of whoever logs in is `home`, and what each host sees at `NetworkHosts.data`, under one name for all,
stands in its `data`. At the end no process, namespace or device is left.
"""

from __future__ import annotations

import getpass
import os
import random
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from fastnode_ops.remote.hosts import Host
from fastnode_ops.remote.ssh import Ssh, SshOptions
from ops_common.processes import wait_until

SSHD = "/usr/sbin/sshd"
START_SECONDS = 60.0

_PROGRAMS = ("ip", "ssh", "ssh-keygen", "rsync")
_SETTINGS = {
    "Port": "22",
    "StrictModes": "no",
    "UsePAM": "no",
    "PasswordAuthentication": "no",
    "KbdInteractiveAuthentication": "no",
    "PermitRootLogin": "prohibit-password",
    "PidFile": "none",
    "PrintMotd": "no",
    "MaxStartups": "100",
}


def require_network_hosts() -> None:
    """Skips the test, and says why, where hosts cannot be made."""
    if os.geteuid() != 0:
        pytest.skip("hosts are network namespaces, which only root may make")
    missing = [program for program in _PROGRAMS if shutil.which(program) is None]
    missing += [] if Path(SSHD).exists() else ["sshd"]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (apt-get install iproute2 openssh-server rsync)")
    name = f"try{random.SystemRandom().randrange(16**8):08x}"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"network namespaces are refused here: {tried.stderr.strip()}")
    _ip("netns", "delete", name)


class NetworkHost:
    """One of the hosts."""

    def __init__(self, network: NetworkHosts, index: int) -> None:
        self._network, self.index = network, index
        self.namespace = f"{network.name}-{index}"
        self.device = f"v{network.name[1:]}-{index}"
        self.address = f"{network.subnet}.{index + 1}"
        self.folder = network.folder / f"host{index}"
        self.home, self.data = self.folder / "home", self.folder / "data"
        self.sshd: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> Host:
        return Host(self.address, getpass.getuser())

    @property
    def ssh(self) -> Ssh:
        return Ssh(self.host, self._network.options)

    def make(self) -> None:
        """Makes namespace, address and keys, and starts sshd."""
        self.home.mkdir(parents=True)
        self.data.mkdir()
        _ip("netns", "add", self.namespace)
        _ip("link", "add", self.device, "type", "veth", "peer", "name", "eth0", "netns", self.namespace)
        _ip("link", "set", self.device, "master", self._network.name, "up")
        for words in (
            ("address", "add", f"{self.address}/24", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
            ("link", "set", "lo", "up"),
        ):
            _ip("-netns", self.namespace, *words)
        make_key(self.folder / "host_key")
        self.start()

    def start(self) -> None:
        """Starts sshd, also again after `kill`; returns when it answers."""
        settings = {
            **_SETTINGS,
            "HostKey": self.folder / "host_key",
            "AuthorizedKeysFile": f"{self._network.user_key}.pub",
            "SetEnv": f"HOME={self.home}",
        }
        options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
        # `ip netns exec` gives it mounts of its own, which nobody else sees
        script = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
        mount = ["sh", "-c", script, "sh", str(self.data), str(self._network.data)]
        command = ["ip", "netns", "exec", self.namespace, *mount, SSHD, "-D", "-e", "-f", "/dev/null", *options]
        with (self.folder / "sshd.log").open("ab") as log:
            self.sshd = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        wait_until(self._answers, START_SECONDS, f"sshd of {self.address}", process=self.sshd)

    def cut(self) -> None:
        """Takes the link down: packets are lost, connections stay open on both sides."""
        _ip("link", "set", self.device, "down")

    def join(self) -> None:
        """Takes the link up again."""
        _ip("link", "set", self.device, "up")

    def slow(self, rate: str) -> None:
        """Limits the link in both directions, for example to `2mbit`; an empty rate lifts the limit."""
        shape = ["root", "tbf", "rate", rate, "burst", "32kbit", "latency", "400ms"]
        for prefix, device in (([], self.device), (["-netns", self.namespace], "eth0")):
            if rate:
                subprocess.run(["tc", *prefix, "qdisc", "replace", "dev", device, *shape], check=True)
            else:
                subprocess.run(["tc", *prefix, "qdisc", "delete", "dev", device, "root"], check=True)

    def process_ids(self) -> list[int]:
        """Every process of the host."""
        listed = subprocess.run(["ip", "netns", "pids", self.namespace], capture_output=True, text=True, check=True)
        return [int(word) for word in listed.stdout.split()]

    def kill(self) -> None:
        """Ends every process of the host at once, as a power cut does."""
        wait_until(self._kill_all, START_SECONDS, f"the end of all processes of {self.address}", interval_seconds=0.02)
        if self.sshd is not None:
            self.sshd.wait(START_SECONDS)

    def remove(self) -> None:
        """Ends everything and removes the namespace, with its end of the link."""
        with suppress(subprocess.CalledProcessError):
            self.kill()
        for words in (("link", "delete", self.device), ("netns", "delete", self.namespace)):
            with suppress(subprocess.CalledProcessError):
                _ip(*words)

    def _kill_all(self) -> bool:
        process_ids = self.process_ids()
        for process_id in process_ids:
            with suppress(ProcessLookupError):
                os.kill(process_id, signal.SIGKILL)
        return not process_ids

    def _answers(self) -> bool:
        keyscan = ["ssh-keyscan", "-T", "10", "-t", "ed25519", self.address]
        return b"ed25519" in subprocess.run(keyscan, capture_output=True, check=False).stdout


class NetworkHosts:
    """Hosts that see each other and us; use as a context manager.

    Args:
        folder: Where their folders and the keys go.
        num_hosts: How many.
    """

    def __init__(self, folder: Path, num_hosts: int) -> None:
        require_network_hosts()
        draw = random.SystemRandom()
        self.folder = folder
        self.name = f"b{draw.randrange(16**6):06x}"
        self.subnet = f"10.{draw.randrange(64, 255)}.{draw.randrange(256)}"
        self.user_key, self.known_hosts = folder / "user_key", folder / "known_hosts"
        self.data = folder / "data"
        self._hosts = [NetworkHost(self, index) for index in range(num_hosts)]

    def __enter__(self) -> Self:
        Path("/run/sshd").mkdir(exist_ok=True)
        self.data.mkdir()
        make_key(self.user_key)
        try:
            _ip("link", "add", "name", self.name, "type", "bridge")
            _ip("address", "add", f"{self.subnet}.254/24", "dev", self.name)
            _ip("link", "set", self.name, "up")
            for host in self._hosts:
                host.make()
            keys = [(host.folder / "host_key.pub").read_text().split()[:2] for host in self._hosts]
            lines = [f"{host.address} {' '.join(key)}\n" for host, key in zip(self._hosts, keys, strict=True)]
            self.known_hosts.write_text("".join(lines))
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._remove()

    def __getitem__(self, index: int) -> NetworkHost:
        return self._hosts[index]

    def __len__(self) -> int:
        return len(self._hosts)

    @property
    def names(self) -> list[str]:
        """What `TRAINDATA_HOSTS` would say."""
        return [str(host.host) for host in self._hosts]

    @property
    def options(self) -> SshOptions:
        return SshOptions(self.user_key, self.known_hosts, None, connect_seconds=20)

    def _remove(self) -> None:
        for host in self._hosts:
            host.remove()
        with suppress(subprocess.CalledProcessError):
            _ip("link", "delete", self.name)


def make_key(path: Path) -> None:
    """Makes a pair of ssh keys, `path` and `path.pub`."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "tests", "-f", str(path)], check=True)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
