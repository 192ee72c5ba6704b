"""Fixtures for tasks in pods: the double of a cluster, a deployment that uses it, and a task's context."""

from __future__ import annotations

import datetime as dt
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

FAKES = Path(__file__).parents[1] / "fakes"
sys.path.insert(0, str(FAKES))

from kubernetes_api.api import Cluster, Fault  # noqa: E402, F401 - tests import both from here
from kubernetes_api.containers import unshare_command  # noqa: E402
from kubernetes_api.pods import Node  # noqa: E402

ROOT = Path(__file__).parents[2]
IMAGE = "model-training-trainer:latest"

_PATIENCE_SECONDS = 600.0


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A running cluster of one node, whose containers do not see the folder of the test."""
    if unshare_command() is None:
        pytest.skip("containers need namespaces: run as root, or allow them to users")
    found = Cluster(tmp_path / "cluster", Node({IMAGE: {"PYTHONPATH": f"{FAKES}:{ROOT}"}}, hidden=[tmp_path]))
    found.start()
    yield found
    found.stop()


@pytest.fixture
def deployment(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings by which the tasks of the fake library run in pods; the folder that workers and pods share."""
    shared = tmp_path / "shared"
    shared.mkdir()
    settings = {
        "PYTHONPATH": f"{FAKES}:{ROOT}",
        "OPS_MODE": "pod",
        "OPS_POD_TASKS": "describe_arguments raise_error print_lines tell_environment keep_running change_folder "
        "end_without_result train_model",
        "OPS_POD_IMAGE": IMAGE,
        "OPS_POD_PYTHON": sys.executable,
        "OPS_KUBECONFIG": str(cluster.kube_config),
        "OPS_POD_VOLUMES": f"host:{shared}:{shared}",
        "OPS_POD_CHECK_SECONDS": "0.1",
        "OPS_STOP_GRACE_SECONDS": "20",
        "OPS_RUNS_ROOT": str(shared / "runs"),
        "OPS_DATA_ROOT": str(shared / "data"),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return shared


class TaskInstance(SimpleNamespace):
    """What the operator asks of a task instance."""

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value


class StateStore(dict[str, Any]):
    """The task's own memory over its attempts."""

    def set(self, key: str, value: Any) -> None:
        self[key] = value


def context(try_number: int = 1, store: StateStore | None = None, map_index: int = -1) -> dict[str, Any]:
    """The context of one attempt of a task."""
    ti = TaskInstance(
        dag_id="fake_dag",
        task_id="fake_task",
        map_index=map_index,
        try_number=try_number,
        start_date=dt.datetime.now(dt.UTC),
        pushed={},
    )
    state = StateStore() if store is None else store
    return {"ti": ti, "run_id": "manual__1", "dag": SimpleNamespace(), "task_state_store": state, "outlet_events": {}}


class attempt:
    """One attempt of a task in a thread; `outcome` gets what it returned or raised."""

    def __init__(self, operator: Any, **of_context: Any) -> None:
        self.operator, self.outcome, self._context = operator, list[Any](), context(**of_context)
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            self.outcome.append(self.operator.execute(self._context))
        except Exception as error:
            self.outcome.append(error)

    def __enter__(self) -> attempt:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._thread.join(_PATIENCE_SECONDS)
        assert not self._thread.is_alive(), "the task has not ended"
