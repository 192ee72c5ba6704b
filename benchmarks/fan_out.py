"""How fast the embedded platform schedules a fan-out: fifty tasks of one step, such as one for each host.

Each task runs a real command that does nothing (`stop-server` of a folder without a server), so what is measured is
Airflow and the start of processes. Target: all fifty are scheduled within a minute of the end of the task before them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT, write_result

NUM_ITEMS = 50
TARGET_SECONDS = 60.0
RUN_SECONDS = 1_800.0

DAG_FILE = """
from airflow.sdk import DAG
from ops_platform.defaults import SHARED
from ops_platform.item_task import each_of, item_tasks
from fastnode_ops.server_tasks import stop_server

with DAG("fan_out", schedule=None, **SHARED):
    items = each_of.override(task_id="each_host")([f"{home}/work/{{number}}" for number in range({num_items})])
    item_tasks(stop_server, item="work_dir", items=items, run_dir="{home}/run", retries=0)
"""


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=None, help="JSON file; default: .ops/benchmarks/")
    parser.add_argument("--items", type=int, default=NUM_ITEMS)
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        values = _measure(Path(folder), arguments.items)
    write_result("fan_out", values, arguments.output)
    return values


def _measure(folder: Path, num_items: int) -> dict[str, Any]:
    environment = _environment(folder, num_items)
    command = [sys.executable, "-m", "ops_platform.embedded"]
    try:
        subprocess.run([*command, "up"], env=environment, cwd=ROOT, check=True, stdout=sys.stderr)
        return _run(environment, num_items)
    finally:
        subprocess.run([*command, "stop"], env=environment, cwd=ROOT, check=True, stdout=sys.stderr)


def _environment(folder: Path, num_items: int) -> dict[str, str]:
    """A checkout that has one more DAG, and the variables of a platform for it."""
    root, home = folder / "checkout", folder / "home"
    (root / "dags").mkdir(parents=True)
    for name in ("plugins", "gematria_ops", "fastnode_ops", "ops_common", "config"):
        (root / name).symlink_to(ROOT / name)
    for path in (ROOT / "dags").glob("*.py"):
        (root / "dags" / path.name).symlink_to(path)
    (root / "dags/fan_out.py").write_text(DAG_FILE.format(home=home, num_items=num_items), encoding="utf-8")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "OPS_", "AWS_"))}
    paths = {"PYTHONPATH": f"{root}:{root / 'plugins'}", "OPS_PROJECT_ROOT": str(root), "OPS_HOME": str(home)}
    return {**inherited, **paths, "OPS_NIGHTLY_CRON": "off"}


def _run(environment: Mapping[str, str], num_items: int) -> dict[str, Any]:
    sys.path.insert(0, str(ROOT / "plugins"))
    from ops_platform import settings
    from ops_platform.embedded import lifecycle
    from ops_platform.embedded.airflow_api import FINAL_STATES
    from ops_platform.embedded.layout import Layout

    from ops_common.processes import wait_until

    config = settings.load(environment)
    instance = lifecycle.read_instance(Layout(config=config, home=config.home))
    assert instance is not None
    api = lifecycle.api_of(instance)
    wait_until(lambda: api.has_dag("fan_out"), RUN_SECONDS, "the DAG", interval_seconds=1.0)
    run = api.trigger("fan_out", {})

    def has_ended() -> bool:
        return api.run_state("fan_out", run) in FINAL_STATES

    wait_until(has_ended, RUN_SECONDS, "the end of the run", interval_seconds=1.0)
    path = f"/api/v2/dags/fan_out/dagRuns/{run.replace('+', '%2B')}/taskInstances?limit=1000"
    found = api.get(path).json()["task_instances"]
    (before,) = [one for one in found if one["task_id"] == "each_host"]
    mapped = [one for one in found if one["task_id"] == "stop_server"]
    assert len(mapped) == num_items
    began = datetime.fromisoformat(before["end_date"])

    def seconds(name: str) -> float:
        return max((datetime.fromisoformat(one[name]) - began).total_seconds() for one in mapped)

    return {
        "num_items": num_items,
        "all_scheduled_seconds": seconds("scheduled_when"),
        "target_scheduled_seconds": TARGET_SECONDS,
        "all_queued_seconds": seconds("queued_when"),
        "all_ended_seconds": seconds("end_date"),
        "num_succeeded": sum(one["state"] == "success" for one in mapped),
    }


if __name__ == "__main__":
    main()
