"""One function per step of the completion model's workflows.

Each function is at once an Airflow task, a command (``python -m fastnode_ops train-model ...``) and a step of the
Makefile. Arguments are keyword-only plain values; the answer is a flat dict of plain values. Heavy libraries are
imported inside the bodies, so that a DAG file may import this module.

The steps of a run, in order; those of the graph data server and of the release stand in files of their own:

    build_corpus              folders of code       -> corpus, symbols, statistics
    start_server              corpus                -> a server of this run             (server_tasks.py)
    build_metainfo            corpus                -> out/metainfo.json
    train_model               server + metainfo     -> out/saved_model, frozen graph
    stop_server                                                                         (server_tasks.py)
    compress_model            saved model           -> out/serve/expr_model.frozen.pb
    convert_metainfo          metainfo              -> out/serve/metainfo-inference.json
    validate_attributes       out/serve + corpus    -> figures, fallback list, examples (validation_tasks.py)
    validate_calls            out/serve + corpus    -> figures
    rebuild_curated_examples  out/serve             -> out/curated-examples/attr.json
    check_release             figures + pinned model -> pass, or an error               (publish_tasks.py)
    upload_model              out/                  -> S3, read back                    (publish_tasks.py)
    pin_model                 uploaded model        -> the product's list of models     (publish_tasks.py)
    rebuild_datadeps          list of models        -> the product's bundle of files    (publish_tasks.py)
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastnode_ops.pipeline_dir import PipelineDir
from fastnode_ops.publish_tasks import check_release, pin_model, rebuild_datadeps, upload_model, verify_datadeps
from fastnode_ops.server_tasks import start_server, stop_server
from fastnode_ops.validation_tasks import rebuild_curated_examples, validate_attributes, validate_calls

if TYPE_CHECKING:
    from fastnode_ops.config import ExpressionConfig
    from fastnode_ops.traindata.scores import Scores
    from fastnode_ops.training.train import TrainSummary

__all__ = [
    "TASKS",
    "build_corpus",
    "build_metainfo",
    "check_release",
    "compress_model",
    "continue_training",
    "convert_metainfo",
    "pin_model",
    "rebuild_curated_examples",
    "rebuild_datadeps",
    "start_server",
    "stop_server",
    "train_model",
    "upload_model",
    "validate_attributes",
    "validate_calls",
    "verify_datadeps",
]

Result = dict[str, str | int | float | bool]


def build_corpus(*, corpus_dir: str, sources: list[str], max_files: int = 0, num_workers: int = 2) -> Result:
    """Collect the code to learn from, and everything that is looked up in it.

    Args:
        corpus_dir: Folder of the corpus to make; one that is finished and was made of the same is kept.
        sources: Folders and archives of Python code.
        max_files: Take at most this many files; 0: all.
        num_workers: Processes that read and analyse.
    """
    from fastnode_ops.statistics.corpus_building import build_corpus as build

    summary = build(Path(corpus_dir), sources, max_files, num_workers)
    return {
        "corpus_dir": corpus_dir,
        "corpus_digest": summary.digest,
        "num_files": summary.num_files,
        "num_symbols": summary.num_symbols,
        "num_functions": summary.num_functions,
        "num_dropped": summary.num_dropped,
        "is_kept": summary.is_kept,
    }


def build_metainfo(*, work_dir: str, corpus_dir: str, packages_file: str = "", server: str = "") -> Result:
    """Build the distributions of symbols to train on, and every index of the model.

    Args:
        work_dir: The pipeline's folder.
        corpus_dir: Folder of the corpus.
        packages_file: Packages to learn, one a line; empty: those of the corpus.
        server: Base URL of a graph data server to ask for counts; empty, or when none answers: the corpus is asked.
    """
    from fastnode_ops.statistics.resources import open_resources
    from fastnode_ops.traindata.building import build_metainfo as build
    from fastnode_ops.traindata.building import count_metainfo
    from fastnode_ops.traindata.packages import choose_packages

    resources = open_resources(Path(corpus_dir))
    packages = choose_packages(resources, Path(packages_file) if packages_file else None)
    dropped: Counter[str] = Counter()
    metainfo = build(resources, packages=packages, scores=_scores(server, Path(corpus_dir)), dropped=dropped)
    place = PipelineDir(Path(work_dir))
    metainfo.write(place.metainfo)
    return {
        "metainfo": str(place.metainfo),
        "digest": metainfo.digest,
        **asdict(count_metainfo(metainfo, packages)),
        **{f"num_dropped_{reason}": count for reason, count in sorted(dropped.items())},
    }


def train_model(
    *,
    work_dir: str,
    corpus_dir: str,
    server: str = "",
    config_file: str = "",
    model_name: str,
    steps: int,
    overrides: list[str] | None = None,
) -> Result:
    """Train a model; goes on from its last checkpoint when it was interrupted.

    Args:
        work_dir: The pipeline's folder.
        corpus_dir: Folder of the corpus.
        server: Base URL of the graph data server; empty: make the samples in this process.
        config_file: Settings (TOML); empty: the defaults.
        model_name: Names the folder of the summaries.
        steps: Number of updates.
        overrides: Settings that replace those of the file, as section.key=value.
    """
    from fastnode_ops.training.pipeline import train_in

    config = _config(config_file, overrides)
    summary = train_in(
        PipelineDir(Path(work_dir)), Path(corpus_dir), server, config, steps=steps, model_name=model_name
    )
    return _trained(summary)


def continue_training(
    *,
    work_dir: str,
    corpus_dir: str,
    server: str = "",
    config_file: str = "",
    model_name: str,
    steps: int,
    overrides: list[str] | None = None,
) -> Result:
    """Train a finished model for more steps.

    Args:
        work_dir: The pipeline's folder, with a finished training.
        corpus_dir: Folder of the corpus.
        server: Base URL of the graph data server; empty: make the samples in this process.
        config_file: Settings (TOML); empty: the defaults.
        model_name: Names the folder of the summaries.
        steps: Number of further updates.
        overrides: Settings that replace those of the file, as section.key=value.
    """
    from fastnode_ops.training.pipeline import continue_in

    config = _config(config_file, overrides)
    summary = continue_in(
        PipelineDir(Path(work_dir)), Path(corpus_dir), server, config, steps=steps, model_name=model_name
    )
    return _trained(summary)


def compress_model(*, work_dir: str, config_file: str = "", max_epochs: int = 0) -> Result:
    """Compress the tables of the model into codebooks, and freeze the result.

    Args:
        work_dir: The pipeline's folder.
        config_file: Settings (TOML); empty: the defaults.
        max_epochs: Most epochs for a codebook; 0: as in config_file.
    """
    from fastnode_ops.models.compress import compress
    from fastnode_ops.training.pipeline import read_held_out
    from ops_common.artifacts import write_json

    place = PipelineDir(Path(work_dir))
    report = compress(
        _config(config_file, None),
        place.saved_model,
        place.compressed_model,
        place.codebooks,
        max_epochs=max_epochs or None,
        batches=read_held_out(place),
    )
    write_json(place.reports / "compression.json", report.as_values())
    errors = {
        f"relative_error_{table.name.replace('/', '_')}": round(table.relative_error, 4) for table in report.tables
    }
    return {
        "frozen_model": str(place.compressed_model),
        "num_bytes": place.compressed_model.stat().st_size,
        **errors,
    }


def convert_metainfo(*, work_dir: str) -> Result:
    """Write the short form of the metainfo that completions are served with.

    Args:
        work_dir: The pipeline's folder.
    """
    from fastnode_ops.samples.serving_metainfo import convert

    place = PipelineDir(Path(work_dir))
    convert(place.metainfo, place.serving_metainfo)
    return {"serving_metainfo": str(place.serving_metainfo)}


def _config(config_file: str, overrides: list[str] | None) -> ExpressionConfig:
    from fastnode_ops.config import ExpressionConfig
    from ops_common.config import load_config

    return load_config(ExpressionConfig, Path(config_file) if config_file else None, overrides or [])


def _trained(summary: TrainSummary) -> Result:
    finite = {
        name: round(value, 4)
        for name, value in (("final_loss", summary.final_loss), ("validation_loss", summary.validation_loss))
        if math.isfinite(value)
    }
    return {
        "global_step": summary.global_step,
        "num_samples": summary.num_samples,
        "steps_per_second": round(summary.steps_per_second, 3),
        "cpu_seconds_per_step": round(summary.cpu_seconds_per_step, 3),
        "wall_seconds": round(summary.wall_seconds, 1),
        **finite,
    }


def _scores(server: str, corpus_dir: Path) -> Scores | None:
    """Return who counts symbols: the server when one answers, None for the corpus itself."""
    from fastnode_ops.server.client import ServerClient
    from fastnode_ops.server.local import is_serving

    return ServerClient(server).scores if server and is_serving(server, corpus_dir) else None


TASKS: list[Callable[..., Mapping[str, Any]]] = [
    build_corpus,
    start_server,
    build_metainfo,
    train_model,
    continue_training,
    stop_server,
    compress_model,
    convert_metainfo,
    validate_attributes,
    validate_calls,
    rebuild_curated_examples,
    check_release,
    upload_model,
    pin_model,
    rebuild_datadeps,
    verify_datadeps,
]
"""The functions that are commands, in the order of the help."""
