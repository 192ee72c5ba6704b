"""The training loop: budget, resume, signals, what is written when, and what stops it."""

import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ops_common.errors import ConfigError, DataError, Interrupted
from ops_common.learning import ahead
from ops_common.learning.checkpoints import CheckpointStore, latest_checkpoint
from ops_common.learning.fit import Plan, fit
from ops_common.learning.pace import Cadence
from ops_common.metrics import append_metrics, read_metrics
from ops_common.processes import wait_until
from tests.common.learning.lines import LineWorkload

pytestmark = pytest.mark.tf

NEVER = Cadence()


def run(folder: Path | None, num_steps: int, workload: LineWorkload | None = None, **options: object) -> LineWorkload:
    workload = workload or LineWorkload()
    plan = {"save": NEVER, "report": NEVER} | {key: options.pop(key) for key in list(options) if key in PLAN_FIELDS}
    store = CheckpointStore(folder, {"kind": "line"}) if folder is not None else None
    fit(workload, Plan(num_steps, **plan), store, **options)
    return workload


PLAN_FIELDS = ("save", "report", "max_seconds", "validate_steps")


def steps_in(folder: Path) -> list[int]:
    return sorted(int(path.stem.rpartition("-")[2]) for path in folder.glob("*.index"))


def test_it_learns() -> None:
    workload = run(None, 200)
    slope, offset = workload.weights.numpy()
    assert slope == pytest.approx(3, abs=0.3)
    assert offset == pytest.approx(2, abs=0.3)


def test_the_budget_counts_the_steps_of_earlier_runs(tmp_path: Path) -> None:
    assert run(tmp_path, 10).global_step == 10
    again = run(tmp_path, 15)
    assert again.global_step == 15
    assert len(again.losses) == 5


def test_a_fulfilled_budget_does_nothing(tmp_path: Path) -> None:
    run(tmp_path, 10)
    before = (tmp_path / "checkpoint").stat().st_mtime_ns
    again = run(tmp_path, 10)
    assert again.losses == []
    assert (tmp_path / "checkpoint").stat().st_mtime_ns == before
    assert again.state() == run(None, 10).state()


@pytest.mark.parametrize("num_steps", [0, -1])
def test_without_a_budget_it_runs_until_interrupted(num_steps: int, tmp_path: Path) -> None:
    workload = LineWorkload(signals={37: [signal.SIGINT]})
    with pytest.raises(Interrupted):
        run(tmp_path, num_steps, workload)
    assert workload.global_step == 37
    assert steps_in(tmp_path) == [37]


@pytest.mark.parametrize("first", [1, 7, 19])
def test_resumed_it_ends_with_the_same_bits(first: int, tmp_path: Path) -> None:
    run(tmp_path, first)
    assert run(tmp_path, 20).state() == run(None, 20).state()


def test_batches_are_asked_for_by_step(tmp_path: Path) -> None:
    run(tmp_path, 5)
    workload = run(tmp_path, 8)
    assert workload.made[:3] == [5, 6, 7]
    assert workload.made == list(range(5, 5 + len(workload.made)))


def test_no_batch_beyond_the_last_step_is_asked_for(tmp_path: Path) -> None:
    assert run(tmp_path, 2).made == [0, 1]
    assert run(tmp_path, 7).made == [2, 3, 4, 5, 6]


class LateWorkload(LineWorkload):
    """Has no batch of step 4 until it hears that none is needed; then calls what is to happen meanwhile."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        super().__init__()
        self.ended = threading.Event()
        self._meanwhile = meanwhile

    def make_batch(self, step: int) -> np.ndarray:
        if step == 4:
            wait_until(lambda: self.global_step == 4, 30, "the steps before")
            self._meanwhile()
            self.ended.wait(30)
        return super().make_batch(step)


def test_a_signal_is_heard_while_a_batch_is_waited_for(tmp_path: Path) -> None:
    workload = LateWorkload(lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Interrupted, match="stopped by SIGTERM at step 4; the checkpoint of step 4 is written"):
        run(tmp_path, 20, workload, end_making=workload.ended.set)
    assert steps_in(tmp_path) == [4]
    assert run(tmp_path, 20).state() == run(None, 20).state()


def test_what_is_done_is_saved_while_a_batch_is_long_in_coming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "IDLE_SECONDS", 0.1)
    workload = LateWorkload(lambda: None)

    def come() -> None:
        wait_until(lambda: steps_in(tmp_path) == [4], 30, "the checkpoint")
        workload.ended.set()

    thread = threading.Thread(target=come)
    thread.start()
    run(tmp_path, 6, workload, end_making=lambda: None)
    thread.join()
    assert steps_in(tmp_path) == [4, 6]
    assert workload.state() == run(None, 6).state()


def test_checkpoints_by_steps_and_at_the_end(tmp_path: Path) -> None:
    run(tmp_path, 10, save=Cadence(steps=4))
    assert steps_in(tmp_path) == [4, 8, 10]


def test_checkpoints_by_time(tmp_path: Path) -> None:
    run(tmp_path, 3, save=Cadence(seconds=1e-9))
    assert steps_in(tmp_path) == [1, 2, 3]


def test_the_last_step_is_saved_once(tmp_path: Path) -> None:
    run(tmp_path, 8, save=Cadence(steps=4))
    assert steps_in(tmp_path) == [4, 8]


@pytest.mark.parametrize(
    ("numbers", "exit_code", "name"),
    [
        ([signal.SIGINT], 130, "SIGINT"),
        ([signal.SIGTERM], 143, "SIGTERM"),
        ([signal.SIGTERM, signal.SIGTERM, signal.SIGINT], 143, "SIGTERM"),
    ],
)
def test_a_signal_finishes_the_step_and_saves(numbers: list[int], exit_code: int, name: str, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted) as caught:
        run(tmp_path, 20, LineWorkload(signals={6: numbers}))
    assert caught.value.exit_code == exit_code
    assert caught.value.message == f"training stopped by {name} at step 6; the checkpoint of step 6 is written"
    assert steps_in(tmp_path) == [6]
    assert signal.getsignal(signal.SIGTERM) is before
    assert run(tmp_path, 20).state() == run(None, 20).state()


def test_a_signal_in_the_last_step_is_not_swallowed(tmp_path: Path) -> None:
    with pytest.raises(Interrupted, match="at step 6"):
        run(tmp_path, 6, LineWorkload(signals={6: [signal.SIGTERM]}))
    assert steps_in(tmp_path) == [6]


def test_a_signal_while_validating_at_the_end_is_not_swallowed(tmp_path: Path) -> None:
    def validate(step: int) -> dict[str, float]:
        os.kill(os.getpid(), signal.SIGTERM)
        return {}

    with pytest.raises(Interrupted, match="at step 6; the checkpoint of step 6 is written"):
        run(tmp_path, 6, validate=validate, validate_steps=100)


def test_without_a_checkpoint_folder_the_message_says_that_nothing_was_saved() -> None:
    with pytest.raises(Interrupted, match="nothing was saved"):
        run(None, 20, LineWorkload(signals={6: [signal.SIGINT]}))


def test_outside_of_the_main_thread_it_trains_without_signals() -> None:
    workload = LineWorkload()
    thread = threading.Thread(target=run, args=(None, 5, workload))
    thread.start()
    thread.join()
    assert workload.global_step == 5


def test_the_time_limit_ends_it_as_if_the_steps_were_done(tmp_path: Path) -> None:
    assert run(tmp_path, 0, max_seconds=1e-9).global_step == 1
    assert steps_in(tmp_path) == [1]


def test_a_loss_that_is_not_finite_stops_with_the_samples_named(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        run(tmp_path, 20, LineWorkload(bad_steps=[7]), save=Cadence(steps=3))
    path = tmp_path / "non_finite_step_7.json"
    named = ", ".join(f"(point {index}, batch 6)" for index in range(5))
    assert caught.value.message == (
        f"the loss of step 7 is nan; its batch holds {named} and 5 more; all of them are in {path}"
    )
    assert json.loads(path.read_text()) == {
        "step": 7,
        "problem": "the loss of step 7 is nan",
        "samples": [{"point": index, "batch": 6} for index in range(10)],
    }
    assert steps_in(tmp_path) == [3, 6]


@pytest.mark.parametrize("keeps", [False, True])
def test_samples_that_cannot_be_written_are_logged(
    keeps: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "file/model" if keeps else None
    (tmp_path / "file").write_text("there can be no folder of this name")
    with pytest.raises(DataError, match="all of them are in the log"):
        run(folder, 2, LineWorkload(bad_steps=[1]))
    assert "(point 9, batch 0)" in caplog.text
    assert ("folder" in caplog.text) == keeps


def test_a_weight_that_is_not_finite_never_reaches_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"variable 'weights' is not finite after step 9; its batch holds \(point 0"):
        run(tmp_path, 9, LineWorkload(bad_weights=[9]), save=Cadence(steps=3))
    assert steps_in(tmp_path) == [3, 6]


def test_reports_first_due_and_last() -> None:
    assert run(None, 11, report=Cadence(steps=5)).reported == [1, 5, 10, 11]


def test_metrics_hold_loss_and_report(tmp_path: Path) -> None:
    workload = run(None, 4, metrics_path=tmp_path / "m.jsonl", report=Cadence(steps=2))
    records = read_metrics(tmp_path / "m.jsonl")
    assert [record["step"] for record in records] == [1, 2, 4]
    assert [record["loss"] for record in records] == [workload.losses[0], workload.losses[1], workload.losses[3]]
    assert records[-1]["slope"] == float(workload.weights[0])
    assert records[0].keys() >= {"samples_per_second", "seconds"}


def test_records_of_steps_done_again_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    run(tmp_path, 5, metrics_path=path, report=Cadence(steps=1))
    append_metrics(path, 6, {"loss": 99.0})  # reported, but killed before the checkpoint of step 6
    run(tmp_path, 7, metrics_path=path, report=Cadence(steps=1))
    assert [record["step"] for record in read_metrics(path)] == [1, 2, 3, 4, 5, 6, 7]
    assert all(record["loss"] != 99.0 for record in read_metrics(path))


def test_validation_when_due_and_at_the_end(tmp_path: Path) -> None:
    asked = []

    def validate(step: int) -> dict[str, float]:
        asked.append(step)
        return {"error": step / 100}

    run(None, 7, validate=validate, validate_steps=3, metrics_path=tmp_path / "m.jsonl")
    assert asked == [3, 6, 7]
    found = {record["step"]: record["error"] for record in read_metrics(tmp_path / "m.jsonl") if "error" in record}
    assert found == {3: 0.03, 6: 0.06, 7: 0.07}


def test_initialize_only_without_a_checkpoint(tmp_path: Path) -> None:
    def warm(workload: LineWorkload) -> None:
        workload.weights.assign([3.0, 2.0])

    first = LineWorkload()
    run(tmp_path, 1, first, initialize=lambda: warm(first))
    assert first.losses[0] < 3
    second = LineWorkload()
    run(tmp_path, 2, second, initialize=lambda: pytest.fail("there is a checkpoint"))
    assert second.global_step == 2


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    CheckpointStore(tmp_path, {"kind": "curve"}).save(LineWorkload().variables_by_name(), 3)
    with pytest.raises(ConfigError, match="kind was 'curve', now 'line'"):
        run(tmp_path, 10)


def test_an_error_in_making_a_batch_comes_out() -> None:
    class Broken(LineWorkload):
        def make_batch(self, step: int) -> object:
            if step == 3:
                raise DataError("record 3 is damaged")
            return super().make_batch(step)

    broken = Broken()
    with pytest.raises(DataError, match="record 3 is damaged"):
        run(None, 10, broken)
    assert broken.global_step == 3


def test_the_summary_counts(tmp_path: Path) -> None:
    run(tmp_path, 4)
    workload = LineWorkload()
    summary = fit(workload, Plan(10, save=NEVER, report=NEVER), CheckpointStore(tmp_path, {"kind": "line"}))
    assert (summary.first_step, summary.global_step, summary.num_steps, summary.num_samples) == (4, 10, 6, 60)
    assert summary.final_loss == workload.losses[-1]
    assert 0 < summary.seconds_to_first_step <= summary.wall_seconds
    assert summary.samples_per_second > 0
    assert summary.samples_per_cpu_second > 0
    nothing = fit(LineWorkload(), Plan(10), CheckpointStore(tmp_path, {"kind": "line"}))
    assert nothing.num_steps == 0
    assert math.isnan(nothing.final_loss)


# Trains in children that are killed while a step is done, or while a checkpoint is written, and started again.
KILLED = """
import os, sys
from pathlib import Path
import tensorflow as tf
sys.path.insert(0, sys.argv[1])
from tests.common.learning.lines import LineWorkload
from ops_common.learning.checkpoints import CheckpointStore
from ops_common.learning.fit import Plan, fit
from ops_common.learning.pace import Cadence

def train(folder, kill_at):
    store = CheckpointStore(folder, {"kind": "line"}, max_to_keep=2)
    num_calls = 0

    def watch(event, arguments):
        nonlocal num_calls
        if event in ("os.rename", "os.remove"):
            num_calls += 1
            if num_calls == kill_at:
                os.kill(os.getpid(), 9)

    sys.addaudithook(watch)
    workload = LineWorkload(signals={kill_at: [9]} if kill_at % 2 else {})
    fit(workload, Plan(40, save=Cadence(steps=3), report=Cadence()), store)

for kill_at in (5, 6, 14, 17, 24, 30, 31, -1):
    child = os.fork()
    if child == 0:
        train(Path(sys.argv[2]), kill_at)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_killed_again_and_again_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parents[3]), str(tmp_path / "killed")]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    exit_codes = [int(line) for line in finished.stdout.split()]
    assert exit_codes[-1] == 0
    assert exit_codes.count(-9) >= 4
    run(tmp_path / "whole", 40)
    ends = []
    for name in ("killed", "whole"):
        newest = latest_checkpoint(tmp_path / name)
        assert newest is not None
        workload = LineWorkload()
        CheckpointStore(tmp_path / name, {"kind": "line"}).restore(newest, workload.variables_by_name())
        ends.append(workload.state())
    assert ends[0] == ends[1]
    assert ends[0][-1] == 40
