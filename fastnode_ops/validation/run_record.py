"""Records of validations and other runs: parameters, results, errors by reason, artefacts (specification 14.8).

    <rundb>/<creation time, UTC>_<pipeline>/run-info.json
                                           /DONE            written last
                                           /<artefacts>
                                           /<child runs, same layout>

The root is a folder or an `s3://` prefix. `run-info.json` is written when the run starts and again when it ends.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ops_common.artifacts import check_relative_path, json_default
from ops_common.errors import ArtifactError, ConfigError, DataError, ServiceError, UsageError
from ops_common.stores import Store, open_store

INFO_NAME = "run-info.json"
DONE_NAME = "DONE"
DONE_TEXT = b"Execution complete"
MAX_SAMPLES_PER_REASON = 10
RESERVED = frozenset({INFO_NAME, DONE_NAME})

_PIPELINE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

RunStatus = Literal["", "started", "finished", "error"]
NotNegative = Annotated[int, Field(ge=0)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class ErrorSample(_Part):
    """One error of a reason."""

    SourceName: str = ""
    SourceKey: str = ""
    Error: str = ""
    Timestamp: str = ""


class ReasonErrors(_Part):
    """How often something failed for one reason, with up to 10 samples."""

    Count: NotNegative
    Samples: Annotated[list[ErrorSample], Field(max_length=MAX_SAMPLES_PER_REASON)] = []


class Feed(_Part):
    """What went into a step, what came out, and what was lost for which reason."""

    In: NotNegative
    Out: NotNegative
    ErrsByReason: dict[str, ReasonErrors] = {}


class RunResult(_Part):
    """One figure."""

    Name: str
    Value: Any
    Aggregator: str = ""


class RunInfo(_Part):
    """The record of a run; times are ISO 8601 in UTC."""

    Pipeline: str
    Name: str = ""
    CreatedAt: str
    Params: dict[str, Any] = {}
    GitCommitHash: str = ""
    GitBranch: str = ""
    FeedStats: dict[str, Feed] = {}
    Results: list[RunResult] = []
    Error: str = ""
    Status: RunStatus = ""
    StatusUpdated: str = ""


class Run:
    """A run that is being recorded, or that was.

    Args:
        store: Its folder.
        info: Its record as it stands there.
    """

    def __init__(self, store: Store, info: RunInfo) -> None:
        self._store = store
        self.info = info

    @property
    def uri(self) -> str:
        """Its folder, as a person writes it."""
        return self._store.uri()

    def add_artifact(self, path: Path, name: str = "", *, recursive: bool = False) -> list[str]:
        """Copy a file, or all files of a folder, into the record.

        Args:
            path: The file or folder.
            name: Its name in the record; empty: its own.
            recursive: Whether it may be a folder.

        Returns:
            The names of what was copied.

        Raises:
            ArtifactError: It does not exist, or the name leads out of the record.
            UsageError: It is a folder and `recursive` was not given, or the name is one of the record's own.
        """
        path = Path(path)
        name = name or path.resolve().name
        if path.is_dir():
            if not recursive:
                raise UsageError(f"{path} is a folder", "add --recursive to add all files in it")
            files = sorted(file for file in path.rglob("*") if file.is_file())
            pairs = [(file, f"{name}/{file.relative_to(path).as_posix()}") for file in files]
        else:
            pairs = [(path, name)]
        for _, target in pairs:
            self._check_name(target)
            if target in RESERVED:
                raise UsageError(f"{target} is a name of the record itself", "give the artefact another name")
        for file, target in pairs:
            self._store.put_file(file, target)
        return [target for _, target in pairs]

    def get_artifact(self, name: str, path: Path) -> None:
        """Copy an artefact onto this machine; ArtifactError when there is none of this name."""
        self._check_name(name)
        self._store.get_file(name, path)

    def artifacts(self) -> list[str]:
        """Return the names of all artefacts, those of child runs included."""
        names = (found.key for found in self._store.list_objects())
        return [name for name in names if name.rpartition("/")[2] not in RESERVED]

    def has(self, name: str) -> bool:
        """Say whether a file is in the record."""
        return self._store.head(name) is not None

    def finish(self, results: Iterable[RunResult] = (), feeds: Mapping[str, Feed] | None = None) -> None:
        """Record the results and that the run is over; `DONE` is written last."""
        self.info.Results += results
        self.info.FeedStats.update(feeds or {})
        self.info.Error = ""
        self._save("finished")
        self._store.put_bytes(DONE_TEXT, DONE_NAME)

    def fail(self, error: str) -> None:
        """Record that the run has failed and why; there is no `DONE` then."""
        self.info.Error = error
        self._save("error")

    def _save(self, status: RunStatus) -> None:
        self.info.Status = status
        self.info.StatusUpdated = _text_of(datetime.now(UTC))
        self._store.put_bytes(_json(self.info), INFO_NAME)

    def _check_name(self, name: str) -> None:
        # a key of S3 may be anything; that of an artefact has to be a file's name wherever the record is copied to
        check_relative_path(name, self.uri)


def create_run(
    root: str, pipeline: str, name: str = "", params: Mapping[str, Any] | None = None, now: datetime | None = None
) -> Run:
    """Start a record.

    Args:
        root: Folder or `s3://` prefix of the records; the folder of another run, for a child of it.
        pipeline: What is run; part of the folder's name.
        name: What a person calls this run.
        params: Its settings, plain values.
        now: The time; None: now.

    Raises:
        ConfigError: The pipeline's name cannot be part of a file name, or a parameter has no JSON form.
        ArtifactError: There is such a record already.
    """
    if not _PIPELINE.fullmatch(pipeline):
        raise ConfigError(f"{pipeline!r} cannot be part of a folder's name", "use letters, digits, dots and dashes")
    created = _text_of(now or datetime.now(UTC))
    store = open_store(open_store(root).uri(f"{created}_{pipeline}"))
    if store.head(INFO_NAME) is not None:
        raise ArtifactError(f"{store.uri()} already exists", "wait a moment and start again")
    commit, branch = checkout_state()
    info = RunInfo(
        Pipeline=pipeline,
        Name=name,
        CreatedAt=created,
        Params=_plain(params or {}),
        GitCommitHash=commit,
        GitBranch=branch,
    )
    run = Run(store, info)
    run._save("started")
    return run


def open_run(uri: str) -> Run:
    """Open a record.

    Raises:
        ArtifactError: There is none.
        DataError: Its `run-info.json` is of another form; the message says where.
    """
    store = open_store(uri)
    if store.head(INFO_NAME) is None:
        raise ArtifactError(f"{uri} is no run: it has no {INFO_NAME}", "give the folder that create printed")
    try:
        return Run(store, RunInfo.model_validate_json(store.get_bytes(INFO_NAME)))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise DataError(f"{uri}/{INFO_NAME}: {where}: {first['msg']}", "write it again, or remove the run") from None


def list_runs(root: str) -> list[str]:
    """Return the folders of all runs below a root, child runs included, newest first."""
    store = open_store(root)
    names = (found.key for found in store.list_objects())
    folders = [name.rpartition("/")[0] for name in names if name.endswith(f"/{INFO_NAME}")]
    return [store.uri(folder) for folder in sorted(folders, reverse=True)]


def wait_for_artifact(
    run: Run,
    name: str,
    timeout_seconds: float,
    poll_seconds: float = 5.0,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Wait until a file is in the record.

    Raises:
        ServiceError: It did not come in time.
        DataError: The run has failed meanwhile, so that it will never come.
    """
    deadline = clock() + timeout_seconds
    while not run.has(name):
        now = open_run(run.uri).info
        if now.Status == "error":
            raise DataError(f"{run.uri} has failed: {now.Error}", f"{name} will not come; look at the run's log")
        if clock() >= deadline:
            raise ServiceError(f"{run.uri} has no {name} after {timeout_seconds:g} s", "is its program still running?")
        sleep(min(poll_seconds, max(0.0, deadline - clock())))


def count_errors(reasons: Mapping[str, int], source: str) -> dict[str, ReasonErrors]:
    """Put counts by reason into the record's form, without samples of single places."""
    sample = ErrorSample(SourceName=source)
    return {
        reason: ReasonErrors(Count=number, Samples=[sample.model_copy(update={"Error": reason})])
        for reason, number in sorted(reasons.items())
        if number
    }


def checkout_state() -> tuple[str, str]:
    """Return the commit and the branch of the checkout that this program is from; empty texts outside of one."""

    def ask(*arguments: str) -> str:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        try:
            done = subprocess.run(
                ["git", "-C", str(Path(__file__).parent), *arguments],
                capture_output=True,
                text=True,
                timeout=10,
                check=False,
                env=environment,
            )
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    return ask("rev-parse", "HEAD"), ask("rev-parse", "--abbrev-ref", "HEAD")


def _text_of(moment: datetime) -> str:
    """Write a time in UTC with milliseconds, so that names sort by time and two runs of a second differ."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(values), allow_nan=False, default=json_default))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the run's parameters have no JSON form: {error}", "give plain values") from None
    return plain


def _json(info: RunInfo) -> bytes:
    return (json.dumps(info.model_dump(), indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
