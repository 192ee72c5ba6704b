"""One function per step of the Gematria workflows.

Each function is at once an Airflow task, a command (``python -m gematria_ops train-model ...``) and the name of its
result file. Arguments are keyword-only plain values; the answer is a flat dict of plain values: URIs, paths and small
numbers, never data. Heavy libraries are imported inside the bodies, so that a DAG file may import this module.

The main path, in order:

    import_bhive      CSVs of several microarchitectures  -> one data set, split by hash   (data/merging.py)
    build_vocabulary  training part                       -> tokens.txt                    (blocks/vocabulary.py)
    train_model       data set + TOML file                -> checkpoints and a bundle      (training/train.py)
    evaluate_model    bundle + held-out part              -> evaluation.json and .html     (inference/evaluating.py)
    check_release     evaluation.json + thresholds        -> pass, or an error             (inference/release.py)
    upload_model      bundle + report                     -> S3, read back                 (publish.py)
"""

from __future__ import annotations

from pathlib import Path

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
    raise NotImplementedError


def build_vocabulary(*, dataset_dir: str) -> Result:
    """Collect the tokens of the training part into `tokens.txt` of the data set.

    Args:
        dataset_dir: Folder of a data set written by import-bhive.
    """
    raise NotImplementedError


def train_model(*, dataset_dir: str, run_dir: str, config_file: str, overrides: list[str] | None = None) -> Result:
    """Train a model on the training part of a data set; resumes from its last checkpoint.

    Args:
        dataset_dir: Folder of a data set with a vocabulary.
        run_dir: Folder of this run: checkpoints, metrics, bundle, reports.
        config_file: TOML file with the experiment's settings.
        overrides: Settings that replace those of the file, as section.key=value.
    """
    raise NotImplementedError


def evaluate_model(*, run_dir: str, dataset_dir: str, split: str = "validation") -> Result:
    """Evaluate the trained model on held-out blocks beside two baselines; write JSON, Markdown and HTML reports.

    Args:
        run_dir: Folder of the run whose bundle is evaluated.
        dataset_dir: Folder of the data set.
        split: Part of the data set to evaluate on: validation or test.
    """
    raise NotImplementedError


def check_release(*, run_dir: str, max_mape_percent: float, require_better_than_baselines: bool = True) -> Result:
    """Check the evaluation against the release thresholds; fail with the number that did not pass.

    Args:
        run_dir: Folder of an evaluated run.
        max_mape_percent: Highest mean absolute percentage error allowed for any task, in percent.
        require_better_than_baselines: Also require a lower error than every baseline, for every task.
    """
    raise NotImplementedError


def upload_model(*, run_dir: str, destination: str) -> Result:
    """Upload the bundle and its reports to S3, manifest last, and read everything back.

    Args:
        run_dir: Folder of a run that passed its release check.
        destination: Where models are published, e.g. s3://models/gematria.
    """
    raise NotImplementedError


def _as_path(value: str) -> Path:
    return Path(value).expanduser()


TASKS = (import_bhive, build_vocabulary, train_model, evaluate_model, check_release, upload_model)
