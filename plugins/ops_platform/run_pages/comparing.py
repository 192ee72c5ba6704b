"""What two runs have in common and where they differ: settings, data, code, figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ops_common.run_facts import RunFacts, flat
from ops_platform.run_pages.listing import is_lower_better

MAX_ROWS = 500
"""Differences of one part that are shown; what is more is counted."""

_ABSENT = "–"


@dataclass(frozen=True, slots=True)
class Difference:
    """An entry that the two runs do not share; what one of them lacks is a dash."""

    name: str
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class Part:
    """A part of what runs are made with.

    Attributes:
        title: What it is.
        differences: Where they differ, at most `MAX_ROWS`.
        num_equal: Entries that are the same in both.
        num_more: Differences beyond those.
        is_known: Whether both runs say something of it.
    """

    title: str
    differences: tuple[Difference, ...]
    num_equal: int
    num_more: int
    is_known: bool


@dataclass(frozen=True, slots=True)
class FigurePair:
    """A figure of both runs; outcome: better, worse, equal, or empty when it cannot be said of the second run."""

    name: str
    first: float | None
    second: float | None
    outcome: str

    @property
    def difference(self) -> float | None:
        """Second minus first."""
        return None if self.first is None or self.second is None else self.second - self.first


def parts(first: RunFacts, second: RunFacts) -> list[Part]:
    """Every part of what two runs are made with."""
    sections: list[tuple[str, Mapping[str, Any], Mapping[str, Any]]] = [
        ("What was asked for", first.conf, second.conf),
        ("Settings", first.config, second.config),
        ("Data", _data(first), _data(second)),
        ("Code", first.code, second.code),
        ("Seeds", first.seeds, second.seeds),
        ("Versions", first.versions, second.versions),
        ("Machine", first.machine, second.machine),
    ]
    return [_part(title, _texts(one), _texts(other)) for title, one, other in sections]


def figure_pairs(first: RunFacts, second: RunFacts) -> list[FigurePair]:
    """The figures of two runs, in the order of their names."""
    names = sorted({*first.figures, *second.figures})
    return [_pair(name, first.figures.get(name), second.figures.get(name)) for name in names]


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: _text(value) for name, value in flat(values).items()}


def _part(title: str, first: Mapping[str, str], second: Mapping[str, str]) -> Part:
    names = sorted({*first, *second})
    differing = [name for name in names if first.get(name) != second.get(name)]
    shown = tuple(
        Difference(name, first.get(name, _ABSENT), second.get(name, _ABSENT)) for name in differing[:MAX_ROWS]
    )
    is_known = bool(first) and bool(second)
    return Part(title, shown, len(names) - len(differing), len(differing) - len(shown), is_known)


def _data(facts: RunFacts) -> dict[str, Any]:
    return {**({"folder": facts.data_dir} if facts.data_dir else {}), **facts.data}


def _pair(name: str, first: float | None, second: float | None) -> FigurePair:
    outcome, is_lower = "", is_lower_better(name)
    if first is not None and second is not None and is_lower is not None:
        outcome = "equal" if first == second else "better" if (second < first) == is_lower else "worse"
    return FigurePair(name, first, second, outcome)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "(none)"
    return "(empty)" if value in ("", None, {}) else str(value)
