"""What goes and what stays, on folders as the workflows leave them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ops_common.clean_up import clean_up
from ops_common.cleaning.inventory import check_root
from ops_common.cleaning.removing import remove_below
from ops_common.errors import ArtifactError, ConfigError
from ops_common.processes import exclusive_lock
from tests.common.cleaning.folders import DAY, NOW, Place, gone, reason_of


def test_a_dry_run_says_what_the_clean_up_then_does(place: Place) -> None:
    old, new = place.run("old", 40), place.run("new", 1)
    planned = place.clean(dry_run=True)
    assert old.exists() and gone(planned) == {("run", "gematria_train/old")}
    assert "would go" in (place.reports / "clean_up.txt").read_text()
    done = place.clean()
    assert not old.exists() and new.exists()
    assert (gone(done), done["removed_bytes"]) == (gone(planned), planned["removed_bytes"])
    assert done["removed_bytes"] > 1_000  # the checkpoint and the records
    assert [group for group in done["by_reason"] if group["is_removed"]] == [
        {"is_removed": True, "kind": "run", "reason": "old", "number": 1, "size_bytes": done["removed_bytes"]}
    ]
    again = place.clean()
    assert (again["num_removed"], again["removed_bytes"]) == (0, 0)


@pytest.mark.parametrize(
    ("days", "goes"),
    [(29.9, False), (30.1, True)],
)
def test_age_is_counted_from_the_end_of_the_run(place: Place, days: float, goes: bool) -> None:
    place.run("newest", 0)
    folder = place.run("a", days)
    os.utime(folder / "results", (NOW, NOW))  # somebody has looked into it
    place.clean()
    assert folder.exists() is not goes


def test_the_newest_of_each_workflow_stay_at_any_age(place: Place) -> None:
    for name in ("a", "b", "c"):
        place.run(f"gematria_train/{name}", 100 + ord(name))
        place.run(f"gematria_import/{name}", 100 + ord(name))
    report = place.clean(keep_newest=2)
    assert gone(report) == {("run", "gematria_train/c"), ("run", "gematria_import/c")}
    assert reason_of(report, "gematria_train/b") == "newest"


def test_a_run_that_goes_on_stays(place: Place) -> None:
    place.run("newest", 0)
    working, waiting, forgotten = (
        place.run(name, days, state="open") for name, days in (("w", 90), ("a", 50), ("f", 70))
    )
    with exclusive_lock(working / "results/.train_model.lock", "busy"):
        place.age(working, 90)
        report = place.clean()
    assert reason_of(report, "gematria_train/w") == "goes on"
    assert reason_of(report, "gematria_train/a") == "goes on"  # it may wait for somebody's approval
    assert gone(report) == {("run", "gematria_train/f")}
    assert (working.exists(), waiting.exists(), forgotten.exists()) == (True, True, False)


def test_what_a_run_that_stays_was_made_from_stays(place: Place) -> None:
    corpus, data = place.dataset("python", 300), place.dataset("blocks", 300)
    for name in ("unused", "newest"):
        place.dataset(name, 200 if name == "unused" else 100)
    trained = place.run("pythonexpr_standalone/first", 200, uses={"work_dir": place.runs, "corpus_dir": corpus})
    place.run("pythonexpr_standalone/last", 100)
    place.run("pythonexpr_continue/more", 100, uses={"work_dir": trained})
    place.run("gematria_train/gone", 100, uses={"dataset_dir": place.data / "unused"})
    place.run("gematria_train/last", 50, uses={"dataset_dir": data})
    report = place.clean()
    assert gone(report) == {("run", "gematria_train/gone"), ("dataset", "unused")}
    assert reason_of(report, "pythonexpr_standalone/first") == "used by pythonexpr_continue/more"
    assert reason_of(report, "python", "dataset") == "used by pythonexpr_standalone/first"
    assert reason_of(report, "blocks", "dataset") == "used by gematria_train/last"
    assert (corpus.exists(), data.exists(), (place.data / "unused").exists()) == (True, True, False)


def test_the_keep_list_takes_names_and_patterns(place: Place, tmp_path: Path) -> None:
    for name in ("night-1", "night-2", "manual-1", "last"):
        place.run(name, 0 if name == "last" else 100)
    place.dataset("paper", 100)
    place.dataset("other", 99)
    keep = tmp_path / "keep.txt"
    keep.write_text("# of the paper\npaper\ngematria_train/night-*   # all nights\n\nmanual-?\n")
    report = place.clean(keep_file=str(keep))
    assert gone(report) == set()
    assert reason_of(report, "paper", "dataset") == "kept by the list"
    keep.write_text("night-2\n")
    assert gone(place.clean(keep_file=str(keep))) == {
        ("run", "gematria_train/night-1"),
        ("run", "gematria_train/manual-1"),
        ("dataset", "paper"),
    }


def test_checkpoints_and_samples_go_before_their_run(place: Place) -> None:
    place.run("newest", 0)
    folder = place.run("a", 10, state="failed")
    for path in (folder / "tmp/ckpt-30.index", folder / "data/samples.bin", place.data / ".datagen/samples/a/f.bin"):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x" * 10)
        place.age(path.parent, 10)
    (folder / "tmp/metrics.jsonl").write_text("")
    place.age(folder, 10)
    report = place.clean()
    assert gone(report) == {
        ("checkpoints", "gematria_train/a"),
        ("samples", "gematria_train/a"),
        ("samples", ".datagen/samples/a"),
    }
    assert sorted(path.name for path in folder.iterdir()) == ["FAILED", "results", "tmp"]
    assert [path.name for path in (folder / "tmp").iterdir()] == ["metrics.jsonl"]


def test_leftovers_go_after_a_day_and_those_of_a_run_that_goes_on_do_not(place: Place) -> None:
    done, goes_on = place.run("done", 1), place.run("goes-on", 1, state="open")
    for folder in (done / "bundle", goes_on / "bundle", place.data):
        folder.mkdir(exist_ok=True)
        (folder / ".weights.npz.17.0.part").write_bytes(b"x" * 7)
        os.utime(folder / ".weights.npz.17.0.part", (NOW, NOW - 2 * DAY))
    (place.data / ".new.1.1.part").mkdir()
    (place.runs / "gematria_train/.removed-abc").mkdir()
    place.age(place.runs / "gematria_train/.removed-abc", 3)
    assert gone(place.clean()) == {
        ("temporary", "gematria_train/done/bundle/.weights.npz.17.0.part"),
        ("temporary", ".weights.npz.17.0.part"),
        ("temporary", "gematria_train/.removed-abc"),
    }
    assert (goes_on / "bundle/.weights.npz.17.0.part").exists() and (place.data / ".new.1.1.part").exists()


def test_a_half_data_set_is_not_taken_for_the_newest(place: Place) -> None:
    place.dataset("whole", 100)
    half = place.dataset("half", 90, is_complete=False)
    assert gone(place.clean()) == {("dataset", "half")}
    assert not half.exists()


def test_links_are_not_followed_nor_removed(place: Place, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    place.run("newest", 0)
    old = place.run("old", 100)
    (old / "data").symlink_to(outside)
    (place.runs / "gematria_train/link").symlink_to(outside)
    (place.runs / "other").symlink_to(outside)
    (place.data / "set").symlink_to(outside)
    (place.data / ".datagen").symlink_to(outside)
    os.utime(outside, (NOW, NOW - 400 * DAY))
    report = place.clean()
    assert gone(report) == {("run", "gematria_train/old")}
    assert report["skipped"] == {"symbolic links": 4}
    assert (outside / "precious").read_text() == "x" and (place.data / "set").is_symlink()


def test_a_path_cannot_lead_out_of_its_root(tmp_path: Path) -> None:
    root, outside = tmp_path / "a/root", tmp_path / "a/outside"
    for folder in (root / "real", outside / "run"):
        folder.mkdir(parents=True)
    (root / "link").symlink_to(outside)
    for path in (outside / "run", root / ".." / "outside" / "run", root, root / "link" / "run"):
        with pytest.raises(ArtifactError, match=r"is not removed|is no folder that a clean-up may enter"):
            remove_below(root, path)
    assert (outside / "run").exists()
    remove_below(root, root / "gone already")
    remove_below(root, root / "real")
    assert sorted(path.name for path in root.iterdir()) == ["link"]


def test_a_folder_that_cannot_be_removed_is_told_and_the_others_go(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ops_common.cleaning import removing

    place.run("newest", 0)
    place.run("stuck", 100)
    free = place.run("free", 101)
    rename: Callable[..., None] = os.rename

    def refuse(source: str, *arguments: Any, **keywords: Any) -> None:
        if source == "stuck":
            raise PermissionError(13, "Permission denied", source)
        rename(source, *arguments, **keywords)

    monkeypatch.setattr(removing.os, "rename", refuse)
    report = place.clean()
    assert not free.exists()
    assert report["num_removed"] == 1
    assert len(report["errors"]) == 1 and "stuck cannot be removed: Permission denied" in report["errors"][0]


@pytest.mark.parametrize(
    ("runs", "data", "message"),
    [
        ("/", "/tmp", "no folder of runs"),
        ("{tmp}/none", "{tmp}", "is not a folder"),
        ("{tmp}/a", "{tmp}/a", "among the runs"),
        ("{tmp}/a", "{tmp}/a/b", "among the runs"),
    ],
)
def test_roots_that_make_no_sense_are_refused(runs: str, data: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    names = [name.format(tmp=tmp_path) for name in (runs, data)]
    with pytest.raises(ConfigError, match=message):
        clean_up(runs_root=names[0], data_root=names[1], report_dir=str(tmp_path / "r"))


def test_the_home_folder_is_no_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="nothing is removed there"):
        check_root(tmp_path)


def test_the_command_says_what_would_go(place: Place) -> None:
    place.run("newest", 0)
    old = place.run("old", 100)
    command = ["clean-up", "--runs-root", str(place.runs), "--data-root", str(place.data)]
    command += ["--report-dir", str(place.reports), "--keep-newest", "1"]
    for more, is_left in (
        (["--run-days", "x"], True),
        (["--keep-newest", "0"], True),
        ([], True),
        (["--no-dry-run"], False),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "ops_common", *command, *more], capture_output=True, text=True, check=False
        )
        assert done.returncode == {"--run-days": 2, "--keep-newest": 3}.get((more or [""])[0], 0), done.stderr
        assert old.exists() is is_left
    assert json.loads(done.stdout)["num_removed"] == 1
    assert "gematria_train/old" in done.stderr
