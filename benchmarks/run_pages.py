"""How long the pages about runs take with 1,000 run folders: in the web server's code alone, and in a browser.

The code alone: a cold index (no file, every folder is read), a warm start (another process has left the file), and each
page in a process that holds the index. In a browser: Chromium loads each page from Airflow's own web server, logged in,
until the load event. Target: under 300 ms each. The reference is a plain read of every folder's records at each visit.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks.harness import write_result

TARGET_MS = 300.0
CHROMIUM = "/usr/bin/chromium"


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=None, help="JSON file; default: .ops/benchmarks/")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        root, runs = Path(folder) / "runs", _make_runs(Path(folder) / "runs", arguments.runs)
        values = {
            "num_runs": arguments.runs,
            "target_ms": TARGET_MS,
            **_code_alone(root, runs, arguments.repeats),
            **_in_a_browser(Path(folder) / "airflow", root, runs, arguments.repeats),
        }
    write_result("run_pages", values, arguments.output)
    return values


def _make_runs(root: Path, num_runs: int) -> list[dict[str, Any]]:
    """Three in four runs are of one family; gives Airflow's rows of them."""
    from tests.airflow_web import dag_run
    from tests.run_samples import FIRST_NIGHT, GEMATRIA, STANDALONE, decision_of, make_nights, run_id_of

    nights = {GEMATRIA: range(num_runs * 3 // 4), STANDALONE: range(num_runs - num_runs * 3 // 4)}
    for dag_id, some in nights.items():
        make_nights(root, dag_id, some, curve_points=2)
    return [
        dag_run(
            dag_id,
            run_id_of(night),
            "success" if decision_of(night) == "released" else "failed",
            (FIRST_NIGHT + timedelta(days=night)).isoformat(),
            (FIRST_NIGHT + timedelta(days=night, minutes=41)).isoformat(),
        )
        for dag_id, some in nights.items()
        for night in some
    ]


def _code_alone(root: Path, runs: Sequence[dict[str, Any]], repeats: int) -> dict[str, float]:
    from ops_platform.run_pages.airflow_runs import DAGS, AirflowRun
    from ops_platform.run_pages.listing import Wanted, parse_time
    from ops_platform.run_pages.pages import RunPages, Visit
    from ops_platform.run_pages.run_index import RunIndex

    from ops_common.run_facts import read_run

    known = [
        AirflowRun(
            run["dag_id"],
            run["run_id"],
            run["state"],
            run["run_type"],
            parse_time(run["started"]),
            parse_time(run["ended"]),
            parse_time(run["started"]),  # type: ignore[arg-type]
        )
        for run in runs
    ]
    folders = [path for dag_id in DAGS for path in (root / dag_id).glob("*")]
    values = {
        "reference_read_every_folder_ms": _milliseconds(lambda: [read_run(path) for path in folders], 1),
        "index_cold_ms": _milliseconds(lambda: RunIndex(root, DAGS).runs(), 1),
        "index_warm_start_ms": _milliseconds(lambda: RunIndex(root, DAGS).runs(), repeats),
    }
    pages, visit = RunPages(lambda _dag_ids: known, root), Visit("/ops", frozenset(DAGS))
    keys = [f"{run.dag_id}/{run.run_id}" for run in known[:2]]
    measured: dict[str, Callable[[], Any]] = {
        "runs": lambda: pages.runs(visit, Wanted()),
        "runs_sorted_by_a_figure": lambda: pages.runs(visit, Wanted("gematria", sort="mape_percent_hsw")),
        "run": lambda: pages.run(visit, known[0].dag_id, known[0].run_id),
        "trend_of_1000": lambda: pages.trend(visit, "gematria", 1000),
        "trend": lambda: pages.trend(visit, "gematria", 90),
        "compare": lambda: pages.compare(visit, keys),
        "lineage": lambda: pages.lineage(visit, "gematria", 1),
    }
    for make in measured.values():
        make()  # templates are compiled at the first use
    return {**values, **{f"code_{name}_ms": _milliseconds(make, repeats) for name, make in measured.items()}}


def _in_a_browser(home: Path, root: Path, runs: Sequence[dict[str, Any]], repeats: int) -> dict[str, float]:
    from playwright.sync_api import sync_playwright

    from tests.airflow_web import PASSWORD, USER, airflow_web

    paths = {
        "runs": "/ops/runs",
        "runs_sorted_by_a_figure": "/ops/runs?family=gematria&sort=mape_percent_hsw",
        "run": f"/ops/runs/{runs[0]['dag_id']}/{runs[0]['run_id'].replace('+', '%2B')}",
        "trend": "/ops/trend?family=gematria",
        "trend_of_1000": "/ops/trend?family=gematria&span=1000",
        "lineage": "/ops/lineage?family=gematria",
    }
    values: dict[str, float] = {}
    with airflow_web(home, root, runs) as web, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.goto(f"{web.url}/ops/runs")
        page.fill("input[name=username]", USER)
        page.fill("input[name=password]", PASSWORD)
        page.click("button[type=submit]")
        page.wait_for_url("**/ops/runs")
        for name, path in paths.items():
            times = []
            for _ in range(repeats + 1):
                page.goto(f"{web.url}{path}", wait_until="load")
                times.append(
                    json.loads(
                        page.evaluate("JSON.stringify(performance.getEntriesByType('navigation')[0].loadEventStart)")
                    )
                )
            values[f"browser_{name}_ms"] = round(statistics.median(times[1:]), 1)
            values[f"browser_{name}_slowest_ms"] = round(max(times[1:]), 1)
        browser.close()
    return values


def _milliseconds(work: Callable[[], Any], repeats: int) -> float:
    """The median of some repetitions."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - started))
    return round(statistics.median(times), 1)


if __name__ == "__main__":
    main()
