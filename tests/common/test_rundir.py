"""Run folders: one request each, results found again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ops_common.errors import ArtifactError, ConfigError
from ops_common.rundir import RunDir, first_difference

REQUEST = {"dataset_dir": "/data", "seed": 7, "train": {"steps": 100, "rate": 1e-3}, "sources": ["skl", "hsw"]}


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir.create(tmp_path / "runs" / "r1", REQUEST)


def test_one_layout(run: RunDir) -> None:
    names = ("checkpoints_dir", "bundle_dir", "metrics_path", "reports_dir", "results_dir", "summaries_dir")
    assert [getattr(run, name).relative_to(run.path).as_posix() for name in names] == [
        "checkpoints",
        "bundle",
        "metrics.jsonl",
        "reports",
        "results",
        "summaries",
    ]
    assert run.request() == REQUEST
    assert RunDir.open(run.path).request() == REQUEST


def test_the_same_request_opens_the_run_again(run: RunDir) -> None:
    before = run.request_path.read_bytes()
    again = RunDir.create(run.path, REQUEST | {"sources": ("skl", "hsw"), "dataset_dir": Path("/data")})
    assert again.request_path.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 8}, "seed was 7, now 8"),
        ({"train": {"steps": 100, "rate": 0.1}}, "train.rate was 0.001, now 0.1"),
        ({"train": {"steps": 100}}, "train.rate was 0.001, now not given"),
        ({"extra": True, "seed": 9}, "extra was not given, now True"),
        ({"sources": ["hsw", "skl"]}, "sources was ['skl', 'hsw'], now ['hsw', 'skl']"),
        ({"train": None}, "train was {'steps': 100, 'rate': 0.001}, now None"),
    ],
)
def test_another_request_is_refused(run: RunDir, change: dict, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RunDir.create(run.path, REQUEST | change)
    assert caught.value.message == f"run folder {run.path} was made for something else: {message}"
    assert run.request() == REQUEST


def test_folders_that_are_no_runs(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"is not a run folder: it has no run\.json"):
        RunDir.open(tmp_path)
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(ArtifactError, match=r"run\.json has no table 'request'"):
        RunDir.open(tmp_path).request()
    with pytest.raises(ArtifactError, match=r"run\.json has no table 'request'"):
        RunDir.create(tmp_path, {})


def test_marks(run: RunDir) -> None:
    assert (run.state, run.failure_reason()) == ("open", "")
    run.mark_failed("S3 is down")
    assert (run.state, run.failure_reason()) == ("failed", "S3 is down")
    run.mark_done()
    assert (run.state, run.failure_reason()) == ("done", "")
    assert not (run.path / "FAILED").exists()
    run.mark_failed("again")
    assert run.state == "failed"


def test_finished_task_returns_its_own_result(run: RunDir) -> None:
    arguments = {"run_dir": str(run.path), "split": "validation", "tasks": ["a"]}
    assert run.finished_result("evaluate_model", arguments) is None
    run.save_result("evaluate_model", arguments, {"mape_percent": 12.5, "report": Path("x")})
    assert run.finished_result("evaluate_model", arguments) == {"mape_percent": 12.5, "report": "x"}
    assert run.finished_result("upload_model", arguments) is None
    with pytest.raises(ConfigError) as caught:
        run.finished_result("evaluate_model", arguments | {"split": "test"})
    assert caught.value.message == (
        f"task evaluate_model finished in run folder {run.path} with other arguments: "
        "split was 'validation', now 'test'"
    )


def test_the_file_of_the_command_does_not_disturb_the_record(run: RunDir) -> None:
    run.save_result("train_model", {"a": 1}, {"b": 2})
    (run.results_dir / "train_model.json").write_text(json.dumps({"b": 2}))  # what --result-file writes there
    assert run.finished_result("train_model", {"a": 1}) == {"b": 2}


def test_one_process_at_a_time(run: RunDir) -> None:
    code = (
        "import sys; from pathlib import Path; from ops_common.rundir import RunDir\n"
        "with RunDir(Path(sys.argv[1])).exclusive('train_model'):\n print('in', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(run.path)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "in\n"
    message = rf"task train_model is running in run folder .*r1 \(process {other.pid}\)"
    with pytest.raises(ConfigError, match=message), run.exclusive("train_model"):
        pass
    with run.exclusive("evaluate_model"):
        pass

    other.kill()  # the system gives the lock back however the process ends
    other.communicate()
    with run.exclusive("train_model"):
        assert (run.results_dir / ".train_model.lock").read_text() == str(os.getpid())


def test_first_difference_of_equal_values() -> None:
    assert first_difference({"a": {"b": [1]}, "c": 1}, {"c": 1.0, "a": {"b": [1]}}) == ""
