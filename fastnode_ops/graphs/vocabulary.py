"""From words to rows of the two embedding tables (specification 4.8 and 6.4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from fastnode_ops.analysis.markers import INSTANCE_TAIL, RETURN_TAIL, SPECIAL, UNKNOWN_TOKEN
from fastnode_ops.analysis.subtokens import split_name
from ops_common.errors import DataError


@lru_cache(maxsize=65536)
def type_subtokens(type_string: str) -> tuple[str, ...]:
    """Split one type string: the words of its last part, with the tail for instances and return values.

    `collections.OrderedDict.INSTANCE` gives `ordered`, `dict`, `instance`; markers stay whole.
    """
    if type_string in SPECIAL:
        return (type_string,)
    parts = type_string.split(".")
    if len(parts) > 1 and parts[-1] in (INSTANCE_TAIL, RETURN_TAIL):
        return tuple(split_name(f"{parts[-2]}_{parts[-1]}"))
    return tuple(split_name(parts[-1]))


class Vocabulary:
    """Rows of subtokens and of type subtokens; words that are in no index have the row of the unknown token.

    Args:
        name_index: Subtoken to row.
        type_index: Type subtoken to row.
        max_subtokens: How many subtokens a node has at most.
        max_type_subtokens: How many type subtokens a node has at most.

    Raises:
        DataError: An index has no row for the unknown token.
    """

    def __init__(
        self,
        name_index: Mapping[str, int],
        type_index: Mapping[str, int],
        max_subtokens: int = 9,
        max_type_subtokens: int = 9,
    ) -> None:
        for index, what in ((name_index, "name_subtoken_index"), (type_index, "type_subtoken_index")):
            if UNKNOWN_TOKEN not in index:
                raise DataError(f"{what} has no row for {UNKNOWN_TOKEN}", "make metainfo.json with `make traindata`")
        self._names, self._types = name_index, type_index
        self._unknown_name, self._unknown_type = name_index[UNKNOWN_TOKEN], type_index[UNKNOWN_TOKEN]
        self._max_subtokens, self._max_types = max_subtokens, max_type_subtokens
        self._literal_rows: dict[str, list[int]] = {}
        self._type_rows: dict[tuple[str, ...], list[int]] = {}

    def subtokens(self, literal: str) -> list[str]:
        """Return the words of a literal, at most `max_subtokens`."""
        return split_name(literal)[: self._max_subtokens]

    def types(self, type_strings: Iterable[str]) -> list[str]:
        """Return the words of a union of types: without repetitions, sorted, at most `max_type_subtokens`."""
        words = {word for type_string in type_strings for word in type_subtokens(type_string)}
        return sorted(words)[: self._max_types]

    def literal_rows(self, literal: str) -> list[int]:
        """Return the rows of a literal's subtokens; at least one."""
        rows = self._literal_rows.get(literal)
        if rows is None:
            rows = self.name_rows(self.subtokens(literal))
            if len(self._literal_rows) < 200_000:
                self._literal_rows[literal] = rows
        return rows

    def type_rows(self, type_strings: tuple[str, ...]) -> list[int]:
        """Return the rows of a union's type subtokens; at least one."""
        rows = self._type_rows.get(type_strings)
        if rows is None:
            found = [_row(self._types, word, self._unknown_type) for word in self.types(type_strings)]
            rows = found or [self._unknown_type]
            if len(self._type_rows) < 200_000:
                self._type_rows[type_strings] = rows
        return rows

    def name_rows(self, words: Iterable[str]) -> list[int]:
        """Return the rows of subtokens; at least one."""
        return [_row(self._names, word, self._unknown_name) for word in words] or [self._unknown_name]


def _row(index: Mapping[str, int], word: str, unknown: int) -> int:
    return index.get(word if word in SPECIAL else word.lower(), unknown)
