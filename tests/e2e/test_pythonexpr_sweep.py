"""A sweep of completion models through the real services: one server for all of them, the best one trained anew."""

from typing import Any

import pytest
from ops_platform.run_folders import run_dir

from tests.e2e.embedded_platform import Platform, read_json
from tests.e2e.test_pythonexpr_workflows import SMALL, STANDALONE

pytestmark = [pytest.mark.airflow, pytest.mark.tf, pytest.mark.long, pytest.mark.timeout(1_500)]

SWEEP = "pythonexpr_sweep"
RATES, HOPS = [0.001, 0.01], [1, 2]
OF_THE_SWEEP = ("steps", "config_file")
CORPUS = {"corpus": "sweep-python", "max_files": 400}  # large enough for held-out batches, by which a sweep chooses
CONF = {**SMALL, **CORPUS, "pin": False}


@pytest.fixture(scope="module")
def swept(platform: Platform) -> str:
    run = platform.trigger(
        SWEEP,
        config_file=SMALL["config_file"],
        space={"train.learning_rate": RATES, "model.num_hops": HOPS},
        search="grid",
        training_steps=6,
        min_steps=2,
        eta=3,
        release_best=True,
        train_conf={name: value for name, value in CONF.items() if name not in OF_THE_SWEEP},
    )
    state = platform.wait(SWEEP, run, 900)
    assert state == "success", platform.api.task_states(SWEEP, run)
    return run


def report_of(platform: Platform, run: str) -> Any:
    return read_json(run_dir(platform.layout.config.runs_root, SWEEP, run) / "reports/sweep.json")


def test_one_in_three_trains_on_and_the_server_ends(platform: Platform, swept: str) -> None:
    report = report_of(platform, swept)
    assert report["rung_steps"] == [2, 6]
    assert len(report["configurations"]) == len(RATES) * len(HOPS)
    statuses = sorted(row["status"] for row in report["configurations"])
    assert statuses[0] == "best" and set(statuses[1:]) <= {"finished", "stopped early"}
    assert "stopped early" in statuses
    states = platform.api.task_states(SWEEP, swept)
    assert states["stop_server"] == states["report_sweep"] == states["train_best"] == "success"
    assert platform.api.get(f"/ops/runs/{SWEEP}/{swept}/reports/sweep.html").status_code == 200


def test_the_best_one_is_trained_anew_and_released(platform: Platform, swept: str) -> None:
    run = f"sweep__{swept}"
    assert platform.wait(STANDALONE, run, 600) == "success", platform.api.task_states(STANDALONE, run)
    best = report_of(platform, swept)["best"]
    plan = platform.api.xcom(STANDALONE, run, "resolve_request")
    assert plan["overrides"][-len(best["overrides"]) :] == best["overrides"]
    assert platform.api.xcom(STANDALONE, run, "train_model")["global_step"] == 6
    assert platform.api.xcom(STANDALONE, run, "upload_model")["manifest_uri"].startswith("s3://")
