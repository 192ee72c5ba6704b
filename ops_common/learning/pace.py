"""How fast a training goes, and when something is due again."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cadence:
    """Every so many steps, and every so many seconds; 0 switches either off."""

    steps: int = 0
    seconds: float = 0.0


class Timer:
    """Says when a cadence is due."""

    def __init__(self, cadence: Cadence) -> None:
        self._cadence = cadence
        self._last = time.monotonic()

    def is_due(self, step: int) -> bool:
        """Answer for the current step; a yes begins a new interval."""
        now = time.monotonic()
        by_steps = self._cadence.steps > 0 and step % self._cadence.steps == 0
        by_seconds = 0 < self._cadence.seconds <= now - self._last
        if by_steps or by_seconds:
            self._last = now
        return by_steps or by_seconds


@dataclass(slots=True)
class FitSummary:
    """What a call of ``fit`` did.

    Attributes:
        first_step: Global step at which this call began.
        global_step: Global step at its end.
        num_samples: Samples of all steps of this call.
        final_loss: Loss of the last step; NaN when there was none to do.
        seconds_to_first_step: From the call until the first update was done.
        wall_seconds: From the call to its end, everything included.
        cpu_seconds: The same in processor time of this process, all threads.
        samples_per_second: By wall time; without the first step, which compiles, and without validation.
        samples_per_cpu_second: The same by processor time.
    """

    first_step: int
    global_step: int
    num_samples: int = 0
    final_loss: float = math.nan
    seconds_to_first_step: float = 0.0
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    samples_per_second: float = 0.0
    samples_per_cpu_second: float = 0.0

    @property
    def num_steps(self) -> int:
        """Steps that this call did."""
        return self.global_step - self.first_step


class Meter:
    """Counts steps and samples beside both clocks."""

    def __init__(self, first_step: int) -> None:
        self._summary = FitSummary(first_step, first_step)
        self._start = self._rate_start = _Clocks.now()
        self._rate_samples = 0

    @property
    def wall_seconds(self) -> float:
        """Seconds since the beginning."""
        return _Clocks.now().wall - self._start.wall

    def add(self, step: int, num_samples: int, loss: float) -> None:
        """Count an update."""
        summary = self._summary
        summary.global_step, summary.final_loss = step, loss
        summary.num_samples += num_samples
        if summary.num_steps > 1:
            self._rate_samples += num_samples
        else:
            self._rate_start = _Clocks.now()
            summary.seconds_to_first_step = self._rate_start.wall - self._start.wall

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave what happens inside out of the rates."""
        before = _Clocks.now()
        yield
        now = _Clocks.now()
        self._rate_start = _Clocks(
            self._rate_start.wall + now.wall - before.wall, self._rate_start.cpu + now.cpu - before.cpu
        )

    def rates(self) -> dict[str, float]:
        """Return what goes into the metrics file."""
        summary = self.summary()
        return {"samples_per_second": summary.samples_per_second, "seconds": summary.wall_seconds}

    def summary(self) -> FitSummary:
        """Return the figures up to now."""
        summary, now = self._summary, _Clocks.now()
        summary.wall_seconds, summary.cpu_seconds = now.wall - self._start.wall, now.cpu - self._start.cpu
        if self._rate_samples:
            summary.samples_per_second = self._rate_samples / max(now.wall - self._rate_start.wall, 1e-9)
            summary.samples_per_cpu_second = self._rate_samples / max(now.cpu - self._rate_start.cpu, 1e-9)
        return summary


@dataclass(frozen=True, slots=True)
class _Clocks:
    wall: float
    cpu: float

    @staticmethod
    def now() -> _Clocks:
        return _Clocks(time.monotonic(), time.process_time())
