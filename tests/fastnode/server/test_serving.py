"""The whole server over a real corpus: the same bytes whatever happens to the workers."""

import gc
import os
import signal
import subprocess
import sys
import weakref
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import orjson
import psutil
import pytest

from fastnode_ops.config import ExpressionConfig, SampleConfig, TrainConfig
from fastnode_ops.samples.maker import SampleMaker
from fastnode_ops.samples.metainfo import MetaInfo
from fastnode_ops.samples.request import SessionRequest, session_request
from fastnode_ops.server.client import ServerClient, SessionClient
from fastnode_ops.server.handling import Handler
from fastnode_ops.server.jobs import MakeStep, OpenSession
from fastnode_ops.server.local import serving
from fastnode_ops.server.metrics import COUNTS, DURATIONS, GRAPHS, SERVER
from fastnode_ops.statistics.resources import Resources, open_resources
from fastnode_ops.traindata.scores import index_scores
from fastnode_ops.web.running import bind
from ops_common.errors import ConfigError, DataError, ServiceError
from ops_common.processes import start_process, stop_process_group, wait_until
from tests.fastnode.server.servers import ROOT, RunningServer

NUM_BATCHES = 3


@pytest.fixture(scope="module")
def url(corpus_dir: Path) -> Iterator[str]:
    with serving("", corpus_dir, num_workers=1) as found:
        yield found


@pytest.fixture(scope="module")
def resources(corpus_dir: Path) -> Resources:
    return open_resources(corpus_dir)


@pytest.fixture(scope="module")
def request_(metainfo: MetaInfo) -> SessionRequest:
    config = ExpressionConfig(samples=SampleConfig(max_samples=8), train=TrainConfig(seed=3))
    return session_request(metainfo, config, num_batches=NUM_BATCHES)


@pytest.fixture(scope="module")
def expected(resources: Resources, request_: SessionRequest) -> list[bytes]:
    """The wire form of the first steps, made in this process."""
    maker = SampleMaker(resources, request_)
    batches = [maker.make(step).batch for step in range(3 * NUM_BATCHES)]
    return [orjson.dumps(batch.to_json(), option=orjson.OPT_SERIALIZE_NUMPY) for batch in batches]


def post(url: str, body: bytes) -> bytes:
    response = httpx.post(f"{url}/session", content=body, timeout=600)
    assert response.status_code == 200, response.text
    return response.content


def samples(content: bytes) -> bytes:
    return content.partition(b'"samples":')[2]


def joined(steps: list[bytes]) -> bytes:
    return b"[" + b",".join(b'{"data":{"expr":' + step + b"}}" for step in steps) + b"]}"


def test_batches_of_the_server_are_those_of_the_maker(
    url: str, request_: SessionRequest, expected: list[bytes]
) -> None:
    first = post(url, request_.model_dump_json().encode())
    assert samples(first) == joined(expected[:NUM_BATCHES])
    second = post(url, orjson.dumps({"session": orjson.loads(first)["session"]}))
    assert samples(second) == joined(expected[NUM_BATCHES : 2 * NUM_BATCHES])
    resumed = post(url, request_.model_copy(update={"start_step": 4}).model_dump_json().encode())
    assert samples(resumed) == joined(expected[4 : 4 + NUM_BATCHES])


def test_neither_four_workers_nor_their_deaths_change_a_byte(
    corpus_dir: Path, request_: SessionRequest, expected: list[bytes]
) -> None:
    with serving("", corpus_dir, num_workers=4) as url:
        first = post(url, request_.model_dump_json().encode())
        assert samples(first) == joined(expected[:NUM_BATCHES])
        # the workers are making the steps ahead now
        workers = httpx.get(f"{url}/debug/vars").json()["worker_resident_bytes"]
        assert len(workers) == 4
        for worker in list(workers)[:3]:
            os.kill(int(worker), signal.SIGKILL)
        body = orjson.dumps({"session": orjson.loads(first)["session"]})
        assert samples(post(url, body)) == joined(expected[NUM_BATCHES : 2 * NUM_BATCHES])
        assert samples(post(url, body)) == joined(expected[2 * NUM_BATCHES :])
        assert httpx.get(f"{url}/debug/vars").json()["worker_restarts"] >= 1


def test_a_worker_lets_go_of_sessions_that_have_ended(
    resources: Resources, request_: SessionRequest, tmp_path: Path
) -> None:
    handler = Handler(resources)
    ended, read = tmp_path / "ended", tmp_path / "read"
    makers = {}
    for path in (ended, read):
        path.write_text(request_.model_dump_json())
        handler(OpenSession(path))
        makers[path] = weakref.ref(handler._makers[path])
    ended.unlink()
    handler(MakeStep(read, 0))
    gc.collect()
    assert makers[ended]() is None
    assert makers[read]() is not None


def test_a_client_reads_a_session(
    url: str, request_: SessionRequest, metainfo: MetaInfo, expected: list[bytes]
) -> None:
    digest = metainfo.header.corpus_digest
    with SessionClient(url, request_, corpus_digest=digest, metainfo_digest=metainfo.digest) as client:
        assert client.metainfo_digest == metainfo.digest
        for step, text in enumerate(expected):
            read = orjson.dumps(client.batch(step).to_json(), option=orjson.OPT_SERIALIZE_NUMPY)
            assert orjson.loads(read) == orjson.loads(text)
    with pytest.raises(DataError, match="serves the corpus"):
        SessionClient(url, request_, corpus_digest="0" * 64)


def test_scores_are_those_of_the_index(url: str, resources: Resources, metainfo: MetaInfo) -> None:
    client = ServerClient(url)
    for names, context, canonicalize in (
        (sorted(metainfo.call.dist), "call_func", True),
        (sorted(metainfo.attr.dist), "attribute", False),
    ):
        found = client.scores(names, context, canonicalize=canonicalize)
        assert found == index_scores(resources)(names, context, canonicalize=canonicalize)
        assert max(found.values()) > 5
    client.close()


def test_what_is_told_of_a_symbol(url: str, resources: Resources) -> None:
    def ask(path: str, **values: object) -> dict[str, object]:
        found: dict[str, object] = httpx.post(url + path, content=orjson.dumps(values), timeout=60).json()
        return found

    total = ask("/symbol/meta-info", symbol="re", context="symbol_context_import")["total_sources"]
    assert isinstance(total, int) and total > 3
    sources = ask("/symbol/sources", symbol="re", context="symbol_context_import", limit=total)["sources"]
    assert isinstance(sources, list) and len(sources) == total
    assert all("import re" in source or "from re import" in source for source in sources)
    imports = ask("/symbol/imports", symbol="re", context="symbol_context_import", limit=total)["imports"]
    assert isinstance(imports, list) and 0 < len(imports) <= total
    assert all("re" in names and names == sorted(set(names)) for names in imports)
    members = ask("/symbol/members", symbol="re")["members"]
    assert isinstance(members, list) and members[0]["member"] == "compile" and members[0]["score"] > 0
    packages = httpx.get(f"{url}/symbol/packages").json()
    assert "re" in [package["name"] for package in packages]
    assert packages == sorted(packages, key=lambda package: (-package["score"], package["name"]))


def test_a_server_that_runs_already_is_used(url: str, corpus_dir: Path) -> None:
    with serving(url, corpus_dir) as found:
        assert found == url
    assert httpx.get(f"{url}/healthz").status_code == 200  # and it is left running


def test_a_private_server_ends_with_its_use(corpus_dir: Path) -> None:
    before = set(psutil.Process().children(recursive=True))
    with serving("http://127.0.0.1:1", corpus_dir, num_workers=1) as found:
        assert httpx.get(f"{found}/healthz").json()["status"] == "ready"
        started = set(psutil.Process().children(recursive=True)) - before
        assert started
    assert not any(process.is_running() for process in started)


def test_a_server_of_another_corpus_is_refused(server: RunningServer, corpus_dir: Path) -> None:
    with pytest.raises(DataError, match=f"the server at {server.url} serves the corpus c0ffee000000, not "):
        with serving(server.url, corpus_dir):
            raise AssertionError


def test_urls_of_no_server_are_refused(corpus_dir: Path) -> None:
    with (
        pytest.raises(ServiceError, match=r"http://no\.such\.host\.invalid"),
        serving("http://no.such.host.invalid:3039", corpus_dir),
    ):
        raise AssertionError
    with pytest.raises(ConfigError, match="is not the URL of a server"), serving("localhost:3039", corpus_dir):
        raise AssertionError


def command(*options: object) -> list[str]:
    return [sys.executable, "-m", "fastnode_ops", "graph-data-server", *map(str, options)]


def test_the_command_serves_until_it_is_asked_to_end(corpus_dir: Path, tmp_path: Path) -> None:
    with bind("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        taken = subprocess.run(
            command("--corpus-dir", corpus_dir, "--port", port), cwd=ROOT, capture_output=True, text=True, check=False
        )
    assert taken.returncode == 5
    assert taken.stderr.splitlines()[-2:] == [
        f"error: port {port} on 127.0.0.1 is taken",
        "  hint: stop the program that uses it, or choose another port",
    ]
    log = tmp_path / "log"
    process = start_process(command("--corpus-dir", corpus_dir, "--port", port, "--workers", 1), log, cwd=ROOT)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: is_ready(url), 60, "the server", process=process, log_path=log)
        process.terminate()
        assert process.wait(30) == 0
    finally:
        stop_process_group(process)
    assert "Traceback" not in log.read_text()


def is_ready(url: str) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"{url}/healthz").status_code == 200
    return False


def test_metrics_of_a_real_session(url: str, request_: SessionRequest) -> None:
    post(url, request_.model_dump_json().encode())
    sections = httpx.get(f"{url}/debug/status-json").json()
    for section, name in (*DURATIONS, *COUNTS):
        assert name in sections[section]
    assert sections[GRAPHS]["Predict Expr Arg Placeholder"]["events"] > 0
    assert sections[SERVER]["get sample inputs"]["events"] > 0
    assert set(sections[GRAPHS]) == {name for section, name in DURATIONS if section == GRAPHS}


def test_a_folder_without_a_corpus_is_told(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="ended with status 4 before it was ready") as caught:
        with serving("", tmp_path):
            raise AssertionError
    assert "holds no finished corpus" in caught.value.hint
