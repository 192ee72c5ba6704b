"""The REST API of the running Airflow: what the launcher asks and tells it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx

from ops_common.errors import ConfigError, ServiceError

FINAL_STATES = ("success", "failed")


class AirflowApi:
    """A logged-in client of one Airflow.

    Args:
        url: Address of the page, e.g. `http://127.0.0.1:8080`.
        user: Login name.
        password: Its password.
    """

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url
        self._login = {"username": user, "password": password}
        self._client = httpx.Client(
            base_url=url,
            timeout=30.0,
            trust_env=False,  # a proxy of the machine must not come between us and a server on this machine
            limits=httpx.Limits(max_keepalive_connections=0),  # the server may close an idle one as we begin to write
        )
        self._token = ""

    def is_answering(self) -> bool:
        """Whether the API server answers at all."""
        try:
            return self._client.get("/api/v2/version").is_success
        except httpx.HTTPError:
            return False

    def health(self) -> dict[str, str]:
        """State by component: `metadatabase`, `scheduler`, `dag_processor`, `triggerer`; empty without an answer."""
        try:
            answer = self._client.get("/api/v2/monitor/health")
            return {name: str(value.get("status")) for name, value in answer.json().items() if value}
        except (httpx.HTTPError, ValueError):
            return {}

    def has_dag(self, dag_id: str) -> bool:
        """Whether a DAG is known and can be triggered."""
        answer = self._request("GET", f"/api/v2/dags/{dag_id}", allowed=(404,))
        return answer.status_code == 200 and not answer.json().get("is_stale", False)

    def import_errors(self) -> dict[str, str]:
        """What is wrong with DAG files, by file name."""
        found = self._request("GET", "/api/v2/importErrors").json()["import_errors"]
        return {str(error["filename"]): str(error["stack_trace"]) for error in found}

    def make_pool(self, name: str, slots: int, description: str) -> None:
        """Make a pool; of one that is there already the slots are left as they are.

        A task that was deferred, because its pod is watched by the triggerer, keeps its slot.
        """
        pool = {"name": name, "slots": slots, "description": description, "include_deferred": True}
        if self._request("POST", "/api/v2/pools", json=pool, allowed=(409,)).status_code == 409:
            path = f"/api/v2/pools/{quote(name, safe='')}"
            # The API wants the whole pool in the body, and changes what the mask says.
            whole = {"pool": name, "slots": slots, "include_deferred": True}
            self._request("PATCH", path, params={"update_mask": "include_deferred"}, json=whole)

    def make_connection(self, connection_id: str, conn_type: str, host: str, password: str = "") -> None:
        """Make a connection; one that is there already is left as it is."""
        fields = {"connection_id": connection_id, "conn_type": conn_type, "host": host, "password": password}
        self._request("POST", "/api/v2/connections", json=fields, allowed=(409,))

    def trigger(
        self, dag_id: str, conf: Mapping[str, Any], run_id: str | None = None, logical_date: str | None = None
    ) -> str:
        """Start a run.

        Args:
            dag_id: The DAG.
            conf: Values for its params.
            run_id: Id for the run; Airflow makes one up otherwise.
            logical_date: The time that the run is about (ISO 8601), if it is about one.

        Returns:
            The run's id.

        Raises:
            ConfigError: The conf does not fit the DAG's params; the message says which and why.
        """
        body = {"logical_date": logical_date, "conf": dict(conf), **({"dag_run_id": run_id} if run_id else {})}
        answer = self._request("POST", f"/api/v2/dags/{dag_id}/dagRuns", json=body, allowed=(400,))
        if answer.status_code == 400:
            raise ConfigError(f"{dag_id} refused its conf: {_detail(answer)}")
        return str(answer.json()["dag_run_id"])

    def run_state(self, dag_id: str, run_id: str) -> str:
        """State of a run: queued, running, success or failed."""
        return str(self._request("GET", f"{_run(dag_id, run_id)}").json()["state"])

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str]:
        """State of each task of a run that has one, in the order in which they ended or started."""
        found = self._request("GET", f"{_run(dag_id, run_id)}/taskInstances").json()["task_instances"]
        found.sort(key=lambda task: (task["end_date"] or "~", task["start_date"] or "~"))
        return {task["task_id"]: task["state"] for task in found if task["state"]}

    def runs_started_by(self, dag_id: str, source_dag_id: str, source_run_id: str) -> list[str]:
        """Which of the last five runs of a DAG were started by an asset event of another DAG's run, newest first."""
        started = []
        query = {"order_by": "-run_after", "limit": "5"}
        for run in self._request("GET", f"/api/v2/dags/{dag_id}/dagRuns", params=query).json()["dag_runs"]:
            if run["run_type"] != "asset_triggered":
                continue
            path = f"{_run(dag_id, run['dag_run_id'])}/upstreamAssetEvents"
            answer = self._request("GET", path, allowed=(500,))
            # Airflow 3.3.2 answers 500 between making a run and noting its events: not known yet
            events = answer.json()["asset_events"] if answer.is_success else []
            if any((e["source_dag_id"], e["source_run_id"]) == (source_dag_id, source_run_id) for e in events):
                started.append(str(run["dag_run_id"]))
        return started

    def xcom(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """What a task returned, or None when it returned nothing."""
        path = f"{_run(dag_id, run_id)}/taskInstances/{task_id}/xcomEntries/return_value"
        answer = self._request("GET", path, allowed=(404,))
        return answer.json()["value"] if answer.status_code == 200 else None

    def task_log(self, dag_id: str, run_id: str, task_id: str, attempt: int = 1) -> list[str]:
        """The lines of a task's log."""
        path = f"{_run(dag_id, run_id)}/taskInstances/{task_id}/logs/{attempt}"
        answer = self._request("GET", path, headers={"Accept": "application/json"}, allowed=(404,))
        if answer.status_code == 404:
            return []
        return [line for entry in answer.json()["content"] for line in _log_lines(entry)]

    def get(self, path: str) -> httpx.Response:
        """Get any page of the server as the logged-in user; whatever it answers."""
        return self._request("GET", path, allowed=tuple(range(400, 600)))

    def _request(self, method: str, path: str, *, allowed: tuple[int, ...] = (), **kwargs: Any) -> httpx.Response:
        headers = kwargs.pop("headers", {})
        answer = self._send(method, path, headers, kwargs)
        if answer.status_code == 401:
            self._token = ""  # expired
            answer = self._send(method, path, headers, kwargs)
        if answer.is_success or answer.status_code in allowed:
            return answer
        raise ServiceError(f"Airflow answered {answer.status_code} to {method} {path}: {_detail(answer)}")

    def _send(self, method: str, path: str, headers: Mapping[str, str], kwargs: Mapping[str, Any]) -> httpx.Response:
        num_tries = 3 if method == "GET" else 1  # anything else might be done twice
        for left in reversed(range(num_tries)):
            try:
                if not self._token:
                    granted = self._client.post("/auth/token", json=self._login).raise_for_status()
                    self._token = granted.json()["access_token"]
                bearer = {"Authorization": f"Bearer {self._token}", **headers}
                return self._client.request(method, path, headers=bearer, **kwargs)
            except (httpx.HTTPError, ValueError, KeyError) as error:
                if not left:
                    raise ServiceError(
                        f"Airflow at {self.url} did not answer {method} {path}: {error}", "make status, or make up"
                    ) from None
                time.sleep(0.5)
        raise AssertionError("unreachable: the last try returns or raises")


def _log_lines(entry: Any) -> list[str]:
    """A log entry as lines: its text, and the message of an error without the frames that led to it."""
    if not isinstance(entry, dict):
        return [str(entry)]
    errors = entry.get("error_detail") or ()
    messages = [f"{error.get('exc_type')}: {error.get('exc_value')}" for error in errors]
    return [line for text in (str(entry.get("event", "")), *messages) for line in text.splitlines()]


def _run(dag_id: str, run_id: str) -> str:
    return f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"


def _detail(answer: httpx.Response) -> str:
    try:
        return str(answer.json().get("detail", answer.text))
    except (ValueError, AttributeError):
        return answer.text[:500]
