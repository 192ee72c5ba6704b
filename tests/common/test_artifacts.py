"""Files are whole or not there."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from ops_common.artifacts import (
    MANIFEST_NAME,
    atomic_folder,
    atomic_path,
    read_json,
    read_manifest,
    remove_part_files,
    sha256_file,
    verify_manifest,
    write_bytes,
    write_json,
    write_manifest,
    write_text,
)
from ops_common.errors import ArtifactError

ROOT = Path(__file__).parents[2]


def run_python(code: str, *arguments: object, limit_bytes: int | None = None) -> subprocess.CompletedProcess[str]:
    """Runs code in another process, which may write files of `limit_bytes` at most: the system then says EFBIG."""

    def limit() -> None:
        if limit_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    preamble = (
        "import os, signal, sys; from pathlib import Path; from ops_common.artifacts import *\n"
        "from ops_common.errors import ArtifactError\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", preamble + code, *map(str, arguments)],
        preexec_fn=limit,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_folder_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="is a folder"):
        write_text(tmp_path, "text")
    assert list(tmp_path.iterdir()) == []


def test_content_appears_under_its_name_only_when_whole(tmp_path: Path) -> None:
    final = tmp_path / "deep" / "er" / "file"
    with atomic_path(final) as temporary:
        temporary.write_bytes(b"half")
        assert temporary.parent == final.parent
        assert temporary.name.startswith(f".file.{os.getpid()}.")
        assert temporary.name.endswith(".part")
        assert not final.exists()
        with temporary.open("ab") as file:
            file.write(b" and half")
    assert final.read_bytes() == b"half and half"
    assert [path.name for path in final.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit(1)])
def test_error_in_the_body_leaves_the_old_file(tmp_path: Path, error: BaseException) -> None:
    final = tmp_path / "file"
    write_bytes(final, b"old")
    with pytest.raises(type(error)), atomic_path(final) as temporary:
        temporary.write_bytes(b"new")
        raise error
    assert final.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_body_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "file"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_writers_of_one_file_do_not_mix(tmp_path: Path) -> None:
    contents = [bytes([letter]) * 100_000 for letter in b"abcdefgh"]
    threads = [threading.Thread(target=write_bytes, args=(tmp_path / "file", content)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "file").read_bytes() in contents
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    write_bytes(tmp_path / "file", b"old")
    code = """
try:
    write_bytes(Path(sys.argv[1]) / "file", b"x" * 1_000_000)
except ArtifactError as error:
    print(error.message, "|", error.hint)
"""
    done = run_python(code, tmp_path, limit_bytes=500_000)
    assert done.stdout == (
        f"{tmp_path}/file cannot be written: File too large | free disk space or quota, then run the step again\n"
    )
    assert (tmp_path / "file").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_full_disk_while_a_folder_is_filled(tmp_path: Path) -> None:
    code = """
try:
    with atomic_folder(Path(sys.argv[1]) / "bundle") as folder:
        (folder / "small").write_bytes(b"x")
        (folder / "large").write_bytes(b"x" * 1_000_000)
except ArtifactError as error:
    print(error.message)
"""
    done = run_python(code, tmp_path, limit_bytes=500_000)
    assert done.stdout == f"{tmp_path}/bundle cannot be written: File too large\n"
    assert list(tmp_path.iterdir()) == []


def test_killed_writer_leaves_only_a_part_file(tmp_path: Path) -> None:
    write_bytes(tmp_path / "file", b"old")
    code = """
with atomic_path(Path(sys.argv[1]) / "file") as temporary:
    temporary.write_bytes(b"new")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert run_python(code, tmp_path).returncode == -9
    assert (tmp_path / "file").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 2

    (tmp_path / ".folder.1.0.part").mkdir()
    assert remove_part_files(tmp_path) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ArtifactError, match=r"folder .*file/below cannot be made"):
        write_text(tmp_path / "file" / "below" / "x", "")


def test_atomic_folder(tmp_path: Path) -> None:
    final = tmp_path / "bundle"
    with atomic_folder(final) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "a").write_text("1")
        assert not final.exists()
    with pytest.raises(ArtifactError, match="bundle already exists"), atomic_folder(final):
        pass
    with pytest.raises(ValueError, match="stop"), atomic_folder(final, replace=True) as folder:
        (folder / "b").write_text("2")
        raise ValueError("stop")
    assert (final / "sub" / "a").read_text() == "1"

    with atomic_folder(final, replace=True) as folder:
        (folder / "b").write_text("2")
    assert [path.name for path in final.iterdir()] == ["b"]
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_json_keeps_plain_values_and_numpy_scalars(tmp_path: Path) -> None:
    value = {"i": np.int64(3), "f": np.float32(0.5), "a": np.arange(2), "p": Path("x/y"), "ü": None, "list": [1, True]}
    write_json(tmp_path / "f.json", value)
    assert read_json(tmp_path / "f.json") == {"i": 3, "f": 0.5, "a": [0, 1], "p": "x/y", "ü": None, "list": [1, True]}


@pytest.mark.parametrize("value", [{"x": float("nan")}, [float("inf")], {"x": object()}])
def test_json_refuses_what_it_cannot_say(tmp_path: Path, value: object) -> None:
    with pytest.raises(ArtifactError, match=r"f\.json: the value cannot be written as JSON"):
        write_json(tmp_path / "f.json", value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        (b"", "is not JSON: Expecting value (line 1, column 1)"),
        (b'{"a": 1,\n "b"', "is not JSON: Expecting ':' delimiter (line 2, column 5)"),
        (b'"\xff"', "is not UTF-8 text (byte 1)"),
    ],
)
def test_read_json_names_file_and_place(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "f.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ArtifactError) as caught:
        read_json(path)
    assert caught.value.message == f"{path} {message}"


def test_sha256_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc" * 1_000_000)
    assert sha256_file(tmp_path / "f") == hashlib.sha256(b"abc" * 1_000_000).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_text(tmp_path / "a.txt", "first")
    write_text(tmp_path / "sub" / "b.txt", "second")
    write_manifest(tmp_path, ["sub/b.txt", "a.txt"], step=7)
    return tmp_path


def test_manifest_says_what_is_there(folder: Path) -> None:
    manifest = verify_manifest(folder)
    assert manifest == {
        "files": {
            "a.txt": {"sha256": hashlib.sha256(b"first").hexdigest(), "size_bytes": 5},
            "sub/b.txt": {"sha256": hashlib.sha256(b"second").hexdigest(), "size_bytes": 6},
        },
        "step": 7,
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "sub/b.txt").unlink(), r"sub/b\.txt is missing \(listed in .*manifest\.json\)"),
        (lambda f: (f / "a.txt").write_text("firs"), r"a\.txt has 4 bytes, not 5"),
        (lambda f: (f / "a.txt").write_text("fIrst"), r"a\.txt has SHA-256 \w{16}…, not \w{16}…"),
        (lambda f: [(f / n).write_text("") for n in ("a.txt", "sub/b.txt")], r"a\.txt has 0 bytes, not 5"),
        (lambda f: (f / MANIFEST_NAME).unlink(), r"manifest\.json does not exist"),
        (lambda f: (f / MANIFEST_NAME).write_text("{"), r"manifest\.json is not JSON"),
    ],
)
def test_verify_names_the_first_bad_file(folder: Path, change, message: str) -> None:
    change(folder)
    with pytest.raises(ArtifactError, match=message):
        verify_manifest(folder)


BAD_NAMES = ["/etc/passwd", "../a.txt", "sub/../../a", "", ".", "./a.txt", "a//b", "a/", "a\\b", "a\0b", MANIFEST_NAME]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_paths_that_lead_elsewhere_are_refused(folder: Path, name: str) -> None:
    with pytest.raises(ArtifactError):
        write_manifest(folder, [name])
    entry = {"sha256": "0" * 64, "size_bytes": 0}
    (folder / MANIFEST_NAME).write_text(json.dumps({"files": {name: entry}}))
    with pytest.raises(ArtifactError, match=r"manifest\.json: "):
        verify_manifest(folder)


@pytest.mark.parametrize(
    "manifest",
    [
        [],
        {},
        {"files": ["a.txt"]},
        {"files": {"a.txt": "0" * 64}},
        {"files": {"a.txt": {"sha256": "0" * 63, "size_bytes": 5}}},
        {"files": {"a.txt": {"sha256": "G" * 64, "size_bytes": 5}}},
        {"files": {"a.txt": {"sha256": "0" * 64, "size_bytes": -1}}},
        {"files": {"a.txt": {"sha256": "0" * 64, "size_bytes": True}}},
        {"files": {"a.txt": {"size_bytes": 5}}},
    ],
)
def test_files_that_are_no_manifest(folder: Path, manifest: object) -> None:
    (folder / MANIFEST_NAME).write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match=r"manifest\.json(: the entry of 'a\.txt' has no| is not a manifest)"):
        read_manifest(folder / MANIFEST_NAME)


def test_manifest_of_a_missing_file(folder: Path) -> None:
    with pytest.raises(ArtifactError, match=r"none\.txt does not exist"):
        write_manifest(folder, ["none.txt"])


def test_a_folder_is_replaced_without_an_instant_in_which_there_is_none(tmp_path: Path) -> None:
    """Somebody who looks all the time while it is replaced many times always finds one, whole."""
    final = tmp_path / "bundle"
    with atomic_folder(final) as folder:
        (folder / "a").write_text("0")
    stop, seen = threading.Event(), []

    def look() -> None:
        while not stop.is_set():
            seen.append(final.exists())

    watcher = threading.Thread(target=look)
    watcher.start()
    for number in range(50):
        with atomic_folder(final, replace=True) as folder:
            (folder / "a").write_text(str(number))
    stop.set()
    watcher.join()
    assert seen and all(seen)
    assert (final / "a").read_text() == "49"
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
