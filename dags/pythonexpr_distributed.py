"""Many hosts make samples, one machine trains from them; the rest is as in the standalone workflow."""

from __future__ import annotations

from typing import Any

from airflow.sdk import chain, dag
from ops_platform.defaults import SHARED
from ops_platform.distributed_steps import sample_steps
from ops_platform.expression_requests import resolve_distributed
from ops_platform.expression_steps import corpus_step, metainfo_step, release_steps, server_steps, train_step
from ops_platform.requests import form_fields

from fastnode_ops.distributed_request import DistributedRequest

DOC = """
### Train a completion model from samples that many hosts make

Collects code into a corpus (once) and builds distributions and indexes of it. Then the steps of the training are shared
out among the hosts: each is a task that copies bundle and corpus there over ssh and starts the generation. What hosts
were to make that fail is taken over by the others. A syncer brings finished files here; the training begins when the
first ones are verified, and goes on as they come. Validation and release are those of **pythonexpr_standalone**. At the
end, however it comes, hosts and syncer are stopped. Start it with the form (**Trigger**), or with:

    airflow dags trigger pythonexpr_distributed --conf '{"hosts": ["gen@host-a", "gen@host-b:2222"], "steps": 2000}'

Without hosts this machine makes the samples, and nothing has to be set up. With `"sample_tasks": 4` four tasks of this
workflow make them instead, in pods where the deployment runs them in pods.
"""


@dag(
    schedule=None,
    params=form_fields(DistributedRequest),
    tags=["fastnode", "train"],
    description="Python code to a published completion model, its samples made by many hosts",
    doc_md=DOC,
    **SHARED,
)
def pythonexpr_distributed() -> None:
    """resolve_request -> corpus, server, metainfo -> hosts, syncer, sensor -> train_model -> all down; the release."""
    request: Any = resolve_distributed()  # its fields are XComs
    started, stopped, url = server_steps(request, corpus_step(request))
    described = metainfo_step(request, url)
    samples = sample_steps(request, url, described)
    trained = train_step(
        request,
        url,
        data_dir=request["data_dir"],
        data_steps=request["data_steps"],
        syncer=samples.syncer,
        patience_seconds=request["patience_seconds"],
    )
    chain(started, described)
    chain(samples.arrived, trained, samples.stop_syncer, samples.end, stopped)
    release_steps(request, trained, stopped)


pythonexpr_distributed()
