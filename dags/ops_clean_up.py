"""Remove old runs, samples, checkpoints, data sets and leftovers, or say what would go."""

from __future__ import annotations

from typing import Any

from airflow.sdk import dag
from ops_platform import settings
from ops_platform.clean_up_request import resolve_clean_up
from ops_platform.defaults import SHARED, nightly
from ops_platform.op_task import op_task
from ops_platform.requests import form_fields

from ops_common.clean_up import CleanUpRequest, clean_up

DOC = """
### Clean up

Looks through the folders of runs and data sets, and removes what is old: runs, and earlier than them their checkpoints
and sample files, data sets that nothing uses, leftovers of processes that were killed. What stays at any age: runs that
go on, runs whose model was released, the newest, what any of these was made from, and what the keep list names
(`OPS_KEEP_FILE`). The form begins with a dry run; the report says what would go, and why the rest stays. Start it with
the form (**Trigger**), by time (`OPS_CLEAN_UP_CRON`, then it removes), or with:

    airflow dags trigger ops_clean_up --conf '{"dry_run": false, "run_days": 90}'
"""


@dag(
    schedule=nightly(settings.load().clean_up_cron),
    params=form_fields(CleanUpRequest),
    tags=["ops", "clean-up"],
    description="Old runs and data go; what is released or in use stays",
    doc_md=DOC,
    **SHARED,
)
def ops_clean_up() -> None:
    """resolve_request -> clean_up."""
    request: Any = resolve_clean_up()  # its fields are XComs
    op_task(
        clean_up,
        run_dir=request["run_dir"],
        runs_root=request["runs_root"],
        data_root=request["data_root"],
        report_dir=request["report_dir"],
        destinations=request["destinations"],
        keep_file=request["keep_file"],
        dry_run=request["dry_run"],
        run_days=request["run_days"],
        checkpoint_days=request["checkpoint_days"],
        sample_days=request["sample_days"],
        dataset_days=request["dataset_days"],
        release_days=request["release_days"],
        temporary_hours=request["temporary_hours"],
        open_days=request["open_days"],
        keep_newest=request["keep_newest"],
        object_store=True,
    )


ops_clean_up()
