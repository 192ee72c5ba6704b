"""Every block of commands says which test runs it; the site builds, and is whole by itself."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents import (
    GROUPS,
    HAVE_OWN_TESTS,
    TESTED_OTHERWISE,
    Block,
    blocks_in,
    blocks_of,
    blocks_of_group,
    pages,
)

ROOT = Path(__file__).parents[2]
OUTSIDE = re.compile(
    r"<(?:script|img|source|iframe)[^>]*\ssrc=[\"']?(?:https?:)?//|<link[^>]*\shref=[\"']?(?:https?:)?//"
)


def all_blocks() -> list[Block]:
    return [block for path in pages() for block in blocks_of(path)]


def test_every_block_is_run_or_says_why_not() -> None:
    silent = [f"{block.page}, line {block.line}" for block in all_blocks() if block.is_run is None]
    silent = [where for where in silent if where.partition(",")[0] not in {*HAVE_OWN_TESTS, *TESTED_OTHERWISE}]
    assert silent == [], "put <!-- run: GROUP --> or <!-- not run: REASON --> before the block"
    assert [block for block in all_blocks() if block.is_run is False and len(block.group) < 10] == []
    assert {block.group for block in all_blocks() if block.is_run} <= set(GROUPS)


@pytest.mark.parametrize("group", GROUPS)
def test_every_group_has_something_to_run(group: str) -> None:
    assert blocks_of_group(group)


def test_pages_with_a_test_of_their_own() -> None:
    for page, test in HAVE_OWN_TESTS.items():
        name = Path(page).name
        assert name in (ROOT / test).read_text(encoding="utf-8")


def test_the_form_of_blocks() -> None:
    text = (
        "<!-- run: readme -->\n```shell\na\n```\n\n```shell\nb\n```\n<!-- not run: no host here -->\n```bash\nc\n```\n"
    )
    found = [(block.line, block.is_run, block.group, block.text) for block in blocks_in("page.md", text)]
    assert found == [(1, True, "readme", "a\n"), (6, None, "", "b\n"), (9, False, "no host here", "c\n")]


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_without_outside_assets(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stdout + done.stderr
    made = sorted((tmp_path / "site").rglob("*.html"))
    assert len(made) >= len(pages()) - 1
    assert [path.name for path in made if OUTSIDE.search(path.read_text(encoding="utf-8"))] == []
    sheets = (tmp_path / "site").rglob("*.css")
    assert [path.name for path in sheets if re.search(r"url\([\"']?(?:https?:)?//", path.read_text())] == []
    decisions = (tmp_path / "site/decisions/index.html").read_text(encoding="utf-8")
    assert "0005-steps-are-pure-functions.html" in decisions
