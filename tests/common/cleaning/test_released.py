"""What a clean-up leaves of runs whose models were released."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ops_common.artifacts import write_manifest
from ops_common.errors import ArtifactError
from ops_common.release_record import Decision, ReleaseRecord, write_release
from ops_common.releases import release_model, roll_back
from ops_common.rundir import RunDir
from tests.common.cleaning.folders import Place, gone, reason_of


@pytest.mark.parametrize("decision", ["released", "rolled_back"])
def test_a_released_models_run_is_never_touched(place: Place, decision: Decision) -> None:
    place.run("newest", 0)
    folder = place.run("released", 1_000)
    record = ReleaseRecord(family="gematria", run="released", decision=decision, model_uri="s3://models/x", at="then")
    write_release(folder, record)
    place.age(folder, 1_000)
    report = place.clean()
    assert (folder / "checkpoints/model.ckpt-30").exists()
    assert reason_of(report, "gematria_train/released") == "released"
    assert reason_of(report, "gematria_train/released", "checkpoints") == "released"


def test_a_refused_candidate_goes_when_it_is_old(place: Place) -> None:
    place.run("newest", 0)
    folder = place.run("refused", 40, state="failed")
    write_release(folder, ReleaseRecord(family="gematria", run="refused", decision="refused", at="then"))
    assert ("run", "gematria_train/refused") in gone(place.clean())


def test_a_run_that_was_uploaded_before_there_were_records_stays(place: Place) -> None:
    place.run("newest", 0)
    folder = place.run("uploaded", 400)
    RunDir(folder).save_result("upload_model", {}, {"bundle_uri": "s3://models/x"})
    assert reason_of(place.clean(), "gematria_train/uploaded") == "released"


def test_what_a_release_history_names_stays_and_a_store_that_is_away_ends_it(place: Place, tmp_path: Path) -> None:
    place.run("newest", 0)
    old = place.run("old", 400)
    upload = tmp_path / "models/gematria/old"
    write_manifest_of(upload)
    release_model(
        str(upload.parent), family="gematria", run="by-hand", model_uri=str(upload), compared_with=None, policy=None
    )
    place.run("gematria_import/newest", 0)
    same_night = place.run("gematria_import/old", 400)
    shutil.rmtree(same_night / "checkpoints")
    report = place.clean(destinations=[str(upload.parent)])
    assert reason_of(report, "gematria_train/old") == "released"
    assert ("run", "gematria_import/old") in gone(report)
    (upload.parent / "RELEASED.json").write_text("{")
    with pytest.raises(ArtifactError):
        place.clean(destinations=[str(upload.parent)])
    assert old.exists()
    place.clean()
    assert not old.exists()


def test_checkpoints_of_a_release_go_once_others_have_replaced_it(place: Place, tmp_path: Path) -> None:
    place.run("pythonexpr_continue/last", 0, uses={"work_dir": place.run("continued", 90)})
    for number, name in enumerate(("replaced", "continued", "now", "newest")):
        folder = place.run(name, 90 - number) if name != "continued" else place.runs / "gematria_train/continued"
        upload = tmp_path / "models" / name
        write_manifest_of(upload)
        release = {"run": name, "decision": "released", "model_uri": str(upload), "at": "then"}
        write_release(folder, ReleaseRecord(family="gematria", **release))
        place.age(folder, 90 - number)
        if name != "newest":  # it is not in the history, and stays as the newest
            release_model(
                str(upload.parent), family="gematria", run=name, model_uri=str(upload), compared_with=None, policy=None
            )
    report = place.clean(destinations=[str(tmp_path / "models")])
    assert gone(report) == {("checkpoints", "gematria_train/replaced")}
    assert reason_of(report, "gematria_train/replaced") == "released"
    for name in ("continued", "now", "newest"):
        assert (place.runs / "gematria_train" / name / "checkpoints/model.ckpt-30").exists(), name


def test_a_year_after_a_release_was_replaced_its_run_and_data_are_like_any_other(place: Place, tmp_path: Path) -> None:
    models = tmp_path / "models"
    for name, days in (("first", 401), ("second", 399), ("third", 398), ("continued", 397), ("last", 396)):
        place.run(name, days, uses={"dataset_dir": place.dataset(f"blocks-{name}", days)})
        write_manifest_of(models / name)
        release_model(
            str(models), family="gematria", run=name, model_uri=str(models / name), compared_with=None, policy=None
        )
    place.run("newest", 0, uses={"work_dir": place.runs / "gematria_train/continued"})
    place.dataset("newest", 0)
    report = place.clean(destinations=[str(models)], release_days=400.0)
    whole_runs = {name for kind, name in gone(report) if kind in ("run", "dataset")}
    assert whole_runs == {"gematria_train/first", "blocks-first"}
    report = place.clean(destinations=[str(models)])
    whole_runs = {name for kind, name in gone(report) if kind in ("run", "dataset")}
    assert whole_runs == {"gematria_train/second", "blocks-second", "gematria_train/third", "blocks-third"}
    assert reason_of(report, "gematria_train/last") == "released"  # it is the released one now, at any age
    assert reason_of(report, "gematria_train/continued") == "used by gematria_train/newest"
    assert reason_of(report, "blocks-continued", "dataset") == "used by gematria_train/continued"


def test_checkpoints_of_the_model_that_was_rolled_back_to_stay(place: Place, tmp_path: Path) -> None:
    place.run("newest", 0)
    models = tmp_path / "models"
    for number, name in enumerate(("first", "second")):  # their uploads are called by the time, as those of completions
        place.run(name, 90)
        upload = models / f"2026030{number}T020000Z"
        write_manifest_of(upload)
        release_model(str(models), family="gematria", run=name, model_uri=str(upload), compared_with=None, policy=None)
    roll_back(str(models), family="gematria", run="back")
    assert gone(place.clean(destinations=[str(models)])) == {("checkpoints", "gematria_train/second")}


def write_manifest_of(upload: Path) -> None:
    upload.mkdir(parents=True)
    (upload / "weights").write_bytes(b"x")
    write_manifest(upload, ["weights"], model_id="old", metadata={})


def test_a_record_that_cannot_be_read_is_no_permission(place: Place) -> None:
    place.run("newest", 0)
    folder = place.run("damaged", 400)
    (folder / "release.json").write_text("{")
    assert reason_of(place.clean(), "gematria_train/damaged") == "released"
