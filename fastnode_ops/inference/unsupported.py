"""What a completer raises where it has nothing to say."""

from __future__ import annotations


class Unsupported(Exception):
    """The model has no answer for a place.

    Args:
        reason: Why, in words that are the same for the same cause: they are counted.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
