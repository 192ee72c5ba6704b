"""What is to be deployed, which of it exists already, and how `make` hands on what a person wrote."""

import json
import os
import shlex
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from fastnode_ops.datagen.sharing import made_ranges, shares
from fastnode_ops.datagen.work import finished_names
from fastnode_ops.sample_files.names import SampleFileName
from ops_common.errors import ServiceError

ROOT = Path(__file__).parents[3]
FIRST, SECOND = SampleFileName(0, 4, 3), SampleFileName(4, 4, 3)


def test_what_nobody_has_is_dealt_to_the_living() -> None:
    assert shares(range(9), {0, 1}, {"a": {2}, "b": set()}) == {"a": [3, 5, 7], "b": [4, 6, 8]}
    assert shares(range(3), {0}, {"a": {1, 2}, "b": {2}}) == {"a": [], "b": []}
    assert shares(range(3), (), {}) == {}


def test_a_ledger_is_believed_but_for_torn_files_and_a_last_range_that_is_longer_now() -> None:
    ledger = {"ranges": [0, 1, 2], "data_steps": 10}
    assert made_ranges(ledger, (), 10, 4) == {0, 1, 2}
    assert made_ranges(ledger, (), 20, 4) == {0, 1}
    assert made_ranges(ledger, ["000000004-4-3.samples"], 10, 4) == {0, 2}
    assert made_ranges({}, (), 10, 4) == set()


class _Syncer(BaseHTTPRequestHandler):
    answer = b""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/verified" else 404)
        self.end_headers()
        self.wfile.write(self.answer)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def syncer() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Syncer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_what_is_here_or_was_used_need_not_be_made(tmp_path: Path, syncer: str) -> None:
    for name in (FIRST.file_name, FIRST.index_name, SECOND.file_name):  # the second one is not whole
        (tmp_path / name).touch()
    _Syncer.answer = json.dumps([SECOND.file_name]).encode()
    assert finished_names(None, "") == set()
    assert finished_names(tmp_path, "") == {FIRST}
    assert finished_names(tmp_path, syncer + "/") == {FIRST, SECOND}


@pytest.mark.parametrize("answer", [b"", b"{}x", b'["nonsense"]', b"[1]", b"7", b"null"])
def test_a_syncer_that_says_something_else(syncer: str, answer: bytes) -> None:
    _Syncer.answer = answer
    with pytest.raises(ServiceError, match="does not say what it has"):
        finished_names(None, syncer)


def test_a_syncer_that_does_not_answer() -> None:
    with pytest.raises(ServiceError, match="SYNCER"):
        finished_names(None, "http://127.0.0.1:9")


def test_make_hands_on_what_was_given_and_runs_none_of_it(tmp_path: Path) -> None:
    marks = tmp_path / "make", tmp_path / "shell"
    given = f'$(shell touch {marks[0]}) it\'s "x" $HOME `touch {marks[1]}`'
    said = subprocess.run(
        ["make", "-n", "datagen_stop", f"REMOTE_DIR={given}"],
        cwd=ROOT,
        env={**os.environ, "TRAINDATA_HOSTS": given},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    words = shlex.split(next(line for line in said.splitlines() if "stop-datagen" in line))
    assert f"--hosts={given}" in words
    assert f"--remote-dir={given}" in words
    assert not [mark for mark in marks if mark.exists()]
