"""What the folder of a run says of it, for whoever shows it: the pages, the report of the run.

    record.json                 what was asked for, what it was made with, what each task took
    release.json                what became of its model (ops_common.release_record)
    results/<task>.record.json  what a task returned; <task>.json where a workflow ran it
    DONE, FAILED                how it ended

A run that is older than a file, that goes on, or whose files are damaged is shown all the same: nothing here raises,
what cannot be read is named in `problems` and left out.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ops_common.artifacts import read_json
from ops_common.errors import OpsError
from ops_common.release_record import RELEASE_NAME, ReleaseRecord, read_release
from ops_common.run_record import RECORD_NAME

MAX_FILE_BYTES = 16_000_000
"""Larger JSON files are not read: none of ours is, and a page must not hold up the server."""

FAMILIES = ("gematria", "pythonexpr")
State = Literal["done", "failed", "open"]

T = TypeVar("T")
Values = dict[str, Any]

# The result whose numbers are a run's figures, and what they begin with, where no gate has said which matter.
_FIGURES_OF = {"evaluate_model": "model_", "validate_attributes": ""}
_RESULT_FOLDERS = ("results", "tmp/results")
_PLAN = "resolve_request"


class TaskFacts(BaseModel):
    """What one task of a run took, all attempts together; times are ISO 8601 in UTC, empty when they are not known."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    status: str = ""
    attempts: int = 1
    started_at: str = ""
    finished_at: str = ""
    wall_seconds: float | None = None
    cpu_seconds: float | None = None
    gpu_seconds: float | None = None


class RunFacts(BaseModel):
    """A run as its folder tells of it; what it does not tell is empty."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(description="name of the folder")
    family: str = Field(description="gematria, pythonexpr, or empty")
    dag_id: str
    run_id: str
    state: State
    failure: str = Field(description="why it failed")
    begun_at: str = Field(description="UTC, ISO 8601")
    ended_at: str
    release: ReleaseRecord | None
    figures: dict[str, float] = Field(description="of its model: those of the gate, or else of the evaluation")
    tasks: dict[str, TaskFacts]
    results: dict[str, Values] = Field(description="what finished tasks returned")
    conf: Values
    config: Values
    seeds: Values
    data: dict[str, str] = Field(description="SHA-256 by file of the data set")
    data_dir: str
    code: Values
    versions: dict[str, str]
    machine: Values
    cost: dict[str, float]
    artifacts: dict[str, str] = Field(description="SHA-256 by file of the run")
    work_dir: str = Field(description="where its model stands: another run's folder for a continuation")
    problems: tuple[str, ...] = Field(description="files that cannot be read, and why")


def read_run(folder: Path) -> RunFacts:
    """Reads all that the folder of a run says of it.

    Args:
        folder: The folder; one that does not exist gives a run of which nothing is known.
    """
    reader = _Reader(Path(folder))
    results, finished = reader.results()
    work_dir = _work_dir(folder, results.get(_PLAN, {}))
    record = reader.file(RECORD_NAME)
    section = reader.sections(record)
    tasks = {
        **{name: TaskFacts(status="done", finished_at=at) for name, at in finished.items()},
        **section("tasks", dict[str, TaskFacts], {}),
    }
    release = reader.release()
    state, failure = reader.state(tasks)
    return RunFacts(
        name=folder.name,
        family=release.family if release else _family(tasks, folder),
        dag_id=section("dag_id", str, ""),
        run_id=section("run_id", str, ""),
        state=state,
        failure=failure,
        begun_at=section("begun_at", str, "")
        or reader.created_at()
        or _first(task.started_at for task in tasks.values()),
        ended_at="" if state == "open" else max((task.finished_at for task in tasks.values()), default=""),
        release=release,
        figures=release.figures if release and release.figures else _figures(results),
        tasks=dict(sorted(tasks.items(), key=lambda item: (item[1].started_at or item[1].finished_at, item[0]))),
        results=results,
        conf=section("conf", Values, {}),
        config=section("config", Values, {}),
        seeds=section("seeds", Values, {}),
        data=section("data", dict[str, str], {}),
        data_dir=section("data_dir", str, "") or _data_dir(results),
        code=section("code", Values, {}),
        versions=section("versions", dict[str, str], {}),
        machine=section("machine", Values, {}),
        cost=section("cost", dict[str, float], {}),
        artifacts=section("artifacts", dict[str, str], {}),
        work_dir=str(work_dir),
        problems=tuple(dict.fromkeys(reader.problems)),
    )


def work_dir_of(folder: Path) -> Path:
    """Where the model of a run stands: its own folder, or that of the run which it continues.

    Args:
        folder: The run's folder.
    """
    result = _Reader(Path(folder)).file(f"results/{_PLAN}.record.json").get("result")
    return _work_dir(Path(folder), result if isinstance(result, dict) else {})


def _work_dir(folder: Path, plan: Mapping[str, Any]) -> Path:
    planned = Path(str(plan.get("work_dir", folder)))
    # another run's folder beside ours; a plan is a file, and must not lead anywhere else
    is_run = planned.parent.parent == folder.parent.parent and ".." not in planned.parts
    return planned if is_run else folder


def flat(values: Mapping[str, Any], prefix: str = "") -> Values:
    """A table of tables as one table with dotted names; an empty table stays a value."""
    found: Values = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            found.update(flat(value, f"{prefix}{name}."))
        else:
            found[f"{prefix}{name}"] = value
    return found


class _Reader:
    """Reads the files of one folder; whatever is wrong with one becomes a problem."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.problems: list[str] = []

    def file(self, name: str) -> Values:
        """A JSON object; empty when there is no such file, or none that can be read."""
        path = self._folder / name
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                self.problems.append(f"{name} is larger than {MAX_FILE_BYTES:,d} bytes, and was not read")
                return {}
            value = read_json(path)
        except FileNotFoundError:
            return {}
        except OSError as error:
            self.problems.append(f"{name} cannot be read: {error.strerror}")
            return {}
        except OpsError as error:
            self.problems.append(self._told(error))
            return {}
        if not isinstance(value, dict):
            self.problems.append(f"{name} is not an object")
            return {}
        return value

    def sections(self, record: Values) -> Callable[[str, Any, T], T]:
        """A function that takes an entry of the record, when it has the type that it should have."""

        def section(name: str, kind: Any, default: T) -> T:
            if name not in record:
                return default
            try:
                value: T = _adapter(kind).validate_python(record[name])
            except ValidationError as error:
                first = error.errors(include_url=False)[0]
                where = ".".join(str(part) for part in (name, *first["loc"]))
                self.problems.append(f"{RECORD_NAME}: {where}: {first['msg']}")
                return default
            return value

        return section

    def release(self) -> ReleaseRecord | None:
        """What became of the model."""
        try:
            if (self._folder / RELEASE_NAME).stat().st_size > MAX_FILE_BYTES:
                self.problems.append(f"{RELEASE_NAME} is larger than {MAX_FILE_BYTES:,d} bytes, and was not read")
                return None
            return read_release(self._folder)
        except FileNotFoundError:
            return None
        except OpsError as error:
            self.problems.append(self._told(error))
        except OSError as error:
            self.problems.append(f"{RELEASE_NAME} cannot be read: {error.strerror}")
        return None

    def results(self) -> tuple[dict[str, Values], dict[str, str]]:
        """What each finished task returned, and when those ended that say so."""
        found: dict[str, Values] = {}
        finished: dict[str, str] = {}
        for folder in _RESULT_FOLDERS:
            for name in sorted(_names(self._folder / folder)):
                if name.startswith(".") or name.endswith(".failure.json") or not name.endswith(".json"):
                    continue
                value = self.file(f"{folder}/{name}")
                if not name.endswith(".record.json"):
                    found.setdefault(name.removesuffix(".json"), value)
                elif isinstance(value.get("result"), dict):
                    task = name.removesuffix(".record.json")
                    found[task] = value["result"]
                    finished[task] = str(value.get("finished_at", ""))
        return {name: value for name, value in found.items() if value}, finished

    def created_at(self) -> str:
        """When the folder was made, of runs whose first step says so."""
        return str(self.file("run.json").get("created_at", ""))

    def state(self, tasks: Mapping[str, TaskFacts]) -> tuple[State, str]:
        """How it stands, and why it failed."""
        if (self._folder / "DONE").exists():
            return "done", ""
        if (self._folder / "FAILED").exists():
            return "failed", str(self.file("FAILED").get("reason", ""))
        failed = [name for name, task in tasks.items() if task.status == "failed"]
        return ("failed", f"{', '.join(failed)} failed") if failed else ("open", "")

    def _told(self, error: OpsError) -> str:
        return error.message.replace(f"{self._folder}{os.sep}", "")


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)  # making one takes as long as reading a record


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except OSError:
        return []


def _family(tasks: Mapping[str, TaskFacts], folder: Path) -> str:
    if "evaluate_model" in tasks or (folder / "bundle").exists():
        return "gematria"
    return "pythonexpr" if (folder / "out").exists() or "validate_attributes" in tasks else ""


def _figures(results: Mapping[str, Values]) -> dict[str, float]:
    found: dict[str, float] = {}
    for task, prefix in _FIGURES_OF.items():
        for name, value in results.get(task, {}).items():
            is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if is_number and name.startswith(prefix):
                found[name.removeprefix(prefix)] = float(value)
    return found


def _data_dir(results: Mapping[str, Values]) -> str:
    planned = results.get(_PLAN, {})
    return str(planned.get("dataset_dir") or planned.get("corpus_dir") or "")


def _first(times: Iterable[str]) -> str:
    return min((time for time in times if time), default="")
