"""`process_and_filter_bbs` as a command: flags, lines, messages and exit codes."""

import subprocess
import sys
from pathlib import Path

import pytest

# Each test starts a process or several.
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def run(*arguments):
    command = [sys.executable, "-m", "gematria_ops.process_and_filter_bbs", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert "Traceback" not in done.stderr
    assert done.stdout == "" or "--help" in arguments
    return done.returncode, done.stderr + done.stdout


@pytest.fixture
def files(tmp_path):
    blocks = tmp_path / "blocks.txt"
    blocks.write_bytes(b"b801000000c3\r\n488B03\nc3\n\n90")
    return blocks, tmp_path / "out" / "left.txt"


def test_each_line_gives_a_line(files):
    blocks, output = files
    status, text = run(f"--input-file={blocks}", f"--output-file={output}")
    assert (status, text) == (0, f"5 blocks written to {output}, 2 of them empty\n")
    assert output.read_text() == "B801000000\n488B03\n\n\n90\n"


def test_memory_flag_progress_and_one_dash(files):
    blocks, output = files
    arguments = ("-input-file", blocks, "-output-file", output, "-report-progress-every=2")
    status, text = run(*arguments, "-filter-memory-accessing-blocks")
    assert (status, output.read_text()) == (0, "B801000000\n\n\n\n90\n")
    assert text.splitlines()[:2] == ["2 blocks processed", "4 blocks processed"]
    assert run(*arguments, "--filter-memory-accessing-blocks=false")[0] == 0
    assert "488B03" in output.read_text()


WRONG = {
    "no flags": ((), 2, "the following arguments are required: --input-file/-input-file"),
    "no input": (("--input-file=missing.txt",), 4, "missing.txt does not exist"),
    "boolean": (("--filter-memory-accessing-blocks=maybe",), 2, "'maybe' is neither true nor false"),
    "progress": (("--report-progress-every=0",), 2, "'0' is not a positive number"),
    "positional": (("extra",), 2, "unrecognized arguments: extra"),
    "folder": (("--output-file=/",), 4, "/ is a folder"),
}


@pytest.mark.parametrize("arguments, status, message", WRONG.values(), ids=WRONG.keys())
def test_wrong_commands(files, arguments, status, message):
    blocks, output = files
    before = () if not arguments else (f"--input-file={blocks}", f"--output-file={output}")
    found_status, text = run(*before, *arguments)
    assert (found_status, message in text) == (status, True), text
    assert not output.exists()


def test_a_bad_line_ends_the_run_and_leaves_nothing(files):
    blocks, output = files
    blocks.write_text("90\nb80\n")
    status, text = run(f"--input-file={blocks}", f"--output-file={output}")
    assert (status, f"{blocks}, line 2: 'b80' is not a block in hexadecimal digits" in text) == (4, True)
    assert list(output.parent.iterdir()) == []
