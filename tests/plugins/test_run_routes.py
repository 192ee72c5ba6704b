"""The addresses of the pages about runs: who may see what, odd addresses, damaged folders; without Airflow's server."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from ops_platform.run_pages.airflow_runs import DAGS, AirflowRun
from ops_platform.run_pages.routes import add_run_pages

from tests.run_samples import FIRST_NIGHT, GEMATRIA, STANDALONE, make_nights, run_id_of

HOSTILE = "<script>x"
ALL = ("/runs", "/trend", "/lineage", "/runs?family=pythonexpr", "/trend?family=gematria&span=3", "/lineage?page=9")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPS_RUNS_ROOT", str(tmp_path))
    make_nights(tmp_path, GEMATRIA, range(6), curve_points=0)
    make_nights(tmp_path, STANDALONE, range(3), curve_points=0)
    return tmp_path


def client(*dag_ids: str) -> TestClient:
    """The pages, mounted as the plugin's are, for somebody who may see some workflows."""

    def readable() -> frozenset[str]:
        return frozenset(dag_ids)

    def ask(asked: object) -> list[AirflowRun]:
        known = [AirflowRun(GEMATRIA, run_id_of(5), "running", "scheduled", FIRST_NIGHT, None, FIRST_NIGHT)]
        known.append(AirflowRun(STANDALONE, "manual__only", "queued", "manual", None, None, FIRST_NIGHT + timedelta(9)))
        return [run for run in known if run.dag_id in asked]  # type: ignore[operator]

    app, outer = FastAPI(), FastAPI()
    add_run_pages(app, readable, ask)
    outer.mount("/ops", app)
    return TestClient(outer)


def test_every_page_is_shown_with_a_policy_that_lets_nothing_in(root: Path) -> None:
    pages = client(*DAGS)
    for path in ALL:
        answer = pages.get(f"/ops{path}")
        assert answer.status_code == 200, answer.text
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        links = {part.partition('"')[0] for part in answer.text.split('href="')[1:]}
        assert all(link.startswith(("/ops/", "/dags", "#")) for link in links)
    assert pages.get("/ops/", follow_redirects=False).headers["location"] == "/ops/runs"
    assert pages.get("/ops/static/pages.css").headers["content-type"].startswith("text/css")
    assert pages.post("/ops/runs").status_code == 405
    assert "running" in pages.get("/ops/runs").text and "manual__only" in pages.get("/ops/runs").text


def test_one_sees_the_workflows_that_one_may_see_and_no_others(root: Path) -> None:
    pages = client(STANDALONE)
    for path in ALL:
        assert GEMATRIA not in pages.get(f"/ops{path}").text
    hidden = f"{GEMATRIA}/{run_id_of(1).replace('+', '%2B')}"
    assert pages.get(f"/ops/runs/{hidden}").status_code == 404
    assert pages.get(f"/ops/runs/{hidden}/files/record.json").status_code == 404
    shown = f"{STANDALONE}/{(root / STANDALONE).iterdir().__next__().name}"
    assert pages.get(f"/ops/compare?run={hidden}&run={shown}").status_code == 404
    assert pages.get(f"/ops/compare?run={shown}&run={shown}").status_code == 200
    assert "no run yet" in client().get("/ops/runs").text


def test_a_run_is_shown_with_its_raw_files(root: Path) -> None:
    pages, folder = client(*DAGS), sorted((root / GEMATRIA).iterdir())[4]
    page = pages.get(f"/ops/runs/{GEMATRIA}/{folder.name}")
    assert page.status_code == 200 and "is worse by 1.4" in page.text and "0.61 core-hours" in page.text
    raw = pages.get(f"/ops/runs/{GEMATRIA}/{folder.name}/files/record.json")
    assert raw.json()["seeds"] == {"random_seed": 4} and raw.headers["content-type"].startswith("text/plain")
    assert "default-src 'none'" in raw.headers["content-security-policy"]
    for file in ("DONE", "absent.json", "%2e%2e%2fsecret", ".record.lock", "results%2fupload_model.json"):
        assert pages.get(f"/ops/runs/{GEMATRIA}/{folder.name}/files/{file}").status_code == 404


@pytest.mark.parametrize("name", ["%2e%2e", "..%2F..", "%00", ".run-index.sqlite", "<i>", "x" * 3000, "%F0%9F%99%82"])
def test_a_name_that_is_no_run_is_not_found(root: Path, name: str) -> None:
    pages = client(*DAGS)
    for path in (f"{GEMATRIA}/{name}", f"{GEMATRIA}/{name}/files/record.json", f"{name}/x"):
        answer = pages.get(f"/ops/runs/{path}")
        assert answer.status_code == 404 and "<i>" not in answer.text


@pytest.mark.parametrize(
    "query",
    [
        "page=99999999999999999999",
        "page=-1",
        "sort=-",
        "sort=<i>",
        "family=%00",
        "state=x&decision=y&text=%F0%9F%99%82",
    ],
)
def test_odd_parameters_give_a_page(root: Path, query: str) -> None:
    answer = client(*DAGS).get(f"/ops/runs?{query}")
    assert answer.status_code == 200 and "<i>" not in answer.text
    assert client(*DAGS).get("/ops/trend?span=-3&family=x").status_code == 200
    assert client(*DAGS).get("/ops/runs?page=x").status_code == 422


def test_damage_and_markup_in_a_folder_are_shown_as_text(root: Path) -> None:
    pages = client(*DAGS)
    folder = sorted((root / GEMATRIA).iterdir())[0].rename(root / GEMATRIA / HOSTILE)
    record = json.loads((folder / "record.json").read_bytes())
    record |= {"run_id": f"{HOSTILE}y", "conf": {HOSTILE: HOSTILE}, "cost": {"core_hours": "<b>"}, "config": [HOSTILE]}
    (folder / "record.json").write_text(json.dumps(record))
    (folder / "release.json").write_text(json.dumps({"decision": HOSTILE}))
    (folder / "results/upload_model.record.json").write_text("{")
    for path in (*ALL, f"/runs/{GEMATRIA}/%3Cscript%3Ex", f"/compare?run={GEMATRIA}/%3Cscript%3Ex&run=x"):
        answer = pages.get(f"/ops{path}")
        assert answer.status_code in (200, 404) and HOSTILE not in answer.text, path
    page = pages.get(f"/ops/runs/{GEMATRIA}/%3Cscript%3Ex").text
    for problem in (
        "record.json: cost.core_hours",
        "record.json: config",
        "release.json: ",
        "upload_model.record.json",
    ):
        assert problem in page
    assert "damaged" in pages.get("/ops/runs").text
    for entry in folder.iterdir():  # everything is nonsense
        if entry.is_file():
            entry.write_bytes(b"\xff\x00<b>")
    assert pages.get(f"/ops/runs/{GEMATRIA}/%3Cscript%3Ex").status_code == 200
    assert pages.get("/ops/runs").status_code == 200
