"""A sweep of eight configurations through the real services, its best trained anew and released, and repeated."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from ops_platform.run_folders import run_dir, safe_name

from ops_common.run_record import read_record
from tests.e2e.embedded_platform import ROOT, TINY, Platform, read_json

pytestmark = [pytest.mark.airflow, pytest.mark.tf, pytest.mark.long, pytest.mark.timeout(1_500)]

SWEEP, TRAIN = "gematria_sweep", "gematria_train"
RATES = [0.003, 0.01, 0.03, 1e30]  # the last one makes the loss infinite
OF_THE_SWEEP = ("config_file", "training_steps", "overrides")
SPACE = {"optimizer.learning_rate": RATES, "model.block_embedding_size": [8, 16]}


@pytest.fixture(scope="module")
def swept(platform: Platform, dataset: str, tiny_training: dict[str, Any]) -> str:
    run = platform.trigger(
        SWEEP,
        dataset=dataset,
        config_file="config/gematria/smoke.toml",
        overrides=TINY,
        space=SPACE,
        search="grid",
        training_steps=16,
        min_steps=4,
        eta=4,
        release_best=True,
        train_conf={name: value for name, value in tiny_training.items() if name not in OF_THE_SWEEP},
    )
    state = platform.wait(SWEEP, run, 900)
    assert state == "success", platform.api.task_states(SWEEP, run)
    return run


def test_every_configuration_is_a_task_with_its_settings_as_its_name(platform: Platform, swept: str) -> None:
    found = platform.api.get(f"/api/v2/dags/{SWEEP}/dagRuns/{swept.replace('+', '%2B')}/taskInstances?limit=100").json()
    trainings = [task for task in found["task_instances"] if task["task_id"].endswith(".train_configuration")]
    first = [task for task in trainings if task["task_id"].startswith("rung_1.")]
    assert sorted(task["rendered_map_index"] for task in first) == [
        f"{number}: learning_rate={rate!r}, block_embedding_size={size}"
        for number, (rate, size) in enumerate(((rate, size) for rate in RATES for size in (8, 16)), 1)
    ]
    assert {task["pool"] for task in first} == {"training"}
    second = [task for task in trainings if task["task_id"].startswith("rung_2.")]
    assert [task["state"] for task in second] == ["success"] * 2


def test_the_report_accounts_for_all_eight(platform: Platform, swept: str) -> None:
    folder = run_dir(platform.layout.config.runs_root, SWEEP, swept)
    report = read_json(folder / "reports/sweep.json")
    statuses = sorted(row["status"] for row in report["configurations"])
    assert statuses == ["best", "failed", "failed", "finished", *["stopped early"] * 4]
    assert report["rung_steps"] == [4, 16]
    assert (report["steps_spent"], report["steps_without_stopping"]) == (2 * 16 + 4 * 4, 8 * 16)
    assert platform.api.get(f"/ops/runs/{SWEEP}/{swept}/reports/sweep.html").status_code == 200
    record = read_record(folder)
    assert len([name for name in record["tasks"] if name.startswith("rung_1.train_configuration")]) == 8


def test_the_best_one_is_trained_anew_released_and_repeated(platform: Platform, swept: str) -> None:
    best = read_json(run_dir(platform.layout.config.runs_root, SWEEP, swept) / "reports/sweep.json")["best"]
    run = f"sweep__{swept}"
    assert platform.wait(TRAIN, run, 300) == "success", platform.api.task_states(TRAIN, run)
    plan = platform.api.xcom(TRAIN, run, "resolve_request")
    assert plan["overrides"] == ["num_steps=16", *TINY, *best["overrides"]]
    assert platform.api.xcom(TRAIN, run, "upload_model")["manifest_uri"].startswith("s3://")
    repeated = subprocess.run(
        [sys.executable, "-m", "ops_platform.repeat", run],
        cwd=ROOT,
        env={**os.environ, **platform.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert repeated.returncode == 0, repeated.stdout + repeated.stderr
    (folder,) = platform.layout.home.glob(f"repeats/{safe_name(run)}-*")
    outcomes = {entry["name"]: entry["outcome"] for entry in read_json(folder / "comparison.json")["files"]}
    assert {outcome for name, outcome in outcomes.items() if name.startswith("bundle/")} == {"identical"}
    assert json.loads((folder / "record.json").read_text())["artifacts"].keys() >= {"reports/evaluation.json"}
