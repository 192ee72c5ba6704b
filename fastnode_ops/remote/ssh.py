"""Commands and files for another machine, over `ssh` and `rsync`; argument lists only, host keys always checked.

Nothing of an argument is ever read as code: locally there is no shell, and for the remote one, which the protocol
cannot avoid, every argument is quoted. rsync sends its arguments inside its own protocol (`--secluded-args`).
"""

from __future__ import annotations

import logging
import os
import re
import shlex
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from fastnode_ops.remote.failures import RemoteError
from fastnode_ops.remote.hosts import Host
from ops_common.errors import ConfigError

COMMAND_SECONDS = 60.0
COPY_SECONDS = 3_600.0
PARTIAL_DIR = ".rsync-partial"

_ALIVE_SECONDS, _ALIVE_COUNT = 5, 3  # a connection that is silent for so many times so long is given up
_SILENT_SECONDS = 30  # the same for rsync, which may be waiting for the other side's disk
_SHARED_SECONDS = 30  # an idle shared connection ends itself, should we have been killed
_SOCKET_FOLDER = re.compile(r"[\w./-]{1,45}", re.ASCII)  # ssh adds 58 characters, and the system takes 107
_EXIT_SECONDS = 5.0
_MAX_OUTPUT_BYTES = 64 * 1024 * 1024
_MAX_STDERR_BYTES = 64 * 1024

_running: dict[int, Any] = {}  # by process id
_lock = threading.Lock()


@dataclass(frozen=True)
class SshOptions:
    """How hosts are reached; what is not given is as the user's own ssh configuration says.

    Attributes:
        key_file: The private key to identify with.
        known_hosts_file: Keys of the hosts that we talk to; no other host is.
        config_file: An ssh configuration in the place of the user's own.
        connect_seconds: How long a connection may take to be made.
        shared_dir: Where commands for the same host find the connection that they share; see `shared_connections`.

    Raises:
        ConfigError: A file does not exist, or ssh could not be told its name.
    """

    key_file: Path | None = None
    known_hosts_file: Path | None = None
    config_file: Path | None = None
    connect_seconds: int = 10
    shared_dir: Path | None = None

    def __post_init__(self) -> None:
        named = {"key": self.key_file, "known hosts": self.known_hosts_file, "configuration": self.config_file}
        for what, path in named.items():
            if path is None:
                continue
            if not path.is_file():
                raise ConfigError(f"the ssh {what} file {path} does not exist", "check SSH_KEY, SSH_KNOWN_HOSTS")
            text = str(path.absolute())
            if not text.isprintable() or '"' in text or "${" in text:
                raise ConfigError(f"ssh cannot be told the file name {str(path)!r}", "rename the file")

    def arguments(self) -> list[str]:
        """The options of `ssh` that say so."""
        arguments = ["-F", str(self.config_file.absolute())] if self.config_file else []
        settings = {
            "BatchMode": "yes",
            "StrictHostKeyChecking": "yes",
            "ConnectTimeout": str(self.connect_seconds),
            "ServerAliveInterval": str(_ALIVE_SECONDS),
            "ServerAliveCountMax": str(_ALIVE_COUNT),
            "ForwardAgent": "no",
            "ForwardX11": "no",
            "ClearAllForwardings": "yes",
        }
        if self.key_file:
            settings |= {"IdentityFile": _file_setting(self.key_file), "IdentitiesOnly": "yes"}
        if self.known_hosts_file:
            settings |= {"UserKnownHostsFile": _file_setting(self.known_hosts_file), "GlobalKnownHostsFile": "none"}
        if self.shared_dir:
            path = {"ControlPath": f"{self.shared_dir}/%C"}
            settings |= {"ControlMaster": "auto", "ControlPersist": str(_SHARED_SECONDS), **path}
        for name, value in settings.items():
            arguments += ["-o", f"{name}={value}"]
        return arguments


@contextmanager
def shared_connections(options: SshOptions) -> Iterator[SshOptions]:
    """Keep one connection to each host while the body runs, which the commands for it share.

    To make a connection costs both sides more than most commands do. The first command to a host makes it; one that is
    lost is made again by the next.

    Yields:
        The options to reach hosts with. They are those given where the folder for temporary files has a name that no
        socket can be in: each command then has its own connection.
    """
    with tempfile.TemporaryDirectory(prefix="ssh") as folder:  # ours alone, so nobody else can use them
        if not _SOCKET_FOLDER.fullmatch(folder):
            yield options
            return
        try:
            yield replace(options, shared_dir=Path(folder))
        finally:
            for socket in Path(folder).iterdir():
                with suppress(OSError, subprocess.TimeoutExpired):  # it ends itself in a while
                    command = ["ssh", "-F", "none", "-O", "exit", "-S", str(socket), "shared"]
                    subprocess.run(command, capture_output=True, timeout=_EXIT_SECONDS, check=False)


class Ssh:
    """One host, and what may be asked of it.

    Args:
        host: The host.
        options: How it is reached.
    """

    def __init__(self, host: Host, options: SshOptions) -> None:
        self.host = host
        port = ["-p", str(host.port)] if host.port else []
        self._ssh = [*options.arguments(), *port]

    def run(self, argv: Sequence[str], *, stdin: bytes | str = b"", timeout: float = COMMAND_SECONDS) -> str:
        """Run a command there.

        Args:
            argv: Program and arguments; each arrives as it is given here.
            stdin: What the command reads.
            timeout: How long it may take, in seconds; the connection is then closed.

        Returns:
            What it wrote to standard output; what is not UTF-8 is replaced.

        Raises:
            RemoteError: The host cannot be reached or is not the right one, or the command failed or took too long.
            ConfigError: An argument holds a NUL character, which no command can be given.
        """
        if any("\0" in argument for argument in argv):
            raise ConfigError(f"host {self.host}: an argument of {argv[0]!r} holds a NUL character")
        user = ["-l", self.host.user] if self.host.user else []
        arguments = [*self._ssh, "-T", *user, "--", self.host.name, shlex.join(argv)]
        return self._call("ssh", arguments, f"`{argv[0]}`", stdin, timeout)

    def rsync_to(self, local: Path, remote: str, *, timeout: float = COPY_SECONDS) -> str:
        """Copy a file, or what is in a folder, there; an interrupted copy is continued the next time.

        Args:
            local: The file or folder.
            remote: Absolute path of the file, or of the folder, which need not exist, its parent has to.
            timeout: How long it may take, in seconds.

        Returns:
            One line for each file that was copied.

        Raises:
            RemoteError: It failed; the host is as it was but for partial files out of sight.
        """
        end = "/" if local.is_dir() else ""
        target = f"{self.host.rsync_name}:{_remote_path(remote)}{end}"
        arguments = [*self._rsync(), "--recursive", "--times", "--out-format=%n", "--", f"{local.absolute()}{end}"]
        return self._call("rsync", [*arguments, target], f"copying {local} to {remote}", b"", timeout)

    def rsync_from(
        self, names: Sequence[str], remote_dir: str, local_dir: Path, *, timeout: float = COPY_SECONDS
    ) -> None:
        """Fetch files of a folder there; an interrupted copy is continued the next time.

        Args:
            names: Plain names of files in the folder.
            remote_dir: Absolute path of the folder.
            local_dir: Where they go; nothing of a file stands there under its name before all of it does.
            timeout: How long all of it may take, in seconds.

        Raises:
            RemoteError: It failed, or one of the files is not there; files that had arrived whole stay.
            ConfigError: A name is none of a plain file.
        """
        for name in names:
            if not name or name in (".", "..") or "/" in name or "\0" in name:
                raise ConfigError(f"{name!r} is not the name of a file in {remote_dir}")
        listed = "".join(f"./{name}\0" for name in names)
        source = f"{self.host.rsync_name}:{_remote_path(remote_dir)}/"
        arguments = [*self._rsync(), "--times", "--files-from=-", "--from0", "--", source, f"{local_dir.absolute()}/"]
        self._call("rsync", arguments, f"copying from {remote_dir}", listed, timeout)

    def _rsync(self) -> list[str]:
        shell = shlex.join(["ssh", *self._ssh])
        partial = ["--partial-dir=" + PARTIAL_DIR, f"--timeout={_SILENT_SECONDS}"]
        return ["--secluded-args", *partial, f"--rsh={shell}"]

    def _call(self, program: str, arguments: list[str], what: str, stdin: bytes | str, timeout: float) -> str:
        import sh

        logging.getLogger("sh").setLevel(logging.WARNING)  # it would log every command that it starts
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            given.write(stdin if isinstance(stdin, bytes) else stdin.encode("utf-8", "surrogateescape"))
            given.seek(0)
            try:
                command = sh.Command(program)
            except sh.CommandNotFound:
                raise ConfigError(f"{program} is not installed here", f"apt-get install {program}") from None
            try:
                _finish(command, arguments, given, output, errors, timeout)
            except sh.TimeoutException:
                what = f"{what} (after {timeout:g} s)"
                raise RemoteError(str(self.host), what, -1, _read(errors, _MAX_STDERR_BYTES), "timeout") from None
            except sh.ErrorReturnCode as error:
                raise RemoteError(str(self.host), what, error.exit_code, _read(errors, _MAX_STDERR_BYTES)) from None
            return _read(output, _MAX_OUTPUT_BYTES)


def end_commands() -> None:
    """End every command that is running, in whichever thread; each raises RemoteError there."""
    with _lock:
        for process in _running.values():
            with suppress(OSError):
                process.signal(signal.SIGTERM)


def _finish(
    command: Any, arguments: list[str], given: IO[bytes], output: IO[bytes], errors: IO[bytes], timeout: float
) -> None:
    """Run a program to its end; when we are told to stop meanwhile, so is the program."""
    process = command(
        *arguments,
        _in=given,
        _out=output,
        _err=errors,
        _bg=True,
        _bg_exc=False,
        _timeout=timeout,
        _timeout_signal=signal.SIGTERM,  # lets rsync keep what it has of a file
        _env={**os.environ, "LC_ALL": "C"},  # failures are told apart by their English texts
    )
    with _lock:
        _running[process.pid] = process
    try:
        process.wait()
    except BaseException:
        with suppress(OSError):
            process.signal(signal.SIGTERM)
        raise
    finally:
        with _lock:
            _running.pop(process.pid, None)


def _file_setting(path: Path) -> str:
    """A path as the value of an ssh option, where `%` starts a token and a space ends a word."""
    return '"' + str(path.absolute()).replace("\\", "\\\\").replace("%", "%%") + '"'


def _remote_path(path: str) -> str:
    """A path that rsync takes as it is: absolute, so that it is no option, without what the other side would expand.

    Raises:
        ConfigError: It is another.
    """
    if not path.startswith("/") or not path.isprintable() or any(character in path for character in "*?[\\"):
        raise ConfigError(f"{path!r} is not a path that can be copied to", "give an absolute path without *, ?, [, \\")
    return path.rstrip("/")


def _read(file: IO[bytes], max_bytes: int) -> str:
    """The last bytes of a file as text."""
    file.seek(max(0, file.seek(0, os.SEEK_END) - max_bytes))
    return file.read().decode("utf-8", "replace")
