"""The commands of the tutorials and guides, run as they stand: the newcomer's two paths, and those for a platform.

What the README's checkout leaves behind is used by tests/e2e/test_readme.py for the group `readme`.
"""

import os
import time
from pathlib import Path

import pytest

from tests.documents import ROOT, blocks_of_group, checkout_like, run_block
from tests.e2e.embedded_platform import Platform, environment_of

pytestmark = [pytest.mark.slow]


def run_group(group: str, tmp_path: Path) -> Path:
    """Runs a group in a folder like a fresh checkout; says how long it took."""
    folder = checkout_like(tmp_path / "checkout")
    environment = environment_of(folder / ".ops")
    environment["PYTHONPATH"] = f"{folder}:{folder / 'plugins'}"
    environment["SERVER"] = "http://localhost:1"  # not a server that somebody else has on this machine
    started = time.monotonic()
    for block in blocks_of_group(group):
        run_block(block, folder, environment)
    print(f"{group}: {time.monotonic() - started:.0f} s")
    return folder


@pytest.mark.tf
def test_from_own_blocks_to_a_model(tmp_path: Path) -> None:
    folder = run_group("own_blocks", tmp_path)
    assert (folder / ".ops/mine/run/reports/evaluation.html").stat().st_size > 10_000
    assert (folder / ".ops/mine/run/bundle/manifest.json").exists()


@pytest.mark.tf
@pytest.mark.timeout(900)
def test_from_own_code_to_a_model(tmp_path: Path) -> None:
    folder = run_group("own_code", tmp_path)
    assert (folder / "out/serve/expr_model.frozen.pb").stat().st_size > 0
    assert (folder / "out/reports/attributes.html").stat().st_size > 0


@pytest.mark.airflow
def test_commands_for_a_platform(platform: Platform) -> None:
    home = platform.layout.home
    shown = [
        run_block(block, ROOT, {**os.environ, **platform.environment}, {".ops/bin/": f"{home}/bin/"})
        for block in blocks_of_group("platform")
    ]
    printed = "\n".join(shown)
    assert "fail  " not in printed
    assert "healthy" in printed
    assert "gematria_train" in printed
    assert "default_pool" in printed
