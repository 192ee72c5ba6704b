"""The main job of `make run`: import the samples, let the training start by itself, check and show what came out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from fastnode_ops.pipeline_dir import PipelineDir
from gematria_ops.inference.evaluation_report import EvaluationReport, read_report_json
from ops_common.errors import ServiceError
from ops_common.rundir import RunDir
from ops_platform.embedded import layout as places
from ops_platform.embedded.airflow_api import AirflowApi
from ops_platform.embedded.completion_run import STANDALONE, show_completion_run
from ops_platform.embedded.layout import Layout
from ops_platform.embedded.lifecycle import Instance, api_of
from ops_platform.embedded.results import missing_objects, task_result
from ops_platform.embedded.watching import Say, TrainingProgress, wait_for_run
from ops_platform.report_pages import EVALUATION_PAGE, report_url
from ops_platform.run_folders import run_dir

IMPORT, TRAIN = "gematria_import", "gematria_train"
SAMPLE_REQUEST = "config/gematria/sample_request.json"
_START_LIMIT_SECONDS = 90.0
_NUM_LOG_LINES = 25


def run_main_job(
    layout: Layout,
    instance: Instance,
    conf: Mapping[str, Any],
    console: Console,
    say: Say,
    completion_conf: Mapping[str, Any] | None = None,
) -> int:
    """Run the whole main job on the running platform: both model families beside each other.

    Args:
        layout: Where the platform stands.
        instance: The running platform.
        conf: What to import, and how to train on it: the conf of gematria_import.
        console: Where the table goes.
        say: Takes a line about what is going on.
        completion_conf: The conf of pythonexpr_standalone; None: only the throughput model is made.

    Returns:
        0 when all workflows succeeded and everything that is printed exists; 1 otherwise.

    Raises:
        OpsError: Airflow does not answer, or refuses the request.
    """
    api = api_of(instance)
    run_id = f"make-run-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    if completion_conf is None:
        return _run_throughput(layout, instance, api, conf, run_id, console, say)
    completion_run = api.trigger(STANDALONE, completion_conf, run_id=run_id)
    say(f"triggered {STANDALONE}, run {completion_run}")
    status = _run_throughput(layout, instance, api, conf, run_id, console, say)
    folder = RunDir(run_dir(layout.config.runs_root, STANDALONE, completion_run))
    progress = TrainingProgress(PipelineDir(folder.path).metrics, int(completion_conf.get("steps") or 0), 0)
    if wait_for_run(api, STANDALONE, completion_run, say, console, progress) != "success":
        return _explain_failure(layout, api, STANDALONE, completion_run, console)
    return max(status, show_completion_run(layout, instance, completion_run, console))


def _run_throughput(
    layout: Layout,
    instance: Instance,
    api: AirflowApi,
    conf: Mapping[str, Any],
    run_id: str,
    console: Console,
    say: Say,
) -> int:
    """Import the blocks, let the training start by itself, check and show what came out."""
    started = time.monotonic()
    import_run = api.trigger(IMPORT, conf, run_id=run_id)
    say(f"triggered {IMPORT}, run {import_run}")
    if wait_for_run(api, IMPORT, import_run, say, console) != "success":
        return _explain_failure(layout, api, IMPORT, import_run, console)
    train_run = _started_training(api, import_run)
    say(f"the new data set has started {TRAIN}, run {train_run}")
    folder = RunDir(run_dir(layout.config.runs_root, TRAIN, train_run))
    progress = TrainingProgress(folder.metrics_path, *_limits(conf.get("train_conf") or {}))
    if wait_for_run(api, TRAIN, train_run, say, console, progress) != "success":
        return _explain_failure(layout, api, TRAIN, train_run, console)
    say(f"both workflows succeeded, {time.monotonic() - started:.0f} s after the trigger")
    return _show(layout, instance, api, folder, train_run, console)


def _started_training(api: AirflowApi, import_run: str) -> str:
    end = time.monotonic() + _START_LIMIT_SECONDS
    while time.monotonic() < end:
        if started := api.runs_started_by(TRAIN, IMPORT, import_run):
            return started[0]
        time.sleep(1)
    raise ServiceError(
        f"the new data set has not started {TRAIN} within {_START_LIMIT_SECONDS:.0f} s", f"is the DAG paused? {api.url}"
    )


def _limits(train_conf: Mapping[str, Any]) -> tuple[int, float]:
    return int(train_conf.get("training_steps") or 0), 60 * float(train_conf.get("max_minutes") or 0)


def _explain_failure(layout: Layout, api: AirflowApi, dag_id: str, run_id: str, console: Console) -> int:
    """Show which task failed, and the end of its log."""
    console.print(f"[red]{dag_id} failed[/red], run {run_id}")
    for task, state in api.task_states(dag_id, run_id).items():
        if state == "failed":
            console.print(f"[red]{task}[/red] failed; the end of its log:")
            for line in api.task_log(dag_id, run_id, task)[-_NUM_LOG_LINES:]:
                console.print(f"  {line}", markup=False)
    console.print(f"run folder  {run_dir(layout.config.runs_root, dag_id, run_id)}")
    console.print(
        f"Airflow     {api.url}/dags/{dag_id}/runs/{run_id}   login {places.USER}, password {places.PASSWORD}"
    )
    console.print("to stop     make stop")
    return 1


def _show(layout: Layout, instance: Instance, api: AirflowApi, folder: RunDir, train_run: str, console: Console) -> int:
    """Print the figures and where everything is; only what exists counts as success."""
    trained, uploaded = task_result(folder, "train_model"), task_result(folder, "upload_model")
    report = read_report_json(folder.reports_dir / "evaluation.json")
    console.print(_figures(report))
    page = report_url(TRAIN, train_run)
    missing = missing_objects(layout, instance, [uploaded[name] for name in sorted(uploaded) if name.endswith("_uri")])
    if api.get(page).status_code != 200:
        missing.append(f"{api.url}{page}")
    for name, text in _places(layout, instance, trained, uploaded, folder, f"{api.url}{page}").items():
        console.print(f"[bold]{name:15}[/bold]  {text}")
    for address in missing:
        console.print(f"[red]error: {address} was reported, but is not there[/red]")
    return 1 if missing else 0


def _figures(report: EvaluationReport) -> Table:
    baselines = list(report.baseline_descriptions)
    table = Table(title=f"Error on the {report.dataset.split} blocks (mean absolute percentage error)")
    for heading in ("microarchitecture", "blocks", "model", *baselines):
        table.add_column(heading, justify="left" if heading == "microarchitecture" else "right")
    for task in report.tasks:
        row = [_percent(task.model.mape_percent), *(_percent(task.baselines[name].mape_percent) for name in baselines)]
        table.add_row(task.name, f"{task.counts.num_relative:,}", *row)
    return table


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} %"


def _places(
    layout: Layout,
    instance: Instance,
    trained: Mapping[str, Any],
    uploaded: Mapping[str, Any],
    folder: RunDir,
    page_url: str,
) -> dict[str, str]:
    """What was made and where it is: name to text. Addresses stay whole, to be copied."""
    s3_url = f"http://{places.HOST}:{instance.ports['s3']}"
    return {
        "training steps": f"{trained['global_step']:,}",
        "training speed": f"{trained['blocks_per_second']:,.0f} blocks per second",
        "model": str(uploaded["bundle_uri"]),
        "manifest": str(uploaded["manifest_uri"]),
        "report": str(uploaded["report_uri"]),
        "S3 endpoint": f"{s3_url}   keys in {layout.secrets_path}",
        "run folder": str(folder.path),
        "evaluation": str(folder.reports_dir / EVALUATION_PAGE),
        "evaluation page": page_url,
        "Airflow": f"{places.airflow_url(instance.ports)}   login {places.USER}, password {places.PASSWORD}",
        "to stop": "make stop",
    }
