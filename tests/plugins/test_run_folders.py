"""Run ids as folder names."""

import pytest
from ops_platform.run_folders import run_dir, safe_name


@pytest.mark.parametrize("name", ["make-run-20260101T000000", "a", "A.b_c-9"])
def test_a_harmless_name_stays_as_it_is(name: str) -> None:
    assert safe_name(name) == name


@pytest.mark.parametrize(
    ("run_id", "beginning"),
    [
        ("manual__2026-11-22T15:36:15.007571+00:00", "manual__2026-11-22T15_36_15.007571_00_00-"),
        ("../../etc/passwd", "_.._etc_passwd-"),
        ("..", "-"),
        ("", "-"),
        ("a b\n$(x)", "a_b___x_-"),
        ("über", "_ber-"),
        ("x" * 300, "x" * 111 + "-"),
    ],
)
def test_any_other_name_is_changed_and_marked(run_id: str, beginning: str) -> None:
    name = safe_name(run_id)
    assert name.startswith(beginning)
    assert len(name) <= 120
    assert "/" not in name and name not in ("", ".", "..")


def test_different_runs_have_different_folders(tmp_path) -> None:  # type: ignore[no-untyped-def]
    folders = {run_dir(tmp_path, "dag", run_id) for run_id in ("a:b", "a_b", "a+b", "a b")}
    assert len(folders) == 4
