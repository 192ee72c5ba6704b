"""Search for good settings of the completion model: many trainings, the worse ones stopped early, one table."""

from __future__ import annotations

from typing import Any

from airflow.sdk import chain, dag
from ops_platform.defaults import SHARED
from ops_platform.expression_requests import resolve_expression_sweep
from ops_platform.expression_steps import corpus_step, metainfo_step, server_steps
from ops_platform.requests import form_fields
from ops_platform.run_folders import STANDALONE_DAG
from ops_platform.sweep_steps import report_steps, rung_steps

from fastnode_ops.sweep_request import ExpressionSweepRequest
from fastnode_ops.sweep_tasks import choose_survivors, report_sweep, train_configuration

DOC = """
### Search for good settings of the completion model

As **gematria_sweep** does it: every combination of the values in `space`, or some, train for a few steps; the best one
of `eta` goes on, to `eta` times as many; what decides is the loss on held-out batches. All of them draw their samples
from one graph data server. `train_conf` says from which corpus. **Trigger** with the form, or:

    airflow dags trigger pythonexpr_sweep --conf '{"space": {"train.learning_rate": [0.0001, 0.001]}, "search": "grid",
                                                   "training_steps": 9000, "min_steps": 1000}'

The table and the plot are the run's report `sweep.html`. With `release_best` the best settings are trained anew, to all
steps, by a run of **pythonexpr_standalone** that ends in its release gate.
"""


@dag(
    schedule=None,
    params=form_fields(ExpressionSweepRequest),
    tags=["fastnode", "train", "sweep"],
    description="A space of settings of the completion model to the best of them, by successive halving",
    doc_md=DOC,
    **SHARED,
)
def pythonexpr_sweep() -> None:
    """resolve_request -> corpus, server, metainfo -> rungs of trainings -> server down; report_sweep -> train_best."""
    request: Any = resolve_expression_sweep()  # its fields are XComs
    started, stopped, url = server_steps(request, corpus_step(request))
    described = metainfo_step(request, url)
    first, ended = rung_steps(request, train_configuration, choose_survivors, server=url)
    chain(started, described, first)
    ended >> [stopped, report_steps(request, report_sweep, STANDALONE_DAG)]


pythonexpr_sweep()
