"""One function per step of the Gematria workflows.

Each function is at once an Airflow task, a command (``python -m gematria_ops train-model ...``) and the name of its
result file. Arguments are keyword-only plain values; the answer is a flat dict of plain values: URIs, paths and small
numbers, never data. Heavy libraries are imported inside the bodies, so that a DAG file may import this module.

The main path, in order:

    import_bhive      CSVs of several microarchitectures  -> one data set, split by hash   (data/merging.py)
    build_vocabulary  training part                       -> tokens.txt                    (blocks/vocabulary.py)
    train_model       data set + TOML file                -> checkpoints and a bundle      (training/train.py)
    evaluate_model    bundle + held-out part              -> evaluation.json and .html     (inference/evaluating.py)
    check_release     evaluation.json + released model    -> pass, or an error             (release_tasks.py)
    upload_model      bundle + report                     -> S3, read back                 (publish.py)
    release_model     what was uploaded                   -> the released model            (release_tasks.py)

With a model that is there, in `prediction_tasks.py`: predict_blocks, upload_predictions; in `release_tasks.py`:
releases, roll_back_model.

A search for good settings, in `sweep_tasks.py`: train_configuration, choose_survivors, report_sweep; sweep does all.

Beside it:

    export_model         a bundle                         -> GraphDef, SavedModel, TFLite  (inference/exporting.py)
    compare_evaluations  two evaluated runs               -> comparison.json and .html     (inference/comparing.py)
    report               a run, whatever became of it     -> run.html                      (report_tasks.py)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gematria_ops.dataset_settings import TOKENS_NAME, dataset_settings
from gematria_ops.prediction_tasks import predict_blocks, upload_predictions
from gematria_ops.release_tasks import check_release, release_model, releases, roll_back_model
from gematria_ops.report_tasks import report
from gematria_ops.sweep_tasks import choose_survivors, report_sweep, sweep, train_configuration
from ops_common.run_record import describe
from ops_common.rundir import RunDir

Result = dict[str, str | int | float | bool]


def import_bhive(
    *,
    csv_files: list[str],
    source_names: list[str],
    dataset_dir: str,
    throughput_scaling: float = 0.01,
    validation_percent: int = 10,
    test_percent: int = 10,
    max_rejected_share: float = 0.01,
    num_workers: int = 2,
) -> Result:
    """Import BHive CSV files, one per microarchitecture, into one data set with a record per block.

    Args:
        csv_files: BHive CSV files (`<hex>,<cycles for 100 iterations>`), plain or .gz.
        source_names: The throughput source of each file, in the same order, e.g. "bhive: hsw".
        dataset_dir: Folder of the data set to write.
        throughput_scaling: Multiplies every value; 0.01 turns cycles per 100 iterations into cycles per iteration.
        validation_percent: Share of the blocks held out for validation, in percent.
        test_percent: Share of the blocks held out for the final test, in percent.
        max_rejected_share: Fail when more than this share of the rows is unusable, 0 to 1.
        num_workers: Processes that decode and canonicalise.
    """
    from gematria_ops.data.merging import import_and_merge
    from gematria_ops.formats.bhive_csv import CsvLayout

    report = import_and_merge(
        [Path(name) for name in csv_files],
        source_names,
        Path(dataset_dir),
        layout=CsvLayout(throughput_scaling=throughput_scaling),
        validation_percent=validation_percent,
        test_percent=test_percent,
        max_rejected_share=max_rejected_share,
        num_workers=num_workers,
    )
    return {
        "dataset_dir": dataset_dir,
        "num_blocks": report.num_blocks,
        "num_train": report.num_train,
        "num_validation": report.num_validation,
        "num_test": report.num_test,
        "num_rejected": report.num_rejected,
        "dataset_sha256": report.dataset_sha256,
    }


def build_vocabulary(*, dataset_dir: str) -> Result:
    """Collect the tokens of the training part into `tokens.txt` of the data set.

    Args:
        dataset_dir: Folder of a data set written by import-bhive.
    """
    from gematria_ops.blocks.vocabulary import write_tokens_file
    from gematria_ops.data.dataset import collect_tokens, split_file
    from gematria_ops.data.splitting import TRAIN
    from ops_common.artifacts import MANIFEST_NAME, read_manifest, write_manifest

    folder = Path(dataset_dir)
    tokens = collect_tokens(split_file(folder, TRAIN))
    write_tokens_file(folder / TOKENS_NAME, tokens)
    # The vocabulary is part of the data set from now on; the manifest that lists it is written last, as always.
    manifest = read_manifest(folder / MANIFEST_NAME)
    files, extra = manifest.pop("files"), manifest
    write_manifest(folder, sorted({*files, TOKENS_NAME}), **extra)
    return {"tokens_file": str(folder / TOKENS_NAME), "num_tokens": len(tokens)}


def train_model(*, dataset_dir: str, run_dir: str, config_file: str, overrides: list[str] | None = None) -> Result:
    """Train a model on the training part of a data set; resumes from its last checkpoint.

    Args:
        dataset_dir: Folder of a data set with a vocabulary.
        run_dir: Folder of this run: checkpoints, metrics, bundle, reports.
        config_file: TOML file with the experiment's settings.
        overrides: Settings that replace those of the file, as section.key=value.
    """
    arguments = {"dataset_dir": dataset_dir, "config_file": config_file, "overrides": overrides or []}
    run = RunDir(Path(run_dir))

    def work() -> Result:
        from gematria_ops.config import RunnerConfig
        from gematria_ops.encode.loading import BlockLoader
        from ops_common.artifacts import write_text
        from ops_common.config import plain_values, to_toml

        derived = dataset_settings(Path(dataset_dir), run)
        config = RunnerConfig.from_toml(Path(config_file), [*derived, *(overrides or [])])
        write_text(run.path / "config.toml", to_toml(config))
        seeds = {"random_seed": config.random_seed}
        describe(run.path, "gematria_ops", config=plain_values(config), seeds=seeds, data_dir=Path(dataset_dir))

        with BlockLoader(config) as blocks:  # reads in a child process while TensorFlow loads
            from gematria_ops.training.train import train

            summary = train(config, metrics_path=run.metrics_path, bundle_dir=run.bundle_dir, blocks=blocks)
        return {
            "bundle_dir": str(run.bundle_dir),
            "global_step": summary.global_step,
            "num_training_blocks": summary.num_blocks,
            "blocks_per_second": round(summary.blocks_per_second, 1),
            "final_loss": summary.final_loss,
            "seconds_to_first_step": round(summary.seconds_to_first_step, 1),
            "wall_seconds": round(summary.wall_seconds, 1),
        }

    return _once(run, "train_model", arguments, work)


def evaluate_model(*, run_dir: str, dataset_dir: str, split: str = "validation", applications_file: str = "") -> Result:
    """Evaluate the trained model on held-out blocks beside two baselines; write JSON, Markdown and HTML reports.

    Args:
        run_dir: Folder of the run whose bundle is evaluated.
        dataset_dir: Folder of the data set.
        split: Part of the data set to evaluate on: validation or test.
        applications_file: CSV file of `<hex>,<application>` for errors by source application; empty: none.
    """
    arguments = {"dataset_dir": dataset_dir, "split": split}
    if applications_file:  # not when empty, so that a run evaluated before there was this argument stays finished
        arguments["applications_file"] = applications_file
    run = RunDir(Path(run_dir))

    def work() -> Result:
        from gematria_ops.inference.evaluating import evaluate_bundle

        done = evaluate_bundle(
            run.bundle_dir,
            Path(dataset_dir),
            split,
            run.reports_dir,
            run.metrics_path,
            applications_file=Path(applications_file) if applications_file else None,
        )
        figures = {
            f"{name}_mape_percent_{task.name}": round(summary.mape_percent, 3)
            for task in done.report.tasks
            for name, summary in [("model", task.model), *task.baselines.items()]
            if summary.mape_percent is not None
        }
        return {
            "report_json": str(done.files.json),
            "report_html": str(done.files.html),
            "num_blocks": done.report.dataset.num_blocks,
            **figures,
        }

    return _once(run, "evaluate_model", arguments, work)


def compare_evaluations(
    *, first: str, second: str, output_dir: str, seed: int = 0, num_resamples: int = 1000
) -> Result:
    """Compare two evaluated models on the same held-out blocks; write JSON, Markdown and HTML.

    Args:
        first: The model that is there: a run folder, or a file evaluation_predictions.npz.
        second: The model that may replace it; every difference is second minus first.
        output_dir: Where the comparison goes.
        seed: Seed of the paired bootstrap.
        num_resamples: Resamples of the bootstrap.
    """
    from gematria_ops.inference import comparing

    report, files = comparing.compare_evaluations(
        Path(first), Path(second), Path(output_dir), seed=seed, num_resamples=num_resamples
    )
    figures: dict[str, float] = {}
    for task in report.tasks:
        if task.difference is not None:
            figures[f"mape_points_{task.name}"] = round(task.difference.mape_points, 3)
            figures[f"better_share_{task.name}"] = round(task.difference.better_share, 4)
    return {
        "comparison_json": str(files.json),
        "comparison_html": str(files.html),
        "num_common_blocks": report.num_common,
        **figures,
    }


def upload_model(*, run_dir: str, destination: str) -> Result:
    """Upload the bundle and its reports to S3, manifest last, and read everything back.

    Args:
        run_dir: Folder of a run that passed its release check.
        destination: Where models are published, e.g. s3://models/gematria.
    """
    from gematria_ops.publish import upload_bundle
    from ops_common.artifacts import read_json

    run = RunDir(Path(run_dir))
    evaluated = read_json(run.results_dir / "evaluate_model.record.json")["result"]
    figures = {name: value for name, value in evaluated.items() if "mape_percent" in name}
    metadata = {"library": "gematria_ops", "run": run.path.name, "evaluation": figures}
    uploaded = upload_bundle(run.bundle_dir, run.reports_dir, destination, run.path.name, metadata, create_bucket=True)
    run.mark_done()
    return {
        "bundle_uri": uploaded.bundle_uri,
        "manifest_uri": uploaded.manifest_uri,
        "report_uri": uploaded.report_uri,
        "num_files": uploaded.num_files,
        "size_bytes": uploaded.size_bytes,
    }


def export_model(
    *,
    bundle_dir: str,
    output_dir: str,
    check_file: str,
    check_blocks: int = 100,
    formats: list[str] | None = None,
) -> Result:
    """Export a bundle for TensorFlow and TensorFlow Lite; every format is run and compared with the model first.

    Args:
        bundle_dir: Folder of the bundle.
        output_dir: Folder to make; one that holds an earlier export is replaced.
        check_file: TFRecord file with blocks to compare on, e.g. validation.tfrecord of the data set.
        check_blocks: Compare on the first blocks of that file, this many.
        formats: graph_def, saved_model, tflite, tflite_quantized; all of them by default.
    """
    from gematria_ops.inference.exporting import FORMATS, export_bundle

    done = export_bundle(
        Path(bundle_dir), Path(output_dir), Path(check_file), formats=formats or FORMATS, num_blocks=check_blocks
    )
    differences = {
        f"max_relative_difference_{name}": check.max_relative_difference for name, check in done.checks.items()
    }
    return {
        "output_dir": output_dir,
        "manifest": str(done.folder / "manifest.json"),
        "num_compared_blocks": next(iter(done.checks.values())).num_blocks,
        "num_skipped_blocks": sum(done.num_skipped.values()),
        **differences,
        **{f"size_bytes_{name}": size for name, size in done.size_bytes.items()},
    }


def _once(run: RunDir, task: str, arguments: Mapping[str, Any], work: Callable[[], Result]) -> Result:
    """Does a task's work, or returns what it returned when it finished in this run with the same arguments before."""
    with run.exclusive(task):
        finished = run.finished_result(task, arguments)
        if finished is not None:
            return finished
        result = work()
        run.save_result(task, arguments, result)
        return result


TASKS = (
    import_bhive,
    build_vocabulary,
    train_model,
    evaluate_model,
    check_release,
    upload_model,
    release_model,
    releases,
    roll_back_model,
    predict_blocks,
    upload_predictions,
    export_model,
    compare_evaluations,
    report,
    train_configuration,
    choose_survivors,
    report_sweep,
    sweep,
)
