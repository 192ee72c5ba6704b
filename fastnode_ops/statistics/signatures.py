"""What the calls of one function have in common: signature statistics, popular signatures (specification 3.5)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fastnode_ops.statistics.call_records import ArgumentRecord, CallRecord, positional_names
from fastnode_ops.symbols.symbol import Parameter

MAX_TYPES = 5
MAX_SIGNATURES = 5
MIN_SHARE = 0.02
MAX_EXAMPLES = 3

_NO_NAMES = frozenset(("self", "None", "True", "False"))


@dataclass(frozen=True, slots=True)
class Limits:
    """What is too rare to count.

    Args:
        min_calls: Calls of a function.
        min_calls_per_shape: Calls of one shape.
        max_calls: Calls of a function that are looked at: a uniform sample.
    """

    min_calls: int = 5
    min_calls_per_shape: int = 2
    max_calls: int = 1_000


@dataclass(slots=True)
class Record:
    """What is known of one parameter.

    Args:
        name: Its name; "" when it is not known.
        count: How many of the calls pass it.
        types: Canonical paths of its most frequent types with their counts, most frequent first.
    """

    name: str = ""
    count: int = 0
    types: list[tuple[str, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PopularArgument:
    """An argument of a popular signature: its name, and frequent source texts of its values."""

    name: str
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PopularSignature:
    """A frequent shape of calls.

    Args:
        count: How many calls have it.
        positional: Its arguments by position.
        keywords: Its arguments by keyword, sorted.
    """

    count: int
    positional: tuple[PopularArgument, ...]
    keywords: tuple[PopularArgument, ...]


@dataclass(slots=True)
class Signatures:
    """The statistics of one function's calls.

    Args:
        count: Calls of all shapes that are frequent enough.
        positional: Per position.
        by_name: Per name; a position whose name the parameters give shares the record of its name.
        popular: At most five, most frequent first.
    """

    count: int
    positional: list[Record]
    by_name: dict[str, Record]
    popular: list[PopularSignature]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        names = {id(record): name for name, record in self.by_name.items()}
        return {
            "count": self.count,
            "positional": [
                {"shared": names[id(record)]} if id(record) in names else _plain(record) for record in self.positional
            ],
            "by_name": {name: _plain(record) for name, record in sorted(self.by_name.items())},
            "popular": [
                [s.count, [[a.name, a.examples] for a in s.positional], [[a.name, a.examples] for a in s.keywords]]
                for s in self.popular
            ],
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Signatures:
        """Return what `to_json` returned."""
        by_name = {name: _record(record) for name, record in values["by_name"].items()}
        positional = [by_name[r["shared"]] if "shared" in r else _record(r) for r in values["positional"]]
        popular = [
            PopularSignature(
                count, *(tuple(PopularArgument(name, tuple(texts)) for name, texts in part) for part in parts)
            )
            for count, *parts in values["popular"]
        ]
        return cls(values["count"], positional, by_name, popular)


def _plain(record: Record) -> dict[str, Any]:
    return {"name": record.name, "count": record.count, "types": record.types}


def _record(values: dict[str, Any]) -> Record:
    return Record(values["name"], values["count"], [(path, count) for path, count in values["types"]])


Shape = tuple[int, tuple[str, ...]]


def summarize(calls: Sequence[CallRecord], parameters: Sequence[Parameter] | None, limits: Limits) -> Signatures | None:
    """Return the statistics of one function's calls; None when there are too few.

    Args:
        calls: A sample of its calls.
        parameters: What the symbol store knows of its parameters.
        limits: What is too rare.
    """
    if len(calls) < limits.min_calls:
        return None
    by_shape: dict[Shape, list[CallRecord]] = defaultdict(list)
    for call in calls:
        by_shape[_shape(call)].append(call)
    frequent = {shape: found for shape, found in by_shape.items() if len(found) >= limits.min_calls_per_shape}
    if not frequent:
        return None
    names = positional_names(parameters or ())
    kept = [call for found in frequent.values() for call in found]
    positional, by_name = _records(kept, names)
    return Signatures(len(kept), positional, by_name, _popular(frequent, len(kept), names))


def _shape(call: CallRecord) -> Shape:
    keywords = sorted(argument.keyword for argument in call.arguments if argument.keyword)
    return len(call.arguments) - len(keywords), tuple(keywords)


def _records(calls: Sequence[CallRecord], names: Sequence[str]) -> tuple[list[Record], dict[str, Record]]:
    num_positional = max(_shape(call)[0] for call in calls)
    passed: dict[int | str, list[ArgumentRecord]] = defaultdict(list)
    for call in calls:
        for position, argument in enumerate(call.arguments):
            known = argument.keyword or (names[position] if position < len(names) else "")
            passed[known or position].append(argument)
    records = {key: _summarize_argument(key if isinstance(key, str) else "", found) for key, found in passed.items()}
    positional = [records[names[p] if p < len(names) else p] for p in range(num_positional)]
    for position in range(len(names), num_positional):
        positional[position].name = _identifier(passed[position])
    by_name = {key: record for key, record in records.items() if isinstance(key, str)}
    return positional, by_name


def _summarize_argument(name: str, arguments: Sequence[ArgumentRecord]) -> Record:
    types = Counter(path for argument in arguments for path in argument.types)
    return Record(name, len(arguments), _most_frequent(types, MAX_TYPES))


def _most_frequent(counts: Counter[str], limit: int) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:limit]


def _identifier(arguments: Sequence[ArgumentRecord]) -> str:
    """Return the most frequent identifier among the values; "" when none is one."""
    counts = Counter(a.text for a in arguments if a.text.isidentifier() and a.text not in _NO_NAMES)
    return _most_frequent(counts, 1)[0][0] if counts else ""


def _popular(frequent: dict[Shape, list[CallRecord]], num_calls: int, names: Sequence[str]) -> list[PopularSignature]:
    found: list[PopularSignature] = []
    for shape in sorted(frequent, key=lambda shape: (-len(frequent[shape]), shape)):
        calls = frequent[shape]
        if len(calls) < MIN_SHARE * num_calls or len(found) == MAX_SIGNATURES:
            break
        columns = [[call.arguments[position] for call in calls] for position in range(shape[0])]
        positional = tuple(
            PopularArgument(names[p] if p < len(names) else _identifier(column), _examples(column))
            for p, column in enumerate(columns)
        )
        keywords = tuple(
            PopularArgument(word, _examples([a for call in calls for a in call.arguments if a.keyword == word]))
            for word in shape[1]
        )
        if all(argument.name for argument in positional):
            found.append(PopularSignature(len(calls), positional, keywords))
    return found


def _examples(arguments: Sequence[ArgumentRecord]) -> tuple[str, ...]:
    """Return frequent source texts: at most three per type, most frequent first."""
    by_type: dict[str, Counter[str]] = defaultdict(Counter)
    for argument in arguments:
        if argument.text:
            for path in argument.types or ("",):
                by_type[path][argument.text] += 1
    texts = [text for path in sorted(by_type) for text, _ in _most_frequent(by_type[path], MAX_EXAMPLES)]
    return tuple(dict.fromkeys(texts))
