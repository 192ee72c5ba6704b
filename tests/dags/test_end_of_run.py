"""How the trainings end: with a report, whatever has become of them."""

from typing import Any

import pytest

pytestmark = pytest.mark.airflow

from ops_platform.end_of_run import failed_tasks  # noqa: E402


@pytest.mark.parametrize(
    "dag_id", ["gematria_train", "pythonexpr_standalone", "pythonexpr_continue", "pythonexpr_distributed"]
)
def test_every_training_ends_with_its_report_whatever_has_become_of_it(dags: dict[str, Any], dag_id: str) -> None:
    dag = dags[dag_id]
    report = dag.get_task("report")
    assert {task.task_id for task in dag.leaves} == {"report"}
    assert (report.is_teardown, report.on_failure_fail_dagrun) == (True, True)  # a run marked failed stays so
    assert report.trigger_rule == "all_done_setup_success"
    assert not any(dag.get_task(name).is_setup for name in report.upstream_task_ids)
    everything = report.get_flat_relative_ids(upstream=True)
    assert everything == {task.task_id for task in dag.tasks} - {"report"}


def test_a_dead_host_whose_share_others_have_taken_is_no_failure_of_the_run(dags: dict[str, Any]) -> None:
    dag = dags["pythonexpr_distributed"]
    states = {"deploy_to_host_0": "success", "deploy_to_host_1": "failed", "take_over_datagen": "success"}
    assert failed_tasks(states, dag) == []
    assert failed_tasks({**states, "take_over_datagen": "failed"}, dag) == ["deploy_to_host_1", "take_over_datagen"]
    assert failed_tasks({**states, "end_datagen": "failed"}, dag) == []  # nor can anybody stop it
    # who stops the server at the end does not mend what failed before
    assert failed_tasks({"train_model": "failed", "stop_server": "success"}, dag) == ["train_model"]
