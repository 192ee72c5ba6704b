"""This machine as one of the hosts: asked without ssh, so nothing has to be set up where there is only one."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from fastnode_ops.remote.failures import RemoteError
from fastnode_ops.remote.hosts import Host
from fastnode_ops.remote.ssh import COMMAND_SECONDS, COPY_SECONDS

THIS_MACHINE = Host("this-machine")
"""The name that stands for it among the names of hosts."""


class Shell(Protocol):
    """A host, and what is asked of it to have something deployed there; `Ssh` and `ThisMachine` can."""

    host: Host

    def run(self, argv: Sequence[str], *, stdin: bytes | str = b"", timeout: float = COMMAND_SECONDS) -> str:
        """Run a command there and return what it wrote; raises RemoteError when it failed."""

    def rsync_to(self, local: Path, remote: str, *, timeout: float = COPY_SECONDS) -> str:
        """Copy a file, or what is in a folder, there; raises RemoteError when it failed."""


class ThisMachine:
    """Does here what `Ssh` does on another host."""

    host = THIS_MACHINE

    def run(self, argv: Sequence[str], *, stdin: bytes | str = b"", timeout: float = COMMAND_SECONDS) -> str:
        """See `Ssh.run`."""
        what, given = f"`{argv[0]}`", stdin if isinstance(stdin, bytes) else stdin.encode("utf-8", "surrogateescape")
        try:
            done = subprocess.run(list(argv), input=given, capture_output=True, timeout=timeout, check=False)
        except subprocess.TimeoutExpired:
            raise RemoteError(str(self.host), f"{what} (after {timeout:g} s)", -1, "", "timeout") from None
        except OSError as error:
            raise RemoteError(str(self.host), what, -1, str(error)) from None
        if done.returncode != 0:
            raise RemoteError(str(self.host), what, done.returncode, done.stderr.decode("utf-8", "replace"))
        return done.stdout.decode("utf-8", "replace")

    def rsync_to(self, local: Path, remote: str, *, timeout: float = COPY_SECONDS) -> str:  # noqa: ARG002 - as of `Ssh`
        """See `Ssh.rsync_to`. What is copied is never changed afterwards, so a second name for the file will do."""
        target = Path(remote)
        try:
            if local.is_dir():
                shutil.copytree(local, target, copy_function=_link_or_copy, dirs_exist_ok=True)
            else:
                _link_or_copy(str(local), str(target))
        except OSError as error:
            raise RemoteError(str(self.host), f"copying {local} to {remote}", -1, str(error)) from None
        return ""


def _link_or_copy(source: str, target: str) -> None:
    Path(target).unlink(missing_ok=True)  # half of it, from an earlier try
    with suppress(OSError):
        Path(target).hardlink_to(source)
        return
    shutil.copyfile(source, target)  # another file system
