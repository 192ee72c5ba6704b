"""Report pages: only files of the run's own reports folder, never anything beside it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from ops_platform import report_pages
from ops_platform.run_folders import run_dir

RUN = "manual__2026-01-01T00:00:00+00:00"


@pytest.fixture(autouse=True)
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPS_RUNS_ROOT", str(tmp_path))
    folder = run_dir(tmp_path, "gematria_train", RUN) / "reports"
    folder.mkdir(parents=True)
    (folder / "evaluation.html").write_text("<h1>fine</h1>")
    (folder / ".hidden").write_text("no")
    (folder.parent / "run.json").write_text("{}")
    return folder


def get(file: str, run_id: str = RUN) -> Any:
    return asyncio.run(report_pages._serve_report("gematria_train", run_id, file))


def test_a_report_is_served_with_a_policy_that_lets_nothing_out() -> None:
    answer = get("evaluation.html")
    assert (answer.status_code, answer.body) == (200, b"<h1>fine</h1>")
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("file", ["absent.html", "../run.json", "..", "", ".hidden", "a/b", "/etc/passwd", "x\0y"])
def test_anything_else_is_not_found(file: str) -> None:
    assert get(file).status_code == 404


def test_a_run_id_cannot_leave_the_folder_of_runs(reports: Path) -> None:
    assert get("evaluation.html", run_id=f"../gematria_train/{reports.parent.name}").status_code == 404


def test_a_file_name_is_not_repeated_as_markup() -> None:
    assert b"<script>" not in get("<script>alert(1)</script>").body


def test_the_address_of_a_report_survives_odd_run_ids() -> None:
    url = report_pages.report_url("gematria_train", RUN)
    assert url == "/ops/runs/gematria_train/manual__2026-01-01T00%3A00%3A00%2B00%3A00/reports/evaluation.html"


def test_the_evaluation_of_a_completion_model_is_its_validation(tmp_path: Path) -> None:
    folder = run_dir(tmp_path, "pythonexpr_standalone", RUN) / "out/reports"
    folder.mkdir(parents=True)
    (folder / "attributes.html").write_text("<h1>ranks</h1>")
    answer = asyncio.run(report_pages._serve_report("pythonexpr_standalone", RUN, "evaluation.html"))
    assert (answer.status_code, answer.body) == (200, b"<h1>ranks</h1>")
    (folder / "evaluation.html").write_text("<h1>own</h1>")
    answer = asyncio.run(report_pages._serve_report("pythonexpr_standalone", RUN, "evaluation.html"))
    assert answer.body == b"<h1>own</h1>"


def test_a_continuation_shows_the_report_of_the_run_that_it_continues(tmp_path: Path) -> None:
    made = run_dir(tmp_path, "pythonexpr_standalone", "run-1")
    (made / "out/reports").mkdir(parents=True)
    (made / "out/reports/attributes.html").write_text("ranks")
    record = run_dir(tmp_path, "pythonexpr_continue", "run-2") / "results/resolve_request.record.json"
    record.parent.mkdir(parents=True)

    def status(work_dir: str) -> int:
        record.write_text(json.dumps({"result": {"work_dir": work_dir}}))
        answer = asyncio.run(report_pages._serve_report("pythonexpr_continue", "run-2", "evaluation.html"))
        return answer.status_code

    assert status(str(made)) == 200
    assert status(str(tmp_path / "pythonexpr_standalone/../elsewhere")) == 404
    assert status("/etc") == 404
