"""The call validation: which of the calls that the model offers is the one that was written (specification 14.6).

Figures are kept per number of arguments, and apart for calls whose values are all variables (concrete) and calls with a
placeholder. Repaired against the reference: the line break after the call stays, the choice of calls is seeded, and
mispredicted placeholders are counted where they are measured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict

from fastnode_ops.inference.completions import CallCompletion
from fastnode_ops.symbols.store import SymbolStore
from fastnode_ops.symbols.symbol import Parameter
from fastnode_ops.validation.attribute_report import Provenance
from fastnode_ops.validation.call_situations import CallArgument, CallSituation, by_parameter
from fastnode_ops.validation.failures import timed
from fastnode_ops.validation.ranking import Latency
from ops_common.progress import Progress

MAX_SECONDS = 30.0


class CallCompleter(Protocol):
    """The part of `inference.completer.Completer` that is needed here."""

    def calls(self, source: bytes, cursor: int) -> Sequence[CallCompletion]:
        """Complete the call at a cursor just after its left parenthesis, best first; raises Unsupported."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Average(_Record):
    """How many values there are, and their mean; None without any."""

    count: int
    avg: float | None


class CallFigures(_Record):
    """Figures of the calls with one number of arguments.

    Args:
        num_args: That number.
        num_concrete: Calls whose values are all variables.
        num_placeholder: The other calls.
        exact_concrete: Share of the concrete calls that are among those offered.
        position_concrete: Rank of those that are, from 0.
        exact_placeholder, position_placeholder: The same of calls with a placeholder.
        mispredicted_placeholder: Share of the calls with a placeholder for which the first offer of the same parameters
            has a placeholder where a variable was passed, or a variable where none was.
        mispredicted_position: Rank of those offers, from 0.
    """

    num_args: int
    num_concrete: int
    num_placeholder: int
    exact_concrete: Average
    position_concrete: Average
    exact_placeholder: Average
    position_placeholder: Average
    mispredicted_placeholder: Average
    mispredicted_position: Average

    def named(self) -> dict[str, float | int | None]:
        """Return the figures under the reference's names."""
        start = f"trim-src-num-args-{self.num_args}: "
        averages = {
            "exact match for concrete calls": self.exact_concrete,
            "match position for concrete calls": self.position_concrete,
            "exact match for placeholder calls": self.exact_placeholder,
            "match position for placeholder calls": self.position_placeholder,
            "mispredicted placeholder calls": self.mispredicted_placeholder,
            "mispredicted placeholder position": self.mispredicted_position,
        }
        named: dict[str, float | int | None] = {
            f"{start}num concrete calls": self.num_concrete,
            f"{start}num placeholder calls": self.num_placeholder,
        }
        for name, average in averages.items():
            named[f"{start}{name} count"] = average.count
            named[f"{start}{name} avg"] = average.avg
        return named


class CallReport(_Record):
    """The result of a call validation: `calls.json`.

    Args:
        model: Name of the model.
        split: Which files the calls are from.
        num_files: Files with at least one call.
        num_situations: Calls that were asked about.
        num_answered: Those for which the model offered something.
        dropped: What was left out, by reason.
        failures: Why the model offered nothing, by reason.
        latency: Time of the answers; None without any.
        by_num_args: Figures per number of arguments, over the calls that were answered.
        provenance: How it was made.
    """

    schema_version: Literal[1] = 1
    model: str
    split: str
    num_files: int
    num_situations: int
    num_answered: int
    dropped: dict[str, int]
    failures: dict[str, int]
    latency: Latency | None
    by_num_args: list[CallFigures]
    provenance: Provenance


@dataclass
class JudgedCalls:
    """What came of a call validation, while it runs and afterwards."""

    num_situations: int = 0
    files: set[str] = field(default_factory=set)
    failures: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    matches: list[CallMatch] = field(default_factory=list)

    @property
    def latency(self) -> Latency | None:
        """Time of the answers."""
        if not self.seconds:
            return None
        median, p95 = np.percentile(np.array(self.seconds) * 1_000, [50, 95])
        return Latency(median_ms=round(float(median), 3), p95_ms=round(float(p95), 3))

    def figures(self) -> list[CallFigures]:
        """Compute the figures per number of arguments."""
        groups: dict[int, list[CallMatch]] = {}
        for match in self.matches:
            groups.setdefault(match.num_args, []).append(match)
        return [_figures(number, some) for number, some in sorted(groups.items())]


@dataclass(frozen=True, slots=True)
class CallMatch:
    """Where a call stands among those offered.

    Args:
        num_args: How many arguments it has.
        is_concrete: Whether its values are all variables.
        position: Rank of the offer that equals it, from 0; -1 when none does.
        mispredicted: For a call with a placeholder, rank of the first offer of the same parameters when it has
            placeholders elsewhere; -1 otherwise.
    """

    num_args: int
    is_concrete: bool
    position: int
    mispredicted: int


def judge_calls(
    situations: Iterable[CallSituation],
    completer: CallCompleter,
    symbols: SymbolStore,
    *,
    max_situations: int,
    max_seconds: float = MAX_SECONDS,
) -> JudgedCalls:
    """Ask the model at each of the first situations, and judge what it offers."""
    judged = JudgedCalls()
    with Progress("validate calls", total=max_situations, unit="calls") as progress:
        for situation in situations:
            judged.num_situations += 1
            judged.files.add(situation.file_id)
            _judge(judged, situation, completer, symbols, max_seconds)
            progress.advance()
            if judged.num_situations == max_situations:
                break
    return judged


def _judge(
    judged: JudgedCalls, situation: CallSituation, completer: CallCompleter, symbols: SymbolStore, max_seconds: float
) -> None:
    asked = timed(lambda: completer.calls(situation.munged, situation.cursor), max_seconds)
    if asked.value is None or not asked.value:
        judged.failures[asked.reason or "no completion"] += 1
        return
    judged.seconds.append(asked.seconds)
    offers = [tuple(CallArgument(given.keyword, given.value) for given in one.arguments) for one in asked.value]
    judged.matches.append(match_call(situation.arguments, offers, symbols.parameters(situation.function)))


def match_call(
    written: tuple[CallArgument, ...],
    offers: Sequence[tuple[CallArgument, ...]],
    parameters: list[Parameter] | None,
) -> CallMatch:
    """Find a call among those offered, best first; offers with another number of arguments are passed over."""
    wanted = by_parameter(written, parameters)
    is_concrete = all(wanted.values())
    position, mispredicted, is_first = -1, -1, True
    for rank, offer in enumerate(offers):
        offered = by_parameter(offer, parameters)
        if len(offer) != len(written) or offered.keys() != wanted.keys():
            continue
        if offered == wanted:
            position = rank
            break
        placed = {name for name, value in wanted.items() if not value}
        if is_first and not is_concrete and placed != {name for name, value in offered.items() if not value}:
            mispredicted = rank
        is_first = False
    return CallMatch(len(written), is_concrete, position, mispredicted)


def _figures(num_args: int, matches: Sequence[CallMatch]) -> CallFigures:
    concrete = [one for one in matches if one.is_concrete]
    placeholder = [one for one in matches if not one.is_concrete]
    return CallFigures(
        num_args=num_args,
        num_concrete=len(concrete),
        num_placeholder=len(placeholder),
        exact_concrete=_average([float(one.position >= 0) for one in concrete]),
        position_concrete=_average([one.position for one in concrete if one.position >= 0]),
        exact_placeholder=_average([float(one.position >= 0) for one in placeholder]),
        position_placeholder=_average([one.position for one in placeholder if one.position >= 0]),
        mispredicted_placeholder=_average([float(one.mispredicted >= 0) for one in placeholder]),
        mispredicted_position=_average([one.mispredicted for one in placeholder if one.mispredicted >= 0]),
    )


def _average(values: Sequence[float]) -> Average:
    return Average(count=len(values), avg=sum(values) / len(values) if values else None)
