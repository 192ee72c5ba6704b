"""One function per step of the completion model's workflows.

Each function is at once an Airflow task, a command (``python -m fastnode_ops train-model ...``) and a step of the
Makefile. Arguments are keyword-only plain values; the answer is a flat dict of plain values. Heavy libraries are
imported inside the bodies, so that a DAG file may import this module.

The steps of a run, in order; those of the graph data server and of the release stand in files of their own:

    build_corpus              folders of code       -> corpus, symbols, statistics
    start_server              corpus                -> a server of this run             (server_tasks.py)
    build_metainfo            corpus                -> out/metainfo.json
    generate_samples          server + metainfo     -> files of training batches         (datagen_tasks.py)
    deploy_datagen            corpus + metainfo     -> the same, made by many hosts      (datagen_remote_tasks.py)
    plan_datagen, deploy_to_host, take_over_datagen, end_datagen: that as tasks of a run (datagen_run_tasks.py)
    sync                      hosts' sample files   -> a folder of them                 (sync_tasks.py)
    start_syncer, stop_syncer: that for the time of a run
    train_model               server + metainfo     -> out/saved_model, frozen graph
    account_samples           all of these          -> where every sample is             (accounting_tasks.py)
    stop_server                                                                         (server_tasks.py)
    compress_model            saved model           -> out/serve/expr_model.frozen.pb
    convert_metainfo          metainfo              -> out/serve/metainfo-inference.json
    validate_attributes       out/serve + corpus    -> figures, fallback list, examples (validation_tasks.py)
    validate_calls            out/serve + corpus    -> figures
    rebuild_curated_examples  out/serve             -> out/curated-examples/attr.json
    check_release             figures + released model -> pass, or an error             (release_tasks.py)
    upload_model              out/                  -> S3, read back                    (publish_tasks.py)
    release_model             uploaded model        -> the released one                 (release_tasks.py)
    pin_model                 uploaded model        -> the product's list of models     (publish_tasks.py)
    sweep, train_configuration, choose_survivors, report_sweep: a search for settings   (sweep_tasks.py)
    rebuild_datadeps          list of models        -> the product's bundle of files    (publish_tasks.py)
    report                    a run                 -> reports/run.html                 (report_tasks.py)
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastnode_ops.accounting_tasks import account_samples
from fastnode_ops.datagen_remote_tasks import clean_remote, datagen_status, deploy_datagen, stop_datagen
from fastnode_ops.datagen_run_tasks import deploy_to_host, end_datagen, plan_datagen, take_over_datagen
from fastnode_ops.datagen_tasks import generate_samples
from fastnode_ops.pipeline_dir import PipelineDir
from fastnode_ops.publish_tasks import pin_model, rebuild_datadeps, upload_model, verify_datadeps
from fastnode_ops.release_tasks import check_release, release_model, releases, roll_back_model
from fastnode_ops.report_tasks import report
from fastnode_ops.server_tasks import start_server, stop_server
from fastnode_ops.sweep_tasks import choose_survivors, report_sweep, sweep, train_configuration
from fastnode_ops.sync_tasks import start_syncer, stop_syncer, sync
from fastnode_ops.validation_tasks import rebuild_curated_examples, validate_attributes, validate_calls

if TYPE_CHECKING:
    from fastnode_ops.config import ExpressionConfig
    from fastnode_ops.traindata.scores import Scores
    from fastnode_ops.training.sources import SampleSource
    from fastnode_ops.training.train import TrainSummary

__all__ = [
    "TASKS",
    "account_samples",
    "build_corpus",
    "build_metainfo",
    "check_release",
    "choose_survivors",
    "clean_remote",
    "compress_model",
    "continue_training",
    "convert_metainfo",
    "datagen_status",
    "deploy_datagen",
    "deploy_to_host",
    "end_datagen",
    "generate_samples",
    "pin_model",
    "plan_datagen",
    "rebuild_curated_examples",
    "rebuild_datadeps",
    "release_model",
    "releases",
    "report",
    "report_sweep",
    "roll_back_model",
    "start_server",
    "start_syncer",
    "stop_datagen",
    "stop_server",
    "stop_syncer",
    "sweep",
    "sync",
    "take_over_datagen",
    "train_configuration",
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
    corpus_dir: str = "",
    server: str = "",
    data_dir: str = "",
    data_steps: int = 0,
    syncer: str = "",
    patience_seconds: float = 3600.0,
    config_file: str = "",
    model_name: str,
    steps: int,
    overrides: list[str] | None = None,
) -> Result:
    """Train a model; goes on from its last checkpoint when it was interrupted.

    Args:
        work_dir: The pipeline's folder.
        corpus_dir: Folder of the corpus; may be missing when there are sample files for training and validation.
        server: Base URL of the graph data server; empty: one of this command's own.
        data_dir: Folder of sample files to train from; empty: the graph data server makes the samples.
        data_steps: For how many steps there are sample files, from step 0 on; after these they are read again; 0:
            as many as steps.
        syncer: Base URL of the syncer that fills data_dir; empty: none does.
        patience_seconds: How long to wait for a sample file.
        config_file: Settings (TOML); empty: the defaults.
        model_name: Names the folder of the summaries.
        steps: Number of updates.
        overrides: Settings that replace those of the file, as section.key=value.
    """
    from fastnode_ops.training.pipeline import train_in

    config = _config(config_file, overrides)
    source = _source(work_dir, corpus_dir, server, data_dir, data_steps, syncer, patience_seconds)
    _describe(work_dir, corpus_dir, config)
    summary = train_in(PipelineDir(Path(work_dir)), source, config, steps=steps, model_name=model_name)
    return _trained(summary)


def continue_training(
    *,
    work_dir: str,
    corpus_dir: str = "",
    server: str = "",
    data_dir: str = "",
    data_steps: int = 0,
    syncer: str = "",
    patience_seconds: float = 3600.0,
    config_file: str = "",
    model_name: str,
    steps: int,
    overrides: list[str] | None = None,
) -> Result:
    """Train a finished model for more steps.

    Args:
        work_dir: The pipeline's folder, with a finished training.
        corpus_dir: Folder of the corpus; may be missing when there are sample files for training and validation.
        server: Base URL of the graph data server; empty: one of this command's own.
        data_dir: Folder of sample files to train from; empty: the graph data server makes the samples.
        data_steps: For how many steps there are sample files, from step 0 on; after these they are read again; 0:
            as in the training before.
        syncer: Base URL of the syncer that fills data_dir; empty: none does.
        patience_seconds: How long to wait for a sample file.
        config_file: Settings (TOML); empty: the defaults.
        model_name: Names the folder of the summaries.
        steps: Number of further updates.
        overrides: Settings that replace those of the file, as section.key=value.
    """
    from fastnode_ops.training.pipeline import continue_in

    config = _config(config_file, overrides)
    source = _source(work_dir, corpus_dir, server, data_dir, data_steps, syncer, patience_seconds)
    _describe(work_dir, corpus_dir, config)
    summary = continue_in(PipelineDir(Path(work_dir)), source, config, steps=steps, model_name=model_name)
    return _trained(summary)


def compress_model(
    *, work_dir: str, config_file: str = "", max_epochs: int = 0, overrides: list[str] | None = None
) -> Result:
    """Compress the tables of the model into codebooks, and freeze the result.

    Args:
        work_dir: The pipeline's folder.
        config_file: Settings (TOML); empty: the defaults.
        max_epochs: Most epochs for a codebook; 0: as in config_file.
        overrides: Settings that replace those of the file, as section.key=value.
    """
    from fastnode_ops.models.compress import compress
    from fastnode_ops.training.pipeline import read_held_out
    from ops_common.artifacts import write_json

    place = PipelineDir(Path(work_dir))
    report = compress(
        _config(config_file, overrides),
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


def _describe(work_dir: str, corpus_dir: str, config: ExpressionConfig) -> None:
    from ops_common.artifacts import MANIFEST_NAME
    from ops_common.config import plain_values
    from ops_common.run_record import describe

    # a machine that trains from sample files may be without the corpus
    corpus = Path(corpus_dir) if corpus_dir and (Path(corpus_dir) / MANIFEST_NAME).exists() else None
    seeds = {"train.seed": config.train.seed}
    describe(Path(work_dir), "fastnode_ops", config=plain_values(config), seeds=seeds, data_dir=corpus)


def _source(
    work_dir: str, corpus_dir: str, server: str, data_dir: str, data_steps: int, syncer: str, patience_seconds: float
) -> SampleSource:
    from fastnode_ops.training.sources import SampleFiles, ServedSamples
    from ops_common.errors import UsageError

    corpus = Path(corpus_dir) if corpus_dir else None
    if data_dir:
        record_path = PipelineDir(Path(work_dir)).samples_read
        return SampleFiles(Path(data_dir), data_steps, syncer, patience_seconds, corpus, server, record_path)
    if syncer or data_steps:
        raise UsageError("a syncer and data steps are of sample files", "say where these are, with --data-dir")
    if corpus is None:
        raise UsageError("there is nothing to take samples from", "give --corpus-dir, or --data-dir")
    return ServedSamples(corpus, server)


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
    generate_samples,
    deploy_datagen,
    datagen_status,
    stop_datagen,
    clean_remote,
    plan_datagen,
    deploy_to_host,
    take_over_datagen,
    end_datagen,
    sync,
    start_syncer,
    stop_syncer,
    train_model,
    continue_training,
    account_samples,
    stop_server,
    compress_model,
    convert_metainfo,
    validate_attributes,
    validate_calls,
    rebuild_curated_examples,
    check_release,
    upload_model,
    release_model,
    releases,
    roll_back_model,
    pin_model,
    rebuild_datadeps,
    verify_datadeps,
    sweep,
    train_configuration,
    choose_survivors,
    report_sweep,
    report,
]
"""The functions that are commands, in the order of the help."""
