"""What runs on a host, called here as ssh calls it there: as the program of a bare interpreter."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

from fastnode_ops.datagen import remote_run
from fastnode_ops.datagen.host_agent import program_for
from fastnode_ops.datagen.remote_run import HostError, check_root
from ops_common.artifacts import sha256_file, write_manifest
from ops_common.processes import wait_until

IDENTITY = "a" * 64

# A run like ours: it starts a server in a session of its own, which it ends when it is asked to end itself.
RUN = """
import signal, subprocess, sys, time
server = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print(server.pid, flush=True)
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(600)
"""


@pytest.fixture
def root(tmp_path: Path) -> str:
    folder = str(tmp_path / "datagen")
    _ask("prepare", root=folder, archive="none", corpus="none", environment="none")
    return folder


def _ask(verb: str, **arguments: Any) -> dict[str, Any]:
    program = program_for(verb, arguments)
    done = subprocess.run([sys.executable, "-I", "-"], input=program, capture_output=True, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer.get("result", answer)


def _start(root: str, *words: str, dataset: str = "d", identity: str = IDENTITY) -> dict[str, Any]:
    command = [sys.executable, "-c", RUN, *words]
    return _ask(
        "start", root=root, dataset=dataset, identity=identity, ranges="0-3", command=command, environment={"X": "y"}
    )


def _server(root: str) -> psutil.Process:
    log = Path(root, "samples/d/.datagen/run.log")
    wait_until(lambda: log.read_text().strip() != "", 20, "the server of the run")
    return psutil.Process(int(log.read_text().split()[-1]))


def _has_ended(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_run_outlives_the_call_and_is_ended_with_all_it_started(root: str) -> None:
    leader = psutil.Process(_start(root)["process_id"])
    server = _server(root)
    unrelated = subprocess.Popen([sys.executable, "-c", RUN], stdout=subprocess.PIPE)
    assert unrelated.stdout is not None
    unrelated_server = psutil.Process(int(unrelated.stdout.readline()))
    try:
        assert leader.is_running() and os.getsid(leader.pid) == leader.pid
        told = _ask("status", root=root, dataset="d")
        assert (told["is_running"], told["ranges"]) == (True, "0-3")
        assert _ask("stop", root=root, dataset="d") == {"num_processes": 2}
        assert _has_ended(leader) and _has_ended(server)
        assert unrelated.poll() is None and unrelated_server.is_running()
        assert _ask("stop", root=root, dataset="d") == {"num_processes": 0}
        assert not _ask("status", root=root, dataset="d")["is_running"]
    finally:
        for process in (unrelated_server, unrelated):
            process.kill()
        unrelated.wait()


def test_starting_again_ends_the_older_run_of_this_data_set_only(root: str) -> None:
    first = psutil.Process(_start(root)["process_id"])
    other = psutil.Process(_start(root, dataset="other")["process_id"])
    _server(root)
    second = psutil.Process(_start(root)["process_id"])
    assert _has_ended(first)
    assert not _has_ended(second) and not _has_ended(other)
    assert _ask("clean", root=root, dataset="")["num_processes"] >= 3
    assert _has_ended(second) and _has_ended(other)


def test_what_is_left_of_a_killed_run_is_found(root: str) -> None:
    leader = psutil.Process(_start(root)["process_id"])
    server = _server(root)
    os.kill(leader.pid, signal.SIGKILL)
    wait_until(lambda: _has_ended(leader), 10, "the end of the leader")
    assert _ask("stop", root=root, dataset="d") == {"num_processes": 1}
    assert _has_ended(server)


def test_a_process_that_has_the_number_by_now_is_left_alone(root: str) -> None:
    _start(root)
    _server(root)
    _ask("stop", root=root, dataset="d")
    unrelated = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        record = Path(root, "samples/d/.datagen/run.json")
        record.write_text(json.dumps(json.loads(record.read_text()) | {"process_id": unrelated.pid}))
        assert _ask("stop", root=root, dataset="d") == {"num_processes": 0}
        assert unrelated.poll() is None
    finally:
        unrelated.kill()
        unrelated.wait()


def test_a_stubborn_run_is_killed(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    leader = psutil.Process(_start(root, "stubborn")["process_id"])
    server = _server(root)
    monkeypatch.setattr(remote_run, "_STOP_SECONDS", 0.5)
    assert remote_run.stop(root=root, dataset="d") == {"num_processes": 2}
    assert _has_ended(leader) and _has_ended(server)


def test_samples_of_another_metainfo_are_not_mixed_in(root: str) -> None:
    _start(root)
    assert "another metainfo" in _start(root, identity="b" * 64)["error"]
    assert _ask("status", root=root, dataset="d")["is_running"]  # refused before anything was done
    _ask("clean", root=root, dataset="d")
    assert "process_id" in _start(root, identity="b" * 64)
    _ask("stop", root=root, dataset="d")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "//",
        "",
        "data",
        "./data/x",
        "../x",
        "/data/../etc",
        "/data/./x",
        "/data",
        "/home",
        "/home/me",
        "/home/me/",
        "//home//me",
        "~/x",
        "/usr/local",
        "/etc/x",
        "/proc/1",
        "/dev/shm",
        "-rf",
        "/a/b\nc",
    ],
)
def test_dangerous_folders_are_refused(path: str) -> None:
    with pytest.raises(HostError):
        check_root(path, "/home/me")


def test_good_folders_are_taken() -> None:
    for path in ("/data/datagen", "/home/me/datagen/", "/data/it's $(x) a-b"):
        assert str(check_root(path, "/home/me")) == path.rstrip("/")


def test_only_folders_of_ours_are_touched(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/file").write_text("precious")
    for verb, words in (("clean", {"dataset": ""}), ("clean", {"dataset": "d"}), ("stop", {"dataset": "d"})):
        assert "not ours" in _ask(verb, root=str(tmp_path / "theirs"), **words)["error"]
    arguments = {"archive": "x", "corpus": "x", "environment": "x"}
    assert "not ours" in _ask("prepare", root=str(tmp_path / "theirs"), **arguments)["error"]
    (tmp_path / "link").symlink_to("/etc")
    assert "holds more" in _ask("clean", root=str(tmp_path / "link"), dataset="")["error"]
    assert "nothing is deployed" in _ask("clean", root=str(tmp_path / "none"), dataset="")["error"]
    assert (tmp_path / "theirs/file").read_text() == "precious"


def test_names_of_data_sets_stay_inside(root: str) -> None:
    for name in ("..", "../..", "a/b", "-x", ".datagen", "$(x)"):
        assert "is not a name" in _ask("clean", root=root, dataset=name)["error"]


def test_cleaning_takes_the_samples_of_one_data_set_or_everything(root: str, tmp_path: Path) -> None:
    for dataset in ("d", "e"):
        (Path(root) / "samples" / dataset).mkdir(parents=True)
        (Path(root) / "samples" / dataset / "x.samples").write_text("12345")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    (Path(root) / "samples" / "link").symlink_to(outside)
    assert _ask("status", root=root, dataset="d")["num_bytes"] == 5
    _ask("clean", root=root, dataset="d")
    assert sorted(path.name for path in Path(root, "samples").iterdir()) == ["e", "link"]
    _ask("clean", root=root, dataset="")
    assert not list(Path(root, "samples").iterdir())
    assert not Path(root, "code").exists()
    assert (outside / "kept").exists()


def test_an_archive_is_taken_only_whole(root: str, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("a = 1\n")
    (tmp_path / "MANIFEST").write_text(f"{sha256_file(tmp_path / 'a.py')}  a.py\n")
    archive = tmp_path / "x.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name in ("a.py", "MANIFEST"):
            tar.add(tmp_path / name, name)
    digest = sha256_file(archive)
    there = Path(root, "incoming", f"{digest}.tar.gz")
    there.write_bytes(archive.read_bytes()[:-20])
    assert "damaged" in _ask("take_archive", root=root, archive=digest)["error"]
    shutil.copyfile(archive, there)
    code = _ask("take_archive", root=root, archive=digest)["code"]
    assert Path(code, "a.py").read_text() == "a = 1\n"
    assert _ask("take_archive", root=root, archive=digest)["code"] == code
    assert not there.exists()


def test_an_archive_whose_files_are_not_those_of_its_manifest(root: str, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("a = 1\n")
    (tmp_path / "MANIFEST").write_text("")
    archive = tmp_path / "x.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name in ("a.py", "MANIFEST"):
            tar.add(tmp_path / name, name)
    digest = sha256_file(archive)
    shutil.copyfile(archive, Path(root, "incoming", f"{digest}.tar.gz"))
    assert "MANIFEST" in _ask("take_archive", root=root, archive=digest)["error"]
    assert not Path(root, "code", digest).exists()


def test_a_corpus_is_taken_only_whole(root: str) -> None:
    corpus = Path(root, "incoming", "c")
    corpus.mkdir()
    (corpus / "one").write_text("1")
    write_manifest(corpus, ["one"])
    digest = sha256_file(corpus / "manifest.json")
    incoming = corpus.rename(corpus.with_name(digest))
    (incoming / "one").write_text("2")
    assert "damaged" in _ask("take_corpus", root=root, corpus=digest)["error"]
    (incoming / "one").write_text("1")
    assert _ask("take_corpus", root=root, corpus=digest) == {"corpus": f"{root}/corpora/{digest}"}
    arguments = {"archive": "x", "corpus": digest, "environment": "x"}
    assert _ask("prepare", root=root, **arguments)["has_corpus"]


def test_two_commands_do_not_change_a_folder_at_once(root: str) -> None:
    inside, done = threading.Event(), threading.Event()

    def hold() -> None:
        with remote_run._locked(Path(root)):
            inside.set()
            done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait(10)
    try:
        assert "another command" in _ask("stop", root=root, dataset="d")["error"]
    finally:
        done.set()
        thread.join()


@pytest.mark.slow
def test_an_environment_is_made_once_and_only_of_hashed_packages(root: str, tmp_path: Path) -> None:
    requirements = tmp_path / "requirements-datagen.txt"
    requirements.write_text("numpy==2.0.0\n")
    arguments = {"root": root, "environment": "e", "code": str(tmp_path)}
    assert "hash" in _ask("make_environment", **arguments)["error"]
    requirements.write_text("# nothing\n")
    python = _ask("make_environment", **arguments)["python"]
    assert subprocess.run([python, "-c", "import pip"], check=True).returncode == 0
    requirements.unlink()  # it is not looked at again
    assert _ask("make_environment", **arguments)["python"] == python
    assert _ask("prepare", root=root, archive="x", corpus="x", environment="e")["has_environment"]
