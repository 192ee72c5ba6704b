"""The record of a run: who writes what, what adds up, and what happens when several write at once."""

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ops_common.artifacts import write_manifest
from ops_common.cli import run_task
from ops_common.errors import ArtifactError, DataError, Interrupted
from ops_common.run_record import Command, begin, describe, read_record, recorded
from ops_common.surroundings import describe_code, describe_machine, describe_versions, digest_of_sources

ROOT = Path(__file__).parents[2]


def command(folder: Path, task: str = "train_model", **arguments: Any) -> Command:
    return Command(folder, task, "gematria_ops", task.partition(".")[0], arguments)


def burn(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_a_command_without_a_workflow_begins_its_record(tmp_path: Path) -> None:
    with recorded(command(tmp_path, run_dir=str(tmp_path), steps=3)):
        (tmp_path / "bundle").mkdir()
        (tmp_path / "bundle/weights").write_bytes(b"w")
        burn(0.05)
    record = read_record(tmp_path)
    assert record["command"] == ["python", "-m", "gematria_ops", "train-model"]
    assert record["conf"] == {"run_dir": str(tmp_path), "steps": 3}
    task = record["tasks"]["train_model"]
    assert (task["status"], task["attempts"], task["gpu_seconds"]) == ("done", 1, 0)
    assert task["cpu_seconds"] >= 0.05
    assert record["cost"] == {"core_hours": round(task["cpu_seconds"] / 3600, 6), "gpu_hours": 0}
    assert record["artifacts"] == {"bundle/weights": hashlib.sha256(b"w").hexdigest()}


def test_what_a_workflow_asked_for_stays_and_attempts_add_up(tmp_path: Path) -> None:
    begin(tmp_path, dag_id="gematria_train", run_id="run 1", conf={"steps": 3})
    begin(tmp_path, dag_id="gematria_train", run_id="run 1", conf={"steps": 4})  # cleared, and asked again
    for error in (DataError("bad"), Interrupted("stopped"), None):
        try:
            with recorded(command(tmp_path)):
                if error:
                    raise error
        except (DataError, Interrupted):
            expected = "failed" if isinstance(error, DataError) else "interrupted"
            assert read_record(tmp_path)["tasks"]["train_model"]["status"] == expected
    record = read_record(tmp_path)
    assert (record["dag_id"], record["conf"]) == ("gematria_train", {"steps": 3})
    assert (record["tasks"]["train_model"]["attempts"], record["tasks"]["train_model"]["status"]) == (3, "done")


def test_artifacts_follow_what_stands_there(tmp_path: Path) -> None:
    (tmp_path / "reports").mkdir()
    path, gone = tmp_path / "reports/a.json", tmp_path / "reports/gone.json"
    for content in (b"1", b"2"):
        with recorded(command(tmp_path)):
            path.write_bytes(content)
            gone.write_bytes(content)
    gone.unlink()
    (tmp_path / "out/tensorboard").mkdir(parents=True)
    (tmp_path / "out/tensorboard/events").write_bytes(b"when")
    with recorded(command(tmp_path, "evaluate_model")):
        pass
    assert read_record(tmp_path)["artifacts"] == {"reports/a.json": hashlib.sha256(b"2").hexdigest()}


def test_a_continuation_writes_into_the_record_of_its_own_run(tmp_path: Path) -> None:
    data, trained, run = tmp_path / "data", tmp_path / "trained", tmp_path / "run"
    data.mkdir()
    run.mkdir()
    (trained / "out").mkdir(parents=True)
    (data / "corpus").write_bytes(b"c")
    write_manifest(data, ["corpus"])
    with recorded(command(run, "continue_training", work_dir=str(trained))):
        describe(trained, "fastnode_ops", config={"a": {"b": 1}}, seeds={"train.seed": 7}, data_dir=data)
        (trained / "out/model").write_bytes(b"m")
    assert not (trained / "record.json").exists()
    record = read_record(run)
    assert record["command"][-1] == "continue-training"  # the description came first, and is not the beginning
    assert (record["config"], record["seeds"]) == ({"a": {"b": 1}}, {"train.seed": 7})
    assert (record["data"], record["data_dir"]) == ({"corpus": hashlib.sha256(b"c").hexdigest()}, str(data))
    assert list(record["artifacts"]) == ["out/model"]


def test_many_processes_that_end_at_once_lose_nothing(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from ops_common.run_record import Command, recorded\n"
        "with recorded(Command(Path(sys.argv[1]), sys.argv[2], 'x', 'deploy', {})): sys.stdin.read()"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path), f"deploy.{number}"],
            stdin=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for number in range(8)
    ]
    for child in children:
        child.communicate(b"")
    assert [child.returncode for child in children] == [0] * 8
    assert sorted(read_record(tmp_path)["tasks"]) == [f"deploy.{number}" for number in range(8)]


def test_the_result_file_of_a_workflow_tells_run_and_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def train_model(*, work_dir: str) -> dict[str, Any]:
        return {"work_dir": work_dir}

    run, work = tmp_path / "run", tmp_path / "work"
    work.mkdir()
    begin(run, dag_id="d")
    assert run_task(train_model, {"work_dir": str(work)}, run / "results/train_model.2.json") == 0
    assert list(read_record(run)["tasks"]) == ["train_model.2"]
    assert run_task(train_model, {"work_dir": str(work)}, tmp_path / "answer.json") == 0
    assert list(read_record(work)["tasks"]) == ["train_model"]
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"work_dir": str(work)}


def test_no_folder_is_made_for_a_command_that_failed_because_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(DataError), recorded(command(tmp_path / "typo")):
        raise DataError("no such run")
    assert not (tmp_path / "typo").exists()


def test_a_record_that_cannot_be_read_is_a_warning_and_not_the_end_of_the_work(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "record.json").write_text("[1")
    with recorded(command(tmp_path)):
        pass
    assert "was not completed" in caplog.text
    with pytest.raises(ArtifactError, match="is not JSON"):
        read_record(tmp_path)


def test_sources_have_one_digest_wherever_they_stand(tmp_path: Path) -> None:
    for place in ("one", "other"):
        (tmp_path / place / "package").mkdir(parents=True)
        (tmp_path / place / "package/a.py").write_text("x = 1\n")
        (tmp_path / place / "package/a.pyc").write_text(place)
    one, other = (digest_of_sources([tmp_path / place / "package"]) for place in ("one", "other"))
    assert one == other
    (tmp_path / "one/package/a.py").rename(tmp_path / "one/package/b.py")
    assert digest_of_sources([tmp_path / "one/package"]) != other


def test_the_surroundings_are_told() -> None:
    code = describe_code("gematria_ops")
    assert len(code["tree_sha256"]) == 64
    assert describe_code("fastnode_ops")["tree_sha256"] != code["tree_sha256"]
    assert {"python", "numpy", "pydantic"} <= set(describe_versions())
    machine = describe_machine()
    assert machine["num_cpus"] >= 1 and machine["memory_bytes"] > 2**28 and machine["cpu"]
