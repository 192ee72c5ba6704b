"""The steps that the trainings of the completion model share: what comes before them, and what follows.

build_corpus >> start_server >> build_metainfo
start_server >> build_metainfo, train >> stop_server        the server ends in any case
train >> [compress_model, convert_metainfo] >> [validate_attributes >> rebuild_curated_examples, validate_calls]
      >> check_release >> approve_release >> upload_model >> release_model >> pin_model >> rebuild_datadeps
everything >> report        whatever has become of it
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import chain

from fastnode_ops.publish_tasks import pin_model, rebuild_datadeps, upload_model
from fastnode_ops.release_tasks import check_release, release_model
from fastnode_ops.server_tasks import start_server, stop_server
from fastnode_ops.tasks import (
    build_corpus,
    build_metainfo,
    compress_model,
    convert_metainfo,
    rebuild_curated_examples,
    report,
    train_model,
    validate_attributes,
    validate_calls,
)
from ops_platform.approval import ReleaseApproval
from ops_platform.defaults import FASTNODE_BUNDLE, TRAINING_POOL
from ops_platform.end_of_run import end_of_run
from ops_platform.op_task import Task, op_task, result_of

SERVER_LIMIT = timedelta(minutes=10)
DATADEPS_LIMIT = timedelta(hours=2)


def corpus_step(request: Any) -> Task:
    """The code to learn from.

    Args:
        request: The plan, as XCom.
    """
    return op_task(
        build_corpus,
        run_dir=request["run_dir"],
        corpus_dir=request["corpus_dir"],
        sources=request["sources"],
        max_files=request["max_files"],
        num_workers=request["num_workers"],
    )


def metainfo_step(request: Any, server: Any) -> Task:
    """Distributions and indexes of that code.

    Args:
        request: The plan, as XCom.
        server: The graph data server's URL, as XCom.
    """
    return op_task(
        build_metainfo,
        run_dir=request["run_dir"],
        work_dir=request["work_dir"],
        corpus_dir=request["corpus_dir"],
        packages_file=request["packages_file"],
        server=server,
    )


def train_step(request: Any, server: Any, **source: Any) -> Task:
    """The training of a new model.

    Args:
        request: The plan, as XCom.
        server: The graph data server's URL, as XCom.
        **source: Where the samples come from, when it is not the server: further arguments of `train_model`.
    """
    return op_task(
        train_model,
        run_dir=request["run_dir"],
        work_dir=request["work_dir"],
        corpus_dir=request["corpus_dir"],
        server=server,
        config_file=request["config_file"],
        model_name=request["model_name"],
        steps=request["steps"],
        overrides=request["overrides"],
        pool=TRAINING_POOL,
        pod=request["pod"],
        **source,
    )


def server_steps(request: Any, after: Any) -> tuple[Task, Task, Any]:
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
    return start, stop, result_of(start)["url"]


def release_steps(request: Any, trained: Task, stopped: Task) -> None:
    """Everything from a trained model to a product that has it.

    Args:
        request: The plan, as XCom.
        trained: The task that trains the model.
        stopped: The task that stops what the training needed.
    """
    run_dir, work_dir, corpus_dir = request["run_dir"], request["work_dir"], request["corpus_dir"]
    compressed = op_task(
        compress_model,
        run_dir=run_dir,
        work_dir=work_dir,
        config_file=request["config_file"],
        max_epochs=request["codebook_max_epochs"],
        overrides=request["overrides"],
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
        destination=request["destination"],
        checkout_dir=request["checkout_dir"],
        corpus_dir=corpus_dir,
        packages_file=request["packages_file"],
        max_recall_drop=request["max_recall_drop"],
        min_margin_over_popularity=request["min_margin_over_popularity"],
        min_situations=request["min_situations"],
        min_answered_share=request["min_answered_share"],
        confidence=request["confidence"],
        num_resamples=request["num_resamples"],
        seed=request["comparison_seed"],
        object_store=True,
    )
    trained >> [compressed, converted]
    for validated in (attributes, calls):
        [compressed, converted] >> validated
    attributes >> curated
    [curated, calls] >> checked
    published = _publish(request)
    chain(checked, *published)
    end_of_run(report, after=[stopped, curated, calls, published[-1]])


def _publish(request: Any) -> tuple[Any, ...]:
    """Approval, upload, release, pin, datadeps, in this order."""
    run_dir, checkout_dir = request["run_dir"], request["checkout_dir"]
    approved = ReleaseApproval.of_run(
        "{{ ti.xcom_pull(task_ids='resolve_request')['model_name'] }}", "attributes.html", request
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
    released = op_task(
        release_model,
        run_dir=run_dir,
        work_dir=request["work_dir"],
        destination=request["destination"],
        model_uri=result_of(uploaded)["model_uri"],
        only_if=request["release"],
        object_store=True,
    )
    pinned = op_task(
        pin_model,
        run_dir=run_dir,
        work_dir=request["work_dir"],
        checkout_dir=checkout_dir,
        packages_file=request["packages_file"],
        model_path=result_of(uploaded)["serve_uri"],
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
    return approved, uploaded, released, pinned, packed
