"""Waiting for a run with its progress in view: task states from Airflow, training progress from the run folder."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.status import Status

from ops_common.errors import ArtifactError, ServiceError
from ops_common.metrics import read_metrics
from ops_platform.embedded.airflow_api import FINAL_STATES, AirflowApi

POLL_SECONDS = 1.0
PLAIN_LINE_SECONDS = 15.0
_PATIENCE_SECONDS = 30.0  # with an API server that does not answer, while the work goes on
_COLORS = {"success": "green", "failed": "red", "upstream_failed": "red", "up_for_retry": "yellow", "running": "cyan"}

Say = Callable[[str], None]


class TrainingProgress:
    """Where a training is, from the metrics file that the trainer appends to.

    Args:
        metrics_path: The file; it need not exist yet.
        num_steps: The step at which the training ends; 0 when only time ends it.
        max_seconds: The time after which it ends; 0 when only steps end it.
    """

    def __init__(self, metrics_path: Path, num_steps: int, max_seconds: float) -> None:
        self._path, self._num_steps, self._max_seconds = metrics_path, num_steps, max_seconds

    def line(self) -> str:
        """Step, loss, speed and time left in a few words; empty before the first step."""
        try:
            records = [record for record in read_metrics(self._path) if "loss" in record]
        except (ArtifactError, OSError):
            return ""
        if not records:
            return ""
        last = records[-1]
        total = f" of {self._num_steps:,}" if self._num_steps > 0 else ""
        parts = [f"step {last['step']:,}{total}", f"loss {last['loss']:.4g}"]
        rate = last.get("samples_per_second", 0.0)
        if rate:
            parts.append(f"{rate:,.0f} blocks/s")
        left = self._seconds_left(records[0], last)
        if left is not None:
            parts.append(f"about {left:.0f} s left")
        return ", ".join(parts)

    def _seconds_left(self, first: dict[str, Any], last: dict[str, Any]) -> float | None:
        estimates = []
        elapsed = last.get("seconds", math.nan)
        steps, seconds = last["step"] - first["step"], elapsed - first.get("seconds", math.nan)
        if self._num_steps > 0 and steps > 0 and seconds > 0:
            estimates.append((self._num_steps - last["step"]) * seconds / steps)
        if self._max_seconds > 0 and math.isfinite(elapsed):
            estimates.append(self._max_seconds - elapsed)
        return max(0.0, min(estimates)) if estimates else None


def wait_for_run(
    api: AirflowApi, dag_id: str, run_id: str, say: Say, console: Console, progress: TrainingProgress | None = None
) -> str:
    """Wait until a run has ended; every change of a task's state is a line.

    Args:
        api: The running Airflow.
        dag_id: The DAG.
        run_id: Its run.
        say: Takes a line.
        console: On a terminal, its last line shows what is going on.
        progress: How the training is described; only of use for a run that trains.

    Returns:
        The final state: success or failed.

    Raises:
        ServiceError: Airflow has not answered for half a minute.
    """
    seen: dict[str, str] = {}
    answered_at = said_at = time.monotonic()
    with _status(console, dag_id) as status:
        while True:
            now = time.monotonic()
            try:
                state, tasks = api.run_state(dag_id, run_id), api.task_states(dag_id, run_id)
                answered_at = now
            except ServiceError:
                if now - answered_at > _PATIENCE_SECONDS:
                    raise
                time.sleep(POLL_SECONDS)
                continue
            _say_changes(dag_id, seen, tasks, say)
            seen = tasks
            text = _describe(dag_id, tasks, progress)
            if status is not None:
                status.update(text)
            elif text and now - said_at >= PLAIN_LINE_SECONDS:
                say(text)
                said_at = now
            if state in FINAL_STATES:
                return state
            time.sleep(POLL_SECONDS)


def _status(console: Console, dag_id: str) -> AbstractContextManager[Status | None]:
    return console.status(dag_id) if console.is_terminal else nullcontext()


def _say_changes(dag_id: str, seen: dict[str, str], tasks: dict[str, str], say: Say) -> None:
    for task, state in tasks.items():
        if state != seen.get(task) and state not in ("scheduled", "queued"):
            say(f"{dag_id:15} {task:17} [{_COLORS.get(state, 'default')}]{state}[/]")


def _describe(dag_id: str, tasks: dict[str, str], progress: TrainingProgress | None) -> str:
    running = [task for task, state in tasks.items() if state == "running"]
    if "train_model" in running and progress is not None:
        return f"{dag_id:15} train_model       {progress.line() or 'loads the data and compiles the first step'}"
    if running:
        return f"{dag_id:15} {', '.join(running)}"
    failed = [task for task, state in tasks.items() if state == "up_for_retry"]
    return f"{dag_id:15} {', '.join(failed)} will be tried again" if failed else f"{dag_id:15} waits for its turn"
