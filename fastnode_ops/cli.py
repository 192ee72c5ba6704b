"""The commands of this library: every task function, under its name with dashes."""

from __future__ import annotations

from fastnode_ops.tasks import TASKS
from ops_common.cli import build_cli

ABOUT = "The model that completes Python expressions: from a corpus of code to a published model, step by step."


def main() -> None:
    """Run the command named on the command line."""
    build_cli("fastnode-ops", TASKS, about=ABOUT)()
