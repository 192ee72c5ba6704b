"""What is said about a run that did not go as it should: one message a run, built from what the run left.

| kind           | when                                                                                    |
|----------------|-----------------------------------------------------------------------------------------|
| `failed`       | the run has failed: which task, what it said                                            |
| `refused`      | the release gate has refused the run's model: every reason of `release.json`            |
| `not_approved` | a person has rejected the model, or nobody answered in time                             |
| `late`         | the run has not ended within `OPS_DEADLINE_HOURS`                                       |
| `recovered`    | a run went well, and the message before it about this workflow was that a run failed    |

`<runs>/messages.jsonl` keeps every message, with what became of it at each receiver.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from ops_common.artifacts import read_json, write_json
from ops_common.errors import ArtifactError
from ops_common.release_record import ReleaseRecord, read_release

Kind = Literal["failed", "refused", "not_approved", "late", "recovered"]

HISTORY_NAME = "messages.jsonl"
MAX_TEXT_LENGTH = 2_000
"""Characters of what one task said."""
MAX_REASONS = 20
MAX_REASON_LENGTH = 500
MAX_TOTAL_LENGTH = 12_000
"""Characters of all reasons together."""

_TAIL_BYTES = 1_000_000  # of the history, for the question what was said last


@dataclass(frozen=True, slots=True)
class Notice:
    """One message. Everything in it is bounded, and nothing in it is secret.

    Attributes:
        kind: What it is about.
        dag_id: The workflow.
        run_id: Its run.
        title: One line.
        reasons: Why, a sentence each; for a failed run what each failed task said.
        run_dir: Folder of the run.
        url: The run in Airflow's page.
        at: When: UTC, ISO 8601.
    """

    kind: Kind
    dag_id: str
    run_id: str
    title: str
    reasons: tuple[str, ...]
    run_dir: str
    url: str
    at: str

    @property
    def text(self) -> str:
        """The message as plain text, for people."""
        lines = [self.title, *(f"* {reason}" for reason in self.reasons)]
        return "\n".join([*lines, f"run:    {self.url}", f"folder: {self.run_dir}"])


def failure_notice(dag_id: str, run_id: str, folder: Path, url: str, reason: str = "") -> Notice:
    """The message about a run that has failed; a refused model is told from a fault.

    Args:
        dag_id: The workflow.
        run_id: The run.
        folder: Its folder, where it left what its tasks said; may not exist.
        url: The run in Airflow's page.
        reason: What Airflow says, for a run that left nothing.
    """
    release = _release_of(folder)
    failures = list(read_failures(folder))
    if release is not None and release.decision == "refused" and _only_the_gate(failures):
        return _notice("refused", dag_id, run_id, folder, url, "the candidate was refused", release.reasons)
    said = [f"{failure['task']} (try {failure['try']}): {failure['error']}" for failure in failures]
    names = ", ".join(str(failure["task"]) for failure in failures)
    title = f"failed in {names}" if names else "failed"
    return _notice("failed", dag_id, run_id, folder, url, title, said or [reason or "no task left a message"])


def success_notice(dag_id: str, run_id: str, folder: Path, url: str, last_kind: str) -> Notice | None:
    """The message about a run that has ended well; mostly there is nothing to say.

    Args:
        dag_id: The workflow.
        run_id: The run.
        folder: Its folder.
        url: The run in Airflow's page.
        last_kind: Of what kind the message before was about this workflow; empty: there was none.
    """
    release = _release_of(folder)
    if release is not None and release.decision == "not_approved":
        return _notice("not_approved", dag_id, run_id, folder, url, "the candidate was not approved", release.reasons)
    if last_kind != "failed":
        return None
    what = [f"released {release.model_uri}"] if release is not None and release.model_uri else []
    return _notice("recovered", dag_id, run_id, folder, url, "works again", what)


def late_notice(dag_id: str, run_id: str, folder: Path, url: str, hours: float) -> Notice:
    """The message about a run that takes too long.

    Args:
        dag_id: The workflow.
        run_id: The run.
        folder: Its folder.
        url: The run in Airflow's page.
        hours: How long it may take.
    """
    title = f"has not ended {hours:g} h after it was queued"
    reasons = ["it goes on: look at the task that runs, or at what it waits for"]
    return _notice("late", dag_id, run_id, folder, url, title, reasons)


def _notice(kind: Kind, dag_id: str, run_id: str, folder: Path, url: str, title: str, reasons: Any) -> Notice:
    limit = MAX_TEXT_LENGTH if kind == "failed" else MAX_REASON_LENGTH
    kept: list[str] = []
    for reason in reasons[:MAX_REASONS]:
        text = _cut(str(reason), limit)
        if sum(map(len, kept)) + len(text) > MAX_TOTAL_LENGTH:
            break
        kept.append(text)
    if len(kept) < len(reasons):
        kept.append(f"and {len(reasons) - len(kept)} more")
    return Notice(kind, dag_id, run_id, f"{dag_id}: {title}", tuple(kept), str(folder), url, _now())


def save_failure(folder: Path, task: str, attempt: int, error: str) -> None:
    """Write down what a task failed of, where the message about its run finds it.

    Args:
        folder: The run's folder.
        task: The task's id, with the number of its item.
        attempt: Which attempt it was, from 1.
        error: What it said.
    """
    record = {"task": task, "try": attempt, "error": _cut(error, MAX_TEXT_LENGTH), "at": _now()}
    write_json(_failure_path(folder, task), record)


def forget_failure(folder: Path, task: str) -> None:
    """A task that is tried again has not failed."""
    _failure_path(folder, task).unlink(missing_ok=True)


def read_failures(folder: Path) -> Iterator[dict[str, Any]]:
    """What the failed tasks of a run said, the first failure first."""
    found = []
    for path in sorted(folder.glob("results/*.failure.json")):
        try:
            record = read_json(path)
        except ArtifactError:
            continue
        if isinstance(record, dict) and {"task", "try", "error", "at"} <= record.keys():
            found.append(record)
    yield from sorted(found, key=lambda record: str(record["at"]))


def save_notice(runs_root: Path, notice: Notice, sent: Mapping[str, str]) -> None:
    """Append a message to the history.

    Args:
        runs_root: Folder of all runs.
        notice: The message.
        sent: What became of it, by receiver.
    """
    line = json.dumps({**asdict(notice), "sent": dict(sent)}, ensure_ascii=False) + "\n"
    runs_root.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(runs_root / HISTORY_NAME, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line.encode())  # in one piece: several processes may append
    finally:
        os.close(descriptor)


def read_notices(runs_root: Path) -> list[dict[str, Any]]:
    """The newest messages of the history, the oldest first; a torn line is left out."""
    try:
        with (runs_root / HISTORY_NAME).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = file.read().splitlines()
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and {"kind", "dag_id", "run_id"} <= record.keys():
            found.append(record)
    return found


def last_kind(runs_root: Path, dag_id: str) -> str:
    """Of what kind the last message about a workflow was; empty: there was none."""
    return next((str(said["kind"]) for said in reversed(read_notices(runs_root)) if said["dag_id"] == dag_id), "")


def _release_of(folder: Path) -> ReleaseRecord | None:
    try:
        return read_release(folder)
    except ArtifactError:
        return None


def _only_the_gate(failures: list[dict[str, Any]]) -> bool:
    return all(str(failure["task"]) == "check_release" for failure in failures)


def _failure_path(folder: Path, task: str) -> Path:
    return folder / "results" / f"{task}.failure.json"


def _cut(text: str, length: int) -> str:
    """A long text without its middle: it begins with what happened, and ends with what was said last."""
    head = length // 4
    return text if len(text) <= length else f"{text[:head]}…{text[head + 1 - length :]}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
