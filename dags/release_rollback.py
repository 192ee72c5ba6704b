"""Go back to an earlier model: the one before the released one, or any that was released."""

from __future__ import annotations

from typing import Any

from airflow.sdk import TaskGroup, dag
from ops_platform.approval import ReleaseApproval
from ops_platform.defaults import SHARED
from ops_platform.expression_steps import DATADEPS_LIMIT
from ops_platform.op_task import op_task
from ops_platform.requests import form_fields
from ops_platform.roll_back import RollBackRequest, resolve_roll_back

from fastnode_ops import tasks as completion
from gematria_ops import tasks as throughput

DOC = """
### Go back to an earlier model

Reads every file of the earlier model and compares it with its manifest, then makes it the released one of its
destination. A completion model is pinned in the product's checkout as well, and its datadeps are rebuilt. A model that
is damaged is not released: nothing changes then. Who did it and why stands in the history
(`python -m gematria_ops releases --destination ...`), and in `release.json` of the run that was rolled back. Start it
with the form (**Trigger**), or with:

    airflow dags trigger release_rollback --conf '{"family": "gematria", "why": "too slow on long blocks"}'
"""


@dag(
    schedule=None,
    params=form_fields(RollBackRequest),
    tags=["gematria", "fastnode", "release"],
    description="An earlier model becomes the released one again",
    doc_md=DOC,
    **SHARED,
)
def release_rollback() -> None:
    """resolve_request -> approve_rollback -> the family's roll_back_model; completion: -> rebuild_datadeps."""
    request: Any = resolve_roll_back()  # its fields are XComs
    run_dir = request["run_dir"]
    approved = ReleaseApproval(
        task_id="approve_rollback",
        subject="Roll back {{ ti.xcom_pull(task_ids='resolve_request')['destination'] }}?",
        body="To: {{ ti.xcom_pull(task_ids='resolve_request')['to'] }}. "
        "Why: {{ ti.xcom_pull(task_ids='resolve_request')['why'] }}",
        is_required=request["require_approval"],
        hours=request["approval_hours"],
        retries=2,
    )
    shared = {name: request[name] for name in ("destination", "to", "why", "by", "request", "runs_dirs")}
    with TaskGroup("gematria"):
        throughput_back = op_task(
            throughput.roll_back_model, run_dir=run_dir, only_if=request["is_gematria"], object_store=True, **shared
        )
    with TaskGroup("pythonexpr"):
        completion_back = op_task(
            completion.roll_back_model,
            run_dir=run_dir,
            checkout_dir=request["checkout_dir"],
            only_if=request["is_pythonexpr"],
            object_store=True,
            **shared,
        )
        packed = op_task(
            completion.rebuild_datadeps,
            run_dir=run_dir,
            checkout_dir=request["checkout_dir"],
            only_if=request["is_pinned"],
            object_store=True,
            execution_timeout=DATADEPS_LIMIT,
        )
    approved >> [throughput_back, completion_back]
    completion_back >> packed


release_rollback()
