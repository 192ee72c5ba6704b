"""The steps of a sweep: rungs of mapped trainings, and who trains on after each.

rung_1 [train_configuration x n >> choose_survivors] >> rung_2 [...] >> ... >> report_sweep >> choose_best >> train_best

A rung that nobody enters is skipped, and so are those behind it: a sweep of fewer rungs has the same tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import XComArg, task, task_group
from airflow.sdk.exceptions import AirflowSkipException

from ops_common.sweep import MAX_RUNGS
from ops_platform.defaults import TRAINING_POOL
from ops_platform.item_task import each_of, item_tasks
from ops_platform.op_task import Task, op_task, result_of

BEST_RUN_ID = "sweep__{{ run_id }}"
"""Id of the run that trains a sweep's best configuration anew."""

TaskFunction = Callable[..., Any]


def rung_steps(request: Any, train: TaskFunction, choose: TaskFunction, **arguments: Any) -> tuple[Any, Task]:
    """All rungs, one after the other.

    Args:
        request: The plan, as XCom.
        train: Trains a configuration.
        choose: Chooses who trains on.
        **arguments: Further arguments of `train`.

    Returns:
        The first rung, and the task that ends the last one.
    """
    entrants: Any = request["configurations"]
    groups, chosen = [], list[Task]()
    for rung in range(MAX_RUNGS):

        @task_group(group_id=f"rung_{rung + 1}")
        def steps(rung: int, entrants: Any) -> None:
            trained = item_tasks(
                train,
                item="configuration",
                items=_items(entrants),
                run_dir=request["run_dir"],
                pool=TRAINING_POOL,
                rung=rung,
                **arguments,
            )
            # trainings that were killed do not end the sweep; a refused request does
            rule = "all_done_min_one_success"
            chosen.append(op_task(choose, run_dir=request["run_dir"], rung=rung, trigger_rule=rule))
            trained >> chosen[-1]

        groups.append(steps(rung, entrants))
        entrants = result_of(chosen[-1])["survivors"]
    return groups[0], chosen[-1]


def _items(entrants: Any) -> XComArg:
    items: XComArg = each_of(entrants)
    return items


def report_steps(request: Any, report: TaskFunction, train_dag: str) -> Task:
    """Table and plot, and the training of the best configuration, as a run of its own that ends in the release gate.

    Args:
        request: The plan, as XCom.
        report: Writes the report.
        train_dag: The workflow that trains and releases.

    Returns:
        The task that reports.
    """
    reported = op_task(report, run_dir=request["run_dir"], trigger_rule="none_failed")
    best: Any = choose_best(request["release_best"], request["train_conf"], result_of(reported)["best_overrides"])
    TriggerDagRunOperator(
        task_id="train_best",
        trigger_dag_id=train_dag,
        trigger_run_id=BEST_RUN_ID,
        conf=best,
        skip_when_already_exists=True,
    )
    return reported


@task
def choose_best(release_best: bool, train_conf: Mapping[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Say what the training of the best configuration is asked for; skipped unless that was wanted."""
    if not release_best:
        raise AirflowSkipException("release_best was not asked for")
    return {**train_conf, "overrides": [*train_conf["overrides"], *overrides]}
