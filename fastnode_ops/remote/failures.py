"""What went wrong with a host, told from what `ssh` and `rsync` say about it."""

from __future__ import annotations

from typing import Literal

from ops_common.errors import ServiceError

FailureKind = Literal["unreachable", "host_key", "user_key", "lost", "timeout", "disk_full", "missing", "failed"]

_NUM_LINES = 6
_MAX_CHARACTERS = 2_000

# In this order: what ssh says before it gives up explains more than the line it ends with.
_SIGNS: tuple[tuple[FailureKind, tuple[str, ...]], ...] = (
    ("host_key", ("Host key verification failed", "REMOTE HOST IDENTIFICATION HAS CHANGED", "host key is known for")),
    ("user_key", ("Permission denied (", "Too many authentication failures", "no such identity")),
    ("disk_full", ("No space left on device", "Disk quota exceeded")),
    (
        "unreachable",
        (
            "Could not resolve hostname",
            "Connection refused",
            "Connection timed out",
            "No route to host",
            "Network is unreachable",
            "Connection timed out during banner exchange",
            "kex_exchange_identification",
        ),
    ),
    (
        "lost",
        (
            "Timeout, server ",
            "Broken pipe",
            "Connection reset",
            "connection unexpectedly closed",
            "Connection closed by",
            "closed by remote host",
            "io timeout after",
            "timeout waiting for daemon",
        ),
    ),
    ("missing", ("command not found", "rsync: not found", "No such file or directory")),
)

_HINTS: dict[FailureKind, str] = {
    "unreachable": "check the name, that the host is up and that its ssh server can be reached from here",
    "host_key": "the host is not the one that SSH_KNOWN_HOSTS knows: compare its key with one you got from its "
    "administrator, and only then write it there",
    "user_key": "put the public half of SSH_KEY into ~/.ssh/authorized_keys of that user on the host",
    "lost": "the connection broke; run it again, what was copied is not copied again",
    "timeout": "the host took too long; look whether it hangs, then run it again",
    "disk_full": "free disk space on the host, or choose another REMOTE_DIR",
    "missing": "install rsync on the host and check REMOTE_DIR and REMOTE_PYTHON",
    "failed": "log in to the host with ssh and look",
}


class RemoteError(ServiceError):
    """A host did not do what was asked.

    Attributes:
        host: Its name.
        kind: What kind of failure it was.
        status: The exit status of the command; -1 when it did not end.
        stderr: The end of what the command said.
    """

    def __init__(self, host: str, what: str, status: int, stderr: str, kind: FailureKind | None = None) -> None:
        self.host, self.status = host, status
        self.stderr = last_words(stderr)
        self.kind: FailureKind = kind or kind_of_failure(self.stderr)
        reason = f": {self.stderr}" if self.stderr else ""
        super().__init__(f"host {host}: {what} failed (status {status}){reason}", _HINTS[self.kind])


def kind_of_failure(stderr: str) -> FailureKind:
    """Tell the kind of a failure from what ssh or rsync wrote."""
    for kind, signs in _SIGNS:
        if any(sign in stderr for sign in signs):
            return kind
    return "failed"


def last_words(stderr: str) -> str:
    """The last lines of a program's messages, without control characters, at most 2,000 characters."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    text = "\n".join(lines[-_NUM_LINES:])[-_MAX_CHARACTERS:]
    return "".join(character for character in text if character.isprintable() or character == "\n")
