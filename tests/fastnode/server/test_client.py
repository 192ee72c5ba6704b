"""The reader's side against a real server that is stopped, started again and forgets (specification 10.2)."""

import logging
import os
import signal
import socket
from pathlib import Path

import httpx
import numpy as np
import orjson
import psutil
import pytest
import tenacity

from fastnode_ops.samples.batch import TrainingBatch
from fastnode_ops.server.client import ServerClient, SessionClient
from ops_common.errors import DataError, ServiceError
from ops_common.processes import wait_until
from tests.fastnode.server.servers import RunningServer, session_request, toy_server
from tests.fastnode.server.toy_server import DIGEST, FAILING_STEP, batch_of


def is_step(batch: TrainingBatch, step: int, seed: int = 1) -> bool:
    expected = batch_of(session_request(seed), step)
    same = np.array_equal(batch.context_graph.node_subtokens.indices, expected.context_graph.node_subtokens.indices)
    return bool(same and batch.context_graph.node_types.indices.tolist() == [step])


def quick(url: str, tries: int = 40) -> ServerClient:
    return ServerClient(url, num_tries=tries, wait=tenacity.wait_fixed(0.1))


def live_sessions(server: RunningServer) -> list[str]:
    return list(server.get("/sessions/info").json())


def test_batches_come_step_by_step(server: RunningServer) -> None:
    before = live_sessions(server)
    with SessionClient(server.url, session_request(), corpus_digest=DIGEST) as client:
        assert all(is_step(client.batch(step), step) for step in range(10))
        mine = set(live_sessions(server)) - set(before)
        assert len(mine) == 1
        assert is_step(client.batch(50), 50)  # out of order: asked for
        assert is_step(client.batch(51), 51)
        assert is_step(client.batch(2), 2)
    assert not mine & set(live_sessions(server))


def test_reading_starts_at_the_requests_step(server: RunningServer) -> None:
    with SessionClient(server.url, session_request(start_step=7)) as client:
        assert is_step(client.batch(7), 7)


def test_one_response_is_fetched_ahead(server: RunningServer) -> None:
    before = set(live_sessions(server))
    with SessionClient(server.url, session_request(seed=5)) as client:
        (mine,) = set(live_sessions(server)) - before

        def read() -> int:
            return int(server.get("/sessions/info").json()[mine]["NextStep"])

        wait_until(lambda: read() == 6, 30, "the second response")
        client.batch(0)
        assert read() == 6  # and no further until it is used
        for step in (1, 2, 3):
            client.batch(step)
        wait_until(lambda: read() == 9, 30, "the third response")


def test_steps_may_follow_each_other_with_gaps(server: RunningServer) -> None:
    """As in the ranges 0-5 and 12-14, with answers of three steps: nothing between or after them is asked for."""
    before = set(live_sessions(server))
    after = {6: 12, 15: None}
    with SessionClient(server.url, session_request(seed=6), following=lambda step: after.get(step, step)) as client:
        (mine,) = set(live_sessions(server)) - before
        assert all(is_step(client.batch(step), step, 6) for step in (0, 1, 2, 3, 4, 5, 12, 13, 14))
        info = server.get("/sessions/info").json()[mine]
        assert (info["NextStep"], info["BuildOKCount"]) == (15, 9)


def test_a_lost_session_goes_on_where_it_was(server: RunningServer, caplog: pytest.LogCaptureFixture) -> None:
    before = set(live_sessions(server))
    with SessionClient(server.url, session_request()) as client:
        (mine,) = set(live_sessions(server)) - before
        server.post("/session/kill", {"session": int(mine)})
        assert all(is_step(client.batch(step), step) for step in range(12))
    assert f"there is no session {mine}; the session is created again at step" in caplog.text or (
        "session was shut down; the session is created again at step" in caplog.text
    )


def test_a_server_that_is_started_again_goes_on_where_it_was(tmp_path: Path) -> None:
    with toy_server(tmp_path) as first:
        port = httpx.URL(first.url).port
        client = SessionClient(first.url, session_request(), client=quick(first.url))
        assert is_step(client.batch(0), 0)
        os.kill(first.process_id, signal.SIGKILL)
        psutil.Process(first.process_id).wait()
        with toy_server(tmp_path, port=port) as second:
            assert all(is_step(client.batch(step), step) for step in range(1, 12))
            assert len(live_sessions(second)) == 1
            client.close()


def test_pings_keep_a_session_that_is_not_read(tmp_path: Path) -> None:
    with toy_server(tmp_path, idle_seconds=1.0) as server:
        lonely = server.post("/session", session_request(seed=2).model_dump()).json()["session"]
        with SessionClient(server.url, session_request(), ping_seconds=0.1) as client:
            wait_until(lambda: str(lonely) not in live_sessions(server), 30, "the end of the lonely session")
            assert len(live_sessions(server)) == 1
            assert is_step(client.batch(0), 0)


def test_closing_while_the_server_is_gone_does_not_wait(tmp_path: Path) -> None:
    with toy_server(tmp_path) as server:
        client = SessionClient(
            server.url, session_request(), client=ServerClient(server.url, wait=tenacity.wait_fixed(600))
        )
        os.kill(server.process_id, signal.SIGKILL)
        psutil.Process(server.process_id).wait()
    client.close()


def test_another_corpus_is_refused(server: RunningServer) -> None:
    before = live_sessions(server)
    with pytest.raises(DataError, match=r"corpus c0ffee000000, but metainfo\.json was made from aaaaaaaaaaaa"):
        SessionClient(server.url, session_request(), corpus_digest="a" * 64)
    assert live_sessions(server) == before


def test_what_the_server_refuses_is_told_with_url_and_status(server: RunningServer) -> None:
    client = SessionClient(server.url, session_request(FAILING_STEP, start_step=FAILING_STEP - 3))
    assert is_step(client.batch(10), 10, FAILING_STEP)
    client.batch(11)
    client.batch(12)
    with pytest.raises(ServiceError) as caught:
        client.batch(FAILING_STEP)
    assert caught.value.message == f"{server.url}/session: status 500: step 13: not one graph sample could be made"
    assert is_step(client.batch(14), 14, FAILING_STEP)
    client.close()


def test_a_server_that_does_not_answer_is_told_after_a_few_tries(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, but it does not listen
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        with caplog.at_level(logging.WARNING), pytest.raises(ServiceError) as caught:
            SessionClient(url, session_request(), client=quick(url, tries=3))
    assert caught.value.message.startswith(f"{url}/session: ")
    assert caught.value.hint == "start it with `python -m fastnode_ops graph-data-server`"
    assert caplog.text.count("trying again") == 2


def test_scores_are_asked_for_in_parts(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastnode_ops.server.client._SYMBOLS_PER_REQUEST", 2)
    client = ServerClient(server.url)
    names = ["simplejson", "json", "json.loads", "nothing", "json"]
    assert client.scores(names, "call_func", canonicalize=True) == {"json": 40, "json.loads": 9, "simplejson": 40}
    assert client.scores([], "call_func", canonicalize=True) == {}
    with pytest.raises(ServiceError, match="/symbol/scores: status 400: unknown symbol context 'symbol_context_x'"):
        client.scores(names, "x", canonicalize=True)
    client.close()


def test_times_are_logged_every_third_response(server: RunningServer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "fastnode_ops.server.client"):
        with SessionClient(server.url, session_request()) as client:
            for step in range(7):
                client.batch(step)
    assert caplog.text.count("responses: request ") == 1


def test_a_server_of_another_kind_is_told(server: RunningServer) -> None:
    client = ServerClient(server.url)
    with pytest.raises(ServiceError, match="/symbol/nothing: status 404: 404 page not found"):
        client.post("/symbol/nothing", b"{}")
    with pytest.raises(ServiceError, match="URL"):
        ServerClient("gopher://nowhere").post("/session", orjson.dumps({}))
