"""Train a finished completion model for more steps, and release it like a new one."""

from __future__ import annotations

from typing import Any

from airflow.sdk import dag
from ops_platform import settings
from ops_platform.defaults import SHARED, TRAINING_POOL, nightly
from ops_platform.expression_requests import resolve_continuation
from ops_platform.expression_steps import release_steps, server_steps
from ops_platform.op_task import op_task
from ops_platform.requests import form_fields

from fastnode_ops.requests import ContinueRequest
from fastnode_ops.tasks import continue_training

DOC = """
### Continue the training of a completion model

Takes the newest finished run of **pythonexpr_standalone**, or the one that is named, and trains its model for `steps`
more, with the corpus and the settings that it was made with; its summaries go beside those of the run. Then it is
compressed, validated and released as a new one is. Start it with the form (**Trigger**), every night
(`OPS_CONTINUE_CRON`), or with:

    airflow dags trigger pythonexpr_continue --conf '{"steps": 5000}'
"""


@dag(
    schedule=nightly(settings.load().continue_cron),
    params=form_fields(ContinueRequest),
    tags=["fastnode", "train"],
    description="A finished completion model to a better one, validated, published and pinned",
    doc_md=DOC,
    **SHARED,
)
def pythonexpr_continue() -> None:
    """resolve_request -> server up -> continue_training -> server down; then the release."""
    request: Any = resolve_continuation()  # its fields are XComs
    started, stopped, url = server_steps(request, request)
    trained = op_task(
        continue_training,
        run_dir=request["run_dir"],
        work_dir=request["work_dir"],
        corpus_dir=request["corpus_dir"],
        server=url,
        config_file=request["config_file"],
        model_name=request["model_name"],
        steps=request["steps"],
        overrides=request["overrides"],
        pool=TRAINING_POOL,
        pod=request["pod"],
    )
    started >> trained >> stopped
    release_steps(request, trained, stopped)


pythonexpr_continue()
