"""The last task of a training: marks the folder of the run as done or failed, and writes the report about all of it.

It runs whatever has become of the tasks before it: a teardown, in Airflow's words. So a refused or failed run has its
report too, and what looks at folders alone knows how it ended. As the one task that nothing follows, it fails when
another has failed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowSkipException

from ops_common.rundir import RunDir
from ops_platform import settings
from ops_platform.op_task import OpTask, Task, shared_fields
from ops_platform.run_folders import run_dir
from ops_platform.task_outcome import RunHasFailed

_NUMBER = re.compile(r"_\d+$")


class EndOfRun(OpTask):
    """Runs the command that writes a run's report. Made by `end_of_run`."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Mark the folder, then write the report; skipped for a run that has left nothing.

        Raises:
            RunHasFailed: A task before this one has failed. It must be told here: of a run that a person marked as
                failed, Airflow decides anew after its last task, and what would have followed counts as skipped.
        """
        dag_run, ti = context["dag_run"], context["ti"]
        states = ti.get_task_states(dag_id=dag_run.dag_id, run_ids=[dag_run.run_id])
        failed = failed_tasks(states.get(dag_run.run_id, {}), self.get_dag())
        run = RunDir(run_dir(settings.load().runs_root, dag_run.dag_id, dag_run.run_id))
        if not run.results_dir.is_dir():
            if failed:
                raise RunHasFailed(f"the run has failed: {', '.join(failed)}; it has left nothing to report on")
            raise AirflowSkipException("the run has left nothing to report on")
        if failed:
            run.mark_failed(f"{', '.join(failed)} failed")
        else:
            run.mark_done()
        self.run_dir, self.arguments = str(run.path), {"run_dir": str(run.path)}
        answer = self.run_command(context)
        if failed:
            raise RunHasFailed(f"the run has failed: {', '.join(failed)}; its report is written")
        return answer


def failed_tasks(states: Mapping[str, Any], dag: Any) -> list[str]:
    """Names of the tasks that failed themselves, not of those that never ran for it.

    A failure that the workflow provides for is none of the run: of a host that cannot be reached, when the task behind
    it has given its share to the others; of a teardown, as everywhere in Airflow.

    Args:
        states: Airflow's state of each task of a run; the name of a mapped one ends with its number.
        dag: The workflow.
    """
    ended_well = {name for name, state in states.items() if str(state) == "success"}

    def is_handled(name: str) -> bool:
        task = dag.task_dict.get(name) or dag.task_dict.get(_NUMBER.sub("", name))
        behind = task.downstream_list if task is not None else []
        return getattr(task, "is_teardown", False) or any(
            other.task_id in ended_well and not other.is_teardown for other in behind
        )

    return sorted(name for name, state in states.items() if str(state) == "failed" and not is_handled(name))


def end_of_run(report: Callable[..., Any], after: Sequence[Task]) -> EndOfRun:
    """The last task of a workflow.

    Args:
        report: The library's task function that writes the report.
        after: The tasks that nothing else of the workflow follows.
    """
    fields = shared_fields(report, settings.load())
    end = EndOfRun(arguments={"run_dir": ""}, run_dir="", multiple_outputs=True, **fields)  # both when it runs
    for task in after:
        task >> end
    end.as_teardown(on_failure_fail_dagrun=True)
    return end
