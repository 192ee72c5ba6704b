"""Run records in a folder and in S3: the same calls, the same files; what is missing or wrong is said."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import jsonschema
import pytest

from fastnode_ops.validation.run_record import (
    Feed,
    RunInfo,
    RunResult,
    count_errors,
    create_run,
    list_runs,
    open_run,
    wait_for_artifact,
)
from ops_common.errors import ArtifactError, ConfigError, DataError, ServiceError, UsageError
from tests.local_s3 import destination, shared_s3  # noqa: F401 - fixtures

ROOT = Path(__file__).parents[3]
PIPELINE = "ggnn-attribute-completions-validate"
NOON = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)


@pytest.fixture(params=["folder", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    yield str(tmp_path / "rundb") if request.param == "folder" else request.getfixturevalue("destination")


def test_a_run_from_start_to_end(root: str, tmp_path: Path) -> None:
    run = create_run(root, PIPELINE, "first", {"MaxEvents": 1000, "ExprModel": "out/serve"}, now=NOON)
    assert run.uri == f"{root}/2026-03-01T12:00:00.250Z_{PIPELINE}"
    assert open_run(run.uri).info.Status == "started"
    assert not run.has("DONE")

    (tmp_path / "report.html").write_text("<h1>fine</h1>")
    assert run.add_artifact(tmp_path / "report.html") == ["report.html"]
    run.finish(
        [RunResult(Name="pop top-1", Value=0.5, Aggregator="global-top-n")],
        {"situations": Feed(In=10, Out=8, ErrsByReason=count_errors({"too large": 2, "none": 0}, "corpus"))},
    )

    read = open_run(run.uri)
    assert (read.info.Status, read.info.Error, read.has("DONE")) == ("finished", "", True)
    assert read.info.Params == {"MaxEvents": 1000, "ExprModel": "out/serve"}
    assert read.info.Results[0].Value == 0.5
    assert read.info.FeedStats["situations"].ErrsByReason["too large"].Count == 2
    assert set(read.info.FeedStats["situations"].ErrsByReason) == {"too large"}
    assert read.artifacts() == ["report.html"]
    read.get_artifact("report.html", tmp_path / "copy.html")
    assert (tmp_path / "copy.html").read_text() == "<h1>fine</h1>"
    with pytest.raises(ArtifactError, match="does not exist"):
        read.get_artifact("absent", tmp_path / "absent")


def test_child_runs_and_their_order(root: str) -> None:
    parent = create_run(root, "weekly", now=NOON)
    child = create_run(parent.uri, PIPELINE, now=NOON + timedelta(seconds=1))
    later = create_run(root, PIPELINE, now=NOON + timedelta(days=1))
    assert list_runs(root) == [later.uri, child.uri, parent.uri]
    assert parent.artifacts() == []


def test_a_failed_run_has_its_error_and_no_done(root: str) -> None:
    run = create_run(root, PIPELINE)
    run.fail("the model is torn")
    read = open_run(run.uri)
    assert (read.info.Status, read.info.Error, read.has("DONE")) == ("error", "the model is torn", False)


def test_times_are_utc_and_two_runs_of_an_instant_do_not_mix(root: str) -> None:
    local = datetime(2026, 3, 1, 14, 0, 0, 250_000, tzinfo=timezone(timedelta(hours=2)))
    run = create_run(root, PIPELINE, now=local)
    assert run.info.CreatedAt == "2026-03-01T12:00:00.250Z"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", run.info.StatusUpdated)
    with pytest.raises(ArtifactError, match="already exists"):
        create_run(root, PIPELINE, now=NOON)


def test_a_folder_of_artefacts(root: str, tmp_path: Path) -> None:
    (tmp_path / "reports" / "deep").mkdir(parents=True)
    (tmp_path / "reports" / "a.json").write_text("1")
    (tmp_path / "reports" / "deep" / "b.json").write_text("2")
    run = create_run(root, PIPELINE)
    with pytest.raises(UsageError, match="is a folder"):
        run.add_artifact(tmp_path / "reports")
    assert run.add_artifact(tmp_path / "reports", recursive=True) == ["reports/a.json", "reports/deep/b.json"]
    assert run.artifacts() == ["reports/a.json", "reports/deep/b.json"]


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../b", "a\\b"])
def test_an_artefact_cannot_leave_its_run(root: str, tmp_path: Path, name: str) -> None:
    (tmp_path / "x").write_text("x")
    run = create_run(root, PIPELINE)
    with pytest.raises(ArtifactError, match="plain relative path"):
        run.add_artifact(tmp_path / "x", name)
    with pytest.raises(ArtifactError, match="plain relative path"):
        run.get_artifact(name, tmp_path / "y")


def test_an_artefact_cannot_replace_the_record(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    run = create_run(str(tmp_path / "rundb"), PIPELINE)
    for name in ("run-info.json", "DONE"):
        with pytest.raises(UsageError, match="name of the record itself"):
            run.add_artifact(tmp_path / "x", name)
    with pytest.raises(ArtifactError, match="does not exist"):
        run.add_artifact(tmp_path / "absent")


def test_waiting_for_an_artefact(tmp_path: Path) -> None:
    run = create_run(str(tmp_path / "rundb"), PIPELINE)
    (tmp_path / "late.txt").write_text("late")
    seconds = [0.0]

    def sleep(wait: float) -> None:
        seconds[0] += wait
        if seconds[0] >= 15:
            run.add_artifact(tmp_path / "late.txt")

    wait_for_artifact(run, "late.txt", 60, sleep=sleep, clock=lambda: seconds[0])
    assert seconds[0] == 15
    with pytest.raises(ServiceError, match="has no never after 12 s"):
        wait_for_artifact(run, "never", 12, sleep=sleep, clock=lambda: seconds[0])
    assert seconds[0] == 27
    run.fail("out of memory")
    with pytest.raises(DataError, match="has failed: out of memory"):
        wait_for_artifact(run, "never", 60, sleep=sleep, clock=lambda: seconds[0])


def test_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="is no run"):
        open_run(str(tmp_path))
    (tmp_path / "run-info.json").write_text('{"Pipeline": "x", "CreatedAt": "", "Status": "odd"}')
    with pytest.raises(DataError, match=r"run-info\.json: Status: "):
        open_run(str(tmp_path))
    (tmp_path / "run-info.json").write_text("{")
    with pytest.raises(DataError, match=r"run-info\.json: the file: Invalid JSON"):
        open_run(str(tmp_path))


def test_names_and_parameters_that_cannot_be(tmp_path: Path) -> None:
    for name in ("", "a/b", "..", "a b"):
        with pytest.raises(ConfigError, match="part of a folder's name"):
            create_run(str(tmp_path), name)
    for value in (float("nan"), object()):
        with pytest.raises(ConfigError, match="no JSON form"):
            create_run(str(tmp_path), PIPELINE, params={"x": value})
    with pytest.raises(ConfigError, match="not a bucket name"):
        create_run("s3://X", PIPELINE)


def test_the_schema_is_that_of_the_records(tmp_path: Path) -> None:
    schema = json.loads((ROOT / "docs/schemas/run-info.schema.json").read_text())
    assert schema == RunInfo.model_json_schema() | {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    run = create_run(str(tmp_path), PIPELINE, params={"a": 1})
    jsonschema.validate(json.loads((Path(run.uri) / "run-info.json").read_text()), schema)


def test_the_checkout_is_recorded(tmp_path: Path) -> None:
    info = create_run(str(tmp_path), PIPELINE).info
    assert re.fullmatch(r"[0-9a-f]{40}|", info.GitCommitHash)
