"""Completions of what a person types, from every provider that there is."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from fastnode_ops.validation.providers import Provider, Question, ask, is_name_byte

MAX_CHARACTERS = 100_000
NUM_SHOWN = 20
MAX_SECONDS = 30.0


class LiveCompleter:
    """Asks providers, one question at a time: a model is not made for several.

    Args:
        providers: Who is asked, in the order of the page.
    """

    def __init__(self, providers: Sequence[Provider]) -> None:
        self._providers = tuple(providers)
        self._lock = threading.Lock()

    def complete(self, code: str, cursor: int) -> dict[str, Any]:
        """Complete a text at a cursor.

        Args:
            code: The text.
            cursor: Offset in UTF-16 code units, which is how browsers count.

        Returns:
            `problem` (a text for a person, or empty), `prefix` (what is typed behind the dot), and `providers`: per
            provider `name`, `milliseconds`, `reason` (why it has no list, or empty) and the first `completions`, each
            `text` and `score`, with `num_completions` in all.
        """
        question = question_at(code, cursor)
        if isinstance(question, str):
            return {"problem": question, "prefix": "", "providers": []}
        with self._lock:
            answers = [(one.name, ask(one, question, MAX_SECONDS)) for one in self._providers]
        shown = []
        for name, asked in answers:
            found = asked.answer.completions if asked.answer else ()
            shown.append(
                {
                    "name": name,
                    "milliseconds": round(1_000 * asked.seconds, 1),
                    "reason": asked.reason,
                    "num_completions": len(found),
                    "completions": [{"text": one.identifier, "score": one.score} for one in found[:NUM_SHOWN]],
                }
            )
        return {"problem": "", "prefix": question.prefix, "providers": shown}


def question_at(code: str, cursor: int) -> Question | str:
    """Find the dot before a cursor (in UTF-16 code units); return a text for a person when there is none."""
    if len(code) > MAX_CHARACTERS:
        return f"The text has more than {MAX_CHARACTERS:,d} characters."
    try:
        source = code.encode()
        at = len(code.encode("utf-16-le")[: 2 * cursor].decode("utf-16-le").encode())
    except UnicodeError:
        return "The text or its cursor splits a character in two."
    start = at
    while start and is_name_byte(source[start - 1 : start]):
        start -= 1
    if source[start - 1 : start] != b"." or start == 0:
        return "Put the cursor behind a dot, as in “os.path.”; letters already typed behind it may follow."
    return Question(source, start, source[start:at].decode())
