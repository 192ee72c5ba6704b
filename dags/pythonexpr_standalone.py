"""Train a completion model on one machine, validate it, check the release gate, publish it, pin it in a product."""

from __future__ import annotations

from typing import Any

from airflow.sdk import dag
from ops_platform import settings
from ops_platform.defaults import SHARED, TRAINING_POOL, nightly
from ops_platform.expression_requests import resolve_standalone
from ops_platform.expression_steps import release_steps, server_steps
from ops_platform.op_task import op_task
from ops_platform.requests import form_fields

from fastnode_ops.requests import StandaloneRequest
from fastnode_ops.tasks import build_corpus, build_metainfo, train_model

DOC = """
### Train a completion model

Collects code into a corpus (once), starts a graph data server for this run, builds the distributions and indexes,
trains, compresses, validates attributes and calls on held-out files, compares with the pinned model, waits for a
person's approval if that was asked for, uploads everything with a manifest, pins the model in the product's checkout
and rebuilds its datadeps. The server is stopped in any case. It starts every night, with the form (**Trigger**), or
with:

    airflow dags trigger pythonexpr_standalone --conf '{"steps": 2000, "config_file": "config/fastnode/smoke.toml"}'

A killed training continues from its last checkpoint when the task is tried again. A model that does not pass the gate
is not uploaded; its report stays in the run folder. **pythonexpr_continue** trains a finished run further.
"""


@dag(
    schedule=nightly(settings.load().nightly_cron),
    params=form_fields(StandaloneRequest),
    tags=["fastnode", "train"],
    description="Python code to a validated, published and pinned completion model",
    doc_md=DOC,
    **SHARED,
)
def pythonexpr_standalone() -> None:
    """resolve_request -> build_corpus -> server up -> build_metainfo -> train_model -> server down, and the release."""
    request: Any = resolve_standalone()  # its fields are XComs
    collected = op_task(
        build_corpus,
        run_dir=request["run_dir"],
        corpus_dir=request["corpus_dir"],
        sources=request["sources"],
        max_files=request["max_files"],
        num_workers=request["num_workers"],
    )
    started, stopped, url = server_steps(request, collected)
    described = op_task(
        build_metainfo,
        run_dir=request["run_dir"],
        work_dir=request["work_dir"],
        corpus_dir=request["corpus_dir"],
        packages_file=request["packages_file"],
        server=url,
    )
    trained = op_task(
        train_model,
        run_dir=request["run_dir"],
        work_dir=request["work_dir"],
        corpus_dir=request["corpus_dir"],
        server=url,
        config_file=request["config_file"],
        model_name=request["model_name"],
        steps=request["steps"],
        overrides=request["overrides"],
        pool=TRAINING_POOL,
    )
    started >> described >> trained >> stopped
    release_steps(request, trained)


pythonexpr_standalone()
