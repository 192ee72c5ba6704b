"""A call of a model that may fail or take too long: its result, or one reason, which is counted."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from fastnode_ops.inference.unsupported import Unsupported
from ops_common.errors import OpsError

T = TypeVar("T")

logger = logging.getLogger(__name__)


class NoAnswer(Exception):
    """A provider has no list for a question.

    Args:
        reason: Why, in words that are the same for the same cause: they are counted.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Timed(Generic[T]):
    """What came of a call.

    Args:
        value: Its result; None when it failed.
        reason: Why it failed; empty when it did not.
        seconds: How long it took.
    """

    value: T | None
    reason: str
    seconds: float


def timed(call: Callable[[], T], max_seconds: float, what: str = "the model") -> Timed[T]:
    """Call, whatever comes of it.

    A result that took longer than `max_seconds` counts as none: a person would have typed on. The call itself is not
    cut short; what it does is bounded by the sizes that it accepts. An unexpected error counts as a failure too, under
    its type's name, and is logged with its traceback: one bad buffer must not end a run over thousands.
    """
    started = time.perf_counter()
    value: T | None = None
    reason = ""
    try:
        value = call()
    except (NoAnswer, Unsupported) as error:
        reason = error.reason
    except OpsError as error:
        reason = error.message
    except Exception as error:
        logger.exception("%s failed", what)
        reason = f"unexpected {type(error).__name__}"
    seconds = time.perf_counter() - started
    if not reason and seconds > max_seconds:
        value, reason = None, f"took longer than {max_seconds:g} s"
    return Timed(value, reason, seconds)
