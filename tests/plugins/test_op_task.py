"""`op_task` with real child processes: results, logs, errors, and that nothing outlives a task."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import structlog

pytestmark = pytest.mark.airflow

FAKES = Path(__file__).parents[1] / "fakes"
sys.path.insert(0, str(FAKES))

from airflow.sdk import Asset  # noqa: E402
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException  # noqa: E402
from ops_fake import tasks  # noqa: E402
from ops_platform.op_task import OpTask, op_task  # noqa: E402

from ops_common.errors import ConfigError  # noqa: E402

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{FAKES}:{ROOT}")
    monkeypatch.setenv("OPS_STOP_GRACE_SECONDS", "20")


@pytest.fixture
def log() -> Iterator[Callable[[], list[str]]]:
    with structlog.testing.capture_logs() as entries:
        yield lambda: [str(entry["event"]) for entry in list(entries)]


def run(operator: OpTask, context: dict[str, Any] | None = None) -> dict[str, Any]:
    # what `execute` is wrapped in only checks that Airflow's task runner calls it
    return OpTask.execute.__wrapped__(operator, context or {})  # type: ignore[attr-defined, no-any-return]


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} has not appeared"
        time.sleep(0.02)
    return path.read_text()


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != "zombie"
    except psutil.NoSuchProcess:  # asked first whether it exists, it could end between the two questions
        return False


def assert_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 30
    while alive := [pid for pid in pids if is_alive(pid)]:
        assert time.monotonic() < deadline, f"still running: {alive}"
        time.sleep(0.02)


def test_the_result_file_becomes_the_answer(tmp_path: Path) -> None:
    values = {"text": "--a 'b' \"c\" $HOME\n; true", "count": 3, "share": 1e-9, "really": False, "names": ["x y", "-z"]}
    result = run(op_task(tasks.describe_arguments, run_dir=str(tmp_path), **values))
    assert result == {**values, "run_dir": str(tmp_path), "names": "x y|-z"}
    assert json.loads((tmp_path / "results/describe_arguments.json").read_text()) == result


def test_the_task_has_the_functions_name_and_text() -> None:
    operator = op_task(tasks.print_lines, run_dir="/r", num_lines=1)
    assert (operator.task_id, operator.library) == ("print_lines", "ops_fake")
    assert "How many lines" in (operator.doc_md or "")
    assert "run_dir" not in operator.arguments  # print_lines has no such argument


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_lines": 1, "num_line": 2}, "print_lines has no argument 'num_line'"),
        ({}, "print_lines needs the argument 'num_lines'"),
        ({"num_lines": "few"}, "print_lines: argument 'num_lines' is 'few'"),
    ],
)
def test_wrong_arguments_fail_while_the_dag_is_parsed(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        op_task(tasks.print_lines, run_dir="/r", **arguments)


def test_only_the_tasks_that_the_deployment_names_run_in_pods(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPS_MODE", "pod")
    monkeypatch.setenv("OPS_POD_TASKS", "train_model")
    assert isinstance(op_task(tasks.print_lines, run_dir="/r", num_lines=1), OpTask)


def test_output_is_streamed_line_by_line(tmp_path: Path, log: Callable[[], list[str]]) -> None:
    run(op_task(tasks.print_lines, run_dir=str(tmp_path), num_lines=3, with_odd_bytes=True))
    lines = log()
    assert lines.index("line 0") < lines.index("line 2")
    assert {"�� odd", "first", "second"} <= set(lines)
    assert any(line.startswith("no end") for line in lines)
    assert sum(len(line) for line in lines if set(line) == {"x"}) == 40_000
    assert max(len(line) for line in lines) <= 16_384


def test_a_line_arrives_while_the_command_runs(tmp_path: Path, log: Callable[[], list[str]]) -> None:
    operator = op_task(tasks.keep_running, run_dir=str(tmp_path), folder=str(tmp_path), with_child=False)
    with _in_background(operator) as outcome:
        wait_for(tmp_path / "pids")
        assert any("keep-running" in line for line in log())
        assert not outcome
        operator.on_kill()
    assert "saving 4" in log()


@pytest.mark.parametrize(
    ("kind", "is_retried"),
    [
        ("UsageError", False),
        ("ConfigError", False),
        ("DataError", False),
        ("ArtifactError", False),
        ("GateError", False),
        ("ServiceError", True),
        ("Surprise", True),
    ],
)
def test_errors_are_retried_by_kind(tmp_path: Path, kind: str, is_retried: bool) -> None:
    with pytest.raises(AirflowException) as caught:
        run(op_task(tasks.raise_error, run_dir=str(tmp_path), kind=kind))
    assert isinstance(caught.value, AirflowFailException) is not is_retried
    expected = "a bug called Surprise" if kind == "Surprise" else f"this is what a {kind} says"
    assert expected in str(caught.value)
    assert ("Traceback" in str(caught.value)) is (kind == "Surprise")


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (-signal.SIGKILL, "end_without_result killed by signal 9; it can be retried"),
        (1, "end_without_result ended with status 1; it can be retried"),
        (0, "end_without_result ended well but left no result"),
    ],
)
def test_a_command_that_dies_can_be_retried(tmp_path: Path, status: int, message: str) -> None:
    with pytest.raises(AirflowException, match=message) as caught:
        run(op_task(tasks.end_without_result, run_dir=str(tmp_path), status=status))
    assert not isinstance(caught.value, AirflowFailException)


def test_an_earlier_attempts_result_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results/end_without_result.json").write_text('{"old": true}')
    with pytest.raises(AirflowException, match="left no result"):
        run(op_task(tasks.end_without_result, run_dir=str(tmp_path), status=0))


def test_retries_wait_longer_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPS_RETRIES", "5")
    monkeypatch.setenv("OPS_RETRY_DELAY_SECONDS", "7")
    operator = op_task(tasks.print_lines, run_dir="/r", num_lines=1)
    assert (operator.retries, operator.retry_delay.total_seconds()) == (6, 7)  # six are the default for services
    assert operator.retry_exponential_backoff == 2.0


def test_a_killed_task_lets_its_command_save_and_leaves_nothing(tmp_path: Path, log: Callable[[], list[str]]) -> None:
    operator = op_task(tasks.keep_running, run_dir=str(tmp_path), folder=str(tmp_path))
    with _in_background(operator) as outcome:
        pids = [int(pid) for pid in wait_for(tmp_path / "pids").split()]
        operator.on_kill()
    assert (tmp_path / "saved").exists()
    assert_gone(pids)
    assert outcome and outcome[0] == {"saved": True}  # it ended well, so it also answered


def test_a_stubborn_command_is_killed_after_the_grace_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: Callable[[], list[str]]
) -> None:
    monkeypatch.setenv("OPS_STOP_GRACE_SECONDS", "0.3")
    operator = op_task(tasks.keep_running, run_dir=str(tmp_path), folder=str(tmp_path), is_stubborn=True)
    with _in_background(operator) as outcome:
        pids = [int(pid) for pid in wait_for(tmp_path / "pids").split()]
        operator.on_kill()
    assert_gone(pids)
    assert "killed by signal 9" in str(outcome[0])
    assert "[guard] still running 0.3 s after SIGTERM: killed" in log()


def test_a_process_left_behind_is_ended(tmp_path: Path) -> None:
    result = run(op_task(tasks.leave_process_behind, run_dir=str(tmp_path), folder=str(tmp_path)))
    assert result == {"left": True}
    assert_gone([int((tmp_path / "pids").read_text())])


WORKER = """
import sys
sys.path[:0] = {path!r}
from ops_fake import tasks
from ops_platform.op_task import OpTask, op_task
operator = op_task(tasks.keep_running, run_dir={folder!r}, folder={folder!r})
OpTask.execute.__wrapped__(operator, {{}})
"""


def test_a_task_process_that_is_killed_leaves_nothing_and_state_is_saved(tmp_path: Path) -> None:
    """What Airflow does five seconds after SIGTERM, what the kernel does when memory is short."""
    program = WORKER.format(path=[str(FAKES), str(ROOT), str(ROOT / "plugins")], folder=str(tmp_path))
    worker = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        pids = [int(pid) for pid in wait_for(tmp_path / "pids").split()]
        guard = psutil.Process(pids[0]).ppid()
    finally:
        worker.kill()
        worker.wait()
    assert wait_for(tmp_path / "saved") == "yes"  # it could go on printing although nobody read
    assert_gone([*pids, guard])


def test_a_retry_waits_until_the_attempt_before_it_is_gone(tmp_path: Path, log: Callable[[], list[str]]) -> None:
    first = op_task(tasks.keep_running, run_dir=str(tmp_path), folder=str(tmp_path), with_child=False)
    second = op_task(tasks.keep_running, run_dir=str(tmp_path), folder=str(tmp_path), with_child=False)
    with _in_background(first):
        pids = wait_for(tmp_path / "pids")
        with _in_background(second) as outcome:
            deadline = time.monotonic() + 30
            while not any("waiting until the attempt before this one has ended" in line for line in log()):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            assert (tmp_path / "pids").read_text() == pids  # the second command has not started
            second.on_kill()
        assert "ended with status 130" in str(outcome[0])
        first.on_kill()


def test_credentials_reach_the_command_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: Callable[[], list[str]]
) -> None:
    connection = {
        "conn_type": "aws",
        "login": "the-key",
        "password": "s3cr3t-of-the-connection",
        "extra": {"endpoint_url": "http://127.0.0.1:1", "region_name": "eu-north-1"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_OPS_S3", json.dumps(connection))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-machine")
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "of-the-platform")
    names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"]
    platform = ["AIRFLOW_CONN_OPS_S3", "AIRFLOW__CORE__FERNET_KEY"]
    given = run(op_task(tasks.tell_environment, run_dir=str(tmp_path), names=[*names, *platform], object_store=True))
    assert [given[name] for name in names] == [
        "the-key",
        "s3cr3t-of-the-connection",
        "http://127.0.0.1:1",
        "eu-north-1",
    ]
    assert [given[name] for name in platform] == ["(unset)", "(unset)"]
    commands = [line for line in log() if line.startswith("command:")]
    assert commands and not any("s3cr3t" in line or "the-key" in line for line in commands)
    without = run(op_task(tasks.tell_environment, run_dir=str(tmp_path), names=names))
    assert set(without.values()) == {"(unset)"}


@pytest.mark.parametrize(
    ("connection", "message"),
    [
        (None, "there is no Airflow connection 'ops_s3'"),
        ({"conn_type": "postgres", "login": "x"}, "Airflow connection 'ops_s3' is of type 'postgres'"),
    ],
)
def test_a_missing_or_wrong_connection_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, connection: dict[str, str] | None, message: str
) -> None:
    if connection is not None:
        monkeypatch.setenv("AIRFLOW_CONN_OPS_S3", json.dumps(connection))
    with pytest.raises(AirflowFailException, match=message):
        run(op_task(tasks.tell_environment, run_dir=str(tmp_path), names=["X"], object_store=True))


def test_the_command_gets_no_bytecode_switch_and_the_checkout_on_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    given = run(op_task(tasks.tell_environment, run_dir=str(tmp_path), names=["PYTHONDONTWRITEBYTECODE", "PYTHONPATH"]))
    assert given["PYTHONDONTWRITEBYTECODE"] == "(unset)"
    assert given["PYTHONPATH"].startswith(str(ROOT))


def test_the_asset_event_says_what_it_was_given(tmp_path: Path) -> None:
    class Event:
        extra: dict[str, Any] = {}  # noqa: RUF012

    asset, event = Asset("fake/thing"), Event()
    operator = op_task(
        tasks.print_lines, run_dir=str(tmp_path), num_lines=0, outlets=[asset], asset_extra={"where": "here"}
    )
    run(operator, {"outlet_events": {asset: event}})
    assert event.extra == {"where": "here"}


class _in_background:
    """Executes an operator in a thread; the list gets what it returned or raised."""

    def __init__(self, operator: OpTask) -> None:
        self._operator, self._outcome = operator, list[Any]()
        self._thread = threading.Thread(target=self._execute)

    def _execute(self) -> None:
        try:
            self._outcome.append(run(self._operator))
        except AirflowException as error:
            self._outcome.append(error)

    def __enter__(self) -> list[Any]:
        self._thread.start()
        return self._outcome

    def __exit__(self, *_exception: object) -> None:
        self._thread.join(60)
        if self._thread.is_alive():
            guard = self._operator._guard
            with suppress(ProcessLookupError):
                os.kill(guard.pid if guard else 0, signal.SIGKILL)
            raise AssertionError("the task has not ended")


@pytest.mark.parametrize("only_if", [False, "False", "no", "0"])
def test_a_task_that_was_not_asked_for_is_skipped(tmp_path: Path, only_if: Any) -> None:
    operator = op_task(tasks.print_lines, run_dir=str(tmp_path), num_lines=1, only_if=only_if)
    with pytest.raises(AirflowSkipException, match="print_lines was not asked for"):
        run(operator)
    assert list(tmp_path.iterdir()) == []
    assert run(op_task(tasks.print_lines, run_dir=str(tmp_path), num_lines=1, only_if="True")) == {"num_lines": 1}
