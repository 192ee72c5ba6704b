"""Run folders as trainings leave them, written by what writes them, for the tests and the benchmark of the pages.

A night is one run of `gematria_train` or `pythonexpr_standalone`; its figures wander a little from night to night.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ops_common import artifacts
from ops_common.artifacts import write_json, write_text
from ops_common.metrics import append_metrics
from ops_common.release_record import Decision, FigureInterval, ReleaseRecord, write_release
from ops_common.run_record import RECORD_NAME
from ops_common.rundir import RunDir

FIRST_NIGHT = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
GEMATRIA, STANDALONE = "gematria_train", "pythonexpr_standalone"

TASKS = {
    GEMATRIA: ("train_model", "evaluate_model", "check_release", "upload_model"),
    STANDALONE: (
        "build_corpus",
        "train_model",
        "compress_model",
        "validate_attributes",
        "check_release",
        "upload_model",
    ),
}


def run_id_of(night: int) -> str:
    """Airflow's id of the run of a night."""
    return f"scheduled__{(FIRST_NIGHT + timedelta(days=night)).isoformat()}"


def decision_of(night: int) -> Decision | None:
    """Every fifth night is refused, every eleventh fails before the gate."""
    if night % 11 == 10:
        return None
    return "refused" if night % 5 == 4 else "released"


def make_run(folder: Path, dag_id: str, night: int, decision: Decision | None, curve_points: int = 12) -> Path:
    """Writes the folder of one run.

    Args:
        folder: The run's folder.
        dag_id: `gematria_train` or `pythonexpr_standalone`.
        night: Decides times, figures, and the data set: every thirty nights there is another one.
        decision: What became of its model; None: the training failed.
        curve_points: Points of its learning curve; 0: none.
    """
    run = RunDir(folder)
    write_json(folder / RECORD_NAME, record_of(dag_id, night, failed=decision is None))
    work_dir = str(folder)
    run.save_result("resolve_request", {"seed": night}, {"work_dir": work_dir, "dataset_dir": _data_dir(night)})
    metrics = run.metrics_path if dag_id == GEMATRIA else folder / "tmp/metrics.jsonl"
    for point in range(curve_points):
        step = 100 * (point + 1)
        append_metrics(metrics, step, {"loss": 2 * math.exp(-point / 4) + 0.3, "seconds": step / 50})
    if decision is None:
        run.mark_failed("train_model failed")
        return folder
    figures = figures_of(dag_id, night)
    task = "evaluate_model" if dag_id == GEMATRIA else "validate_attributes"
    prefix = "model_" if dag_id == GEMATRIA else ""
    run.save_result(task, {}, {"num_blocks": 238, **{f"{prefix}{name}": value for name, value in figures.items()}})
    reports = run.reports_dir if dag_id == GEMATRIA else folder / "out/reports"
    name = "evaluation" if dag_id == GEMATRIA else "attributes"
    write_text(reports / f"{name}.html", f"<!doctype html><title>{name}</title><p>night {night}")
    write_release(folder, release_of(folder.name, dag_id, night, decision))
    if decision == "released":
        run.save_result("upload_model", {}, {"bundle_uri": f"s3://models/{folder.name}", "num_files": 4})
        run.mark_done()
    else:
        run.mark_failed("check_release failed")
    return folder


@contextmanager
def unflushed() -> Iterator[None]:
    """Files are written without waiting for the disk, which takes minutes for a thousand runs."""
    flush = artifacts.sync_to_disk
    artifacts.sync_to_disk = lambda path: None
    try:
        yield
    finally:
        artifacts.sync_to_disk = flush


def make_nights(runs_root: Path, dag_id: str, nights: Iterable[int], **more: Any) -> list[Path]:
    """Writes a run for each night; returns their folders."""
    from ops_platform.run_folders import run_dir

    with unflushed():
        return [
            make_run(run_dir(runs_root, dag_id, run_id_of(night)), dag_id, night, decision_of(night), **more)
            for night in nights
        ]


def figures_of(dag_id: str, night: int) -> dict[str, float]:
    """The figures of a night's model."""
    wander = math.sin(night) + 2 / (1 + night / 20)
    if dag_id == GEMATRIA:
        return {
            f"mape_percent_{name}": round(8 + index + wander, 3) for index, name in enumerate(("ivb", "hsw", "skl"))
        }
    return {"ggnn_line_attr_top_1": round(0.36 - wander / 50, 4), "ggnn_line_attr_top_5": round(0.61 - wander / 50, 4)}


def release_of(run: str, dag_id: str, night: int, decision: Decision) -> ReleaseRecord:
    """What the gate says of a night's model."""
    figures = figures_of(dag_id, night)
    name, refused = next(iter(figures)), decision == "refused"
    difference = 1.4 if refused else -0.2
    reason = f"{name} is worse by 1.4 (95 % interval 0.9 to 1.9); at most 0.5 is allowed"
    return ReleaseRecord(
        family="gematria" if dag_id == GEMATRIA else "pythonexpr",
        run=run,
        decision=decision,
        reasons=(reason,) if refused else (),
        compared_with="s3://models/before" if night else "",
        figures=figures,
        intervals=(
            FigureInterval(
                figure=name, difference=difference, low=difference - 0.5, high=difference + 0.5, confidence=0.95
            ),
        ),
        thresholds={"max_drop": 0.5, "max_mape_percent": 25.0},
        model_uri="" if refused else f"s3://models/{run}",
        at=(FIRST_NIGHT + timedelta(days=night, minutes=40)).isoformat(),
    )


def record_of(dag_id: str, night: int, *, failed: bool = False) -> dict[str, Any]:
    """Everything to repeat the run of a night."""
    begun = FIRST_NIGHT + timedelta(days=night)
    tasks: dict[str, Any] = {}
    for number, name in enumerate(TASKS[dag_id]):
        started = begun + timedelta(minutes=10 * number)
        is_last = failed and name == "train_model"
        tasks[name] = {
            "status": "failed" if is_last else "done",
            "attempts": 1,
            "started_at": started.isoformat(),
            "finished_at": (started + timedelta(minutes=9)).isoformat(),
            "wall_seconds": 540.0 - 60 * number,
            "cpu_seconds": 900.0 - 100 * number,
            "gpu_seconds": 0.0,
        }
        if is_last:
            break
    era = night // 30
    return {
        "dag_id": dag_id,
        "run_id": run_id_of(night),
        "begun_at": begun.isoformat(),
        "conf": {"training_steps": 3000, "dataset": None, "max_mape_percent": 25},
        "config": {"model": {"type": "ithemal", "size": 64}, "optimizer": {"learning_rate": 0.001 * (1 + night % 3)}},
        "seeds": {"random_seed": night},
        "data": {name: f"{index:02d}{era:02d}".ljust(64, "a") for index, name in enumerate(("train", "validation"))},
        "data_dir": _data_dir(night),
        "code": {"git_commit": f"{era:040x}", "is_dirty": False, "tree_sha256": f"{era:064x}"},
        "versions": {"python": "3.11.2", "tensorflow": "2.21.0"},
        "machine": {"host": "trainer-1", "cpu": "EPYC", "num_cpus": 2, "gpus": []},
        "tasks": tasks,
        "cost": {"core_hours": 0.61, "gpu_hours": 0.0},
        "artifacts": {"bundle/weights": f"{night:064x}", "metrics.jsonl": f"{night + 1:064x}"},
    }


def _data_dir(night: int) -> str:
    return f"/var/lib/ops/data/blocks-{night // 30}"
