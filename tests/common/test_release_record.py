"""release.json: written whole, read back, changed without losing what the gate found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ops_common.errors import ArtifactError
from ops_common.release_record import (
    RELEASE_NAME,
    Approval,
    FigureInterval,
    ReleaseRecord,
    decide_release,
    interval_figures,
    read_release,
    write_release,
)

RECORD = ReleaseRecord(
    family="gematria",
    run="manual__2026-01-02",
    decision="passed",
    compared_with="s3://models/gematria/first",
    figures={"mape_percent_hsw": 9.4},
    intervals=(
        FigureInterval(figure="mape_points_hsw", difference=-0.5, low=-0.9, high=-0.1, confidence=0.95),
        FigureInterval(figure="mape_points_skl", difference=0.0, low=None, high=None, confidence=0.95),
    ),
    thresholds={"max_mape_percent": 25.0},
    at="2026-01-02T03:04:05+00:00",
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert read_release(tmp_path) is None
    write_release(tmp_path, RECORD)
    assert read_release(tmp_path) == RECORD
    values = json.loads((tmp_path / RELEASE_NAME).read_text())
    assert values["decision"] == "passed"
    assert values["reasons"] == []
    assert values["model_uri"] == ""
    interval = {"figure": "mape_points_hsw", "difference": -0.5, "low": -0.9, "high": -0.1, "confidence": 0.95}
    assert values["intervals"][0] == interval


def test_a_decision_keeps_what_the_gate_found(tmp_path: Path) -> None:
    write_release(tmp_path, RECORD)
    answer = Approval(answer="Reject", by="ann", at="2026-01-02T04:00:00+00:00")
    changed = decide_release(tmp_path, "not_approved", reasons=["ann rejected it"], approval=answer)
    assert read_release(tmp_path) == changed
    assert changed.decision == "not_approved"
    assert changed.reasons == ("ann rejected it",)
    kept = {"decision": RECORD.decision, "reasons": (), "approval": None, "at": RECORD.at}
    assert changed.model_copy(update=kept) == RECORD
    again = decide_release(tmp_path, "not_approved", reasons=["ann rejected it"], at=RECORD.at)
    assert again.reasons == ("ann rejected it",)  # a task that is tried again does not say it twice
    assert again.approval == answer


def test_a_key_of_a_later_version_does_not_matter(tmp_path: Path) -> None:
    write_release(tmp_path, RECORD)
    path = tmp_path / RELEASE_NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | {"of_tomorrow": 1}))
    assert read_release(tmp_path) == RECORD


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ('{"family": "gematria"}', "run: Field required"),
        (RECORD.model_dump_json().replace('"passed"', '"perhaps"'), "decision"),
        (RECORD.model_dump_json().replace("-0.9", '"low"'), "intervals.0.low"),
    ],
)
def test_a_damaged_record_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / RELEASE_NAME).write_text(text)
    with pytest.raises(ArtifactError, match=message):
        read_release(tmp_path)


def test_figures_of_the_intervals() -> None:
    assert interval_figures(RECORD) == {
        "mape_points_hsw": -0.5,
        "mape_points_hsw_low": -0.9,
        "mape_points_hsw_high": -0.1,
        "mape_points_skl": 0.0,
    }


def test_nothing_is_decided_about_a_model_that_was_never_checked(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="never checked"):
        decide_release(tmp_path, "released")
