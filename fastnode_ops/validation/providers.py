"""Who completes an attribute: the model in two views of the buffer, beside popularity (specification 14.2).

Every provider gets the same question: a buffer, the byte after the dot, and what is typed behind it. The typed text is
passed on its own; the reference took it from the buffer, where it found its own dummy name, and completed nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from fastnode_ops.analysis.nodes import Tree, enclosing_statement
from fastnode_ops.analysis.syntax import parse
from fastnode_ops.inference.completions import Completion
from fastnode_ops.validation.failures import timed

DUMMY = "GUESS_ME_123"
MODEL_PROVIDER = "ggnn-line-attr"
MODEL_AFTER_PROVIDER = "ggnn-line-after"
POPULARITY_PROVIDER = "pop"
ALPHABET_PROVIDER = "alpha"

MAX_SECONDS = 3.0
MAX_KEPT_COMPLETIONS = 1_000


@dataclass(frozen=True, slots=True)
class Question:
    """A place to complete.

    Args:
        source: The buffer, UTF-8.
        cursor: BYTE offset just after the dot.
        prefix: What is typed behind the dot; the completions begin with it.
    """

    source: bytes
    cursor: int
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider completed.

    Args:
        completions: Best first.
        munged: The text that it saw.
    """

    completions: tuple[Completion, ...]
    munged: str


class Provider(Protocol):
    """Completes attributes."""

    @property
    def name(self) -> str:
        """Its name in reports and examples."""

    @property
    def has_probabilities(self) -> bool:
        """Whether its scores are what its list is sorted by, so that they can be held against the truth."""

    def answer(self, question: Question) -> Answer:
        """Complete; raises NoAnswer, Unsupported, or an OpsError."""


class AttributeCompleter(Protocol):
    """The part of `inference.completer.Completer` that is needed here."""

    def attributes(self, source: bytes, cursor: int, prefix: str = "") -> Sequence[Completion]:
        """Complete the attribute at a cursor just after the dot and the prefix; raises Unsupported."""


@dataclass(frozen=True, slots=True)
class ModelProvider:
    """The model on a buffer whose line is cut off behind the dot (`ggnn-line-attr`), or whose rest is.

    Args:
        completer: The model.
        drop_rest: Whether everything behind the line is dropped too (`ggnn-line-after`).
    """

    completer: AttributeCompleter
    drop_rest: bool = False

    @property
    def name(self) -> str:
        """Its name in reports and examples."""
        return MODEL_AFTER_PROVIDER if self.drop_rest else MODEL_PROVIDER

    @property
    def has_probabilities(self) -> bool:
        """Whether its scores sort its list: they do."""
        return True

    def answer(self, question: Question) -> Answer:
        """Complete with the model; raises Unsupported."""
        munged = munge(question, drop_rest=self.drop_rest)
        at = question.cursor + len(question.prefix.encode())
        found = self.completer.attributes(munged, at, question.prefix)
        return Answer(tuple(found), munged.decode("utf-8", "replace"))


def munge(question: Question, *, drop_rest: bool = False) -> bytes:
    """Return what the model sees: text up to the dot, what is typed, the dummy, text behind the line and the statement.

    The line break itself stays: without it the next line would become part of the expression.
    """
    head = question.source[: question.cursor] + question.prefix.encode() + DUMMY.encode()
    if drop_rest:
        return head
    return head + question.source[trim_end(question.source, question.cursor) :]


def trim_end(source: bytes, cursor: int) -> int:
    """Return the later of the end of the cursor's line and the end of the statement that it is in.

    Raises:
        DataError: The buffer is too large or too deep to be parsed.
    """
    newline = source.find(b"\n", cursor)
    end_of_line = len(source) if newline < 0 else newline
    named = with_name(source, cursor)
    statement = enclosing_statement(_tree_of(named).node_at(cursor - 1))
    end_of_statement = 0 if statement is None else statement.end - (len(named) - len(source))
    return min(max(end_of_line, end_of_statement), len(source))


@lru_cache(maxsize=2)
def _tree_of(source: bytes) -> Tree:
    """Parse a buffer; the places of a file are asked about one after the other."""
    return parse(source)


def with_name(source: bytes, cursor: int) -> bytes:
    """Return a buffer that has a name behind the dot: without one, a parser takes the next line's first for it."""
    filler = b"" if is_name_byte(source[cursor : cursor + 1]) else DUMMY.encode()
    return source[:cursor] + filler + source[cursor:]


def is_name_byte(byte: bytes) -> bool:
    """Say whether a byte can be part of an identifier; those of other scripts' letters are above 127."""
    return byte.isalnum() or byte == b"_" or byte > b"\x7f"


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of a question.

    Args:
        answer: The completions; None when the provider failed.
        reason: Why it failed; empty when it did not.
        seconds: How long it took.
    """

    answer: Answer | None
    reason: str
    seconds: float


def ask(provider: Provider, question: Question, max_seconds: float = MAX_SECONDS) -> Asked:
    """Put a question to a provider, whatever comes of it.

    What cannot follow the typed text, repetitions, and what is no identifier are left out of its list. Failures are
    those of `timed`, and a list of which nothing is left.
    """
    asked = timed(lambda: provider.answer(question), max_seconds, provider.name)
    if asked.value is None:
        return Asked(None, asked.reason, asked.seconds)
    completions = _valid(asked.value.completions, question.prefix)
    if not completions:
        return Asked(None, "no completion", asked.seconds)
    return Asked(Answer(completions, asked.value.munged), "", asked.seconds)


def _valid(completions: Sequence[Completion], prefix: str) -> tuple[Completion, ...]:
    valid: dict[str, Completion] = {}
    for one in completions:
        if one.identifier.startswith(prefix) and one.identifier.isidentifier() and len(valid) < MAX_KEPT_COMPLETIONS:
            valid.setdefault(one.identifier, one)
    return tuple(valid.values())
