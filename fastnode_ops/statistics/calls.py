"""Call patterns: what is known of the calls of a function (specification 3.5, 3.6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson

from fastnode_ops.analysis.markers import INSTANCE_TAIL, UNKNOWN_TOKEN, UNKNOWN_TYPE
from fastnode_ops.analysis.subtokens import split_name
from fastnode_ops.corpus.store import Connections, read_meta
from fastnode_ops.statistics.call_records import positional_names
from fastnode_ops.statistics.index import INDEX_FORMAT, INDEX_NAME
from fastnode_ops.statistics.signatures import Record, Signatures
from fastnode_ops.symbols.store import SymbolStore
from fastnode_ops.symbols.symbol import Parameter

MAX_SUBTOKENS = 9
MAX_TYPES = 1

_MAX_CACHED = 20_000


@dataclass(frozen=True, slots=True)
class Argument:
    """What is known of one parameter.

    Args:
        name: Its name; "" when it is not known.
        types: Canonical paths of its types, most frequent first.
        subtokens: The words of its name, then those of identifiers that are often passed for it, each once.
    """

    name: str
    types: tuple[str, ...]
    subtokens: tuple[str, ...]


class CallPattern:
    """What is known of the calls of one function.

    Args:
        signatures: Statistics of its calls.
        parameters: What the symbol store knows of its parameters.

    Attributes:
        positional: Parameters by position, up to the longest popular signature.
        by_name: Parameters by name.
    """

    def __init__(self, signatures: Signatures, parameters: Sequence[Parameter]) -> None:
        self._spec = positional_names(parameters)
        examples: dict[int | str, list[str]] = {}
        for popular in signatures.popular:
            for position, argument in enumerate(popular.positional):
                examples.setdefault(position, []).extend(argument.examples)
            for argument in popular.keywords:
                examples.setdefault(argument.name, []).extend(argument.examples)
        length = max(len(popular.positional) for popular in signatures.popular)
        self.positional: list[Argument] = []
        self.by_name: dict[str, Argument] = {}
        for position, record in enumerate(signatures.positional[:length]):
            name = self._spec[position] if position < len(self._spec) else record.name
            passed = [*examples.get(position, ()), *(examples.get(name, ()) if name else ())]
            argument_entry = _argument(name, record, passed)
            self.positional.append(argument_entry)
            if name:
                self.by_name.setdefault(name, argument_entry)
        for name in sorted({key for key in examples if isinstance(key, str)} | signatures.by_name.keys()):
            if name not in self.by_name:
                self.by_name[name] = _argument(name, signatures.by_name[name], examples.get(name, ()))

    @cached_property
    def argument_names(self) -> list[str]:
        """Names of all parameters that are known, sorted."""
        return sorted(self.by_name)

    @property
    def max_arguments(self) -> int:
        """How many arguments a call may have."""
        return len(self.by_name)

    def matches(self, num_unnamed: int, keywords: list[str]) -> bool:
        """Say whether a call has known arguments only."""
        return num_unnamed <= len(self.positional) and all(word in self.by_name for word in keywords)

    def positional_ok(self, position: int) -> bool:
        """Say whether an argument may be passed at a position."""
        return position < len(self.positional) or self._spec_name(position) != ""

    def keyword_ok(self, name: str) -> bool:
        """Say whether an argument may be passed by a keyword."""
        return name in self.by_name

    def argument_name(self, keyword: str, position: int) -> str:
        """Return the name of a parameter by keyword, else by position; "" when it is not known."""
        found = self._look_up(keyword, position)
        return "" if found is None else found.name

    def feed(self, keyword: str, position: int) -> tuple[list[str], list[str]]:
        """Return what the name decoder sees of a parameter.

        Args:
            keyword: The argument's keyword; "" to go by position.
            position: Number of the argument among all.

        Returns:
            One type string, e.g. "builtins.str.INSTANCE", or the unknown type; at most nine subtokens, or the unknown
            token.
        """
        found = self._look_up(keyword, position)
        types = [f"{path}.{INSTANCE_TAIL}" for path in found.types[:MAX_TYPES]] if found else []
        words = list(found.subtokens[:MAX_SUBTOKENS]) if found else []
        return types or [UNKNOWN_TYPE], words or [UNKNOWN_TOKEN]

    def _look_up(self, keyword: str, position: int) -> Argument | None:
        if keyword:
            return self.by_name.get(keyword)
        if position < len(self.positional):
            return self.positional[position]
        return self.by_name.get(self._spec_name(position))

    def _spec_name(self, position: int) -> str:
        name = self._spec[position] if position < len(self._spec) else ""
        return name if name in self.by_name else ""


def _argument(name: str, record: Record, examples: Sequence[str]) -> Argument:
    words = split_name(name)
    for text in examples:
        if text.isidentifier():
            words += split_name(text)
    return Argument(name, tuple(path for path, _ in record.types), tuple(dict.fromkeys(words)))


class CallStatistics:
    """Call patterns of all functions; read only, for every thread and process.

    Args:
        path: The index file.
        symbols: The symbols that it was made with.
    """

    def __init__(self, path: Path, symbols: SymbolStore) -> None:
        self._path = path
        self._symbols = symbols
        self._connections = Connections(path)
        self._patterns: dict[str, CallPattern | None] = {}

    @classmethod
    def open(cls, folder: Path, symbols: SymbolStore) -> CallStatistics:
        """Open the statistics in a corpus folder.

        Raises:
            ArtifactError: There are none, or they were not made by this version.
        """
        path = Path(folder) / INDEX_NAME
        read_meta(path, INDEX_FORMAT, "symbol index")
        return cls(path, symbols)

    def __reduce__(self) -> tuple[Any, ...]:
        return CallStatistics, (self._path, self._symbols)

    def functions(self) -> list[str]:
        """Return the canonical paths of all functions with statistics, sorted."""
        return [row[0] for row in self._connections.rows("SELECT function FROM signature ORDER BY function")]

    def signatures(self, function: str) -> Signatures | None:
        """Return the statistics of a function's calls; None when there are too few calls."""
        rows = self._connections.rows("SELECT body FROM signature WHERE function = ?", function)
        return Signatures.from_json(orjson.loads(rows[0][0])) if rows else None

    def pattern(self, function: str) -> CallPattern | None:
        """Return the call pattern of a canonical function; None when too little is known of its calls."""
        try:
            return self._patterns[function]
        except KeyError:
            signatures = self.signatures(function)
            pattern = None
            if signatures is not None and signatures.popular:
                pattern = CallPattern(signatures, self._symbols.parameters(function) or ())
            if len(self._patterns) < _MAX_CACHED:
                self._patterns[function] = pattern
            return pattern

    def keyword_counts(self, function: str) -> dict[str, int]:
        """Return how often each keyword stands in calls of a canonical function, by keyword in alphabetical order."""
        query = "SELECT keyword, count FROM keyword WHERE function = ? ORDER BY keyword"
        return dict(self._connections.rows(query, function))
