"""The wrapper of a task's command in a pod, as a real process: what it brings, stores, hands over and ends with."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ops_common.exchange import AFTER, BEFORE, Exchange
from ops_common.processes import wait_until
from ops_common.stores import FolderStore

ROOT = Path(__file__).parents[2]


class Pod:
    """A folder that plays the worker's disk, one that plays the pod's, and the store between them."""

    def __init__(self, folder: Path) -> None:
        self.worker, self.run, self.copy = folder / "worker", folder / "pod/run", folder / "xcom/return.json"
        self.exchange = Exchange(FolderStore(folder / "store"), "dag/run/task")
        self.worker.mkdir()
        (self.worker / "input").write_text("6 7")
        self.exchange.send(BEFORE, {"run_dir": self.worker})
        self._store = folder / "store"

    def start(self, program: str, *options: str, exchanged: bool = True) -> subprocess.Popen[bytes]:
        wrapper = [sys.executable, "-m", "ops_common.pod_command", f"--result-file={self.run}/result.json"]
        wrapper += [f"--result-copy={self.copy}", *options]
        if exchanged:
            wrapper += [f"--exchange={self._store}", "--name=dag/run/task", f"--folder=run_dir={self.run}"]
        return subprocess.Popen(
            [*wrapper, "--", sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": str(ROOT), "RUN": str(self.run)},
            stderr=subprocess.PIPE,
        )


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    return Pod(tmp_path)


WORK = """
import json, os, pathlib, sys
run = pathlib.Path(os.environ["RUN"])
one, two = map(int, (run / "input").read_text().split())
(run / "result.json").write_text(json.dumps({"product": one * two}))
"""


def test_it_brings_runs_stores_and_hands_over(pod: Pod) -> None:
    process = pod.start(WORK)
    assert process.wait(60) == 0
    assert json.loads(pod.copy.read_text()) == {"product": 42}
    after = pod.exchange.read(AFTER)
    assert after is not None and (after.status, set(after.folders["run_dir"])) == (0, {"input", "result.json"})


def test_a_failed_command_hands_nothing_over_but_what_it_left_is_stored(pod: Pod) -> None:
    assert pod.start(WORK + "sys.exit(4)").wait(60) == 4
    after = pod.exchange.read(AFTER)
    assert after is not None and after.status == 4 and "result.json" in after.folders["run_dir"]
    assert not pod.copy.exists()


def test_a_signal_becomes_a_status(pod: Pod) -> None:
    assert pod.start("import os; os.kill(os.getpid(), 9)").wait(60) == 137


LONG = """
import os, pathlib, signal, sys, time
run = pathlib.Path(os.environ["RUN"])
def save(*_):
    (run / "saved").write_text("yes")
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
(run / "checkpoint").write_text("1")
while True:
    time.sleep(0.05)
"""


def test_sigterm_reaches_the_command_and_what_it_saves_is_stored(pod: Pod) -> None:
    process = pod.start(LONG)
    wait_until((pod.run / "checkpoint").exists, 60, "the command")
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    after = pod.exchange.read(AFTER)
    assert after is not None and after.status == 143 and "saved" in after.folders["run_dir"]


def test_a_lost_pod_costs_what_came_after_the_last_snapshot(pod: Pod) -> None:
    process = pod.start(LONG, "--store-seconds=0.1")

    def is_stored() -> bool:
        after = pod.exchange.read(AFTER)
        return after is not None and "checkpoint" in after.folders["run_dir"] and after.status is None

    try:
        wait_until(is_stored, 60, "a snapshot")
    finally:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.kill()
        process.wait()
        for child in children:
            os.kill(int(child), signal.SIGKILL)


def test_on_a_volume_nothing_is_exchanged(pod: Pod) -> None:
    pod.run.mkdir(parents=True)
    (pod.run / "input").write_text("2 3")
    assert pod.start(WORK, exchanged=False).wait(60) == 0
    assert json.loads(pod.copy.read_text()) == {"product": 6}
    assert pod.exchange.read(AFTER) is None


def test_without_a_snapshot_it_says_so(pod: Pod, tmp_path: Path) -> None:
    (tmp_path / "store/dag/run/task/before.json").unlink()
    process = pod.start(WORK)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 5
    assert b"error: the exchange has no snapshot 'before' of this task" in errors
