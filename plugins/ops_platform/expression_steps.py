"""The steps that both trainings of the completion model share: what comes before them, and what follows.

start_server >> build_metainfo, train >> stop_server        the server ends in any case
train >> [compress_model, convert_metainfo] >> [validate_attributes >> rebuild_curated_examples, validate_calls]
      >> check_release >> approve_release >> upload_model >> pin_model >> rebuild_datadeps
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import chain

from fastnode_ops.publish_tasks import check_release, pin_model, rebuild_datadeps, upload_model
from fastnode_ops.server_tasks import start_server, stop_server
from fastnode_ops.tasks import (
    compress_model,
    convert_metainfo,
    rebuild_curated_examples,
    validate_attributes,
    validate_calls,
)
from ops_platform.approval import ReleaseApproval
from ops_platform.defaults import FASTNODE_BUNDLE, TRAINING_POOL
from ops_platform.op_task import OpTask, op_task

SERVER_LIMIT = timedelta(minutes=10)
DATADEPS_LIMIT = timedelta(hours=2)

_BODY = """
Top-1 recall and the other figures of the release gate:

{% for name, value in (ti.xcom_pull(task_ids="check_release") or {}).items() %}
* {{ name }}: {{ value }}
{% endfor %}

It will be uploaded to `{{ ti.xcom_pull(task_ids="resolve_request")["destination"] }}`. The report is in
`{{ ti.xcom_pull(task_ids="resolve_request")["work_dir"] }}/out/reports`.
"""


def server_steps(request: Any, after: Any) -> tuple[OpTask, OpTask, Any]:
    """The graph data server of a run.

    Args:
        request: The plan, as XCom.
        after: The task to wait for.

    Returns:
        The task that starts it, the one that stops it whatever happens, and the server's URL, as XCom.
    """
    start = op_task(
        start_server,
        run_dir=request["run_dir"],
        work_dir=request["work_dir"],
        corpus_dir=request["corpus_dir"],
        num_workers=request["server_workers"],
        server=request["server"],
        execution_timeout=SERVER_LIMIT,
    )
    stop = op_task(
        stop_server, run_dir=request["run_dir"], work_dir=request["work_dir"], execution_timeout=SERVER_LIMIT
    )
    after >> start
    stop.as_teardown(setups=start)
    return start, stop, _result(start)["url"]


def release_steps(request: Any, trained: OpTask) -> None:
    """Everything from a trained model to a product that has it.

    Args:
        request: The plan, as XCom.
        trained: The task that trains the model.
    """
    run_dir, work_dir, corpus_dir = request["run_dir"], request["work_dir"], request["corpus_dir"]
    compressed = op_task(
        compress_model,
        run_dir=run_dir,
        work_dir=work_dir,
        config_file=request["config_file"],
        max_epochs=request["codebook_max_epochs"],
        pool=TRAINING_POOL,
    )
    converted = op_task(convert_metainfo, run_dir=run_dir, work_dir=work_dir)
    attributes, calls = (
        op_task(
            validate,
            run_dir=run_dir,
            work_dir=work_dir,
            corpus_dir=corpus_dir,
            model_name=request["model_name"],
            max_events=request["num_validate_samples"],
            rundb=request["rundb"],
            object_store=True,
        )
        for validate in (validate_attributes, validate_calls)
    )
    curated = op_task(rebuild_curated_examples, run_dir=run_dir, work_dir=work_dir, corpus_dir=corpus_dir)
    checked = op_task(
        check_release,
        run_dir=run_dir,
        work_dir=work_dir,
        checkout_dir=request["checkout_dir"],
        corpus_dir=corpus_dir,
        packages_file=request["packages_file"],
        max_recall_drop=request["max_recall_drop"],
        min_margin_over_popularity=request["min_margin_over_popularity"],
        min_situations=request["min_situations"],
        min_answered_share=request["min_answered_share"],
        object_store=True,
    )
    trained >> [compressed, converted]
    for validated in (attributes, calls):
        [compressed, converted] >> validated
    attributes >> curated
    [curated, calls] >> checked
    chain(checked, *_publish(request))


def _publish(request: Any) -> tuple[Any, ...]:
    """Approval, upload, pin, datadeps, in this order."""
    run_dir, checkout_dir = request["run_dir"], request["checkout_dir"]
    approved = ReleaseApproval(
        task_id="approve_release",
        subject="Release {{ ti.xcom_pull(task_ids='resolve_request')['model_name'] }}?",
        body=_BODY,
        is_required=request["require_approval"],
        hours=request["approval_hours"],
        retries=2,
    )
    uploaded = op_task(
        upload_model,
        run_dir=run_dir,
        work_dir=request["work_dir"],
        destination=request["destination"],
        model_name=request["model_name"],
        object_store=True,
        outlets=[FASTNODE_BUNDLE],
        asset_extra={"work_dir": request["work_dir"]},
    )
    pinned = op_task(
        pin_model,
        run_dir=run_dir,
        work_dir=request["work_dir"],
        checkout_dir=checkout_dir,
        packages_file=request["packages_file"],
        model_path=_result(uploaded)["serve_uri"],
        only_if=request["pin"],
        object_store=True,
    )
    packed = op_task(
        rebuild_datadeps,
        run_dir=run_dir,
        checkout_dir=checkout_dir,
        object_store=True,
        execution_timeout=DATADEPS_LIMIT,
    )
    return approved, uploaded, pinned, packed


def _result(task: OpTask) -> Any:
    return task.output  # an XCom, of which a key may be taken; the SDK's types do not say so
