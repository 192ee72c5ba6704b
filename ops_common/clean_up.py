"""Old runs, samples, checkpoints, data sets and leftovers go: the task function, and what a person may ask of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from ops_common.cleaning.choosing import Rules, Verdict, choose, read_keep_list
from ops_common.cleaning.inventory import check_root, is_locked, size_bytes, take_inventory
from ops_common.cleaning.removing import remove_below
from ops_common.cleaning.reporting import as_text, write_report
from ops_common.config import Section, build_config
from ops_common.errors import ArtifactError, ConfigError
from ops_common.releases import Release, read_history

LOG = logging.getLogger(__name__)


class CleanUpRequest(Section):
    """How old is old, and whether anything is removed."""

    dry_run: bool = Field(True, description="Only say what would go.")
    run_days: float = Field(30.0, ge=0, le=36_500, description="Runs that ended longer ago than this go; days.")
    checkpoint_days: float = Field(
        7.0, ge=0, le=36_500, description="Checkpoints of runs that ended longer ago go, while the run stays; days."
    )
    sample_days: float = Field(7.0, ge=0, le=36_500, description="The same for sample files; days.")
    dataset_days: float = Field(
        60.0, ge=0, le=36_500, description="Data sets and corpora that are older and that nothing uses go; days."
    )
    release_days: float = Field(
        365.0,
        ge=0,
        le=36_500,
        description="How long runs of released models stay after their end though others have replaced them; days.",
    )
    temporary_hours: float = Field(
        24.0, ge=1, le=876_000, description="Leftovers of killed writers that are older go; hours."
    )
    open_days: float = Field(
        60.0, ge=1, le=36_500, description="A run that never ended goes on for as long as it wrote within these days."
    )
    keep_newest: int = Field(
        7, ge=1, le=100_000, description="The newest runs of each workflow, and the newest data sets, stay at any age."
    )


def clean_up(
    *,
    runs_root: str,
    data_root: str,
    report_dir: str,
    destinations: list[str] | None = None,
    keep_file: str = "",
    dry_run: bool = True,
    run_days: float = 30.0,
    checkpoint_days: float = 7.0,
    sample_days: float = 7.0,
    dataset_days: float = 60.0,
    release_days: float = 365.0,
    temporary_hours: float = 24.0,
    open_days: float = 60.0,
    keep_newest: int = 7,
) -> dict[str, Any]:
    """Remove old runs, samples, checkpoints, data sets and leftovers, or say what would go.

    What stays at any age: what the keep list names, runs that go on, runs whose model is the released one or was it
    within release_days, the newest, and what any of these was made from.

    Args:
        runs_root: Folder of the runs, <workflow>/<run>.
        data_root: Folder of the data sets and corpora.
        report_dir: Where clean_up.json and clean_up.txt are written.
        destinations: Where models are published: the runs that their release histories name stay.
        keep_file: File with names or patterns of runs and data sets that stay, one a line; need not exist.
        dry_run: Only say what would go.
        run_days: Runs that ended longer ago than this go; days.
        checkpoint_days: Checkpoints of runs that ended longer ago go, while the run stays; days.
        sample_days: The same for sample files; days.
        dataset_days: Data sets and corpora that are older and that nothing uses go; days.
        release_days: How long runs of released models stay after their end though others have replaced them; days.
        temporary_hours: Leftovers of killed writers that are older go; hours.
        open_days: A run that never ended goes on for as long as it wrote within these days.
        keep_newest: The newest runs of each workflow, and the newest data sets, stay at any age.
    """
    asked = {name: value for name, value in locals().items() if name in CleanUpRequest.model_fields}
    request = build_config(CleanUpRequest, asked, where="clean-up")
    rules = _rules(request, Path(keep_file) if keep_file else None, destinations or [])
    found = take_inventory(check_root(Path(runs_root)), check_root(Path(data_root)))
    verdicts = choose(found, rules)
    sizes = {id(verdict): _size(verdict) for verdict in verdicts if verdict.is_removed}
    errors = [] if dry_run else _remove(verdicts)
    report = write_report(Path(report_dir), verdicts, sizes, errors, asked, found.skipped, is_dry_run=dry_run)
    LOG.info("%s", as_text(report))
    return {
        "dry_run": dry_run,
        "num_removed": report["num_removed"],
        "removed_bytes": report["removed_bytes"],
        "num_kept": len(report["kept"]),
        "num_errors": len(errors),
        "report": str(Path(report_dir) / "clean_up.json"),
    }


def _rules(request: CleanUpRequest, keep_file: Path | None, destinations: Sequence[str]) -> Rules:
    keep = read_keep_list(keep_file) if keep_file is not None and keep_file.exists() else []
    # A store that does not answer ends the clean-up here: what is released must be known before anything goes.
    histories = [read_history(destination) for destination in destinations]
    entries = [release for history in histories for release, _ in history]
    now = {next((release.model_uri for release, took_effect in history if took_effect), "") for history in histories}
    return Rules(
        max_age_days={
            "run": request.run_days,
            "checkpoints": request.checkpoint_days,
            "samples": request.sample_days,
            "dataset": request.dataset_days,
            "temporary": request.temporary_hours / 24,
        },
        release_days=request.release_days,
        open_days=request.open_days,
        keep_newest=request.keep_newest,
        keep=keep,
        released=_names(entries),
        # of a roll back too: the entry of the release before has the name of the run that made the model
        current=_names(entry for entry in entries if entry.model_uri in now) if destinations else None,
        now=time.time(),
    )


def _names(releases: Iterable[Release]) -> set[str]:
    return {name for release in releases for name in (release.run, _last_part(release.model_uri))}


def _last_part(uri: str) -> str:
    """The name of an upload: that of the run that made it, or a time."""
    return uri.rstrip("/").rpartition("/")[2]


def _size(verdict: Verdict) -> int:
    return sum(size_bytes(path) for path in verdict.item.paths)


def _remove(verdicts: Sequence[Verdict]) -> list[str]:
    errors = []
    for verdict in verdicts:
        item = verdict.item
        if not verdict.is_removed:
            continue
        if item.run is not None and is_locked(item.run.path):
            errors.append(f"{item.kind} {item.name}: a task of the run has started meanwhile")
            continue
        try:
            for path in item.paths:
                remove_below(item.root, path)
        except (ArtifactError, ConfigError) as error:
            errors.append(f"{item.kind} {item.name}: {error.message}")
    return errors
