"""Releases and roll backs of the models of runs: the pointer of the destination, and release.json of the run folders.

release_run      the model of a run becomes the released one, as its release.json allows
roll_back_runs   an earlier model does, and release.json of the run that it replaces says so
"""

from __future__ import annotations

import getpass
import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from ops_common.errors import ArtifactError, GateError
from ops_common.object_store import RetryPolicy
from ops_common.release_record import RELEASE_NAME, Family, decide_release, read_release
from ops_common.releases import Release, release_model, roll_back

LOG = logging.getLogger(__name__)


def release_run(
    run_dir: Path,
    destination: str,
    model_uri: str,
    *,
    policy: RetryPolicy | None = None,
) -> Release:
    """Releases the model of a run, as its release.json allows, and says so there.

    Args:
        run_dir: The run's folder.
        destination: Where models are published.
        model_uri: Prefix of the model's upload.
        policy: How patient to be with the service.

    Raises:
        ArtifactError: The run's model was never checked, or the upload is not complete.
        GateError: It was refused or not approved, or another model was released since it was compared.
        ServiceError: The service does not answer.
    """
    record = read_release(run_dir)
    if record is None:
        raise ArtifactError(f"{run_dir} has no {RELEASE_NAME}: its model was never checked", "run check-release first")
    if record.decision not in ("passed", "released"):
        words = record.decision.replace("_", " ")
        raise GateError(f"{record.run} is not released, it was {words}: {'; '.join(record.reasons)}", "train another")
    try:
        done = release_model(
            destination,
            family=record.family,
            run=record.run,
            model_uri=model_uri,
            compared_with=record.released_then,
            figures=record.figures,
            by=record.approval.by if record.approval else "",
            policy=policy,
        )
    except GateError as error:
        decide_release(run_dir, "refused", reasons=[error.message], model_uri=model_uri)
        raise
    decide_release(run_dir, "released", model_uri=model_uri, at=done.at)
    return done


def roll_back_runs(
    destination: str,
    family: Family,
    *,
    to: str,
    why: str,
    by: str,
    request: str,
    runs_dirs: Iterable[Path],
    policy: RetryPolicy | None = None,
) -> Release:
    """Rolls back as `roll_back` does, and says so in the run folder of the model that was rolled back.

    Args:
        destination: Where models are published.
        family: The family of its models.
        to: As in `roll_back`.
        why: Why.
        by: Who wants it; empty: the user of this machine.
        request: Name of the roll back; empty: a new one.
        runs_dirs: Folders whose sub-folders are runs.
        policy: How patient to be with the service.
    """
    name = request or f"roll-back-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
    done = roll_back(destination, family=family, run=name, to=to, by=by or _user(), why=why, policy=policy)
    folder = note_roll_back(done, runs_dirs)
    LOG.info("released again: %s (instead of %s)", done.model_uri, done.replaced)
    if folder:
        LOG.info("noted in %s", folder / RELEASE_NAME)
    return done


def note_roll_back(release: Release, runs_dirs: Iterable[Path]) -> Path | None:
    """Says in the run folder of the model that was rolled back that it was, and why.

    Args:
        release: What `roll_back` returned.
        runs_dirs: Folders whose sub-folders are runs.

    Returns:
        The folder of that run; None when it is not there any more.
    """
    reason = f"rolled back to {release.model_uri} by {release.by or 'nobody who said so'}"
    reason = f"{reason}: {release.why}" if release.why else reason
    for folder in (path.parent for runs in runs_dirs for path in sorted(Path(runs).glob(f"*/{RELEASE_NAME}"))):
        try:
            record = read_release(folder)
        except ArtifactError:
            continue  # a damaged record is not worth more than the roll back
        if record is not None and record.model_uri == release.replaced:
            if record.decision != "rolled_back":
                decide_release(folder, "rolled_back", reasons=[reason])
            return folder
    return None


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return ""
