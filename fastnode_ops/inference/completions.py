"""What a completer answers."""

from __future__ import annotations

from dataclasses import dataclass

from fastnode_ops.analysis.markers import PLACEHOLDER


@dataclass(frozen=True, slots=True)
class Completion:
    """An attribute.

    Args:
        identifier: The name after the dot.
        score: Its probability among the candidates that begin with the prefix.
    """

    identifier: str
    score: float


@dataclass(frozen=True, slots=True)
class CompletedArgument:
    """One argument of a completed call.

    Args:
        keyword: The keyword; "" when it is passed by position.
        value: A variable's name; "" when it is left open.
        probability: Product of the probabilities of the decisions that led to it, from the kind of the argument on.
    """

    keyword: str
    value: str
    probability: float

    @property
    def text(self) -> str:
        """How it is written; an open value is the placeholder marker."""
        value = self.value or PLACEHOLDER
        return f"{self.keyword}={value}" if self.keyword else value


@dataclass(frozen=True, slots=True)
class CallCompletion:
    """The arguments of a call.

    Args:
        arguments: In order.
        is_complete: Whether the model ended the call; otherwise the search did.
        score: Its probability among the calls that were found.
    """

    arguments: tuple[CompletedArgument, ...]
    is_complete: bool
    score: float

    @property
    def text(self) -> str:
        """What stands between the parentheses."""
        return ", ".join(argument.text for argument in self.arguments)
