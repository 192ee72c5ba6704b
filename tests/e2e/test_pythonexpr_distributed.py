"""The distributed workflow through the real services, with this machine as the only host: nothing has to be set up."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from ops_platform.run_folders import run_dir, safe_name
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser import Keep, open_context
from tests.e2e.embedded_platform import Platform, read_json, wait_until
from tests.e2e.test_page import log_in
from tests.e2e.test_pythonexpr_workflows import SMALL

pytestmark = [pytest.mark.airflow, pytest.mark.tf, pytest.mark.slow]

DAG = "pythonexpr_distributed"
STEPS, PER_FILE = 4, 2
SECONDS = 500.0


@dataclass
class Waiting:
    """A run whose sensor is deferred, because the generator was stopped before it had made anything."""

    run_id: str
    folder: Path
    samples: Path
    generator: int

    def go_on(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.generator, signal.SIGCONT)


@pytest.fixture(scope="module")
def waiting(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Waiting]:
    product = tmp_path_factory.mktemp("product")
    values = {**SMALL, "steps": STEPS, "samples_per_file": PER_FILE, "min_files_before_training": 2, "host_workers": 1}
    run = platform.trigger(DAG, **values, checkout=str(product), min_free_bytes=1_000_000)
    config = platform.layout.config
    samples = config.data_root / ".datagen/samples" / safe_name(run)
    record = samples / ".datagen/run.json"

    def has_started() -> bool:
        assert platform.api.run_state(DAG, run) != "failed", platform.api.task_states(DAG, run)
        return record.exists() and "process_id" in read_json(record)

    wait_until(has_started, SECONDS, "the generator has started")
    made = Waiting(run, run_dir(config.runs_root, DAG, run), samples, int(read_json(record)["process_id"]))
    os.kill(made.generator, signal.SIGSTOP)
    try:
        platform.wait_for_task(DAG, run, "await_samples", "deferred", SECONDS)
        yield made
    finally:
        made.go_on()


def instance(platform: Platform, run: str, task: str, index: int = -1) -> dict[str, Any]:
    path = f"/api/v2/dags/{DAG}/dagRuns/{run.replace('+', '%2B')}/taskInstances/{task}"
    answer: dict[str, Any] = platform.api.get(f"{path}/{index}" if index >= 0 else path).json()
    return answer


def test_the_sensor_waits_without_a_worker(platform: Platform, waiting: Waiting) -> None:
    sensor = instance(platform, waiting.run_id, "await_samples")
    assert sensor["state"] == "deferred"
    assert sensor["trigger"]["classpath"] == "ops_platform.sync_sensor.SyncTrigger"

    def is_watched() -> bool:
        return instance(platform, waiting.run_id, "await_samples")["triggerer_job"] is not None

    wait_until(is_watched, 60, "the triggerer has taken it")
    host = instance(platform, waiting.run_id, "deploy_to_host", 0)
    assert (host["state"], host["rendered_map_index"]) == ("success", "this-machine")
    told = read_json(waiting.folder / "results/deploy_to_host.0.json")
    assert (told["host"], told["ranges"]) == ("this-machine", "0-1")


def test_the_page_shows_the_waiting_run(platform: Platform, waiting: Waiting, browser: Browser, keep: Keep) -> None:
    context = open_context(browser, 1800, 1000)
    page = context.new_page()
    run_id = waiting.run_id.replace("+", "%2B").replace(":", "%3A")
    page.goto(f"{platform.api.url}/dags/{DAG}/runs/{run_id}")
    log_in(page)
    page.get_by_label("Show Graph").first.click()
    node = page.locator(".react-flow__node", has_text="await_samples")
    expect(node).to_contain_text("Deferred", ignore_case=True)
    expect(page.locator(".react-flow__node", has_text="deploy_to_host")).to_be_visible()
    page.wait_for_load_state("networkidle")
    page.get_by_label("fit view").first.click()
    zoom_in(page, node)
    keep(page, "distributed_graph")
    context.close()


def zoom_in(page: Page, node: Locator) -> None:
    """Make the graph large enough to be read, around a task."""
    box = node.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    for _ in range(5):
        page.mouse.wheel(0, -200)
        page.wait_for_timeout(200)  # the picture moves; nothing is waited for that a test needs


def test_the_run_goes_on_and_leaves_nothing_behind(platform: Platform, waiting: Waiting) -> None:
    waiting.go_on()
    run = waiting.run_id
    state = platform.wait(DAG, run, SECONDS)
    assert state == "success", platform.api.task_states(DAG, run)
    arrived = platform.api.xcom(DAG, run, "await_samples")
    assert arrived == {"num_files": STEPS // PER_FILE, "num_batches": STEPS}
    assert platform.api.xcom(DAG, run, "train_model")["global_step"] == STEPS
    assert platform.api.task_states(DAG, run)["pin_model"] == "success"
    assert platform.api.xcom(DAG, run, "end_datagen")["is_cleaned"] is True
    assert platform.api.xcom(DAG, run, "stop_syncer") == {"was_running": True}
    assert not psutil.pid_exists(waiting.generator) and not waiting.samples.exists()
    for name in ("server.json", "syncer.json"):
        assert not (waiting.folder / "tmp" / name).exists()
    assert not list((waiting.folder / "data").glob("*.samples"))  # used, so deleted


@pytest.mark.long
def test_a_dead_hosts_share_is_taken_over_and_the_run_ends_well(
    platform: Platform, tmp_path_factory: pytest.TempPathFactory
) -> None:
    values = {**SMALL, "steps": STEPS, "samples_per_file": PER_FILE, "min_files_before_training": 2, "host_workers": 1}
    hosts = ["this-machine", "nobody@127.0.0.1:1"]
    product = tmp_path_factory.mktemp("product")
    run = platform.trigger(DAG, **values, hosts=hosts, checkout=str(product), min_free_bytes=1_000_000)
    assert platform.wait(DAG, run, 2 * SECONDS) == "success", platform.api.task_states(DAG, run)
    assert [instance(platform, run, "deploy_to_host", index)["state"] for index in (0, 1)] == ["success", "failed"]
    told = platform.api.xcom(DAG, run, "take_over_datagen")
    assert (told["num_failed"], told["failed"]) == (1, hosts[1:])
    assert (run_dir(platform.layout.config.runs_root, DAG, run) / "DONE").is_file()
