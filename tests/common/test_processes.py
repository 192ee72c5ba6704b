"""Children in sessions of their own: started, waited for, and ended to the last."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from ops_common.errors import ConfigError, ServiceError
from ops_common.processes import last_lines, start_process, stop_process_group, wait_until

# A child that says its process ids: its own, a grandchild's, and that of a grandchild in a group of its own.
FAMILY = """
import os, signal, subprocess, sys
if sys.argv[1] == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
code = "import signal; signal.pause()"
near = subprocess.Popen([sys.executable, "-c", code])
far = subprocess.Popen([sys.executable, "-c", code], process_group=0)
print(os.getpid(), near.pid, far.pid, flush=True)
signal.pause()
if sys.argv[1] == "stubborn":
    signal.pause()
"""


def start_family(folder: Path, kind: str) -> tuple[subprocess.Popen[bytes], list[int]]:
    log = folder / "logs" / "family.log"
    child = start_process([sys.executable, "-c", FAMILY, kind], log)
    wait_until(lambda: len(log.read_text().split()) == 3, 30, "the family", process=child, log_path=log)
    return child, [int(word) for word in log.read_text().split()]


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]


def test_child_has_a_session_of_its_own(tmp_path: Path) -> None:
    child, pids = start_family(tmp_path, "obedient")
    assert os.getsid(child.pid) == child.pid != os.getsid(0)
    assert alive(pids) == pids
    stop_process_group(child, grace_seconds=0.2)
    assert alive(pids) == []


@pytest.mark.parametrize("by_id", [True, False])
def test_who_ignores_sigterm_is_killed(tmp_path: Path, by_id: bool) -> None:
    child, pids = start_family(tmp_path, "stubborn")
    assert stop_process_group(child.pid if by_id else child, grace_seconds=0.2) is False
    assert alive(pids) == []
    assert child.wait() == -signal.SIGKILL


def test_who_obeys_is_not_killed(tmp_path: Path) -> None:
    child = start_process([sys.executable, "-c", "import signal; signal.pause()"], tmp_path / "log")
    assert stop_process_group(child, grace_seconds=30) is True
    assert child.returncode == -signal.SIGTERM


def test_stopping_what_has_ended_is_fine(tmp_path: Path) -> None:
    child = start_process(["true"], tmp_path / "log")
    child.wait()
    assert stop_process_group(child) is True
    for pid in (0, 1, -1):
        with pytest.raises(ValueError, match="not the id of a session of ours"):
            stop_process_group(pid)


def test_output_environment_and_folder(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    code = "import os, sys; print(os.environ['WORD'], os.getcwd(), sys.stdin.read() == '')"
    child = start_process([sys.executable, "-c", code], log, env={"WORD": "hello"}, cwd=tmp_path)
    assert child.wait() == 0
    assert log.read_text() == f"before\nhello {tmp_path} True\n"


def test_program_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no-such-program cannot be started: No such file or directory"):
        start_process(["no-such-program"], tmp_path / "log")


def test_waiting_ends_when_the_process_does(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = start_process(["sh", "-c", "echo port is taken; exit 3"], log)
    with pytest.raises(ServiceError) as caught:
        wait_until(lambda: False, 30, "the server", process=child, log_path=log)
    assert caught.value.message == "the server ended with status 3 before it was ready"
    assert caught.value.hint == f"see {log}, which ends with:\nport is taken"


def test_waiting_ends_when_the_time_is_up() -> None:
    with pytest.raises(ServiceError, match=r"the server was not ready after 0\.1 s"):
        wait_until(lambda: False, 0.1, "the server")


def test_connection_errors_mean_not_yet() -> None:
    answers = iter([ConnectionRefusedError(), TimeoutError(), False, True])

    def check() -> bool:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    wait_until(check, 30, "the server", interval_seconds=0)
    assert list(answers) == []

    def broken() -> bool:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        wait_until(broken, 30, "the server")


def test_last_lines(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"".join(b"line %d\n" % index for index in range(100_000)) + b"\xff end")
    assert last_lines(tmp_path / "log", 2) == "line 99999\n\ufffd end"
    assert last_lines(tmp_path / "none") == ""
