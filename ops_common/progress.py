"""Progress of a long loop, with rate and time left: a bar on a terminal, now and then a plain line in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID


class Progress:
    """Says how far a loop is. Use as a context manager and call `advance` from the loop.

        with Progress("import", total=330_000, unit="blocks") as progress:
            for block in blocks:
                progress.advance()

    Args:
        what: What is going on, in a word or two.
        total: How many units there are; None when unknown.
        unit: What is counted, in the plural.
        stream: Where to report; standard error by default (standard output is for results).
        every_seconds: The shortest time between two plain lines; the bar follows its own clock.
        clock: Seconds since any fixed point.
    """

    def __init__(
        self,
        what: str,
        total: int | None,
        unit: str,
        *,
        stream: TextIO | None = None,
        every_seconds: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what, self._total, self._unit = what, total, unit
        self._stream = sys.stderr if stream is None else stream
        self._every_seconds, self._clock = every_seconds, clock
        self._num_done = 0
        self._note = ""
        self._started_at = self._reported_at = clock()
        self._rich: RichProgress | None = None
        self._rich_task: TaskID | None = None

    @property
    def num_done(self) -> int:
        """How many units were reported as done."""
        return self._num_done

    def __enter__(self) -> Self:
        self._started_at = self._reported_at = self._clock()
        if self._stream.isatty():
            self._open_bar()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._rich is not None:
            self._show_bar()
            self._rich.stop()
            return
        seconds = self._clock() - self._started_at
        if seconds >= self._every_seconds:
            end = "done" if kind is None else "stopped"
            self._print(f"{self._what}: {end}, {self._amount()} in {_duration(seconds)}, {self._rate_text(seconds)}")

    def advance(self, num_units: int = 1, note: str | None = None) -> None:
        """Reports that more units are done.

        Args:
            num_units: How many more.
            note: What else to show from now on, for example the loss.
        """
        self._num_done += num_units
        if note is not None:
            self._note = note
        now = self._clock()
        # The bar is redrawn ten times a second at most: the loop may call this a hundred thousand times a second.
        if now - self._reported_at >= (self._every_seconds if self._rich is None else 0.1):
            self._reported_at = now
            if self._rich is None:
                self._print(self._line(now - self._started_at))
            else:
                self._show_bar()

    def _line(self, seconds: float) -> str:
        parts = [f"{self._what}: {self._amount()}", self._rate_text(seconds)]
        if self._total is not None and self._num_done > 0:
            left = max(0, self._total - self._num_done) * seconds / self._num_done
            parts.append(f"{_duration(left)} left")
        if self._note:
            parts.append(self._note)
        return ", ".join(parts)

    def _amount(self) -> str:
        if self._total is None:
            return f"{self._num_done:,} {self._unit}"
        percent = 100 * self._num_done // self._total if self._total else 100
        return f"{self._num_done:,} of {self._total:,} {self._unit} ({percent} %)"

    def _rate_text(self, seconds: float) -> str:
        rate = self._num_done / seconds if seconds > 0 else 0.0
        return f"{rate:,.0f} {self._unit}/s" if rate >= 10 else f"{rate:.2f} {self._unit}/s"

    def _print(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()

    def _open_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._rich = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(f"{self._unit}  {{task.fields[rate]}}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(file=self._stream),
            auto_refresh=False,
        )
        self._rich.start()
        self._rich_task = self._rich.add_task(self._what, total=self._total, rate="", note="")

    def _show_bar(self) -> None:
        if self._rich is not None and self._rich_task is not None:
            rate = self._rate_text(self._clock() - self._started_at)
            self._rich.update(self._rich_task, completed=self._num_done, rate=rate, note=self._note, refresh=True)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = int(seconds) // 60
    return f"{minutes} min {int(seconds) % 60:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
