"""The server of a run, with a real HTTP server: started once, found again, and exactly it is stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from fastnode_ops.server_tasks import own_server, start_server, stop_server
from ops_common.errors import ConfigError, ServiceError
from ops_common.own_server import is_healthy

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


class Run:
    """A run's folder, and a small server in place of the graph data server."""

    def __init__(self, folder: Path) -> None:
        self.work_dir, self.corpus_dir = str(folder / "run"), str(folder / "corpus")
        self.state_path = folder / "run/tmp/server.json"
        self.wanted = {"corpus_dir": self.corpus_dir, "num_workers": 1}

    def start(self, module: str = "tests.fastnode.server.toy_server") -> dict[str, Any]:
        self.state_path.parent.mkdir(parents=True, exist_ok=True)
        own = own_server(self.work_dir)
        return own.start([sys.executable, "-m", module, str(own.ready_path), "{}"], self.wanted)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    made = Run(tmp_path)
    yield made
    stop_server(work_dir=made.work_dir)


def is_running(process_id: int) -> bool:
    return psutil.pid_exists(process_id) and psutil.Process(process_id).status() != psutil.STATUS_ZOMBIE


def test_a_server_is_started_found_again_and_stopped(run: Run) -> None:
    state = run.start()
    assert is_healthy(state["url"])
    assert json.loads(run.state_path.read_bytes()) == state
    again = start_server(work_dir=run.work_dir, corpus_dir=run.corpus_dir)
    assert again == {"url": state["url"], "process_id": state["process_id"], "is_started": True}

    assert stop_server(work_dir=run.work_dir) == {"was_running": True}
    assert not is_running(state["process_id"]) and not run.state_path.exists()
    assert stop_server(work_dir=run.work_dir) == {"was_running": False}


def test_a_server_outlives_the_command_that_starts_it(run: Run) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[2]); from pathlib import Path; "
        "from tests.fastnode.test_server_tasks import Run; print(Run(Path(sys.argv[1])).start()['process_id'])"
    )
    folder = run.state_path.parents[2]
    command = [sys.executable, "-c", code, str(folder), str(ROOT)]
    started = subprocess.run(command, capture_output=True, text=True, check=True, start_new_session=True)
    assert is_running(int(started.stdout))
    assert stop_server(work_dir=run.work_dir) == {"was_running": True}
    assert not is_running(int(started.stdout))


def test_a_process_that_has_the_number_by_now_is_left_alone(run: Run) -> None:
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)
    run.state_path.parent.mkdir(parents=True)
    values = {**run.wanted, "url": "http://127.0.0.1:9", "process_id": other.pid, "started_at": 17.0}
    run.state_path.write_text(json.dumps(values))
    assert stop_server(work_dir=run.work_dir) == {"was_running": False}
    assert other.poll() is None and not run.state_path.exists()
    other.communicate(b"\n")


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"process_id": "x"}', '{"process_id": -1, "started_at": 0}'])
def test_a_damaged_state_is_as_good_as_none(run: Run, content: str) -> None:
    run.state_path.parent.mkdir(parents=True)
    run.state_path.write_text(content)
    assert stop_server(work_dir=run.work_dir) == {"was_running": False}


def test_a_server_that_cannot_start_is_told_with_its_log(run: Run) -> None:
    with pytest.raises(ServiceError, match="before it was ready") as caught:
        run.start("no_such_module_at_all")
    assert "No module named no_such_module_at_all" in caught.value.hint
    assert not run.state_path.exists()


def test_a_server_that_runs_elsewhere_is_only_asked(run: Run, tmp_path: Path) -> None:
    other = Run(tmp_path / "other")
    url = other.start()["url"]
    told = start_server(work_dir=run.work_dir, corpus_dir=run.corpus_dir, server=f"{url}/")
    assert told == {"url": url, "process_id": 0, "is_started": False}
    assert stop_server(work_dir=run.work_dir) == {"was_running": False}
    assert is_healthy(url)  # it is not ours to stop
    stop_server(work_dir=other.work_dir)
    with pytest.raises(ServiceError, match="does not answer"):
        start_server(work_dir=run.work_dir, corpus_dir=run.corpus_dir, server=url)
    with pytest.raises(ConfigError, match="is not the URL of a server"):
        start_server(work_dir=run.work_dir, corpus_dir=run.corpus_dir, server="localhost:3039")


def test_a_proxy_of_the_environment_is_not_asked(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "http_proxy", "http://127.0.0.1:9")
    assert is_healthy(run.start()["url"])
