"""The HTTP interface of the syncer."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from fastnode_ops.sync.app import MAX_BODY_BYTES, create_app
from tests.fastnode.sync.files import file_name, make_file
from tests.fastnode.sync.syncers import syncer
from tests.fastnode.sync.test_copying import World, names_in, world


@pytest.fixture
def one(tmp_path: Path) -> Iterator[World]:
    for index in range(3):
        make_file(tmp_path / "a", index)
    with world(tmp_path) as made:
        made.round()
        yield made


@pytest.fixture
def client(one: World) -> TestClient:
    return TestClient(create_app(one.sync, list(one.workers.values())))


def test_an_epoch_and_the_next(one: World, client: TestClient) -> None:
    names = [file_name(index) for index in range(3)]
    assert client.post("/list").json() == names
    for _ in range(2):  # an answer may be lost, so whoever says it again says nothing new
        assert client.post("/used", json={"used": names[:2]}).json() == {"num_marked": 2}
    assert client.post("/list").json() == names_in(one.local) == names[2:]
    assert client.get("/verified").json() == names
    state = client.get("/state").json()
    assert (state["num_ready"], state["num_used"], state["num_verified"], state["num_batches_verified"]) == (1, 2, 3, 6)
    assert [host["state"] for host in state["hosts"]] == ["new", "new"]
    assert client.post("/reset").json() == {"epoch": 1}
    one.round()
    assert client.post("/list").json() == names
    assert client.get("/healthz").json() == {"status": "ready", "num_hosts": 2}
    assert "fastnode_sync_num_ready 3\n" in client.get("/metrics").text


def test_no_epoch_when_the_files_are_gone(one: World, client: TestClient) -> None:
    client.post("/used", json={"used": [file_name(0)]})
    for path in one.host("a").iterdir():
        path.unlink()
    one.round()
    answer = client.post("/reset")
    assert (answer.status_code, file_name(0) in answer.text) == (409, True)
    assert client.get("/state").json()["epoch"] == 0


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b'{"used": "a"}', 400),
        (b'{"used": ["../../etc/passwd"]}', 400),
        (b'{"used": ["000000000-2-1.samples"]}', 400),
        (b'{"used": [], "more": 1}', 400),
        (b" " * (MAX_BODY_BYTES + 1), 413),
    ],
)
def test_bodies_that_are_none(one: World, client: TestClient, body: bytes, status: int) -> None:
    assert client.post("/used", content=body).status_code == status
    assert len(client.post("/list").json()) == 3


def test_a_wrong_name_does_not_keep_the_others_from_being_marked(client: TestClient) -> None:
    answer = client.post("/used", json={"used": [file_name(0), file_name(9)]})
    assert (answer.status_code, file_name(9) in answer.text, file_name(0) in answer.text) == (400, True, False)
    assert client.get("/state").json()["num_used"] == 1


def test_the_command(tmp_path: Path) -> None:
    make_file(tmp_path / "made here", 0)
    with syncer(tmp_path, [str(tmp_path / "made here")]) as one:
        one.wait_for(1)
        with pytest.raises(Exception, match="works in"):
            with syncer(tmp_path, [str(tmp_path / "made here")]):
                pass
        assert one.end() == 0
    assert '"num_ready": 1' in one.log.read_text()
