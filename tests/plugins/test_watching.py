"""What `make run` says while it waits."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from ops_platform.embedded.airflow_api import AirflowApi
from ops_platform.embedded.watching import TrainingProgress, wait_for_run
from rich.console import Console

from ops_common.errors import ServiceError
from ops_common.metrics import append_metrics


@pytest.mark.parametrize(
    ("num_steps", "max_seconds", "expected"),
    [
        (1000, 0, "step 200 of 1,000, loss 0.25, 1,500 blocks/s, about 80 s left"),
        (1000, 30, "step 200 of 1,000, loss 0.25, 1,500 blocks/s, about 10 s left"),
        (0, 60, "step 200, loss 0.25, 1,500 blocks/s, about 40 s left"),
        (0, 0, "step 200, loss 0.25, 1,500 blocks/s"),
    ],
)
def test_progress_of_a_training(tmp_path: Path, num_steps: int, max_seconds: float, expected: str) -> None:
    path = tmp_path / "metrics.jsonl"
    append_metrics(path, 100, {"loss": 0.5, "seconds": 10.0})
    append_metrics(path, 200, {"loss": 0.25, "seconds": 20.0, "samples_per_second": 1500.0})
    append_metrics(path, 200, {"validation_mape_percent_hsw": 12.0})
    assert TrainingProgress(path, num_steps, max_seconds).line() == expected


def test_progress_before_the_first_step_and_of_a_torn_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    progress = TrainingProgress(path, 10, 0)
    assert progress.line() == ""
    path.write_text("not json\n")
    assert progress.line() == ""


class ScriptedApi(AirflowApi):
    """Answers that were written down before, one a question; an error is raised."""

    def __init__(self, answers: list[tuple[str, dict[str, str]] | Exception]) -> None:
        super().__init__("http://127.0.0.1:9", "", "")
        self._answers: Iterator[tuple[str, dict[str, str]] | Exception] = iter(answers)
        self._tasks: dict[str, str] = {}

    def run_state(self, dag_id: str, run_id: str) -> str:
        """The next answer."""
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        self._tasks = answer[1]
        return answer[0]

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str]:
        """What belongs to it."""
        return self._tasks


def test_every_change_is_a_line_and_a_short_silence_is_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops_platform.embedded.watching.POLL_SECONDS", 0)
    api = ScriptedApi(
        [
            ("queued", {}),
            ("running", {"a": "queued"}),
            ("running", {"a": "running"}),
            ServiceError("gone for a moment"),
            ("running", {"a": "success", "b": "running"}),
            ("failed", {"a": "success", "b": "failed", "c": "upstream_failed"}),
        ]
    )
    lines: list[str] = []
    state = wait_for_run(api, "dag", "run", lines.append, Console(file=io.StringIO()))
    assert state == "failed"
    assert [(line.split()[1], line.split("]")[1].split("[")[0]) for line in lines] == [
        ("a", "running"),
        ("a", "success"),
        ("b", "running"),
        ("b", "failed"),
        ("c", "upstream_failed"),
    ]


def test_a_long_silence_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops_platform.embedded.watching.POLL_SECONDS", 0)
    monkeypatch.setattr("ops_platform.embedded.watching._PATIENCE_SECONDS", -1)
    api = ScriptedApi([ServiceError("Airflow did not answer")])
    with pytest.raises(ServiceError, match="did not answer"):
        wait_for_run(api, "dag", "run", lambda _line: None, Console(file=io.StringIO()))
