"""Train a completion model on one machine, validate it, check the release gate, publish it, pin it in a product."""

from __future__ import annotations

from typing import Any

from airflow.sdk import dag
from ops_platform.defaults import FASTNODE_CORPUS, SHARED, nightly_or_after
from ops_platform.expression_requests import resolve_standalone
from ops_platform.expression_steps import corpus_step, metainfo_step, release_steps, server_steps, train_step
from ops_platform.requests import form_fields

from fastnode_ops.requests import StandaloneRequest

DOC = """
### Train a completion model

Collects code into a corpus (once), starts a graph data server for this run, builds the distributions and indexes,
trains, compresses, validates attributes and calls on held-out files, compares with the pinned model, waits for a
person's approval if that was asked for, uploads everything with a manifest, pins the model in the product's checkout
and rebuilds its datadeps. The server is stopped in any case. It starts every night, when
**pythonexpr_import** has made a new corpus, with the form (**Trigger**), or with:

    airflow dags trigger pythonexpr_standalone --conf '{"steps": 2000, "config_file": "config/fastnode/smoke.toml"}'

A killed training continues from its last checkpoint when the task is tried again. A model that does not pass the gate
is not uploaded; its report stays in the run folder. **pythonexpr_continue** trains a finished run further.
"""


@dag(
    schedule=nightly_or_after(FASTNODE_CORPUS),
    params=form_fields(StandaloneRequest),
    tags=["fastnode", "train"],
    description="Python code to a validated, published and pinned completion model",
    doc_md=DOC,
    **SHARED,
)
def pythonexpr_standalone() -> None:
    """resolve_request -> build_corpus -> server up -> build_metainfo -> train_model -> server down, and the release."""
    request: Any = resolve_standalone(FASTNODE_CORPUS)  # its fields are XComs
    started, stopped, url = server_steps(request, corpus_step(request))
    described = metainfo_step(request, url)
    trained = train_step(request, url)
    started >> described >> trained >> stopped
    release_steps(request, trained, stopped)


pythonexpr_standalone()
