"""The command: it says where it listens, ends when it is told to, and says what is wrong with its arguments."""

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.fastnode.viewer.small_collections import write_small

ROOT = Path(__file__).parents[3]
PROGRAM = [sys.executable, "-m", "tests.fastnode.viewer.viewer_program"]


def refused(*arguments: str) -> tuple[int, str]:
    done = subprocess.run([*PROGRAM, *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


@pytest.fixture
def collection(tmp_path: Path) -> Iterator[Path]:
    yield write_small(tmp_path / "examples")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_told_to_end(collection: Path, number: signal.Signals) -> None:
    command = [*PROGRAM, str(collection), "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            found = re.search(r"http://127\.0\.0\.1:\d+/", process.stderr.readline())
            assert found is not None
            assert "9 examples" in httpx.get(found[0], timeout=60).text
            assert "started without a model" in httpx.get(found[0] + "live", timeout=60).text
            process.send_signal(number)
            process.wait(60)
        finally:
            process.kill()


@pytest.mark.slow
def test_wrong_arguments_get_a_message(tmp_path: Path, collection: Path) -> None:
    status, text = refused(str(tmp_path / "absent"))
    assert (status, "does not exist" in text) == (4, True)
    (tmp_path / "empty").mkdir()
    status, text = refused(str(tmp_path / "empty"))
    assert (status, "holds no example" in text) == (4, True)
    status, text = refused(str(collection), "--model-dir", "x")
    assert (status, "go together" in text) == (2, True)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        status, text = refused(str(collection), "--port", str(taken.getsockname()[1]))
    assert (status, "cannot be listened on" in text) == (2, True)
