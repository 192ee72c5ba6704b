"""What the end of a task's command means, wherever it ran: its result, or an error, and how often that is tried again.

| the command ended with              | error                  | tried again                          |
|-------------------------------------|------------------------|--------------------------------------|
| 2 usage, 3 configuration, 4 data or | `AirflowFailException` | never: it stays the same             |
| full disk, 6 release gate           |                        |                                      |
| 5 a service did not answer          | `ServiceFault`         | `OPS_SERVICE_RETRIES` times          |
| a signal (killed, out of memory)    | `ProcessFault`         | `OPS_RETRIES` times                  |
| 1 or anything else: a bug of ours   | `ProgramFault`         | once: it may have been a library's   |

The pauses double each time, from `OPS_RETRY_DELAY_SECONDS` to a quarter of an hour.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any

from airflow.sdk.definitions.context import Context
from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from ops_common.errors import ServiceError
from ops_common.log_lines import level_of_json

NOT_RETRIED = {2: "usage", 3: "configuration", 4: "data", 6: "release gate"}
"""Exit statuses of faults that stay the same however often one tries."""

PROGRAM_RETRIES = 1
"""How often a command is tried again that ended with a bug of ours."""


class ServiceFault(AirflowException):
    """A service (the object store, a host, the cluster) did not answer as it should."""


class ProcessFault(AirflowException):
    """The command was ended by a signal: somebody killed it, or the memory was full."""


class ProgramFault(AirflowException):
    """The command ended with a bug of ours."""


class RunHasFailed(AirflowFailException):
    """The last task of a run repeats that one before it failed; nothing failed here."""


class FaultPolicy(RetryPolicy):
    """How often a task is tried again, by what it failed of. Asked in the task's process after each failure.

    A worker that is killed with its task cannot be asked: such a task is tried again as often as any.

    Args:
        retries: For processes that were killed, and for faults that we do not know.
        service_retries: For services that did not answer.
    """

    def __init__(self, *, retries: int, service_retries: int) -> None:
        self.retries = retries
        self.service_retries = service_retries

    @property
    def most_retries(self) -> int:
        """The task's own `retries`, which a policy cannot exceed."""
        return max(self.retries, self.service_retries)

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,
        max_tries: int,  # noqa: ARG002 - Airflow's own limit, and the context, decide nothing here
        context: Context | None = None,  # noqa: ARG002
    ) -> RetryDecision:
        """Whether to give up now; pauses are the task's own."""
        name, limit = self._limit(exception)
        if try_number > limit:
            return RetryDecision.fail(f"{name} has failed {try_number} times, and is tried again {limit} times at most")
        return RetryDecision.default()

    def _limit(self, exception: BaseException) -> tuple[str, int]:
        if isinstance(exception, ServiceFault):
            return "a service", self.service_retries
        if isinstance(exception, ProgramFault):
            return "the program", min(PROGRAM_RETRIES, self.retries)
        return "the task", self.retries


def failure(task: str, status: int, last_lines: Collection[str], remark: str = "") -> AirflowException:
    """The error that a command's end is.

    Args:
        task: The task's id.
        status: Exit status, 128 + the signal number when a signal ended the command.
        last_lines: The end of its output.
        remark: What else is known about its end.
    """
    output = "\n".join(f"  {line}" for line in last_lines) or "  (no output)"
    remark = f" ({remark})" if remark else ""
    if status in NOT_RETRIED:
        return AirflowFailException(
            f"{task} ended with status {status} ({NOT_RETRIED[status]} error){remark}:\n{output}"
        )
    is_killed = status > 128 and status != 130
    reason = f"killed by signal {status - 128}" if is_killed else f"ended with status {status}"
    kind = ServiceFault if status == ServiceError.exit_code else ProcessFault if status > 128 else ProgramFault
    return kind(f"{task} {reason}{remark}; it can be retried. Its last lines:\n{output}")


def log_level(line: str) -> int:
    """The log level of a line of a command's output, by how it starts."""
    start = (level_of_json(line) or line)[:9].lower()
    if start.startswith(("error", "critical")):
        return logging.ERROR
    return logging.WARNING if start.startswith("warning") else logging.INFO


def read_result(task: str, path: Path) -> dict[str, Any]:
    """What a command wrote into its result file.

    Raises:
        AirflowException: There is none, or it is no object.
    """
    try:
        result = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise AirflowException(f"{task} ended well but left no result in {path}: {error}") from None
    if not isinstance(result, dict):
        raise AirflowException(f"{task} left {type(result).__name__} in {path}, expected an object")
    return result
