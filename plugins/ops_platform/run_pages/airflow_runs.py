"""What Airflow knows of the runs: their ids, states and times. The folders tell the rest."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

FAMILY_DAGS: dict[str, tuple[str, ...]] = {
    "gematria": ("gematria_train",),
    "pythonexpr": ("pythonexpr_standalone", "pythonexpr_continue", "pythonexpr_distributed"),
}
"""The workflows that train a model, by family."""

DAGS = tuple(dag_id for dag_ids in FAMILY_DAGS.values() for dag_id in dag_ids)


@dataclass(frozen=True, slots=True)
class AirflowRun:
    """A DAG run.

    Attributes:
        state: queued, running, success or failed.
        run_type: manual, scheduled, asset_triggered or backfill.
        started_at: None while it is queued.
        ended_at: None until it has ended.
        run_after: When it was due.
    """

    dag_id: str
    run_id: str
    state: str
    run_type: str
    started_at: datetime | None
    ended_at: datetime | None
    run_after: datetime


AskAirflow = Callable[[Collection[str]], list[AirflowRun]]
"""Gives the runs of some DAGs."""


def ask_airflow(dag_ids: Collection[str]) -> list[AirflowRun]:
    """The runs of some DAGs, from Airflow's database; for the web server only, tasks have no access to it."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import select

    columns = (
        DagRun.dag_id,
        DagRun.run_id,
        DagRun._state,
        DagRun.run_type,
        DagRun.start_date,
        DagRun.end_date,
        DagRun.run_after,
    )
    with create_session(scoped=False) as session:
        rows = session.execute(select(*columns).where(DagRun.dag_id.in_(list(dag_ids)))).all()
    return [AirflowRun(row[0], row[1], str(row[2] or ""), str(row[3]), *row[4:]) for row in rows]
