"""Files that give no site for a symbol, told apart without parsing them.

The index says that a file has a call of a symbol with a keyword, but not whether the keyword is one of those that are
learnt; and that it has an attribute with the symbol's definition, but not whether it is written under this very name.
To parse a file takes much of the time of a sample, so a look at its text pays. What is said here is the same that the
task itself would say, and does not depend on what was asked before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from fastnode_ops.config import TaskName

Place = tuple[TaskName, str, str, bool]
"""Task, symbol, file, and the class that is wanted of arg_placeholder."""

MAX_KNOWN = 200_000


class SiteFilter:
    """Rules out files by their text, and those that gave no site before.

    Args:
        keywords: The keywords of each function.
    """

    def __init__(self, keywords: Mapping[str, Sequence[str]]) -> None:
        self._keywords = keywords
        self._patterns: dict[tuple[TaskName, str], re.Pattern[bytes] | None] = {}
        self._known: set[Place] = set()

    def may_have_site(self, task: TaskName, symbol: str, source: bytes) -> bool:
        """Say whether a text may hold a site: for attr the name after a dot, for kwarg_name one of the keywords."""
        key = (task, symbol)
        if key not in self._patterns:
            self._patterns[key] = self._pattern(task, symbol)
        pattern = self._patterns[key]
        return pattern is None or pattern.search(source) is not None

    def is_known(self, place: Place) -> bool:
        """Say whether a file is known to have no site."""
        return place in self._known

    def add(self, place: Place) -> None:
        """Remember that a file has no site."""
        if len(self._known) < MAX_KNOWN:
            self._known.add(place)

    def _pattern(self, task: TaskName, symbol: str) -> re.Pattern[bytes] | None:
        if task == "attr":
            return re.compile(rb"\.\s*" + re.escape(symbol.rpartition(".")[2].encode()) + rb"\b")
        if task == "kwarg_name":
            names = b"|".join(re.escape(name.encode()) for name in self._keywords.get(symbol, ()))
            return re.compile(rb"\b(?:" + names + rb")\s*=")
        return None
