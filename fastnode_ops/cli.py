"""The commands of this library: every task function under its name with dashes, and the servers that people look at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastnode_ops.tasks import TASKS
from fastnode_ops.viewer.command import viewer_command
from ops_common.cli import build_cli
from ops_common.cli_help import HelpTexts
from ops_common.collecting import settle_collector
from ops_common.errors import OpsError

if TYPE_CHECKING:
    from fastnode_ops.viewer.live import LiveCompleter

ABOUT = "The model that completes Python expressions: from a corpus of code to a published model, step by step."


_CORPUS = "--corpus-dir corpus/dry-run"
_HOSTS = "--hosts 'me@gen1 me@gen2' --remote-dir /data/datagen"

TEXTS = HelpTexts(
    groups={
        "Corpus and training data": ("build_corpus", "build_metainfo", "start_server", "stop_server"),
        "Training": ("train_model", "continue_training", "compress_model", "convert_metainfo"),
        "Validation and release": (
            "validate_attributes",
            "validate_calls",
            "rebuild_curated_examples",
            "check_release",
            "upload_model",
            "pin_model",
            "rebuild_datadeps",
            "verify_datadeps",
            "release_model",
            "releases",
            "roll_back_model",
            "report",
        ),
        "Sweeps": ("sweep", "train_configuration", "choose_survivors", "report_sweep"),
        "Samples made ahead": ("generate_samples", "sync", "start_syncer", "stop_syncer"),
        "Hosts that make samples": (
            "deploy_datagen",
            "datagen_status",
            "stop_datagen",
            "clean_remote",
            "plan_datagen",
            "deploy_to_host",
            "take_over_datagen",
            "end_datagen",
        ),
    },
    examples={
        "build_corpus": f"{_CORPUS} --sources stdlib --max-files 250",
        "build_metainfo": f"--work-dir . {_CORPUS}",
        "start_server": f"--work-dir . {_CORPUS}",
        "stop_server": "--work-dir .",
        "train_model": f"--work-dir . {_CORPUS} --model-name first --steps 10 --config-file config/fastnode/smoke.toml",
        "continue_training": f"--work-dir . {_CORPUS} --model-name first --steps 5 "
        "--config-file config/fastnode/smoke.toml",
        "compress_model": "--work-dir . --config-file config/fastnode/smoke.toml --max-epochs 10",
        "convert_metainfo": "--work-dir .",
        "validate_attributes": f"--work-dir . {_CORPUS} --max-events 50",
        "validate_calls": f"--work-dir . {_CORPUS} --max-events 50",
        "rebuild_curated_examples": f"--work-dir . {_CORPUS}",
        "check_release": "--work-dir .",
        "upload_model": "--work-dir . --destination s3://models/python-ggnn-expr-completion/%t",
        "pin_model": "--work-dir . --checkout-dir ../product",
        "rebuild_datadeps": "--checkout-dir ../product",
        "verify_datadeps": "--checkout-dir ../product",
        "sweep": f"--run-dir tmp/sweep --work-dir . {_CORPUS} --config-file config/fastnode/smoke.toml "
        "--space-file config/fastnode/sample_space.toml --training-steps 60 --min-steps 20",
        "generate_samples": f"--metainfo-file out/metainfo.json {_CORPUS} --out-dir data --data-steps 1000",
        "sync": f"{_HOSTS} --local-dir data --metainfo-file out/metainfo.json",
        "start_syncer": f"--work-dir . {_HOSTS} --data-dir data",
        "stop_syncer": "--work-dir .",
        "deploy_datagen": f"--work-dir . {_CORPUS} {_HOSTS} --dataset first --data-steps 1000",
        "datagen_status": f"{_HOSTS} --dataset first",
        "stop_datagen": f"{_HOSTS} --dataset first",
        "clean_remote": f"{_HOSTS} --dataset first",
        "plan_datagen": f"--work-dir . {_CORPUS} {_HOSTS} --dataset first --data-steps 1000",
        "deploy_to_host": "--work-dir . --host me@gen1",
        "take_over_datagen": "--work-dir .",
        "end_datagen": "--work-dir .",
    },
    first_steps=(
        ("serve samples to several trainings", "graph-data-server --corpus-dir corpus/all --port 3039"),
        ("look at examples, and compare two models", "example-viewer out/curated-examples/attr.json other/attr.json"),
        ("all steps in their order", "DRY_RUN=1 make"),
    ),
)


def app() -> typer.Typer:
    """All commands."""
    found = build_cli("fastnode-ops", TASKS, about=ABOUT, texts=TEXTS)
    panel = "Servers that people look at"
    found.command("example-viewer", rich_help_panel=panel)(viewer_command(_open_live))
    found.command("graph-data-server", rich_help_panel=panel)(graph_data_server)
    return found


def main() -> None:
    """Run the command named on the command line."""
    app()()


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
    live = LiveCompleter(providers_of(Completer.load(model_dir, resources), resources))
    settle_collector()
    return live
