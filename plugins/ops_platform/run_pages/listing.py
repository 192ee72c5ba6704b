"""The runs as rows of a list: what Airflow says joined with what the folders say, filtered, sorted, cut into pages."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ops_common.run_facts import RunFacts
from ops_platform.run_folders import safe_name
from ops_platform.run_pages.airflow_runs import FAMILY_DAGS, AirflowRun
from ops_platform.run_pages.run_index import IndexedRun

ROWS_PER_PAGE = 50
STATES = ("queued", "running", "success", "failed", "unknown")
DECISIONS = ("released", "passed", "refused", "not_approved", "rolled_back", "none")

_FAMILY_OF = {dag_id: family for family, dag_ids in FAMILY_DAGS.items() for dag_id in dag_ids}
_STATE_OF_FOLDER = {"done": "success", "failed": "failed", "open": "unknown"}
_NO_TIME = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Row:
    """One run.

    Attributes:
        dag_id: Its workflow.
        name: Name of its folder.
        run_id: Airflow's id; empty when Airflow does not know the run.
        family: gematria or pythonexpr.
        state: One of `STATES`; unknown: neither Airflow nor the folder says how it ended.
        run_type: How it was started, in Airflow's words; empty when Airflow does not know the run.
        started_at: When, None when nobody knows.
        ended_at: None while it goes on, or when nobody knows.
        facts: What its folder says; None without a folder.
    """

    dag_id: str
    name: str
    run_id: str
    family: str
    state: str
    run_type: str
    started_at: datetime | None
    ended_at: datetime | None
    facts: RunFacts | None

    @property
    def key(self) -> str:
        """Names the run in addresses: `<dag id>/<folder>`."""
        return f"{self.dag_id}/{self.name}"

    @property
    def title(self) -> str:
        """Airflow's id, or the folder's name: what a person knows the run by."""
        return self.run_id or (self.facts.run_id if self.facts else "") or self.name

    @property
    def decision(self) -> str:
        """What became of its model; empty when it has not come to the gate."""
        return self.facts.release.decision if self.facts and self.facts.release else ""

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it was refused, or failed."""
        if self.facts is None:
            return ()
        if self.facts.release and self.facts.release.reasons:
            return self.facts.release.reasons
        return (self.facts.failure,) if self.facts.failure and self.state == "failed" else ()

    @property
    def figures(self) -> Mapping[str, float]:
        """The figures of its model."""
        return self.facts.figures if self.facts else {}

    @property
    def seconds(self) -> float | None:
        """How long it took, or has taken so far."""
        if self.started_at is None:
            return None
        if self.ended_at is None and self.state != "running":
            return None
        return max(0.0, ((self.ended_at or datetime.now(UTC)) - self.started_at).total_seconds())


def join(indexed: Iterable[IndexedRun], airflow: Iterable[AirflowRun]) -> list[Row]:
    """One row for each run that has a folder, or that Airflow knows."""
    known = {(run.dag_id, safe_name(run.run_id)): run for run in airflow}
    folders = {run.key: run.facts for run in indexed}
    return [
        _row(dag_id, name, known.get((dag_id, name)), folders.get((dag_id, name)))
        for dag_id, name in known.keys() | folders.keys()
    ]


def _row(dag_id: str, name: str, run: AirflowRun | None, facts: RunFacts | None) -> Row:
    begun, ended = (parse_time(facts.begun_at), parse_time(facts.ended_at)) if facts else (None, None)
    state = run.state if run else _STATE_OF_FOLDER[facts.state] if facts else "unknown"
    return Row(
        dag_id=dag_id,
        name=name,
        run_id=run.run_id if run else "",
        family=_FAMILY_OF.get(dag_id, ""),
        state=state if state in STATES else "unknown",
        run_type=run.run_type if run else "",
        started_at=(run.started_at or run.run_after) if run else begun,
        ended_at=run.ended_at if run else ended,
        facts=facts,
    )


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person wants to see of the list; every field as the address has it."""

    family: str = ""
    state: str = ""
    decision: str = ""
    text: str = ""
    sort: str = "-started"
    page: int = 1


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of the list."""

    rows: Sequence[Row]
    figures: tuple[str, ...]
    page: int
    num_pages: int
    num_rows: int
    num_runs: int


def choose(rows: Sequence[Row], wanted: Wanted) -> Listing:
    """The rows that are wanted, in the wanted order; a page beyond the last gives the last one."""
    chosen = [row for row in rows if _is_wanted(row, wanted)]
    figures = key_figures(chosen)
    name = wanted.sort.removeprefix("-")
    value = _sort_value(name, figures)
    chosen.sort(key=lambda row: (row.started_at or _NO_TIME, row.key), reverse=True)
    with_value = [row for row in chosen if value(row) is not None]
    without = [row for row in chosen if value(row) is None]
    with_value.sort(key=value, reverse=wanted.sort.startswith("-"))
    ordered = with_value + without  # what has no figure stands last, whichever way the others are sorted
    num_pages = max(1, -(-len(ordered) // ROWS_PER_PAGE))
    page = min(max(1, wanted.page), num_pages)
    part = ordered[(page - 1) * ROWS_PER_PAGE : page * ROWS_PER_PAGE]
    return Listing(part, figures, page, num_pages, len(ordered), len(rows))


def _is_wanted(row: Row, wanted: Wanted) -> bool:
    text = wanted.text.casefold()
    return (
        (not wanted.family or row.family == wanted.family)
        and (not wanted.state or row.state == wanted.state)
        and (not wanted.decision or (row.decision or "none") == wanted.decision)
        and (not text or any(text in part.casefold() for part in (row.key, row.run_id, *row.reasons)))
    )


def _sort_value(name: str, figures: Sequence[str]) -> Callable[[Row], Any]:
    known: dict[str, Callable[[Row], Any]] = {
        "started": lambda row: row.started_at,
        "duration": lambda row: row.seconds,
        "run": lambda row: row.key,
        "state": lambda row: row.state,
        "decision": lambda row: row.decision or None,
    }
    if name in figures:
        return lambda row: row.figures.get(name)
    return known.get(name, known["started"])


_KEY_FIGURES = (
    r"(model_)?mape_percent_.+",
    r"ggnn_line_attr_top_[15]",
    r"(model_)?top_[15]",
    r".*mrr.*",
    r".*recall.*",
)
_MAX_KEY_FIGURES = 6


def key_figures(rows: Iterable[Row]) -> tuple[str, ...]:
    """Names of the figures that a list has columns for: the errors and recalls of its runs, few enough to read."""
    names = dict.fromkeys(name for row in rows for name in row.figures)
    ranked = [name for pattern in _KEY_FIGURES for name in sorted(names) if re.fullmatch(pattern, name)]
    return tuple(dict.fromkeys(ranked))[:_MAX_KEY_FIGURES]


def is_lower_better(figure: str) -> bool | None:
    """Whether a smaller value of a figure is the better one; None when that cannot be said."""
    if re.search(r"mape|loss|error|_mae|_mse", figure):
        return True
    return False if re.search(r"top_|recall|mrr|answered|kendall|spearman|pearson", figure) else None


def parse_time(text: str) -> datetime | None:
    """A time of a record; None when it is none."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def find_row(rows: Iterable[Row], dag_id: str, name: str) -> Row | None:
    """The row of a run, by the name of its folder or by Airflow's id."""
    return next((row for row in rows if name and row.dag_id == dag_id and name in (row.name, row.run_id)), None)


def folder_of(runs_root: Path, row: Row) -> Path:
    """The folder of a run."""
    return runs_root / row.dag_id / row.name
