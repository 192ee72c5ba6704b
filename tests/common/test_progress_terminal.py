"""Progress on a real terminal (a pty) and in a pipe, through real commands of both libraries."""

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ops_common.processes import wait_until

ROOT = Path(__file__).parents[2]
CSV = ROOT / "tests/data/bhive/sample_hsw.csv"


def on_terminal(command: list[str]) -> str:
    """What a command shows on a terminal of 120 columns."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    shown = b""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        if select.select([ours], [], [], 0.2)[0]:
            try:
                shown += os.read(ours, 65536)
            except OSError:  # the last holder of the terminal has closed it
                break
    process.communicate()
    os.close(ours)
    wait_until(lambda: process.poll() is not None, 60, "the end of the command")
    assert process.returncode == 0, shown.decode(errors="replace")
    return shown.decode(errors="replace")


def commands(folder: Path) -> dict[str, list[str]]:
    code = folder / "code"
    if not code.exists():
        code.mkdir()
        for index in range(30):
            lines = [f"def work_{index}_{line}(value):\n    return value + {line}\n" for line in range(20)]
            (code / f"part_{index}.py").write_text("import os\n" + "\n".join(lines))
    blocks = ["import-bhive", f"--csv-files={CSV}", "--source-names=bhive: hsw", f"--dataset-dir={folder / 'blocks'}"]
    corpus = ["build-corpus", f"--corpus-dir={folder / 'corpus'}", f"--sources={code}"]
    return {"gematria_ops": blocks, "fastnode_ops": corpus}


@pytest.mark.slow
@pytest.mark.parametrize("library", ["gematria_ops", "fastnode_ops"])
def test_a_bar_on_a_terminal_and_lines_elsewhere(library: str, tmp_path: Path) -> None:
    (tmp_path / "bar").mkdir()
    (tmp_path / "lines").mkdir()
    shown = on_terminal([sys.executable, "-m", library, *commands(tmp_path / "bar")[library]])
    assert "\x1b[" in shown  # redrawn in place
    assert "/s" in shown  # a rate
    assert "━" in shown or "files" in shown or "blocks" in shown
    command = [sys.executable, "-m", library, *commands(tmp_path / "lines")[library]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    assert "\x1b[" not in done.stderr
