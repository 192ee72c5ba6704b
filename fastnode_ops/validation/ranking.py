"""How high the right identifier stands in the lists: top-N recall, reciprocal rank, speed (specification 14.3).

All figures come with their denominator. *All*: every situation, a failed provider counts as not found; this is what
compares models. *Answered*: the situations in which this provider did not fail; its reference figure. *Common*: the
situations in which no provider failed; this is what compares providers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from fastnode_ops.validation.calibration import Calibration, ScoredAnswer, calibrate
from fastnode_ops.validation.providers import Answer, Asked

TOP = (1, 3, 5, 10)
NOT_FOUND = -1


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Recall(_Record):
    """How often the answer was among the first.

    Args:
        num_situations: The denominator.
        top_1, top_3, top_5, top_10: Situations in which the rank was below 1, 3, 5, 10.
        mean_reciprocal_rank: Mean of 1 / (1 + rank), 0 where it was not found; None without situations.
    """

    num_situations: int
    top_1: int
    top_3: int
    top_5: int
    top_10: int
    mean_reciprocal_rank: float | None

    def top(self, number: int) -> int:
        """Return the hits among the first 1, 3, 5 or 10."""
        hits: int = getattr(self, f"top_{number}")
        return hits

    def share(self, number: int) -> float | None:
        """Return the hits as a share of the situations; None without situations."""
        return self.top(number) / self.num_situations if self.num_situations else None


class Latency(_Record):
    """Time of the answers, in milliseconds; failed ones are not in it."""

    median_ms: float
    p95_ms: float


class ProviderFigures(_Record):
    """How one provider did over some situations.

    Args:
        all: Over every situation.
        answered: Over those in which it did not fail.
        common: Over those in which no provider failed.
        failures: How often it failed, by reason.
        top_1_interval: 95 % of the bootstrap over files, of the top-1 share of `all`; None without situations.
        latency: None when it answered nothing.
        calibration: How far its probabilities are right; None for a list that is not sorted by them.
    """

    all: Recall
    answered: Recall
    common: Recall
    failures: dict[str, int]
    top_1_interval: tuple[float, float] | None
    latency: Latency | None
    calibration: Calibration | None


class SymbolFigures(_Record):
    """How the providers did on one symbol."""

    symbol: str
    num_situations: int
    all: dict[str, Recall]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a provider made of a situation.

    Args:
        rank: Index of the expected identifier, -1 when it is not in the list or there is none.
        reason: Why there is no list; empty when there is one.
        seconds: How long it took.
        probabilities: float32 [C], of its completions in their order; empty without a list.
    """

    rank: int
    reason: str
    seconds: float
    probabilities: npt.NDArray[np.float32]

    @property
    def has_failed(self) -> bool:
        """Whether there is no list."""
        return bool(self.reason)


def outcome(asked: Asked, expected: str) -> Outcome:
    """Judge an answer."""
    if asked.answer is None:
        return Outcome(NOT_FOUND, asked.reason, asked.seconds, np.zeros(0, np.float32))
    scores = np.array([one.score for one in asked.answer.completions], np.float32)
    return Outcome(rank_of(asked.answer, expected), "", asked.seconds, scores)


def rank_of(answer: Answer, expected: str) -> int:
    """Return the index of an identifier in a list, -1 when it is not in it."""
    return next((i for i, one in enumerate(answer.completions) if one.identifier == expected), NOT_FOUND)


def recall(ranks: Sequence[int]) -> Recall:
    """Count hits over the ranks of some situations."""
    found = np.array([rank for rank in ranks if rank >= 0], np.int64)
    hits = {f"top_{number}": int((found < number).sum()) for number in TOP}
    mean = float((1.0 / (1 + found)).sum() / len(ranks)) if len(ranks) else None
    return Recall(num_situations=len(ranks), mean_reciprocal_rank=mean, **hits)


def provider_figures(
    outcomes: dict[str, list[Outcome]], files: Sequence[str], ranked: frozenset[str], seed: int = 0
) -> dict[str, ProviderFigures]:
    """Compute the figures of every provider.

    Args:
        outcomes: Per provider what it made of each situation, all in the same order.
        files: The file of each situation.
        ranked: The providers whose lists are sorted by their probabilities.
        seed: Of the bootstrap.
    """
    num = len(files)
    is_common = [not any(some[i].has_failed for some in outcomes.values()) for i in range(num)]
    figures = {}
    for name, some in outcomes.items():
        ranks = [one.rank for one in some]
        answered = [one for one in some if not one.has_failed]
        figures[name] = ProviderFigures(
            all=recall(ranks),
            answered=recall([one.rank for one in answered]),
            common=recall([rank for rank, common in zip(ranks, is_common, strict=True) if common]),
            failures=dict(sorted(Counter(one.reason for one in some if one.has_failed).items())),
            top_1_interval=bootstrap_mean([rank == 0 for rank in ranks], files, seed),
            latency=_latency(answered),
            calibration=calibrate(_scored(some, files)) if name in ranked else None,
        )
    return figures


def symbol_figures(outcomes: dict[str, list[Outcome]], symbols: Sequence[str]) -> list[SymbolFigures]:
    """Compute recall per symbol: those with most situations first, then by name."""
    places: dict[str, list[int]] = {}
    for index, symbol in enumerate(symbols):
        places.setdefault(symbol, []).append(index)
    rows = [
        SymbolFigures(
            symbol=symbol,
            num_situations=len(indices),
            all={name: recall([some[i].rank for i in indices]) for name, some in outcomes.items()},
        )
        for symbol, indices in places.items()
    ]
    return sorted(rows, key=lambda row: (-row.num_situations, row.symbol))


def bootstrap_mean(
    values: Sequence[float],
    files: Sequence[str],
    seed: int,
    num_resamples: int = 1_000,
    confidence: float = 0.95,
) -> tuple[float, float] | None:
    """Return the interval of a mean over resampled files; None without situations.

    Files are resampled whole, because the situations of one are alike.

    Args:
        values: One a situation: a hit as 0 or 1, or a difference of two models.
        files: The file of each situation.
        seed: Of the bootstrap.
        num_resamples: How often the files are drawn, with replacement.
        confidence: Share of the resampled means that the interval holds.
    """
    if not len(values):
        return None
    rows = {name: row for row, name in enumerate(dict.fromkeys(files))}
    owner = np.array([rows[name] for name in files])
    per_file = np.bincount(owner, weights=np.array(values, np.float64))
    sizes = np.bincount(owner)
    drawn = np.random.Generator(np.random.PCG64(seed)).integers(0, len(rows), (num_resamples, len(rows)))
    means = per_file[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(means, [tail, 100.0 - tail])
    return float(low), float(high)


def _latency(answered: Sequence[Outcome]) -> Latency | None:
    if not answered:
        return None
    median, p95 = np.percentile([1_000 * one.seconds for one in answered], [50, 95])
    return Latency(median_ms=round(float(median), 3), p95_ms=round(float(p95), 3))


def _scored(outcomes: Sequence[Outcome], files: Sequence[str]) -> list[ScoredAnswer]:
    return [
        ScoredAnswer(file, one.probabilities, one.rank)
        for one, file in zip(outcomes, files, strict=True)
        if not one.has_failed
    ]
