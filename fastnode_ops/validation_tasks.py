"""The steps that say how good a model is; part of `tasks.py`.

validate_attributes       out/serve + held-out files -> figures, fallback list, examples    (validation/runs.py)
validate_calls            out/serve + held-out files -> figures                             (validation/runs.py)
rebuild_curated_examples  out/serve + known cases    -> out/curated-examples/attr.json      (validation/curated.py)
example_viewer            examples + model           -> a page, until it is interrupted     (viewer/app.py)
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fastnode_ops.pipeline_dir import PipelineDir
from ops_common.collecting import settle_collector

if TYPE_CHECKING:
    from fastnode_ops.statistics.resources import Resources
    from fastnode_ops.validation.runs import LoadedModel

Result = dict[str, str | int | float | bool]

CONFIG_DIR = Path(__file__).parents[1] / "config" / "fastnode"
CURATED = CONFIG_DIR / "curated-examples" / "attr.json"
HARDCODED_FALLBACK = CONFIG_DIR / "attr-fallback-hardcoded.txt"


def validate_attributes(
    *, work_dir: str, corpus_dir: str, model_name: str = "", max_events: int = 1000, rundb: str = ""
) -> Result:
    """Validate attribute completions on held-out files beside popularity and the alphabet.

    Args:
        work_dir: The pipeline's folder.
        corpus_dir: Folder of the corpus.
        model_name: Names the run record.
        max_events: Most places to ask about.
        rundb: Where the run record goes, a folder or s3://; empty: none is kept.
    """
    from fastnode_ops.validation import runs

    place = PipelineDir(Path(work_dir))
    model, resources = _open(place, corpus_dir, f"{model_name or 'model'}_validate_attribute")
    outputs = runs.AttributeOutputs(
        reports=place.reports,
        fallback_of_pipeline=place.fallback_of_pipeline,
        fallback_hardcoded=HARDCODED_FALLBACK,
        fallback=place.fallback,
        examples=place.uncurated_examples,
        rundb=rundb,
    )
    report = runs.validate_attributes(model, resources, outputs, max_events=max_events)
    files = {
        "report_json": str(place.reports / "attributes.json"),
        "report_html": str(place.reports / "attributes.html"),
    }
    return {**files, "examples_dir": str(place.uncurated_examples), **runs.main_figures(report)}


def validate_calls(
    *, work_dir: str, corpus_dir: str, model_name: str = "", max_events: int = 1000, rundb: str = ""
) -> Result:
    """Validate call completions on held-out files.

    Args:
        work_dir: The pipeline's folder.
        corpus_dir: Folder of the corpus.
        model_name: Names the run record.
        max_events: Most calls to ask about.
        rundb: Where the run record goes, a folder or s3://; empty: none is kept.
    """
    from fastnode_ops.validation import runs

    place = PipelineDir(Path(work_dir))
    model, resources = _open(place, corpus_dir, f"{model_name or 'model'}_validate_calls")
    report = runs.validate_calls(model, resources, place.reports, rundb=rundb, max_events=max_events)
    return {
        "report_json": str(place.reports / "calls.json"),
        "report_html": str(place.reports / "calls.html"),
        "num_situations": report.num_situations,
        "num_answered": report.num_answered,
    }


def rebuild_curated_examples(*, work_dir: str, corpus_dir: str) -> Result:
    """Ask the model about the curated examples, for the viewer.

    Args:
        work_dir: The pipeline's folder.
        corpus_dir: Folder of the corpus.
    """
    from fastnode_ops.validation import runs
    from fastnode_ops.validation.curated import rebuild

    place = PipelineDir(Path(work_dir))
    model, resources = _open(place, corpus_dir, "model")
    rebuilt = rebuild(CURATED, place.curated_examples, runs.providers_of(model.completer, resources))
    correct = {f"{name.replace('-', '_')}_correct": number for name, number in sorted(rebuilt.correct.items())}
    return {"examples": str(place.curated_examples), "num_examples": len(rebuilt.examples), **correct}


def _open(place: PipelineDir, corpus_dir: str, name: str) -> tuple[LoadedModel, Resources]:
    from fastnode_ops.inference.completer import Completer
    from fastnode_ops.statistics.resources import open_resources
    from fastnode_ops.validation.runs import LoadedModel

    resources = open_resources(Path(corpus_dir))
    loaded = LoadedModel(name, place.serve, Completer.load(place.serve, resources))
    settle_collector()
    return loaded, resources
