"""The command `example-viewer`: serves collections of examples on this machine until it is interrupted."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastnode_ops.viewer.live import LiveCompleter
from ops_common.errors import OpsError, UsageError

if TYPE_CHECKING:
    from fastapi import FastAPI

DEFAULT_PORT = 5555

OpenLive = Callable[[Path, Path], LiveCompleter]


def viewer_command(open_live: OpenLive) -> Callable[..., None]:
    """Make the command.

    Args:
        open_live: Loads who answers on the live page, from the model's folder and the corpus'.
    """

    def example_viewer(
        collections: Annotated[
            list[Path],
            typer.Argument(metavar="COLLECTION...", help="A file or folder of examples; of several, any two compare."),
        ],
        port: Annotated[int, typer.Option(help="Port; 0: any free one.", min=0, max=65_535)] = DEFAULT_PORT,
        host: Annotated[str, typer.Option(help="Address to listen on; there is no password.")] = "127.0.0.1",
        model_dir: Annotated[str, typer.Option(help="Folder of a served model, for the live page.")] = "",
        corpus_dir: Annotated[str, typer.Option(help="Folder of its corpus.")] = "",
    ) -> None:
        """Show examples of completions in a browser, and compare two collections."""
        try:
            if bool(model_dir) != bool(corpus_dir):
                raise UsageError("--model-dir and --corpus-dir go together", "give both, or neither")
            from fastnode_ops.viewer.app import create_app

            live = open_live(Path(model_dir), Path(corpus_dir)) if model_dir else None
            serve(create_app(collections, live), host, port)
        except OpsError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(error.exit_code) from None

    return example_viewer


def serve(app: FastAPI, host: str, port: int) -> None:
    """Serve an application until SIGINT or SIGTERM; says where on standard error as soon as it listens.

    Raises:
        UsageError: The address cannot be listened on.
    """
    import uvicorn

    listening = _listen(host, port)
    address = f"[{host}]" if ":" in host else host
    typer.echo(f"Example viewer: http://{address}:{listening.getsockname()[1]}/ (Ctrl+C ends it)", err=True)
    with listening:
        uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen()
    except OSError as error:
        listening.close()
        raise UsageError(
            f"{host} port {port} cannot be listened on: {error.strerror}", "choose another with --port"
        ) from error
    return listening
