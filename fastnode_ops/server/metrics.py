"""Durations and distributions in named sections (specification 5.7)."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from fastnode_ops.config import TASKS
from fastnode_ops.samples.maker import metric_of

RING = 500
PERCENTILES = (25, 50, 75, 95, 99)

SERVER = "/python/graph-data-server"
SAMPLES = "/python/graph-data-server infer-expr"
SESSIONS = "/python/graph-data-server sessions"
GRAPHS = "/lang/python/pythongraph"

DURATIONS: tuple[tuple[str, str], ...] = (
    (SERVER, "fetch hash"),
    (SERVER, "fetch source"),
    (SERVER, "get sample inputs"),
    (SAMPLES, "build infer-expr train sample"),
    (SESSIONS, "get batch for session"),
    (SESSIONS, "encode batch for session"),
    (SESSIONS, "transfer batch for session"),
    (GRAPHS, "Build context graph"),
    *((GRAPHS, metric_of(task)) for task in TASKS),
)
COUNTS: tuple[tuple[str, str], ...] = ((SAMPLES, "graphs per infer-expr sample"),)


class Stopwatch:
    """Durations in a worker process, until they are sent to the server."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[str, str], list[float]] = {}

    def add(self, section: str, name: str, seconds: float) -> None:
        """Record a duration."""
        self._seconds.setdefault((section, name), []).append(seconds)

    @contextmanager
    def timed(self, section: str, name: str) -> Iterator[None]:
        """Record how long the body takes."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add(section, name, time.perf_counter() - started)

    def take(self) -> dict[tuple[str, str], list[float]]:
        """Return what was recorded since the last time."""
        taken, self._seconds = self._seconds, {}
        return taken


class Metrics:
    """The last 500 values of each metric, from any thread. Every event is recorded; the reference records a quarter."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rings: dict[tuple[str, str], deque[float]] = {key: deque(maxlen=RING) for key in (*DURATIONS, *COUNTS)}
        self._totals = dict.fromkeys(self._rings, 0)

    def add(self, section: str, name: str, value: float) -> None:
        """Record a value: seconds, or a count."""
        key = (section, name)
        with self._lock:
            self._rings.setdefault(key, deque(maxlen=RING)).append(value)
            self._totals[key] = self._totals.get(key, 0) + 1

    @contextmanager
    def timed(self, section: str, name: str) -> Iterator[None]:
        """Record how long the body takes."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add(section, name, time.perf_counter() - started)

    def snapshot(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Return per section and metric the number of events and the percentiles of the last 500 (null when none)."""
        with self._lock:
            rings = {key: list(ring) for key, ring in self._rings.items()}
            totals = dict(self._totals)
        sections: dict[str, dict[str, dict[str, Any]]] = {}
        for (section, name), values in sorted(rings.items()):
            unit = "count" if (section, name) in COUNTS else "seconds"
            found = np.percentile(values, PERCENTILES).tolist() if values else [None] * len(PERCENTILES)
            percentiles = {str(percent): value for percent, value in zip(PERCENTILES, found)}
            sections.setdefault(section, {})[name] = {
                "unit": unit,
                "events": totals[section, name],
                "percentiles": percentiles,
            }
        return sections


def prometheus_text(sections: dict[str, dict[str, dict[str, Any]]], num_sessions: int) -> str:
    """What `snapshot` returned, in the text form of Prometheus: a summary for durations, and one for counts.

    Args:
        sections: The metrics by section and name.
        num_sessions: Sessions that are open.
    """
    lines = ["# TYPE fastnode_server_sessions gauge", f"fastnode_server_sessions {num_sessions}"]
    for unit, family in (("seconds", "fastnode_server_seconds"), ("count", "fastnode_server_values")):
        lines.append(f"# TYPE {family} summary")
        for section, metrics in sections.items():
            for name, metric in metrics.items():
                if metric["unit"] != unit:
                    continue
                labels = f'section="{_label(section)}",name="{_label(name)}"'
                for percent, value in metric["percentiles"].items():
                    if value is not None:
                        lines.append(f'{family}{{{labels},quantile="{int(percent) / 100:g}"}} {value:g}')
                lines.append(f"{family}_count{{{labels}}} {metric['events']}")
    return "\n".join(lines) + "\n"


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
