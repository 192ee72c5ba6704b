"""Collect Python code into a corpus; the training of a completion model starts by itself afterwards."""

from __future__ import annotations

from typing import Any

from airflow.sdk import dag
from ops_platform.defaults import FASTNODE_CORPUS, SHARED
from ops_platform.expression_requests import resolve_corpus
from ops_platform.op_task import op_task
from ops_platform.requests import form_fields

from fastnode_ops.corpus_request import CorpusRequest
from fastnode_ops.tasks import build_corpus

DOC = """
### Collect Python code

Reads folders and archives of code, takes each file once, and writes a corpus: the files in their splits, the symbols of
their modules, and an index. **Trigger** with the form, or:

    airflow dags trigger pythonexpr_import --conf '{"sources": ["stdlib", "/srv/code"], "corpus": "autumn"}'

When it has succeeded, **pythonexpr_standalone** starts on the new corpus, with the settings in `train_conf`; the
trainings that are started by time take the corpus that was finished last.
"""


@dag(
    schedule=None,
    params=form_fields(CorpusRequest),
    tags=["fastnode", "import"],
    description="Folders and archives of Python code to one corpus, split and indexed",
    doc_md=DOC,
    **SHARED,
)
def pythonexpr_import() -> None:
    """resolve_request -> build_corpus."""
    request: Any = resolve_corpus()  # its fields are XComs
    op_task(
        build_corpus,
        run_dir=request["run_dir"],
        corpus_dir=request["corpus_dir"],
        sources=request["sources"],
        max_files=request["max_files"],
        num_workers=request["num_workers"],
        outlets=[FASTNODE_CORPUS],
        asset_extra={"training": request["training"], "train_conf": request["train_conf"]},
    )


pythonexpr_import()
