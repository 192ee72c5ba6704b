"""Messages about runs: what they say of what a run left, and that nothing makes them long."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ops_platform import notices
from ops_platform.notices import failure_notice, late_notice, read_notices, save_failure, save_notice, success_notice

from ops_common.release_record import Decision, ReleaseRecord, write_release

WHERE: tuple[str, str] = ("gematria_train", "night-3")
URL = "http://airflow/dags/gematria_train/runs/night-3"


def release(folder: Path, decision: Decision, *reasons: str, model_uri: str = "") -> None:
    folder.mkdir(exist_ok=True)
    record = ReleaseRecord(
        family="gematria", run="night-3", decision=decision, reasons=reasons, model_uri=model_uri, at="2026-01-01"
    )
    write_release(folder, record)


def test_a_failed_run_says_which_task_and_what_it_said(tmp_path: Path) -> None:
    save_failure(tmp_path, "train_model", 4, "S3 at http://x: no answer")
    save_failure(tmp_path, "deploy_to_host.3", 2, "host-c is gone")
    notice = failure_notice(*WHERE, tmp_path, URL, "task_failure")
    assert (notice.kind, notice.url, notice.run_dir) == ("failed", URL, str(tmp_path))
    assert sorted(notice.reasons) == [
        "deploy_to_host.3 (try 2): host-c is gone",
        "train_model (try 4): S3 at http://x: no answer",
    ]
    for part in ("gematria_train: failed in", "train_model", "no answer", URL, str(tmp_path)):
        assert part in notice.text


def test_an_attempt_that_goes_on_is_no_failure(tmp_path: Path) -> None:
    save_failure(tmp_path, "train_model", 1, "killed")
    notices.forget_failure(tmp_path, "train_model")
    notices.forget_failure(tmp_path, "train_model")
    assert failure_notice(*WHERE, tmp_path, URL, "task_failure").reasons == ("task_failure",)


def test_a_refused_candidate_is_not_a_fault_and_has_every_reason(tmp_path: Path) -> None:
    release(tmp_path, "refused", "hsw: 12.5 % is above 9 %", "skl is worse than the released model")
    save_failure(tmp_path, "check_release", 1, "check_release ended with status 6")
    notice = failure_notice(*WHERE, tmp_path, URL)
    assert notice.kind == "refused"
    assert notice.reasons == ("hsw: 12.5 % is above 9 %", "skl is worse than the released model")


def test_a_refusal_of_an_earlier_attempt_does_not_hide_a_fault(tmp_path: Path) -> None:
    release(tmp_path, "refused", "too bad")
    save_failure(tmp_path, "train_model", 1, "no room")
    assert failure_notice(*WHERE, tmp_path, URL).kind == "failed"


@pytest.mark.parametrize(
    ("decision", "last", "kind"),
    [
        ("released", "", None),
        ("released", "refused", None),
        ("released", "late", None),
        ("released", "recovered", None),
        ("released", "failed", "recovered"),
        ("not_approved", "", "not_approved"),
        ("not_approved", "failed", "not_approved"),
    ],
)
def test_a_run_that_went_well_is_worth_a_message_after_a_failure_only(
    tmp_path: Path, decision: Decision, last: str, kind: str | None
) -> None:
    release(tmp_path, decision, model_uri="s3://models/x" if decision == "released" else "")
    notice = success_notice(*WHERE, tmp_path, URL, last)
    assert (notice and notice.kind) == kind
    if kind == "recovered":
        assert notice is not None and notice.reasons == ("released s3://models/x",)


def test_a_workflow_without_models_recovers_as_well(tmp_path: Path) -> None:
    notice = success_notice("gematria_import", "x", tmp_path, URL, "failed")
    assert notice is not None and (notice.kind, notice.reasons) == ("recovered", ())


def test_a_damaged_record_is_no_reason_to_say_nothing(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results/train_model.failure.json").write_text("{")
    (tmp_path / "release.json").write_text("[]")
    notice = failure_notice(*WHERE, tmp_path, URL, "task_failure")
    assert (notice.kind, notice.reasons) == ("failed", ("task_failure",))


def test_messages_are_bounded(tmp_path: Path) -> None:
    for number in range(50):
        save_failure(tmp_path, f"task{number:02}", 1, "x" * 100_000)
    notice = failure_notice(*WHERE, tmp_path, URL)
    assert len(notice.reasons) == 7 and notice.reasons[-1] == "and 44 more"  # six of 2,000 characters
    assert all(len(reason) <= notices.MAX_TEXT_LENGTH for reason in notice.reasons)
    assert sum(map(len, notice.reasons[:-1])) <= notices.MAX_TOTAL_LENGTH
    release(tmp_path, "not_approved", *(f"{number} {'y' * 10_000}" for number in range(50)))
    refused = success_notice(*WHERE, tmp_path, URL, "")
    assert refused is not None and max(map(len, refused.reasons)) == notices.MAX_REASON_LENGTH
    assert len(refused.reasons) == notices.MAX_REASONS + 1 and refused.reasons[-1] == "and 30 more"


def test_a_long_text_keeps_its_beginning_and_its_end(tmp_path: Path) -> None:
    save_failure(tmp_path, "train_model", 1, f"train_model ended with status 5: {'x' * 9_000} error: no answer")
    (reason,) = failure_notice(*WHERE, tmp_path, URL).reasons
    assert "ended with status 5" in reason and reason.endswith("error: no answer")


def test_the_history_keeps_every_message_and_survives_a_torn_line(tmp_path: Path) -> None:
    assert (read_notices(tmp_path / "none"), notices.last_kind(tmp_path, "gematria_train")) == ([], "")
    save_notice(tmp_path, late_notice(*WHERE, tmp_path, URL, 1.5), {"ops_webhook": "answered 204"})
    with (tmp_path / notices.HISTORY_NAME).open("a") as file:
        file.write('{"kind": "fai\n["x"]\n')
    save_notice(tmp_path, failure_notice("other", "run", tmp_path, URL), {})
    said: list[dict[str, Any]] = read_notices(tmp_path)
    assert [(one["kind"], one["dag_id"]) for one in said] == [("late", "gematria_train"), ("failed", "other")]
    assert said[0]["sent"] == {"ops_webhook": "answered 204"}
    assert "has not ended 1.5 h after it was queued" in said[0]["title"]
    assert notices.last_kind(tmp_path, "gematria_train") == "late"
    assert len((tmp_path / notices.HISTORY_NAME).read_text().splitlines()) == 4
    json.dumps(said)
