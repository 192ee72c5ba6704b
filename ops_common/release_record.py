"""`release.json` of a run folder: what became of the run's model, and why.

The gate writes it for every candidate, passed or refused; what follows (a person's answer, the release itself, a roll
back) changes its decision and keeps what the gate found. Both model families write the same form, and whoever shows,
notifies or cleans up reads it.

    write_release   the record of a candidate, in one step
    read_release    the record, or None for a run whose model has not come to the gate
    decide_release  another decision in the record that is there
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ops_common.artifacts import read_json, write_json
from ops_common.errors import ArtifactError

RELEASE_NAME = "release.json"

Family = Literal["gematria", "pythonexpr"]
Decision = Literal["passed", "refused", "not_approved", "released", "rolled_back"]


class _Record(BaseModel):
    # A key that a later version has added does not keep this one from reading.
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class FigureInterval(_Record):
    """How much a figure of the candidate differs from that of the released model, on the same held-out data."""

    figure: str = Field(description="name of the figure; its unit is part of it")
    difference: float = Field(description="candidate minus released")
    low: float | None = Field(description="lower end of the paired bootstrap interval; None: too little data")
    high: float | None = Field(description="upper end")
    confidence: float = Field(description="share of the resampled differences that the interval holds, 0 to 1")


class Approval(_Record):
    """A person's answer."""

    answer: str = Field(description="what was chosen")
    by: str = Field(default="", description="who; empty: nobody answered in time")
    at: str = Field(description="UTC, ISO 8601")


class ReleaseRecord(_Record):
    """What became of one candidate."""

    family: Family
    run: str = Field(description="name of the run folder")
    decision: Decision
    reasons: tuple[str, ...] = Field(
        default=(), description="why it was refused, not approved or rolled back, a sentence each"
    )
    notes: tuple[str, ...] = Field(default=(), description="what else a reader should know, a sentence each")
    compared_with: str = Field(
        default="", description="URI of the released model; empty: there was none to compare with"
    )
    released_then: str | None = Field(
        default=None, description="URI that was released when the gate looked; None: it did not"
    )
    figures: dict[str, float] = Field(default_factory=dict, description="of the candidate, by name")
    intervals: tuple[FigureInterval, ...] = Field(default=(), description="differences from the released model")
    thresholds: dict[str, float] = Field(default_factory=dict, description="what was allowed; truth values as 0 and 1")
    approval: Approval | None = Field(default=None, description="a person's answer, when one was asked")
    model_uri: str = Field(default="", description="where the model was published; empty: it was not")
    at: str = Field(description="when the decision was made: UTC, ISO 8601")


def write_release(run_dir: Path, record: ReleaseRecord) -> Path:
    """Writes the record of a run in one step, over an older one.

    Args:
        run_dir: The run's folder.
        record: What became of its model.
    """
    path = Path(run_dir) / RELEASE_NAME
    write_json(path, record.model_dump(mode="json"))
    return path


def read_release(run_dir: Path) -> ReleaseRecord | None:
    """Reads the record of a run; None when there is none.

    Raises:
        ArtifactError: The file is damaged; names the first wrong entry.
    """
    path = Path(run_dir) / RELEASE_NAME
    if not path.is_file():
        return None
    try:
        return ReleaseRecord.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ArtifactError(f"{path}: {where}: {first['msg']}", "run check-release again") from None


def decide_release(
    run_dir: Path,
    decision: Decision,
    *,
    reasons: Iterable[str] = (),
    model_uri: str = "",
    approval: Approval | None = None,
    at: str = "",
) -> ReleaseRecord:
    """Changes the decision of a run's record, and keeps what the gate found.

    Args:
        run_dir: The run's folder.
        decision: What was decided.
        reasons: Why, beside the reasons that are there.
        model_uri: Where the model was published; empty: as it was.
        approval: A person's answer; None: as it was.
        at: When; empty: now.

    Raises:
        ArtifactError: There is no record, or it is damaged.
    """
    record = read_release(run_dir)
    if record is None:
        raise ArtifactError(f"{run_dir} has no {RELEASE_NAME}: its model was never checked", "run check-release first")
    changed = record.model_copy(
        update={
            "decision": decision,
            "reasons": tuple(dict.fromkeys((*record.reasons, *reasons))),
            "model_uri": model_uri or record.model_uri,
            "approval": approval or record.approval,
            "at": at or now_utc(),
        }
    )
    write_release(run_dir, changed)
    return changed


def interval_figures(record: ReleaseRecord) -> dict[str, str | int | float | bool]:
    """The differences of a record and the ends of their intervals as flat figures, for the result of a task."""
    figures: dict[str, str | int | float | bool] = {}
    for one in record.intervals:
        named = {one.figure: one.difference, f"{one.figure}_low": one.low, f"{one.figure}_high": one.high}
        figures |= {name: round(value, 4) for name, value in named.items() if value is not None}
    return figures


def now_utc() -> str:
    """The time as the record says it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
