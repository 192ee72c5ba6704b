"""The example viewer behind Airflow's login: the collections of runs, newest first, and nobody sees them unasked."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.airflow

from fastapi import Depends, FastAPI, HTTPException  # noqa: E402
from fastapi.testclient import TestClient  # noqa: E402
from ops_platform.example_pages import MAX_RUNS, ExampleViewers, add_example_pages, find_collections  # noqa: E402

BUFFER = "import json\njson.dumps(1)\n"


def make_run(root: Path, name: str, at: int, symbol: str = "json") -> Path:
    path = root / "pythonexpr_standalone" / name / "out/curated-examples/attr.json"
    path.parent.mkdir(parents=True)
    example = {"Buffer": BUFFER, "Cursor": BUFFER.index("dumps"), "Symbol": symbol, "Expected": "dumps"}
    provided = {"pop": {"Completions": [{"Identifier": "dumps", "Score": 0.5}], "MungedBuffer": BUFFER}}
    path.write_text(json.dumps({**example, "Provided": provided}))
    os.utime(path, (at, at))
    return path


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPS_RUNS_ROOT", str(tmp_path))
    return tmp_path


@pytest.fixture
def client() -> TestClient:
    def check(key: str = "") -> None:
        if key != "mine":
            raise HTTPException(403)

    app, outer = FastAPI(), FastAPI()
    add_example_pages(app, "/examples", [Depends(check)])
    outer.mount("/ops", app)
    return TestClient(outer)


def test_the_newest_runs_come_first_and_not_too_many(root: Path) -> None:
    paths = [make_run(root, f"run-{number}", 1_000 + number) for number in range(MAX_RUNS + 2)]
    folder = root / "pythonexpr_standalone/run-5/tmp/uncurated-examples/attr"
    folder.mkdir(parents=True)
    (root / "pythonexpr_standalone/unfinished").mkdir()
    found = find_collections(root)
    assert found[:2] == [paths[5], folder]  # it was written last
    assert found[2:4] == [paths[-1], paths[-2]]
    assert len(found) == MAX_RUNS + 1


def test_pages_stand_under_our_path_and_link_to_it(root: Path, client: TestClient) -> None:
    make_run(root, "run-1", 1_000)
    page = client.get("/ops/examples/", params={"key": "mine"})
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    links = {part.partition('"')[0] for part in page.text.split('href="')[1:]}
    assert links and all(link.startswith("/ops/examples/") or link.startswith("#") for link in links)
    style = next(link for link in links if link.endswith(".css"))
    assert client.get(f"{style}?key=mine").headers["content-type"].startswith("text/css")
    example = client.get("/ops/examples/example", params={"key": "mine", "idx": 0})
    assert (example.status_code, "dumps" in example.text) == (200, True)
    assert client.get("/ops/examples/nothing", params={"key": "mine"}).status_code == 404


def test_who_may_not_see_it_sees_nothing(root: Path, client: TestClient) -> None:
    make_run(root, "run-1", 1_000)
    for path in ("", "example", "raw", "static/viewer.css", "compare"):
        assert client.get(f"/ops/examples/{path}").status_code == 403
    assert client.post("/ops/examples/live", json={}).status_code == 405


def test_a_new_run_appears_and_a_damaged_one_hides_nothing(root: Path, client: TestClient) -> None:
    assert client.get("/ops/examples/", params={"key": "mine"}).status_code == 404
    make_run(root, "run-1", 1_000)
    viewers = ExampleViewers()
    first = viewers.current(root)
    assert first is not None and viewers.current(root) is first
    make_run(root, "run-2", 2_000).write_text("{")
    make_run(root, "run-3", 3_000)
    assert viewers.current(root) is not first
    page = client.get("/ops/examples/", params={"key": "mine"}).text
    assert "run-3" in page and "run-1" in page and "run-2" not in page
