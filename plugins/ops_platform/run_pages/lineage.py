"""From data to what is released: data set -> runs on it -> what the gate said -> the model, and what came after."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePath

from ops_common.release_record import ReleaseRecord
from ops_common.run_facts import RunFacts
from ops_platform.run_pages.listing import Row, parse_time

RUNS_PER_DATASET = 50
DATASETS_PER_PAGE = 20

_ROLLED_BACK = re.compile(r"rolled back to (\S+)")
_NO_TIME = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Link:
    """A run, and the runs that it stands on.

    Attributes:
        row: The run.
        continues: The run whose model it trained further; None for a new model.
        compared_with: The run whose model was released when the gate judged; None when there was none, or it is gone.
        is_released_now: Whether its model is the one that was released last.
    """

    row: Row
    continues: Row | None
    compared_with: Row | None
    is_released_now: bool


@dataclass(frozen=True, slots=True)
class Dataset:
    """Data and the runs on it.

    Attributes:
        digest: SHA-256 over the names and digests of its files; empty for runs that have not recorded it.
        name: Name of its folder; empty when it is not known.
        num_files: How many files it has.
        num_runs: Runs on it, those that are not shown included.
        num_released: How many of their models were released.
        links: The newest runs, the newest first.
    """

    digest: str
    name: str
    num_files: int
    num_runs: int
    num_released: int
    links: tuple[Link, ...]


def datasets(rows: Sequence[Row]) -> list[Dataset]:
    """Every data set with its runs, the one of the newest run first.

    Args:
        rows: Runs of one family.
    """
    newest_first = sorted(rows, key=lambda row: (row.started_at or _NO_TIME, row.key), reverse=True)
    by_data: dict[tuple[str, str], list[Row]] = {}
    for row in newest_first:
        if row.facts:
            by_data.setdefault((digest_of(row.facts), PurePath(row.facts.data_dir).name), []).append(row)
    by_name = {row.key: row for row in rows}
    by_uri = {row.facts.release.model_uri: row for row in rows if row.facts and row.facts.release}
    now = released_now(rows)

    def link(row: Row) -> Link:
        assert row.facts is not None  # a run without a folder stands on no data
        parent = PurePath(row.facts.work_dir)
        continued = by_name.get(f"{parent.parent.name}/{parent.name}")
        uri = row.facts.release.compared_with if row.facts.release else ""
        return Link(row, continued if continued is not row else None, by_uri.get(uri) if uri else None, row is now)

    return [
        Dataset(
            digest=digest,
            name=name,
            num_files=len(runs[0].facts.data) if runs[0].facts else 0,
            num_runs=len(runs),
            num_released=sum(row.decision in ("released", "rolled_back") for row in runs),
            links=tuple(map(link, runs[:RUNS_PER_DATASET])),
        )
        for (digest, name), runs in by_data.items()
    ]


def released_now(rows: Iterable[Row]) -> Row | None:
    """The run whose model is released now: that of the newest release, or the one that the newest roll back went to.

    None when there is none, or when its folder is gone.
    """
    known = [
        (row, row.facts.release) for row in rows if row.facts and row.facts.release and row.facts.release.model_uri
    ]
    newest = max(
        (record for _, record in known if record.decision in ("released", "rolled_back")),
        key=lambda record: parse_time(record.at) or _NO_TIME,
        default=None,
    )
    if newest is None:
        return None
    uri = newest.model_uri if newest.decision == "released" else _rolled_back_to(newest)
    return next((row for row, record in known if record.model_uri == uri), None)


def _rolled_back_to(record: ReleaseRecord) -> str:
    """Where a roll back went, as it is noted in the record of the model that it took back; empty when it is not."""
    found = [match[1] for reason in record.reasons if (match := _ROLLED_BACK.match(reason))]
    return found[-1] if found else ""


def digest_of(facts: RunFacts) -> str:
    """SHA-256 that names the data of a run: over its files' names and digests; empty when it recorded none."""
    if not facts.data:
        return ""
    listed = "\n".join(f"{digest}  {name}" for name, digest in sorted(facts.data.items()))
    return hashlib.sha256(listed.encode()).hexdigest()
