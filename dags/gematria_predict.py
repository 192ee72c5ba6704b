"""Predict the blocks of a file with a released model, and upload the predictions."""

from __future__ import annotations

from typing import Any

from airflow.sdk import dag
from ops_platform.defaults import SHARED
from ops_platform.op_task import op_task, result_of
from ops_platform.requests import form_fields, resolve_prediction

from gematria_ops.prediction_requests import PredictRequest
from gematria_ops.prediction_tasks import predict_blocks, upload_predictions

DOC = """
### Predict basic blocks

Takes the released model of gematria_train, or the one that is named; predicts every block of a CSV or
TFRecord file; uploads the predictions, with a manifest, to the object store. Labels in the file are compared: the
result of **predict_blocks** has the error of each microarchitecture. **Trigger** with the form, or:

    airflow dags trigger gematria_predict --conf '{"input_file": "s3://inputs/blocks.csv"}'

Blocks that cannot be predicted keep their place in the output, and are counted by reason.
"""


@dag(
    schedule=None,
    params=form_fields(PredictRequest),
    tags=["gematria", "predict"],
    description="A file of blocks to uploaded predictions of a released model",
    doc_md=DOC,
    **SHARED,
)
def gematria_predict() -> None:
    """resolve_request -> predict_blocks -> upload_predictions."""
    request: Any = resolve_prediction()  # its fields are XComs
    predicted = op_task(
        predict_blocks,
        run_dir=request["run_dir"],
        bundle_dir=request["bundle_dir"],
        released_at=request["released_at"],
        csv_file=request["csv_file"],
        tfrecord_file=request["tfrecord_file"],
        throughput_scaling=request["throughput_scaling"],
        output_file=request["output_file"],
        num_workers=request["num_workers"],
        object_store=True,
    )
    predicted >> op_task(
        upload_predictions,
        run_dir=request["run_dir"],
        predictions=request["output_file"],
        model=result_of(predicted)["model"],
        destination=request["destination"],
        object_store=True,
    )


gematria_predict()
