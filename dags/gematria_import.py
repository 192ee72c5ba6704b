"""Import BHive measurements into a data set and collect its vocabulary; the training starts by itself afterwards."""

from __future__ import annotations

from typing import Any

from airflow.sdk import dag
from ops_platform.defaults import GEMATRIA_DATASET, SHARED
from ops_platform.op_task import op_task
from ops_platform.requests import form_fields, resolve_import

from gematria_ops.requests import ImportRequest
from gematria_ops.tasks import build_vocabulary, import_bhive

DOC = """
### Import BHive measurements

Reads CSV files of measured basic blocks (`<hex>,<cycles for 100 iterations>`), one file per microarchitecture, and
writes one data set: a record per block with every measurement of it, split by a hash of the block into training,
validation and test parts. The vocabulary comes from the training part. **Trigger** with the form, or:

    airflow dags trigger gematria_import --conf '{"csv_files": ["hsw.csv"], "source_names": ["bhive: hsw"]}'

When it has succeeded, **gematria_train** starts on the new data set, with the settings in `train_conf`.
"""


@dag(
    schedule=None,
    params=form_fields(ImportRequest),
    tags=["gematria", "import"],
    description="BHive CSV files to one data set, split and with a vocabulary",
    doc_md=DOC,
    **SHARED,
)
def gematria_import() -> None:
    """resolve_request -> import_bhive -> build_vocabulary."""
    request: Any = resolve_import()  # its fields are XComs
    imported = op_task(
        import_bhive,
        run_dir=request["run_dir"],
        csv_files=request["csv_files"],
        source_names=request["source_names"],
        dataset_dir=request["dataset_dir"],
        throughput_scaling=request["throughput_scaling"],
        validation_percent=request["validation_percent"],
        test_percent=request["test_percent"],
        max_rejected_share=request["max_rejected_share"],
        num_workers=request["num_workers"],
    )
    imported >> op_task(
        build_vocabulary,
        run_dir=request["run_dir"],
        dataset_dir=request["dataset_dir"],
        outlets=[GEMATRIA_DATASET],
        asset_extra={"dataset_dir": request["dataset_dir"], "train_conf": request["train_conf"]},
    )


gematria_import()
