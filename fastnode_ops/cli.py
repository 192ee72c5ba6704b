"""The commands of this library: every task function under its name with dashes, and the servers that people look at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fastnode_ops.tasks import TASKS
from fastnode_ops.viewer.command import viewer_command
from ops_common.cli import build_cli

if TYPE_CHECKING:
    from fastnode_ops.viewer.live import LiveCompleter

ABOUT = "The model that completes Python expressions: from a corpus of code to a published model, step by step."


def main() -> None:
    """Run the command named on the command line."""
    app = build_cli("fastnode-ops", TASKS, about=ABOUT)
    app.command("example-viewer")(viewer_command(_open_live))
    app()


def _open_live(model_dir: Path, corpus_dir: Path) -> LiveCompleter:
    from fastnode_ops.inference.completer import Completer
    from fastnode_ops.statistics.resources import open_resources
    from fastnode_ops.validation.runs import providers_of
    from fastnode_ops.viewer.live import LiveCompleter

    resources = open_resources(corpus_dir)
    return LiveCompleter(providers_of(Completer.load(model_dir, resources), resources))
