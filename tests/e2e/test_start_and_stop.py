"""`make up` and `make stop`: started once, stopped exactly, whatever happened in between."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from ops_platform.embedded import lifecycle, services

from tests.e2e.embedded_platform import ROOT, environment_of, layout_of, num_marked, wait_until

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

COMMAND = [sys.executable, "-m", "ops_platform.embedded"]


def run(name: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, name], env=environment, cwd=ROOT, capture_output=True, text=True, check=False)


def begin(environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [*COMMAND, "up"], env=environment, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def test_without_a_platform_there_is_nothing_to_stop(tmp_path: Path) -> None:
    environment = environment_of(tmp_path)
    assert run("stop", environment).stdout == "nothing was running\n"
    status = run("status", environment)
    assert (status.returncode, status.stdout) == (1, "not running (make up, or make run)\n")


def test_a_wrong_command_says_what_there_is(tmp_path: Path) -> None:
    answer = run("restart", environment_of(tmp_path))
    assert answer.returncode == 2
    assert answer.stderr.startswith("usage: python -m ops_platform.embedded up | run [REQUEST] | stop | status")


def test_a_taken_port_is_a_clear_error_and_leaves_nothing(tmp_path: Path) -> None:
    environment = environment_of(tmp_path)
    holder = subprocess.Popen(
        [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", environment["OPS_S3_PORT"]],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: any(c.status == "LISTEN" for c in psutil.Process(holder.pid).net_connections()), 30, "held")
        answer = run("up", environment)
    finally:
        holder.kill()
        holder.wait()
    assert answer.returncode == 3
    assert f"error: port {environment['OPS_S3_PORT']} (OPS_S3_PORT) is taken by process {holder.pid}" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert lifecycle.read_instance(layout_of(environment)) is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_start_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    environment = environment_of(tmp_path)
    layout = layout_of(environment)
    starting = begin(environment)
    wait_until(lambda: num_marked(lifecycle.read_instance(layout)) >= 2, 60, "two processes have started")
    instance = lifecycle.read_instance(layout)
    starting.send_signal(number)
    assert starting.wait(60) == 130
    assert num_marked(instance) == 0
    assert lifecycle.read_instance(layout) is None


def test_a_start_that_was_killed_is_cleaned_up_by_stop(tmp_path: Path) -> None:
    environment = environment_of(tmp_path)
    layout = layout_of(environment)
    starting = begin(environment)
    wait_until(lambda: num_marked(lifecycle.read_instance(layout)) >= 2, 60, "two processes have started")
    starting.kill()
    starting.wait()
    instance = lifecycle.read_instance(layout)
    assert num_marked(instance) >= 1
    assert run("stop", environment).stdout.endswith("stopped\n")
    assert num_marked(instance) == 0


def test_processes_of_a_folder_that_was_removed_are_found(tmp_path: Path) -> None:
    environment = environment_of(tmp_path / "home")
    layout = layout_of(environment)
    starting = begin(environment)
    wait_until(lambda: num_marked(lifecycle.read_instance(layout)) >= 2, 60, "two processes have started")
    starting.kill()
    starting.wait()
    instance = lifecycle.read_instance(layout)
    shutil.rmtree(layout.home, ignore_errors=True)  # what `git clean` does
    assert num_marked(instance) >= 1
    stopped = run("stop", environment)
    assert "was removed while they ran" in stopped.stdout
    assert num_marked(instance) == 0


def test_up_reuses_what_runs_replaces_what_is_broken_and_stop_ends_it(tmp_path: Path) -> None:
    environment = environment_of(tmp_path)
    layout = layout_of(environment)
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        assert run("up", environment).returncode == 0
        first = lifecycle.read_instance(layout)
        assert first is not None
        assert "already running" in run("up", environment).stdout
        assert lifecycle.read_instance(layout) == first
        assert run("status", environment).returncode == 0

        scheduler = next(service for service in first.services if service.name == "scheduler")
        psutil.Process(scheduler.pid).kill()
        services.wait_until_gone([scheduler], 10)
        status = run("status", environment)
        assert status.returncode == 1
        assert "has ended" in status.stdout

        assert run("up", environment).returncode == 0
        second = lifecycle.read_instance(layout)
        assert second is not None and second.id != first.id
        assert num_marked(first) == 0
    finally:
        instance = lifecycle.read_instance(layout)
        stopped = run("stop", environment)
        bystander_runs = bystander.poll() is None
        bystander.kill()
        bystander.wait()
    assert stopped.stdout.endswith("stopped\n")
    assert num_marked(instance) == 0
    assert bystander_runs
    assert run("stop", environment).stdout == "nothing was running\n"
