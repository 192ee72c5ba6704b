"""Search for good settings of a throughput model: many trainings, the worse ones stopped early, one table."""

from __future__ import annotations

from typing import Any

from airflow.sdk import dag
from ops_platform.defaults import SHARED
from ops_platform.requests import TRAIN_DAG, form_fields, resolve_sweep
from ops_platform.sweep_steps import report_steps, rung_steps

from gematria_ops.sweep_request import SweepRequest
from gematria_ops.sweep_tasks import choose_survivors, report_sweep, train_configuration

DOC = """
### Search for good settings

Takes every combination of the values in `space`, or draws some; trains each for a few steps; lets the best one of
`eta` go on from its checkpoint, to `eta` times as many steps; and so on to `training_steps`. Each training is a task
with its settings as its name. One that fails is counted, with the reason, and does not end the sweep. Every setting is
checked before anything trains. **Trigger** with the form, or:

    airflow dags trigger gematria_sweep --conf '{"space": {"optimizer.learning_rate": [0.001, 0.003, 0.01]},
                                                 "search": "grid", "training_steps": 9000, "min_steps": 1000}'

The table and the plot are the run's report `sweep.html`. With `release_best` the best settings are trained anew, to all
steps, by a run of **gematria_train** that ends in its release gate.
"""


@dag(
    schedule=None,
    params=form_fields(SweepRequest),
    tags=["gematria", "train", "sweep"],
    description="A space of settings to the best of them, by successive halving",
    doc_md=DOC,
    **SHARED,
)
def gematria_sweep() -> None:
    """resolve_request -> rungs of trainings -> report_sweep -> train_best."""
    request: Any = resolve_sweep()  # its fields are XComs
    _, ended = rung_steps(request, train_configuration, choose_survivors)
    ended >> report_steps(request, report_sweep, TRAIN_DAG)


gematria_sweep()
