"""The commands of this library: every task function under its name with dashes, and the servers that people look at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastnode_ops.tasks import TASKS
from fastnode_ops.viewer.command import viewer_command
from ops_common.cli import build_cli
from ops_common.errors import OpsError

if TYPE_CHECKING:
    from fastnode_ops.viewer.live import LiveCompleter

ABOUT = "The model that completes Python expressions: from a corpus of code to a published model, step by step."


def main() -> None:
    """Run the command named on the command line."""
    app = build_cli("fastnode-ops", TASKS, about=ABOUT)
    app.command("example-viewer")(viewer_command(_open_live))
    app.command("graph-data-server")(graph_data_server)
    app()


def graph_data_server(
    corpus_dir: Annotated[Path, typer.Option(help="Folder of the corpus.")],
    port: Annotated[int, typer.Option(help="Port; 0: any free one.", min=0, max=65_535)] = 3039,
    host: Annotated[str, typer.Option(help="Address to listen on; there is no password.")] = "127.0.0.1",
    workers: Annotated[int, typer.Option(help="Processes that make samples; 0: one per core.", min=0)] = 0,
) -> None:
    """Serve training samples and counts of symbols until it is interrupted."""
    from fastnode_ops.server.running import run_server

    try:
        run_server(corpus_dir, host=host, port=port, num_workers=workers)
    except OpsError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from None


def _open_live(model_dir: Path, corpus_dir: Path) -> LiveCompleter:
    from fastnode_ops.inference.completer import Completer
    from fastnode_ops.statistics.resources import open_resources
    from fastnode_ops.validation.runs import providers_of
    from fastnode_ops.viewer.live import LiveCompleter

    resources = open_resources(corpus_dir)
    return LiveCompleter(providers_of(Completer.load(model_dir, resources), resources))
