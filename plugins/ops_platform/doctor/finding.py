"""What a check found: one line, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from ops_common.errors import OpsError

Status = Literal["ok", "warn", "fail"]

ORDER: tuple[Status, ...] = ("ok", "warn", "fail")
"""From good to bad."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor.

    Attributes:
        check: What was looked at, in a word or two.
        status: `ok`; `warn`: works, but not as it should; `fail`: what needs this does not work.
        text: What was found.
        hint: What to do; empty where there is nothing to do.
    """

    check: str
    status: Status
    text: str
    hint: str = ""


def worst(findings: Iterable[Finding]) -> Status:
    """The worst status of some findings; `ok` when there are none."""
    return max((finding.status for finding in findings), key=ORDER.index, default="ok")


def guarded(check: str, look: Callable[[], list[Finding]]) -> list[Finding]:
    """What a check finds; an error that a person can act on is a finding itself.

    Args:
        check: The name to show when the check cannot be done.
        look: Does it.
    """
    try:
        return look()
    except OpsError as error:
        return [Finding(check, "fail", error.message, error.hint)]
    except OSError as error:
        return [Finding(check, "fail", str(error))]


def by_threshold(check: str, value: float, text: str, limits: tuple[float, float], hint: str) -> Finding:
    """A finding about an amount that should not be too small.

    Args:
        check: What was looked at.
        value: The amount.
        text: The amount in words.
        limits: Below the first it is a failure, below the second a warning.
        hint: What to do in both cases.
    """
    status: Status = "fail" if value < limits[0] else "warn" if value < limits[1] else "ok"
    return Finding(check, status, text, "" if status == "ok" else hint)
