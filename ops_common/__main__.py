"""`python -m ops_common`: what is done to the runs of both model families alike."""

from __future__ import annotations

from ops_common.clean_up import clean_up
from ops_common.cli import build_cli
from ops_common.cli_help import HelpTexts

TASKS = (clean_up,)

_EXAMPLES = (
    (
        "What would go, and why",
        "python -m ops_common clean-up --runs-root .ops/runs --data-root .ops/data --report-dir .ops/clean_up",
    ),
    (
        "Remove it, but nothing that the list names",
        "python -m ops_common clean-up --runs-root .ops/runs --data-root .ops/data --report-dir .ops/clean_up "
        "--no-dry-run --keep-file .ops/keep.txt --destinations s3://models/gematria",
    ),
)

app = build_cli(
    "ops_common", TASKS, about="Runs and data of both model families.", texts=HelpTexts(first_steps=_EXAMPLES)
)

if __name__ == "__main__":
    app()
