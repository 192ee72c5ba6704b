"""What a run folder says: whole ones, old ones, damaged ones; nothing that is in a folder raises."""

import json
from pathlib import Path

import pytest

from ops_common.run_facts import MAX_FILE_BYTES, read_run, work_dir_of
from ops_common.rundir import RunDir
from tests.run_samples import GEMATRIA, STANDALONE, make_run


def test_a_whole_run(tmp_path: Path) -> None:
    facts = read_run(make_run(tmp_path / "run", GEMATRIA, 3, "released"))
    assert (facts.family, facts.state, facts.problems) == ("gematria", "done", ())
    assert facts.begun_at == "2026-03-04T02:00:00+00:00"
    assert facts.ended_at == max(task.finished_at for task in facts.tasks.values()) != ""
    assert list(facts.tasks) == ["train_model", "evaluate_model", "check_release", "upload_model", "resolve_request"]
    assert facts.tasks["train_model"].wall_seconds == 540
    assert set(facts.figures) == {"mape_percent_ivb", "mape_percent_hsw", "mape_percent_skl"}
    assert facts.release is not None and facts.release.decision == "released"
    assert facts.results["upload_model"]["bundle_uri"] == "s3://models/run"
    assert facts.seeds == {"random_seed": 3} and facts.cost["core_hours"] == 0.61


def test_a_failed_run_says_why(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", STANDALONE, 10, None)
    assert (read_run(folder).state, read_run(folder).failure) == ("failed", "train_model failed")
    (folder / "FAILED").unlink()  # ended by a machine's death: the record of its tasks is left
    assert (read_run(folder).state, read_run(folder).failure) == ("failed", "train_model failed")


def test_without_a_gate_the_figures_are_those_of_the_evaluation(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", GEMATRIA, 3, "released")
    (folder / "release.json").unlink()
    result = {"model_mape_percent_hsw": 9.5, "linear_mape_percent_hsw": 20.0, "report_json": "x", "is_fine": True}
    RunDir(folder).save_result("evaluate_model", {}, result)
    assert read_run(folder).figures == {"mape_percent_hsw": 9.5}


def test_a_run_from_before_there_were_records(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path / "run", {"steps": 3})
    run.save_result("validate_attributes", {}, {"ggnn_line_attr_top_1": 0.3})
    facts = read_run(run.path)
    assert (facts.family, facts.state, facts.release, facts.problems) == ("pythonexpr", "open", None, ())
    assert facts.begun_at.startswith("20") and facts.tasks["validate_attributes"].wall_seconds is None


def test_no_folder_is_a_run_of_which_nothing_is_known(tmp_path: Path) -> None:
    facts = read_run(tmp_path / "absent")
    assert (facts.name, facts.family, facts.state, facts.tasks, facts.problems) == ("absent", "", "open", {}, ())


@pytest.mark.parametrize(
    ("file", "text", "problem"),
    [
        ("record.json", "{", "record.json is not JSON"),
        ("record.json", "[]", "record.json is not an object"),
        ("record.json", '{"tasks": 3}', "record.json: tasks: Input should be a valid dictionary"),
        ("record.json", '{"tasks": {"a": {"wall_seconds": "x"}}}', "record.json: tasks.a.wall_seconds"),
        ("record.json", '{"cost": {"core_hours": "dear"}}', "record.json: cost.core_hours"),
        ("record.json", '{"data": ["x"]}', "record.json: data"),
        ("release.json", '{"decision": "maybe"}', "release.json: "),
        ("release.json", "\xff", "release.json is not"),
        ("results/evaluate_model.record.json", "nonsense", "results/evaluate_model.record.json is not JSON"),
        ("run.json", "[" * 100_000, "run.json is nested too deeply"),
        ("FAILED", "", ""),
    ],
)
def test_what_is_damaged_is_named_and_the_rest_is_there(tmp_path: Path, file: str, text: str, problem: str) -> None:
    folder = make_run(tmp_path / "run", GEMATRIA, 3, "released")
    (folder / "DONE").unlink()
    if file == "run.json":
        record = json.loads((folder / "record.json").read_text())
        del record["begun_at"]
        (folder / "record.json").write_text(json.dumps(record))
    (folder / file).write_bytes(text.encode("latin-1"))
    facts = read_run(folder)
    assert any(one.startswith(problem) for one in facts.problems) and len(facts.problems) == 1
    assert str(tmp_path) not in " ".join(facts.problems)
    assert facts.results["upload_model"]["num_files"] == 4
    if file == "FAILED":
        assert facts.state == "failed"


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", GEMATRIA, 3, "released")
    for name in ("record.json", "release.json"):
        with (folder / name).open("r+b") as file:
            file.truncate(MAX_FILE_BYTES + 1)
    facts = read_run(folder)
    assert len(facts.problems) == 2 and all("is larger than" in one for one in facts.problems)


def test_numbers_that_are_none_are_no_figures(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (folder / "results").mkdir(parents=True)
    (folder / "results/evaluate_model.json").write_text('{"model_mape_percent_a": NaN, "model_mape_percent_b": 1e999}')
    (folder / "results/evaluate_model.failure.json").write_text('{"text": "killed"}')
    assert read_run(folder).figures == {} and list(read_run(folder).results) == ["evaluate_model"]


def test_a_continuation_stands_on_the_run_that_it_continues(tmp_path: Path) -> None:
    made = make_run(tmp_path / STANDALONE / "first", STANDALONE, 0, "released")
    folder = tmp_path / "pythonexpr_continue" / "second"

    def continued(work_dir: str) -> str:
        RunDir(folder).save_result("resolve_request", {}, {"work_dir": work_dir})
        assert str(work_dir_of(folder)) == read_run(folder).work_dir
        return read_run(folder).work_dir

    assert continued(str(made)) == str(made)
    assert continued("/etc") == str(folder)
    assert continued(f"{tmp_path}/{STANDALONE}/../elsewhere") == str(folder)
    assert continued(f"{tmp_path}/{STANDALONE}/..") == str(folder)
