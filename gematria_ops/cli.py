"""The commands of this library: every task function and every tool, under its name with dashes."""

from __future__ import annotations

import typer

from gematria_ops.tasks import TASKS
from gematria_ops.tools import TOOLS
from ops_common.cli import build_cli
from ops_common.cli_help import HelpTexts

ABOUT = "Throughput models of x86-64 basic blocks: from measurements to a released model, step by step."

_DEMO = ".ops/demo"

TEXTS = HelpTexts(
    groups={
        "Data": (
            "import_bhive",
            "build_vocabulary",
            "describe_dataset",
            "check_dataset",
            "merge_datasets",
            "diff_vocabularies",
            "check_annotated_blocks",
        ),
        "Training": ("train_model",),
        "Evaluation and release": (
            "evaluate_model",
            "compare_evaluations",
            "check_release",
            "upload_model",
            "release_model",
            "releases",
            "roll_back_model",
            "report",
        ),
        "Sweeps": ("sweep", "train_configuration", "choose_survivors", "report_sweep"),
        "Predictions": ("predict_blocks", "upload_predictions", "export_model"),
    },
    examples={
        "import_bhive": "--csv-files tests/data/bhive/sample_hsw.csv --source-names 'llvm-mca: hsw' "
        f"--dataset-dir {_DEMO}/hsw",
        "build_vocabulary": f"--dataset-dir {_DEMO}/hsw",
        "describe_dataset": f"--input-files {_DEMO}/hsw",
        "check_dataset": f"--input-files {_DEMO}/hsw",
        "merge_datasets": f"--input-files {_DEMO}/hsw --output-file {_DEMO}/all.tfrecord",
        "diff_vocabularies": f"--first {_DEMO}/hsw/tokens.txt --second {_DEMO}/all.tfrecord",
        "check_annotated_blocks": f"--json-files {_DEMO}/exegesis/0.json",
        "train_model": f"--dataset-dir {_DEMO}/hsw --run-dir {_DEMO}/run --config-file config/gematria/smoke.toml",
        "evaluate_model": f"--dataset-dir {_DEMO}/hsw --run-dir {_DEMO}/run",
        "compare_evaluations": f"--first {_DEMO}/run --second {_DEMO}/other --output-dir {_DEMO}/comparison",
        "check_release": f"--run-dir {_DEMO}/run --max-mape-percent 60",
        "upload_model": f"--run-dir {_DEMO}/run --destination s3://models/gematria/first",
        "predict_blocks": f"--bundle-dir {_DEMO}/run/bundle --hex 4829d38b44246c --hex '90 90'",
        "upload_predictions": f"--run-dir {_DEMO}/run --predictions {_DEMO}/predictions.csv "
        "--model s3://models/gematria/first --destination s3://models/predictions",
        "export_model": f"--bundle-dir {_DEMO}/run/bundle --output-dir {_DEMO}/export "
        f"--check-file {_DEMO}/hsw/validation.tfrecord",
    },
    first_steps=(
        (
            "two microarchitectures into one data set",
            "import-bhive --csv-files hsw.csv --source-names hsw --csv-files skl.csv --source-names skl "
            "--dataset-dir data/blocks",
        ),
        (
            "train; the same command goes on where it was interrupted",
            "train-model --dataset-dir data/blocks --run-dir runs/first --config-file config/gematria/ithemal.toml "
            "--overrides optimizer.learning_rate=0.002",
        ),
    ),
)


def app() -> typer.Typer:
    """All commands."""
    return build_cli("gematria-ops", (*TASKS, *TOOLS), about=ABOUT, texts=TEXTS)


def main() -> None:
    """Run the command named on the command line."""
    app()()
