"""What the worker processes do: check a session's request, make its steps, find imports.

The request of a session is a file, because it is large and every worker needs it once: a job names the file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import orjson
from pydantic import ValidationError

from fastnode_ops.samples.request import SessionRequest
from fastnode_ops.web.refusals import RefusedError, problems_text


@dataclass(frozen=True, slots=True)
class OpenSession:
    """Check a request and prepare for its steps; the answer is an `OpenedSession`."""

    request: Path


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """What the server needs to know of a request."""

    num_batches: int
    start_step: int


@dataclass(frozen=True, slots=True)
class MakeStep:
    """Make one step of a session; the answer is a `MadeStep`."""

    request: Path
    step: int


@dataclass(frozen=True, slots=True)
class MadeStep:
    """One training batch.

    Args:
        json: Its wire form.
        num_samples: Graph samples in it.
        drops: Attempts that gave no graph sample, by reason.
        seconds: What took how long, by (section, metric) of specification 5.7.
    """

    json: bytes
    num_samples: int
    drops: dict[str, int]
    seconds: dict[tuple[str, str], list[float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FindImports:
    """Find what files import; the answer has a list of symbols per file, in order, without what cannot be read."""

    file_ids: tuple[str, ...]


Job = OpenSession | MakeStep | FindImports


def read_request(path: Path) -> SessionRequest:
    """Read the request of a session as it was sent.

    Raises:
        RefusedError: It is not JSON, or a field is missing, unknown or out of its range (400).
    """
    try:
        return SessionRequest.model_validate(orjson.loads(path.read_bytes()))
    except orjson.JSONDecodeError as error:
        raise RefusedError(400, f"the body is not JSON: {error}") from None
    except ValidationError as error:
        raise RefusedError(400, problems_text(error)) from None
