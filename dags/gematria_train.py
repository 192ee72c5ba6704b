"""Train a throughput model on a data set, evaluate it on held-out blocks, check the release gate, and publish it."""

from __future__ import annotations

from typing import Any

from airflow.sdk import chain, dag
from ops_platform.approval import ReleaseApproval
from ops_platform.defaults import GEMATRIA_BUNDLE, GEMATRIA_DATASET, SHARED, TRAINING_POOL, nightly_or_after
from ops_platform.end_of_run import end_of_run
from ops_platform.op_task import op_task, result_of
from ops_platform.requests import form_fields, resolve_training

from gematria_ops.requests import TrainRequest
from gematria_ops.tasks import check_release, evaluate_model, release_model, report, train_model, upload_model

DOC = """
### Train a throughput model

Trains on the newest data set, or on the one that is named; evaluates on held-out blocks beside two baselines; compares
with the release thresholds and with the model that is released now; waits for a person's approval if that was asked
for; uploads the model to the object store, reads it back, and makes it the released one. It starts every night, when a
new data set has been imported, with the form (**Trigger**), or with:

    airflow dags trigger gematria_train --conf '{"training_steps": 20000, "max_mape_percent": 15}'

A killed training continues from its last checkpoint when the task is tried again. A model that does not pass the gate
is not uploaded; it stays in its folder with its reports, and `release.json` says why. **release_rollback** goes back
to an earlier model. Every run ends with a report about all of it.
"""


@dag(
    schedule=nightly_or_after(GEMATRIA_DATASET),
    params=form_fields(TrainRequest),
    tags=["gematria", "train"],
    description="Data set to an evaluated, released and uploaded model",
    doc_md=DOC,
    **SHARED,
)
def gematria_train() -> None:
    """resolve_request -> train, evaluate -> check_release -> approve, upload_model, release_model -> report."""
    request: Any = resolve_training(GEMATRIA_DATASET)  # its fields are XComs
    run_dir = request["run_dir"]
    trained = op_task(
        train_model,
        run_dir=run_dir,
        dataset_dir=request["dataset_dir"],
        config_file=request["config_file"],
        overrides=request["overrides"],
        pool=TRAINING_POOL,
        pod=request["pod"],
    )
    evaluated = op_task(
        evaluate_model, run_dir=run_dir, dataset_dir=request["dataset_dir"], split=request["split"], pool=TRAINING_POOL
    )
    checked = op_task(
        check_release,
        run_dir=run_dir,
        max_mape_percent=request["max_mape_percent"],
        require_better_than_baselines=request["require_better_than_baselines"],
        destination=request["destination"],
        compare_with_released=request["compare_with_released"],
        dataset_dir=request["dataset_dir"],
        split=request["split"],
        max_mape_increase_points=request["max_mape_increase_points"],
        confidence=request["confidence"],
        num_resamples=request["num_resamples"],
        seed=request["comparison_seed"],
        object_store=True,
    )
    approved = ReleaseApproval.of_run("the throughput model", "evaluation.html", request)
    uploaded = op_task(
        upload_model,
        run_dir=run_dir,
        destination=request["destination"],
        object_store=True,
        outlets=[GEMATRIA_BUNDLE],
        asset_extra={"run_dir": run_dir, "dataset_dir": request["dataset_dir"]},
    )
    released = op_task(
        release_model,
        run_dir=run_dir,
        destination=request["destination"],
        model_uri=result_of(uploaded)["manifest_uri"],
        only_if=request["release"],
        object_store=True,
    )
    chain(trained, evaluated, checked, approved, uploaded, released)
    end_of_run(report, after=[released])


gematria_train()
