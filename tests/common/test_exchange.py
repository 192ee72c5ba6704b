"""Folders that go to another machine and come back: whole, as a change, never twice over what was made since."""

import json
from pathlib import Path

import pytest

from ops_common import pod_exchange
from ops_common.errors import ArtifactError, ConfigError
from ops_common.exchange import AFTER, BEFORE, ChangedMeanwhileError, Exchange, Snapshot, named_folders
from ops_common.stores import FolderStore, open_store


@pytest.fixture
def exchange(tmp_path: Path) -> Exchange:
    return Exchange(FolderStore(tmp_path / "store"), "dag/run/task")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return filled(
        tmp_path / "here", {"kept": "1", "old": "2", "log": "3", "sub/manifest.json": "{}", "manifest.json": "{}"}
    )


def filled(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def content(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_arrives_as_it_was(exchange: Exchange, here: Path, tmp_path: Path) -> None:
    sent = exchange.send(BEFORE, {"run": here, "none": tmp_path / "none"})
    assert exchange.read(BEFORE) == sent
    assert exchange.fetch(sent, {"run": tmp_path / "there"}) == 5
    assert content(tmp_path / "there") == content(here)
    assert exchange.fetch(sent, {"run": tmp_path / "there"}) == 0  # what is there already is not brought again


def test_contents_are_stored_once(exchange: Exchange, here: Path, tmp_path: Path) -> None:
    exchange.send(BEFORE, {"run": here})
    (here / "copy").write_text("1")
    exchange.send(BEFORE, {"run": here})
    assert len(list((tmp_path / "store/objects").iterdir())) == 4


def test_only_changes_come_back(exchange: Exchange, here: Path, tmp_path: Path) -> None:
    sent, there = exchange.send(BEFORE, {"run": here}), tmp_path / "there"
    exchange.fetch(sent, {"run": there})
    (there / "old").unlink()
    filled(there, {"log": "3 and 4", "new": "5"})
    back = exchange.send(AFTER, {"run": there}, answers=sent.digest, status=0)
    filled(here, {"kept": "changed here meanwhile", "mine": "made here meanwhile"})
    assert exchange.fetch(back, {"run": here}, since=sent) == 3
    assert content(here) == {
        "kept": "changed here meanwhile",
        "mine": "made here meanwhile",
        "log": "3 and 4",
        "new": "5",
        "sub/manifest.json": "{}",
        "manifest.json": "{}",
    }


def test_files_that_are_being_written_and_links_stay_behind(exchange: Exchange, here: Path) -> None:
    filled(here, {".x.1.0.part": "half", ".folder.1.0.part/file": "half", ".task.guard": ""})
    (here / "link").symlink_to("/etc/passwd")
    assert set(exchange.send(BEFORE, {"run": here}).folders["run"]) == {
        "kept",
        "old",
        "log",
        "sub/manifest.json",
        "manifest.json",
    }


def test_a_snapshot_of_no_one_moment_is_not_stored(tmp_path: Path, here: Path) -> None:
    class Busy(FolderStore):
        def put_bytes(self, content: bytes, key: str):  # type: ignore[no-untyped-def]
            filled(here, {"checkpoint-2": "came meanwhile"})
            return super().put_bytes(content, key)

    exchange = Exchange(Busy(tmp_path / "store"), "dag/run/task")
    with pytest.raises(ChangedMeanwhileError, match="checkpoint-2 came or went"):
        exchange.send(AFTER, {"run": here})
    assert exchange.read(AFTER) is None


@pytest.mark.parametrize("name", ["../outside", "/etc/cron.d/x", "a//b", ""])
def test_no_file_leads_out_of_its_folder(tmp_path: Path, exchange: Exchange, name: str) -> None:
    snapshot = {"schema_version": 1, "folders": {"run": {name: {"sha256": "0" * 64, "size_bytes": 1}}}}
    filled(tmp_path / "store", {"dag/run/task/before.json": json.dumps(snapshot)})
    with pytest.raises(ArtifactError, match="not a plain relative path"):
        exchange.read(BEFORE)


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", '{"schema_version": 2, "folders": {}}', '{"folders": {"x": {"y": {}}}}']
)
def test_what_is_no_snapshot_is_refused(tmp_path: Path, exchange: Exchange, text: str) -> None:
    filled(tmp_path / "store", {"dag/run/task/before.json": text})
    with pytest.raises(ArtifactError, match="is no snapshot"):
        exchange.read(BEFORE)


def test_damaged_contents_do_not_arrive(tmp_path: Path, exchange: Exchange, here: Path) -> None:
    sent = exchange.send(BEFORE, {"run": here})
    (tmp_path / "store/objects" / sent.folders["run"]["log"].sha256).write_text("9")
    with pytest.raises(ArtifactError, match="SHA-256"):
        exchange.fetch(sent, {"run": tmp_path / "there"})
    assert "log" not in content(tmp_path / "there")


def worker(verb: str, tmp_path: Path, here: Path) -> int:
    return pod_exchange.main(
        [
            verb,
            f"--exchange={tmp_path / 'store'}",
            "--name=dag/run/task",
            f"--folder=run={here}",
            f"--fetched={tmp_path / 'f'}",
        ]
    )


def answer(exchange: Exchange, there: Path, status: int | None) -> Snapshot:
    before = exchange.read(BEFORE)
    assert before is not None
    exchange.fetch(before, {"run": there})
    (there / "log").write_text((there / "log").read_text() + "+")
    return exchange.send(AFTER, {"run": there}, answers=before.digest, status=status)


def test_what_an_attempt_left_is_brought_before_the_next_one_and_only_once(
    tmp_path: Path, exchange: Exchange, here: Path
) -> None:
    (tmp_path / "store").mkdir()
    assert worker("send", tmp_path, here) == 0
    answer(exchange, tmp_path / "pod-1", status=None)  # its node was lost after this
    assert worker("send", tmp_path, here) == 0
    assert (here / "log").read_text() == "3+"
    assert worker("fetch", tmp_path, here) == 0  # the second attempt left nothing: the answer is to the first
    (here / "log").write_text("changed by a later step")
    assert worker("send", tmp_path, here) == 0
    assert (here / "log").read_text() == "changed by a later step"
    answer(exchange, tmp_path / "pod-2", status=0)
    assert worker("fetch", tmp_path, here) == 0
    assert (here / "log").read_text() == "changed by a later step+"


def test_folders_are_named(tmp_path: Path) -> None:
    assert named_folders(["a=/x=y", "b=/z"]) == {"a": Path("/x=y"), "b": Path("/z")}
    for text in ("a", "=/x", "a=x"):
        with pytest.raises(ConfigError, match="does not name a folder"):
            named_folders([text])
    assert worker("fetch", Path("relative"), Path("relative")) == 3


def test_a_place_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        open_store("gs://bucket/pods")
