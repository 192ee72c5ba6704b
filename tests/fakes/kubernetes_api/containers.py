"""Containers: real processes with file system, process tree and environment of their own. The image is this machine.

A container sees the machine's files, but nothing below the hidden folders, and its volumes where they are mounted. It
is process 1 of its process tree: what `kill` or `pgrep` find there is the container's own, and when it ends, all ends.
"""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

_UNSHARE = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
_UNPRIVILEGED = ("--user", "--map-root-user")

# Builds the container's root on a tmpfs from the machine's folders, then mounts what the arguments say:
# ROOT (hide PATH | bind PATH SOURCE)... -- PROGRAM ARGUMENT...
_SETUP = """
set -e
root=$1; shift
mount -t tmpfs none "$root"
for entry in /*; do
  name=${entry#/}
  if [ "$name" = proc ] || [ "$name" = airflow ]; then continue
  elif [ -L "$entry" ]; then cp -P "$entry" "$root/$name"
  elif [ -d "$entry" ]; then mkdir "$root/$name"; mount --rbind "$entry" "$root/$name"
  fi
done
mkdir "$root/proc"; mount -t proc proc "$root/proc"
while [ "$1" != -- ]; do
  mkdir -p "$root$2"
  if [ "$1" = hide ]; then mount -t tmpfs none "$root$2"; shift 2
  else mount --bind "$3" "$root$2"; shift 3; fi
done
shift
exec chroot "$root" "$@"
"""


@functools.cache
def unshare_command() -> list[str] | None:
    """How containers are started here; None when the system does not allow it."""
    for extra in ((), _UNPRIVILEGED):
        command = [*_UNSHARE, *extra]
        tried = subprocess.run([*command, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False)
        if tried.returncode == 0:
            return command
    return None


class Container:
    """One container.

    Args:
        argv: Program and arguments; found by the PATH of the environment.
        env: The whole environment.
        root: An empty folder to build its root on.
        mounts: Folders of the machine by the paths at which the container sees them.
        hidden: Folders of the machine that it does not see.
        on_line: Is given each line of its output.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        root: Path,
        mounts: Mapping[str, Path],
        hidden: Sequence[Path],
        on_line: Callable[[bytes], None],
    ) -> None:
        unshare = unshare_command()
        assert unshare is not None  # the fixture has looked
        root.mkdir(parents=True)
        places = [word for path in hidden for word in ("hide", str(path))]
        # Outer volumes first, so that an inner one is not covered.
        places += [word for path in sorted(mounts) for word in ("bind", path, str(mounts[path]))]
        self._process = subprocess.Popen(
            [*unshare, "env", "--default-signal=INT", "sh", "-c", _SETUP, "sh", str(root), *places, "--", *argv],
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=(on_line,), daemon=True)
        self._reader.start()

    def wait(self) -> int:
        """Waits for its end; its exit status as a container engine tells it: 128 + the signal that ended it."""
        status = self._process.wait()
        self._reader.join(10)
        return 128 - status if status < 0 else status

    def terminate(self) -> None:
        """Sends SIGTERM to its process 1, as the kubelet does."""
        if (first := self._first_process()) is not None:
            first.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it with all that runs in it."""
        if (first := self._first_process()) is not None:
            first.kill()
        elif self._process.poll() is None:
            self._process.kill()

    def run(self, argv: Sequence[str], stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Runs another program in the container."""
        first = self._first_process()
        if first is None:
            return subprocess.CompletedProcess(argv, 126, b"", b"the container has ended\n")
        enter = ["nsenter", f"--target={first.pid}", "--mount", "--pid", "--root", "--wd"]
        if "--user" in (unshare_command() or ()):
            enter += ["--user", "--preserve-credentials"]
        return subprocess.run([*enter, *argv], input=stdin, capture_output=True, timeout=60, check=False)

    def _read(self, on_line: Callable[[bytes], None]) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            on_line(line)
        self._process.stdout.close()

    def _first_process(self) -> psutil.Process | None:
        try:
            children = psutil.Process(self._process.pid).children()
        except psutil.NoSuchProcess:
            return None
        return children[0] if children and self._process.poll() is None else None


def await_setup(container: Container, limit_seconds: float = 20.0) -> None:
    """Waits until the container's program runs in its own root."""
    deadline = time.monotonic() + limit_seconds
    while time.monotonic() < deadline:
        first = container._first_process()
        if first is None:
            return  # it has ended already
        try:
            if Path(f"/proc/{first.pid}/root").readlink() != Path("/"):
                return
        except OSError:
            return
        time.sleep(0.005)


def machine_environment() -> dict[str, str]:
    """What every image of ours sets."""
    return {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ} | {"HOME": "/root"}
