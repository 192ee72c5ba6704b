"""Processes of a platform: found by their mark, ended exactly, and ports with a clear answer."""

import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from ops_platform.embedded import services
from ops_platform.embedded.ports import choose_port, holder, is_free
from ops_platform.embedded.services import Service

from ops_common.errors import ConfigError

HOST = "127.0.0.1"
PARENT = """
import subprocess, sys, time
child = [sys.executable, "-c", {child!r}]
print(subprocess.Popen(child, start_new_session=True).pid, flush=True)
time.sleep(600)
"""
SLEEP = "import time; time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


@pytest.fixture
def instance() -> Iterator[str]:
    mark = uuid.uuid4().hex
    yield mark
    for process in services.find_marked(mark):
        process.kill()


def start(tmp_path: Path, instance: str, program: str = SLEEP) -> Service:
    command = [sys.executable, "-u", "-c", program]
    return services.start("test", command, {"PATH": "/usr/bin"}, instance, tmp_path / "test.log", tmp_path)


def pids(instance: str) -> set[int]:
    return {process.pid for process in services.find_marked(instance)}


def wait_for_pids(instance: str, number: int) -> set[int]:
    deadline = time.monotonic() + 30
    while len(found := pids(instance)) != number:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return found


def test_a_service_outlives_nobody_but_is_known_by_its_mark(tmp_path: Path, instance: str) -> None:
    service = start(tmp_path, instance)
    assert service.is_running()
    assert wait_for_pids(instance, 1) == {service.pid}


def test_what_moved_to_another_session_is_found_too(tmp_path: Path, instance: str) -> None:
    service = start(tmp_path, instance, PARENT.format(child=SLEEP))
    wait_for_pids(instance, 2)
    psutil.Process(service.pid).kill()  # a crash: the child has no parent and no session of ours any more
    orphan = wait_for_pids(instance, 1)
    assert orphan != {service.pid}
    assert services.end_processes(lambda: services.find_marked(instance), 5) == 1
    assert pids(instance) == set()


def test_a_stubborn_process_is_killed(tmp_path: Path, instance: str) -> None:
    service = start(tmp_path, instance, f"print('ready', flush=True)\n{STUBBORN}")
    wait_for_pids(instance, 1)
    services.end_processes(lambda: services.find_marked(instance), 0.2)
    assert not service.is_running()


def test_other_peoples_processes_are_left_alone(tmp_path: Path, instance: str) -> None:
    other = uuid.uuid4().hex
    mine, theirs = start(tmp_path, instance), start(tmp_path, other)
    unmarked = subprocess.Popen([sys.executable, "-c", SLEEP])
    try:
        services.end_processes(lambda: services.find_marked(instance), 5)
        assert not mine.is_running()
        assert theirs.is_running()
        assert unmarked.poll() is None
    finally:
        services.end_processes(lambda: services.find_marked(other), 5)
        unmarked.kill()
        unmarked.wait()


def test_a_process_id_that_was_used_again_is_not_ours() -> None:
    unrelated = subprocess.Popen([sys.executable, "-c", SLEEP])
    try:
        remembered = Service("scheduler", unrelated.pid, psutil.Process(unrelated.pid).create_time() - 60)
        assert not remembered.is_running()
        services.signal_service(remembered, signal.SIGKILL)
        assert services.wait_until_gone([remembered], 5) == []
        assert unrelated.poll() is None
    finally:
        unrelated.kill()
        unrelated.wait()


def test_a_program_that_does_not_exist_is_named(tmp_path: Path, instance: str) -> None:
    with pytest.raises(ConfigError, match="/no/such/program cannot be started"):
        services.start("x", ["/no/such/program"], {}, instance, tmp_path / "x.log", tmp_path)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as server:
        server.bind((HOST, 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_port_that_was_asked_for_and_is_taken_names_its_holder(taken_port: int) -> None:
    with pytest.raises(ConfigError) as caught:
        choose_port(taken_port, "OPS_AIRFLOW_PORT", may_move=False, taken=(), host=HOST)
    message = str(caught.value)
    assert f"port {taken_port} (OPS_AIRFLOW_PORT) is taken by process {psutil.Process().pid} (" in message
    assert "set OPS_AIRFLOW_PORT to a free port" in message


def test_a_port_that_nobody_asked_for_moves_on(taken_port: int) -> None:
    chosen = choose_port(taken_port, "OPS_AIRFLOW_PORT", may_move=True, taken=(), host=HOST)
    assert chosen > taken_port
    assert is_free(chosen, HOST)


def test_a_port_is_not_given_twice(taken_port: int) -> None:
    first = choose_port(taken_port, "A", may_move=True, taken=(), host=HOST)
    assert choose_port(taken_port, "B", may_move=True, taken={first}, host=HOST) > first


def test_a_port_that_is_taken_on_all_addresses_is_taken() -> None:
    with socket.socket() as server:
        server.bind(("0.0.0.0", 0))
        server.listen()
        assert not is_free(server.getsockname()[1], HOST)


def test_an_unknown_holder_is_said_to_be_unknown() -> None:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        free = probe.getsockname()[1]
    assert holder(free) == "another process (of another user)"
