"""The sensor with a real HTTP server in the syncer's place, and with the syncer itself (tests/e2e does the rest)."""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.airflow

from airflow.sdk.exceptions import (  # noqa: E402
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    TaskDeferred,
)
from ops_platform.sync_sensor import FIRST_LOOK_SECONDS, SyncSensor, SyncTrigger  # noqa: E402

ROOT = Path(__file__).parents[2]
OK_HOST = {"name": "a", "state": "ok", "num_files": 1, "last_error": ""}
EMPTY: dict[str, Any] = {
    "num_verified": 0,
    "num_batches_verified": 0,
    "paused": False,
    "refused": {},
    "hosts": [OK_HOST],
}


@dataclass
class Answers:
    """What the server says to one question after the other; the last answer stays."""

    bodies: list[bytes]
    statuses: list[int] = field(default_factory=lambda: [200])
    url: str = ""
    num_asked: int = 0

    def next(self) -> tuple[int, bytes]:
        number = self.num_asked
        self.num_asked += 1
        return self.statuses[min(number, len(self.statuses) - 1)], self.bodies[min(number, len(self.bodies) - 1)]


@contextmanager
def answering(*bodies: dict[str, Any] | bytes, statuses: list[int] | None = None) -> Iterator[Answers]:
    answers = Answers([body if isinstance(body, bytes) else json.dumps(body).encode() for body in bodies])
    answers.statuses = statuses or answers.statuses

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/state"
            status, body = answers.next()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        answers.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield answers
        finally:
            server.shutdown()
            thread.join()


def trigger(url: str, **values: Any) -> SyncTrigger:
    given = {"num_files": 2, "num_batches": 0, "deadline": time.time() + 60, "poll_seconds": 0.02, "lost_seconds": 0.5}
    return SyncTrigger(syncer=url, **{**given, "first_look_seconds": 0.0, **values})


def event_of(fired: SyncTrigger) -> dict[str, Any]:
    async def first() -> dict[str, Any]:
        async for event in fired.run():
            payload: dict[str, Any] = event.payload
            return payload
        raise AssertionError("it said nothing")

    return asyncio.run(asyncio.wait_for(first(), 30))


def sensor(url: str, **values: Any) -> SyncSensor:
    return SyncSensor(task_id="await_samples", syncer=url, **{"num_files": 2, "hours": 0.5, **values})


def execute(made: SyncSensor) -> Any:
    return SyncSensor.execute.__wrapped__(made, {})  # type: ignore[attr-defined]


def enough(**values: Any) -> dict[str, Any]:
    return {**EMPTY, "num_verified": 2, "num_batches_verified": 10, **values}


def test_what_is_there_already_needs_no_waiting() -> None:
    with answering(enough()) as syncer:
        assert execute(sensor(syncer.url)) == {"num_files": 2, "num_batches": 10}
        assert execute(sensor(syncer.url, num_files="1")) == {"num_files": 2, "num_batches": 10}  # as a template gives


def test_what_is_not_there_is_left_to_the_triggerer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPS_SYNC_POLL_SECONDS", "7")
    monkeypatch.setenv("OPS_SYNC_LOST_SECONDS", "33")
    with answering(EMPTY) as syncer, pytest.raises(TaskDeferred) as deferred:
        execute(sensor(syncer.url))
    name, arguments = deferred.value.trigger.serialize()
    assert name == "ops_platform.sync_sensor.SyncTrigger"
    assert (arguments["syncer"], arguments["num_files"], arguments["poll_seconds"]) == (syncer.url, 2, 7.0)
    assert (arguments["lost_seconds"], arguments["first_look_seconds"]) == (33.0, FIRST_LOOK_SECONDS)
    assert abs(arguments["deadline"] - time.time() - 1_800) < 60
    assert deferred.value.method_name == "resume"


def test_the_trigger_waits_and_says_when_enough_is_there() -> None:
    with answering(EMPTY, {**EMPTY, "num_verified": 1}, enough()) as syncer:
        assert event_of(trigger(syncer.url)) == {
            "outlook": "ready",
            "reason": "",
            "faults": "",
            "num_files": 2,
            "num_batches": 10,
        }
        assert syncer.num_asked == 3


def test_a_restarted_triggerer_goes_on_with_the_same_deadline() -> None:
    with answering(EMPTY) as syncer:
        before = trigger(syncer.url, deadline=time.time() - 1)
        _, arguments = before.serialize()
        again = SyncTrigger(**json.loads(json.dumps(arguments)))  # as the database keeps it
        assert again.serialize() == before.serialize()
        assert event_of(again)["outlook"] == "late"


def test_the_deadline_names_what_is_wrong_with_which_host() -> None:
    hosts = [OK_HOST, {**OK_HOST, "name": "gen@b", "state": "user_key", "last_error": "Permission denied"}]
    with answering({**EMPTY, "hosts": hosts, "refused": {"corrupt": 1}}) as syncer:
        event = event_of(trigger(syncer.url, deadline=time.time() + 0.2))
    with pytest.raises(AirflowSensorTimeout) as caught:
        sensor(syncer.url).resume({}, event)  # type: ignore[arg-type]
    text = str(caught.value)
    assert "no 2 verified sample files: the time is up; there are 0 files" in text
    assert "gen@b: user_key: Permission denied" in text and "files refused (corrupt): 1" in text


def test_when_nothing_can_come_it_fails_at_once_and_for_good() -> None:
    with answering({**EMPTY, "hosts": [{**OK_HOST, "state": "host_key", "last_error": "changed"}]}) as syncer:
        event = event_of(trigger(syncer.url))
        assert syncer.num_asked == 2
    with pytest.raises(AirflowFailException, match="all hosts failed; there are 0 files\n  a: host_key: changed"):
        sensor(syncer.url).resume({}, event)  # type: ignore[arg-type]


def test_a_syncer_that_is_gone_for_a_moment_is_waited_for(unused_url: str) -> None:
    with answering(b"busy", enough(), statuses=[503, 200]) as syncer:
        assert event_of(trigger(syncer.url, lost_seconds=60.0))["outlook"] == "ready"
    event = event_of(trigger(unused_url))
    assert event["outlook"] == "gone"
    with pytest.raises(AirflowException, match="did not answer for") as caught:
        sensor(unused_url).resume({}, event)  # type: ignore[arg-type]
    assert not isinstance(caught.value, AirflowFailException)  # it is tried again
    with pytest.raises(TaskDeferred):
        execute(sensor(unused_url))


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"<html>", 200), (b"{}", 200), (b'{"num_verified": -1}', 200), (b"gone", 404), (b"[" * (5 << 20), 200)],
)
def test_what_is_no_syncer_is_told_at_once(body: bytes, status: int) -> None:
    with answering(body, statuses=[status]) as other:
        event = event_of(trigger(other.url))
    assert event["outlook"] == "hopeless" and event["reason"]


@pytest.mark.parametrize("url", ["localhost:3087", "ftp://x", "http://[::", ""])
def test_what_is_no_url_is_told_at_once(url: str) -> None:
    assert event_of(trigger(url))["outlook"] == "hopeless"


@pytest.fixture
def unused_url() -> str:
    with answering(EMPTY) as syncer:
        return syncer.url


PROGRAM = r"""
import asyncio, re, sys, time
from pathlib import Path
from ops_platform.sync_sensor import SyncTrigger

async def main():
    one = [SyncTrigger(syncer=sys.argv[1], num_files=2, num_batches=0, deadline=time.time() + 60, poll_seconds=0.05,
                       first_look_seconds=0.0) for _ in range(20)]
    async def wait(trigger):
        async for event in trigger.run():
            return event.payload["outlook"]
    return await asyncio.gather(*map(wait, one))

assert asyncio.run(main()) == ["ready"] * 20
print(int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024)
"""


@pytest.mark.slow
def test_twenty_of_them_wait_in_less_than_150_mib() -> None:
    """With all that a process has to load for one, Airflow's own classes included."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}
    with answering(*[EMPTY] * 60, enough()) as syncer:
        command = [sys.executable, "-c", PROGRAM, syncer.url]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) < 150, done.stdout
