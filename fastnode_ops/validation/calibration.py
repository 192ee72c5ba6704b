"""Whether probabilities mean what they say: the expected calibration error, and the temperature that repairs it.

A list's confidence is the probability of its first completion. Answers are put into 10 bins of equal width by
confidence; the error is the mean over the answers of |share of right firsts - mean confidence| of their bin (Guo et
al., On Calibration of Modern Neural Networks, 2017). A temperature T turns probabilities p into p^(1/T), normalised;
the one with the largest likelihood of the right identifiers is reported.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

NUM_BINS = 10
MIN_ANSWERS_FOR_TEMPERATURE = 20
TEMPERATURES = np.geomspace(0.05, 20.0, 121)

Floats = npt.NDArray[np.float64]


class CalibrationBin(BaseModel):
    """The answers of one range of confidence."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    num_answers: int
    mean_confidence: float
    share_right: float


class Calibration(BaseModel):
    """How far probabilities are right.

    Args:
        num_answers: Lists that were judged.
        error: Expected calibration error, 0 to 1; None without answers.
        temperature: The best one over all answers that hold the right identifier; None when these are too few.
        error_with_temperature: The error with a temperature that was chosen on the other half of the files.
        bins: The bins that hold an answer, by confidence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    num_answers: int
    error: float | None
    temperature: float | None
    error_with_temperature: float | None
    bins: list[CalibrationBin]


@dataclass(frozen=True, slots=True)
class ScoredAnswer:
    """A list's probabilities and where the right identifier is in it.

    Args:
        file: What it is from: the halves that check a temperature are of different files.
        probabilities: float32 [C], C at least 1, best first.
        rank: Index of the right one, -1 when it is not in the list.
    """

    file: str
    probabilities: npt.NDArray[np.float32]
    rank: int


def calibrate(answers: Sequence[ScoredAnswer]) -> Calibration:
    """Measure answers, find their temperature, and check it by halves."""
    plain = [_first(one, 1.0) for one in answers]
    right = [one.rank == 0 for one in answers]
    temperature = best_temperature(answers)
    with_temperature = None
    if temperature is not None:
        halves = [[], []]  # type: list[list[ScoredAnswer]]
        for one in answers:
            halves[_half(one.file)].append(one)
        chosen = [best_temperature(halves[1]), best_temperature(halves[0])]
        if None not in chosen:
            scaled = [_first(one, chosen[_half(one.file)] or 1.0) for one in answers]
            with_temperature = calibration_error(scaled, right)
    return Calibration(
        num_answers=len(answers),
        error=calibration_error(plain, right),
        temperature=temperature,
        error_with_temperature=with_temperature,
        bins=calibration_bins(plain, right),
    )


def calibration_bins(confidences: Sequence[float], right: Sequence[bool]) -> list[CalibrationBin]:
    """Put answers into bins by confidence, 0 to 1; empty bins are left out."""
    values = np.array(confidences, np.float64)
    hits = np.array(right, np.float64)
    numbers = np.clip((values * NUM_BINS).astype(np.int64), 0, NUM_BINS - 1)
    return [
        CalibrationBin(
            num_answers=int(inside.sum()),
            mean_confidence=float(values[inside].mean()),
            share_right=float(hits[inside].mean()),
        )
        for number in range(NUM_BINS)
        if (inside := numbers == number).any()
    ]


def calibration_error(confidences: Sequence[float], right: Sequence[bool]) -> float | None:
    """Return the expected calibration error, 0 to 1; None without answers."""
    if not confidences:
        return None
    bins = calibration_bins(confidences, right)
    return sum(one.num_answers * abs(one.share_right - one.mean_confidence) for one in bins) / len(confidences)


def best_temperature(answers: Sequence[ScoredAnswer]) -> float | None:
    """Return the temperature of `TEMPERATURES` with the largest likelihood; None with too few lists that hold it."""
    found = [one for one in answers if one.rank >= 0]
    if len(found) < MIN_ANSWERS_FOR_TEMPERATURE:
        return None
    losses = np.zeros(len(TEMPERATURES))
    for one in found:
        scaled = _logarithms(one)[None, :] / TEMPERATURES[:, None]  # [T, C]
        highest = scaled.max(axis=1)
        losses += highest + np.log(np.exp(scaled - highest[:, None]).sum(axis=1)) - scaled[:, one.rank]
    return float(round(TEMPERATURES[int(losses.argmin())], 4))


def _first(answer: ScoredAnswer, temperature: float) -> float:
    """Return the probability of the first completion under a temperature."""
    if temperature == 1.0:
        return float(answer.probabilities[0])
    scaled = _logarithms(answer) / temperature
    weights = np.exp(scaled - scaled.max())
    return float(weights[0] / weights.sum())


def _logarithms(answer: ScoredAnswer) -> Floats:
    logarithms: Floats = np.log(np.maximum(answer.probabilities.astype(np.float64), 1e-12))
    return logarithms


def _half(file: str) -> int:
    return hashlib.sha256(file.encode()).digest()[0] & 1
