"""The shared error tree.

    OpsError                 1   something the user can act on; never shown with a traceback
    ├── UsageError           2   the command line is wrong
    ├── ConfigError          3   a setting is wrong, unknown or contradicts another
    ├── DataError            4   an input file holds something that cannot be used
    │   └── ArtifactError    4   a file of ours is missing, torn or does not match its manifest
    │       └── NoRoomError  4   a file of ours cannot be written: the disk or the quota is full
    ├── ServiceError         5   a service (S3, a host, an API) did not answer as it should
    ├── GateError            6   the work is sound, but its result did not pass a release gate
    └── Interrupted        130   a signal asked us to stop; state was saved first
        └── Terminated     143   the same, and the signal was SIGTERM

The number is the exit code of a command that ends with the error.
"""

from __future__ import annotations

from typing import ClassVar


class OpsError(Exception):
    """Something a person can act on: what was wrong, where, and what to do next.

    Args:
        message: What was wrong and where (file and line, record index, key, flag, host).
        hint: What to do next; printed on a line of its own.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process boundaries (import workers); the default would lose the hint and subclass fields.
        return _rebuild, (type(self), self.message, self.hint, self.__dict__)


def _rebuild(kind: type[OpsError], message: str, hint: str, state: dict[str, object]) -> OpsError:
    error = kind.__new__(kind)
    OpsError.__init__(error, message, hint)
    error.__dict__.update(state)
    return error


class UsageError(OpsError):
    """The command line is wrong."""

    exit_code = 2


class ConfigError(OpsError):
    """A setting is wrong, unknown, or contradicts another."""

    exit_code = 3


class DataError(OpsError):
    """An input file holds something that cannot be used."""

    exit_code = 4


class NothingHeldOutError(DataError):
    """There is nothing held out to judge a model by."""


class ArtifactError(DataError):
    """A file that we wrote is missing, torn, or does not match its manifest."""


class NoRoomError(ArtifactError):
    """A file cannot be written because the disk or the quota is full; it works again when there is room."""


class ServiceError(OpsError):
    """A service did not answer as it should, after retries."""

    exit_code = 5


class GateError(OpsError):
    """The work is sound, but its result did not pass a release gate."""

    exit_code = 6


class Interrupted(OpsError):
    """A signal asked us to stop; what had been done was saved first."""

    exit_code = 130


class Terminated(Interrupted):
    """SIGTERM asked us to stop; what had been done was saved first."""

    exit_code = 143
