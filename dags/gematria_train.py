"""Train a throughput model on a data set, evaluate it on held-out blocks, check the release gate, and publish it."""

from __future__ import annotations

from typing import Any

from airflow.sdk import dag
from ops_platform.defaults import GEMATRIA_BUNDLE, GEMATRIA_DATASET, SHARED, TRAINING_POOL, nightly_or_after
from ops_platform.op_task import op_task
from ops_platform.requests import form_fields, resolve_training

from gematria_ops.requests import TrainRequest
from gematria_ops.tasks import check_release, evaluate_model, train_model, upload_model

DOC = """
### Train a throughput model

Trains on the newest data set, or on the one that is named; evaluates on held-out blocks beside two baselines; compares
with the release thresholds; uploads the model to the object store and reads it back. It starts every night, when a new
data set has been imported, with the form (**Trigger**), or with:

    airflow dags trigger gematria_train --conf '{"training_steps": 20000, "max_mape_percent": 15}'

A killed training continues from its last checkpoint when the task is tried again. A model that does not pass the gate
is not uploaded; its report stays in the run folder.
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
    """resolve_request -> train_model -> evaluate_model -> check_release -> upload_model."""
    request: Any = resolve_training(GEMATRIA_DATASET)  # its fields are XComs
    run_dir = request["run_dir"]
    trained = op_task(
        train_model,
        run_dir=run_dir,
        dataset_dir=request["dataset_dir"],
        config_file=request["config_file"],
        overrides=request["overrides"],
        pool=TRAINING_POOL,
    )
    evaluated = op_task(
        evaluate_model, run_dir=run_dir, dataset_dir=request["dataset_dir"], split=request["split"], pool=TRAINING_POOL
    )
    checked = op_task(
        check_release,
        run_dir=run_dir,
        max_mape_percent=request["max_mape_percent"],
        require_better_than_baselines=request["require_better_than_baselines"],
    )
    uploaded = op_task(
        upload_model,
        run_dir=run_dir,
        destination=request["destination"],
        object_store=True,
        outlets=[GEMATRIA_BUNDLE],
        asset_extra={"run_dir": run_dir, "dataset_dir": request["dataset_dir"]},
    )
    trained >> evaluated >> checked >> uploaded


gematria_train()
