"""The commands of this library: every task function and every tool, under its name with dashes."""

from __future__ import annotations

from gematria_ops.tasks import TASKS
from gematria_ops.tools import TOOLS
from ops_common.cli import build_cli

ABOUT = "Throughput models of x86-64 basic blocks: from measurements to a released model, step by step."

EXAMPLES = (
    (
        "two microarchitectures into one data set",
        'import-bhive --csv-files hsw.csv --source-names "bhive: hsw" --csv-files skl.csv --source-names "bhive: skl" '
        "--dataset-dir data/blocks",
    ),
    (
        "train; the same command goes on where it was interrupted",
        "train-model --dataset-dir data/blocks --run-dir runs/first --config-file config/gematria/ithemal.toml "
        "--overrides optimizer.learning_rate=0.002",
    ),
    ("the report", "evaluate-model --dataset-dir data/blocks --run-dir runs/first"),
    ("is the data sound?", "check-dataset --input-files data/blocks"),
)


def main() -> None:
    """Run the command named on the command line."""
    build_cli("gematria-ops", (*TASKS, *TOOLS), about=ABOUT, examples=EXAMPLES)()
