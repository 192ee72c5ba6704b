"""The plan of a roll back, and a person's answer in release.json."""

import datetime as dt
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytestmark = pytest.mark.airflow

from ops_platform import settings  # noqa: E402
from ops_platform.approval import ReleaseApproval  # noqa: E402
from ops_platform.roll_back import plan_roll_back  # noqa: E402

from ops_common.errors import ConfigError, DataError  # noqa: E402
from ops_common.release_record import ReleaseRecord, read_release, write_release  # noqa: E402


def plan(tmp_path: Path, **values: Any) -> dict[str, Any]:
    config = settings.load({"OPS_PROJECT_ROOT": str(tmp_path)})
    return plan_roll_back(values, config, tmp_path / "runs/back-1", "ann")


def test_the_defaults_go_back_by_one_throughput_model(tmp_path: Path) -> None:
    assert plan(tmp_path) == {
        "family": "gematria",
        "to": "previous",
        "why": "",
        "require_approval": False,
        "approval_hours": 12.0,
        "run_dir": str(tmp_path / "runs/back-1"),
        "destination": "s3://models/gematria",
        "by": "ann",
        "request": "back-1",
        "checkout_dir": "",
        "runs_dirs": [str(tmp_path / ".ops/runs/gematria_train")],
        "is_gematria": True,
        "is_pythonexpr": False,
        "is_pinned": False,
    }


def test_a_completion_model_is_pinned_as_well(tmp_path: Path) -> None:
    (tmp_path / "product").mkdir()
    found = plan(tmp_path, family="pythonexpr", checkout="product", destination="/srv/models", why="wrong names")
    assert (found["destination"], found["checkout_dir"]) == ("/srv/models", str(tmp_path / "product"))
    assert (found["is_gematria"], found["is_pythonexpr"], found["is_pinned"]) == (False, True, True)
    assert [Path(name).name for name in found["runs_dirs"]] == [
        "pythonexpr_standalone",
        "pythonexpr_continue",
        "pythonexpr_distributed",
    ]
    assert plan(tmp_path, family="pythonexpr", checkout="product", pin=False)["checkout_dir"] == ""
    with pytest.raises(DataError, match="gone is not a folder"):
        plan(tmp_path, family="pythonexpr", checkout="gone")
    with pytest.raises(ConfigError, match="familie"):
        plan(tmp_path, familie="gematria")


def approval(run_dir: Path) -> ReleaseApproval:
    return ReleaseApproval(task_id="approve_release", subject="?", is_required=True, hours="0.5", run_dir=str(run_dir))


def answer(run_dir: Path, chosen: str, user: Any) -> ReleaseRecord:
    """What the run says after the operator got an answer; nothing follows it, so nothing is skipped."""
    now = dt.datetime.now(dt.UTC)
    event = {"chosen_options": [chosen], "params_input": {}, "responded_at": now, "responded_by_user": user}
    approval(run_dir).execute_complete({}, event)  # type: ignore[typeddict-item]
    record = read_release(run_dir)
    assert record is not None
    return record


@pytest.fixture
def passed(tmp_path: Path) -> Path:
    write_release(
        tmp_path, ReleaseRecord(family="gematria", run="r", decision="passed", at="2026-01-01T00:00:00+00:00")
    )
    return tmp_path


def test_an_approval_is_kept_with_the_name(passed: Path) -> None:
    record = answer(passed, "Approve", {"id": "1", "name": "ann"})
    assert record.approval is not None
    assert (record.decision, record.approval.answer, record.approval.by) == ("passed", "Approve", "ann")


@pytest.mark.parametrize(
    ("user", "by", "reason"),
    [
        (SimpleNamespace(id="1", name="ann"), "ann", "ann rejected it"),
        ({"id": "7"}, "7", "7 rejected it"),
        (None, "", "nobody approved it within 0.5 hours"),
    ],
)
def test_a_rejection_says_by_whom(passed: Path, user: Any, by: str, reason: str) -> None:
    record = answer(passed, "Reject", user)
    assert record.approval is not None
    assert (record.decision, record.reasons, record.approval.by) == ("not_approved", (reason,), by)


def test_without_a_record_there_is_nothing_to_say(tmp_path: Path) -> None:
    now = dt.datetime.now(dt.UTC)
    event = {"chosen_options": ["Approve"], "params_input": {}, "responded_at": now, "responded_by_user": None}
    approval(tmp_path).execute_complete({}, event)  # type: ignore[typeddict-item]
    assert read_release(tmp_path) is None
