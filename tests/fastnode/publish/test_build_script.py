"""A product's own script: run, streamed, bounded, and its statuses understood."""

from __future__ import annotations

import logging
from pathlib import Path

import psutil
import pytest

from fastnode_ops.publish.build_script import find_build_script, run_build_script
from ops_common.errors import ServiceError


def script(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "product/scripts/build_datadeps.sh"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    found = find_build_script(tmp_path / "product")
    assert found == path
    return path


@pytest.mark.parametrize(
    ("text", "is_changed"),
    [
        ("echo packed", True),
        ("echo unchanged", False),
        ("echo 'Same hash, nothing to do'; exit 1", False),
        ("true", True),
    ],
)
def test_what_the_script_says(tmp_path: Path, text: str, is_changed: bool) -> None:
    assert run_build_script(script(tmp_path, text), max_seconds=30) is is_changed


def test_it_runs_in_the_checkout_and_its_output_is_ours(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    run_build_script(script(tmp_path, "pwd; echo made > result; echo problem >&2"), max_seconds=30)
    assert (tmp_path / "product/result").read_text() == "made\n"
    assert caplog.messages == [str(tmp_path / "product"), "problem"]


def test_a_script_that_fails_is_told_with_its_last_lines(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match=r"build_datadeps\.sh ended with status 1") as caught:
        run_build_script(script(tmp_path, "for i in $(seq 20); do echo line $i; done; exit 1"), max_seconds=30)
    assert caught.value.hint.endswith("line 19\nline 20")
    assert "line 8" not in caught.value.hint.splitlines()


def test_a_script_that_does_not_end_is_ended_with_all_it_started(tmp_path: Path) -> None:
    path = script(tmp_path, "sleep 1000 & echo $! > child; wait")
    with pytest.raises(ServiceError, match=r"has not ended after 0\.05 minutes"):
        run_build_script(path, max_seconds=3)
    child = int((tmp_path / "product/child").read_text())
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def test_what_a_finished_script_left_behind_is_ended(tmp_path: Path) -> None:
    run_build_script(script(tmp_path, "sleep 1000 & echo $! > child"), max_seconds=30)
    child = int((tmp_path / "product/child").read_text())
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def test_a_product_without_a_script(tmp_path: Path) -> None:
    assert find_build_script(tmp_path) is None
