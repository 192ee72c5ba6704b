"""A request that is answered with an error, and the words for what is wrong with it."""

from __future__ import annotations

from pydantic import ValidationError

from ops_common.errors import OpsError

_MAX_PROBLEMS = 3


class RefusedError(OpsError):
    """A request that is answered with an error.

    Args:
        status: The HTTP status.
        text: The body of the answer.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def problems_text(error: ValidationError) -> str:
    """Return what is wrong in a line per problem, the first few of them."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    lines = []
    for problem in problems[:_MAX_PROBLEMS]:
        key = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        lines.append(f"{key}: {message}" if key else message)
    if len(problems) > _MAX_PROBLEMS:
        lines.append(f"... and {len(problems) - _MAX_PROBLEMS} more")
    return "\n".join(lines)
