"""The commands of the documentation: each block of a shell says which test runs it, or why none does.

<!-- run: GROUP -->          the blocks of one group run in order, those of a page in the order of the page
<!-- not run: REASON -->     it needs what a test has not
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
GROUPS = ("readme", "own_blocks", "own_code", "platform")
# Pages with a test of their own, which runs everything that stands in them.
HAVE_OWN_TESTS = {
    "README.md": "tests/e2e/test_readme.py",
    "docs/reproduction.md": "tests/gematria/test_reproduction.py",
    "docs/exegesis.md": "tests/gematria/test_documented_tools.py",
    "docs/tools.md": "tests/gematria/test_documented_tools.py",
}
# Pages whose commands other tests run with values of their own: a block need not say so.
TESTED_OTHERWISE = {f"docs/{name}.md" for name in ("nights", "pages", "releases", "repeat", "sweeps")}

_BLOCK = re.compile(r"(?:^<!-- (not run|run): ([^\n]*?) -->\n)?^```(?:shell|bash|sh|console)\n(.*?)^```", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """One block of commands."""

    page: str
    line: int
    is_run: bool | None
    """None: the page does not say."""
    group: str
    """The group, or the reason why it is not run."""
    text: str


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks_of(path: Path) -> list[Block]:
    return blocks_in(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8"))


def blocks_in(page: str, text: str) -> list[Block]:
    found = []
    for match in _BLOCK.finditer(text):
        is_run = None if match[1] is None else match[1] == "run"
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(page, line, is_run, match[2] or "", match[3]))
    return found


def blocks_of_group(group: str) -> list[Block]:
    return [block for path in pages() for block in blocks_of(path) if block.is_run and block.group == group]


def run_block(block: Block, folder: Path, environment: Mapping[str, str], replaced: Mapping[str, str] = {}) -> str:
    """Runs a block as it stands, in a shell that ends with the first command that fails; returns what it printed."""
    text = block.text
    for name, other in replaced.items():
        text = text.replace(name, other)
    shell = ["bash", "-euo", "pipefail", "-c", text]
    done = subprocess.run(shell, cwd=folder, env=dict(environment), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{block.page}, line {block.line}:\n{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def checkout_like(folder: Path) -> Path:
    """A folder that looks like the checkout, whose state is its own."""
    made_here = {".git", ".ops", "out", "tmp", "bin", "tensorboard", "corpus", "data", "run-db", "site"}
    folder.mkdir()
    for entry in ROOT.iterdir():
        if entry.name not in made_here:
            (folder / entry.name).symlink_to(entry)
    return folder
