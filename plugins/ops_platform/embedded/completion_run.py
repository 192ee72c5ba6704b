"""The completion model's part of `make run`: its workflow at smoke size, beside the other one."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from fastnode_ops.pipeline_dir import PipelineDir
from fastnode_ops.validation.attribute_report import AttributeReport, read_report_json
from ops_common.rundir import RunDir
from ops_platform.embedded.layout import Layout
from ops_platform.embedded.lifecycle import Instance
from ops_platform.embedded.results import missing_objects, task_result
from ops_platform.run_folders import run_dir

STANDALONE = "pythonexpr_standalone"
SAMPLE_REQUEST = "config/fastnode/sample_request.json"
REPORT_NAME = "attributes"


def show_completion_run(layout: Layout, instance: Instance, run_id: str, console: Console) -> int:
    """Print figures and places of a finished run; only what exists counts as success.

    Returns:
        0 when everything that is printed exists; 1 otherwise.
    """
    folder = RunDir(run_dir(layout.config.runs_root, STANDALONE, run_id))
    place = PipelineDir(folder.path)
    trained, uploaded = task_result(folder, "train_model"), task_result(folder, "upload_model")
    console.print(_figures(read_report_json(place.reports / f"{REPORT_NAME}.json")))
    uris = sorted({str(value) for value in uploaded.values() if str(value).startswith("s3://")})
    lines = {
        "training steps": f"{trained['global_step']:,} of {trained['num_samples']:,} graph samples",
        "training speed": f"{trained['steps_per_second']:,.2f} steps per second",
        "uploaded": "\n                 ".join(uris),
        "run folder": str(folder.path),
        "validation": str(place.reports / f"{REPORT_NAME}.html"),
        "examples": f"{place.uncurated_examples}   `make example_viewer` shows them",
    }
    for name, text in lines.items():
        console.print(f"[bold]{name:15}[/bold]  {text}")
    missing = missing_objects(layout, instance, uris)
    for address in missing:
        console.print(f"[red]error: {address} was reported, but is not there[/red]")
    return 1 if missing else 0


def _figures(report: AttributeReport) -> Table:
    table = Table(title=f"Attribute completions at {report.num_situations:,} places of held-out files")
    for heading in ("provider", "answered", "top 1", "top 5", "of all places: top 1"):
        table.add_column(heading, justify="left" if heading == "provider" else "right")
    for name, figures in report.providers.items():
        shares = (figures.answered.share(1), figures.answered.share(5), figures.all.share(1))
        table.add_row(name, f"{figures.answered.num_situations:,}", *map(_percent, shares))
    return table


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"
