"""The examples of docs/tools.md and docs/exegesis.md, run in order as they stand there, in a folder of their own."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
EXAMPLE = re.compile(r"^\| `([a-z_-]+)` \|.*\| `([^`]+)` \|$", re.MULTILINE)
# The programs of ours that are tools; the steps of the workflows are in the README.
TOOL = re.compile(r"gematria_ops[. ]([a-z_-]+)")


def run(command, folder):
    # What the documents call .ops/demo is the test's own folder, and this Python is the one of .venv.
    command = command.replace(".ops/demo", str(folder)).replace(".venv/bin/python", shlex.quote(sys.executable))
    shell = ["bash", "-euo", "pipefail", "-c", command]
    done = subprocess.run(shell, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def commands_of(name):
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    blocks = re.findall(r"^```shell\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]


def test_the_table_of_tools(tmp_path):
    examples = EXAMPLE.findall((ROOT / "docs" / "tools.md").read_text(encoding="utf-8"))
    assert len(examples) >= 9
    results = {}
    for tool, command in examples:
        assert TOOL.search(command)[1] == tool
        results[tool] = run(command, tmp_path)
    assert json.loads(results["merge-datasets"])["num_repeated_labels"] == 2000
    assert json.loads(results["check-dataset"]) == {"num_records": 2000, "num_errors": 0}
    assert len((tmp_path / "left.txt").read_text().splitlines()) == 2000


def test_from_blocks_to_measurements_and_back(tmp_path):
    (tmp_path / "blocks.txt").write_text("3b31\n4801d8c3\nc3\n3B31\n4801d8\n")
    for command in commands_of("exegesis.md"):
        if command.startswith("exegesis_benchmark"):  # the only step that needs another machine
            blocks = json.loads((tmp_path / "annotated" / "0.json").read_text())
            (tmp_path / "results.csv").write_text("".join(f"{block['Hex']},1.25\n" for block in blocks))
        else:
            output = run(command, tmp_path)
    assert json.loads(output) == {"num_records": 2, "num_errors": 0}
    assert (tmp_path / "assembly" / "1.test").exists()
