"""From run folders and data sets to samples of metrics.

A file that is missing says nothing; one that is damaged is counted. Of each workflow the newest run is looked at
closely, of the others only how they ended; what was read of a file is kept until the file changes, so that a scrape
costs the same with many runs.
"""

from __future__ import annotations

import json
import math
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastnode_ops.pipeline_dir import PipelineDir
from ops_platform.metrics.names import Sample
from ops_platform.settings import Settings

_NUM_TAIL_BYTES = 65_536
_MAX_LABEL = 120
_MAX_RUNS = 5_000
_VALIDATION = "validation_"


class Collector:
    """Reads the metrics of a deployment; may be asked from several threads.

    Args:
        settings: Where runs and data sets stand.
        now: Seconds since 1970.
    """

    def __init__(self, settings: Settings, now: Callable[[], float] = time.time) -> None:
        self._settings, self._now = settings, now
        self._lock = threading.Lock()
        self._known: dict[Path, tuple[int, Any]] = {}
        self._num_unreadable = 0

    def collect(self) -> list[Sample]:
        """All samples there are now."""
        with self._lock:
            started, self._num_unreadable = time.monotonic(), 0
            samples = [*self._of_runs(), *self._of_data(), *_of_disks(self._settings)]
            samples.append(Sample("ops_unreadable_files", self._num_unreadable))
            samples.append(Sample("ops_collect_seconds", time.monotonic() - started))
            return [sample for sample in samples if math.isfinite(sample.value)]

    def _of_runs(self) -> Iterator[Sample]:
        records: list[tuple[str, dict[str, Any]]] = []
        for workflow in _folders(self._settings.runs_root):
            runs = [run for run in _folders(workflow) if (run / "run.json").exists() or (run / "results").is_dir()]
            if not runs:
                continue
            states = Counter(_state_of(run) for run in runs)
            for state in ("done", "failed", "open"):
                yield Sample("ops_runs", states[state], {"dag_id": workflow.name, "state": state})
            yield from self._of_run(workflow.name, max(runs, key=_begun))
            records += [(run.name, found) for run in runs if (found := self._json(run / "release.json"))]
        yield from self._of_releases(records)

    def _of_run(self, dag_id: str, run: Path) -> Iterator[Sample]:
        label = {"dag_id": dag_id}
        info = {**label, "run": run.name[:_MAX_LABEL], "state": _state_of(run)}
        yield Sample("ops_newest_run_info", 1, info)
        yield Sample("ops_newest_run_age_seconds", self._now() - _begun(run), label)
        for path in (run / "metrics.jsonl", PipelineDir(run).metrics):
            if path.exists():
                yield from self._of_curve(path, label)
        record = self._json(run / "record.json") or {}
        for task, taken in _mapping(record.get("tasks")).items():
            for kind in ("", "cpu_", "gpu_"):
                seconds = _number(_mapping(taken).get(f"{kind or 'wall_'}seconds"))
                if seconds is not None:
                    yield Sample(f"ops_task_{kind}seconds", seconds, {**label, "task": str(task)[:_MAX_LABEL]})

    def _of_curve(self, path: Path, label: dict[str, str]) -> Iterator[Sample]:
        lines = [line for line in map(_mapping, self._cached(path, _read_tail) or []) if _number(line.get("step"))]
        trained = [line for line in lines if "loss" in line]
        validated = [line for line in lines if any(name.startswith(_VALIDATION) for name in line)]
        if trained:
            last = trained[-1]
            for metric, name in (("step", "step"), ("loss", "loss"), ("samples_per_second", "samples_per_second")):
                if (value := _number(last.get(name))) is not None:
                    yield Sample(f"ops_training_{metric}", value, label)
            rate = _steps_per_second(trained[-2:])
            if rate is not None:
                yield Sample("ops_training_steps_per_second", rate, label)
        yield Sample("ops_training_report_age_seconds", self._now() - path.stat().st_mtime, label)
        for name, value in (validated[-1] if validated else {}).items():
            if name.startswith(_VALIDATION) and (number := _number(value)) is not None:
                figure = {"figure": name.removeprefix(_VALIDATION)[:_MAX_LABEL]}
                yield Sample("ops_validation_figure", number, {**label, **figure})

    def _of_releases(self, records: Iterable[tuple[str, dict[str, Any]]]) -> Iterator[Sample]:
        by_family: dict[str, list[tuple[str, dict[str, Any]]]] = {}
        for run, record in records:
            by_family.setdefault(str(record.get("family", ""))[:_MAX_LABEL], []).append((run, record))
        for family, found in sorted(by_family.items()):
            decisions = Counter(str(record.get("decision", ""))[:_MAX_LABEL] for _, record in found)
            for decision, count in sorted(decisions.items()):
                yield Sample("ops_candidates", count, {"family": family, "decision": decision})
            released = [(_moment(one.get("at")), run, one) for run, one in found if one.get("decision") == "released"]
            if not released:
                continue
            at, run, record = max(released, key=lambda item: item[:2])
            yield Sample("ops_released_model_age_seconds", self._now() - at, {"family": family})
            yield Sample("ops_released_model_info", 1, {"family": family, "run": run[:_MAX_LABEL]})
            for name, value in _mapping(record.get("figures")).items():
                if (number := _number(value)) is not None:
                    yield Sample("ops_released_model_figure", number, {"family": family, "figure": str(name)})

    def _of_data(self) -> Iterator[Sample]:
        """The newest data set of each family; one whose manifest is there is whole."""
        names = {"gematria": "import_report.json", "pythonexpr": "report.json"}
        sets = [folder for folder in _folders(self._settings.data_root) if (folder / "manifest.json").exists()]
        for family, name in names.items():
            whole = [folder for folder in sets if (folder / name).exists()]
            if not whole:
                continue
            newest = max(whole, key=lambda folder: folder.joinpath("manifest.json").stat().st_mtime)
            report = self._json(newest / name) or {}
            label = {"family": family, "data_set": newest.name[:_MAX_LABEL]}
            num_samples, dropped = _of_import(report) if family == "gematria" else _of_corpus(report)
            if num_samples is not None:
                yield Sample("ops_data_samples", num_samples, label)
            for reason, count in sorted(dropped.items()):
                yield Sample("ops_data_dropped", count, {**label, "reason": reason[:_MAX_LABEL]})

    def _json(self, path: Path) -> dict[str, Any] | None:
        found = self._cached(path, lambda file: json.loads(file.read_bytes()))
        return found if isinstance(found, dict) else None

    def _cached(self, path: Path, read: Callable[[Path], Any]) -> Any:
        try:
            stamp = path.stat().st_mtime_ns
            known = self._known.get(path)
            if known is None or known[0] != stamp:
                known = self._known[path] = (stamp, read(path))
            return known[1]
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            self._num_unreadable += 1
            return None


def _of_import(report: dict[str, Any]) -> tuple[float | None, Counter[str]]:
    dropped: Counter[str] = Counter()
    for source in report.get("sources") or []:
        for reason, rows in _mapping(_mapping(source).get("rejected")).items():
            dropped[str(reason)] += int(_number(_mapping(rows).get("num_rows")) or 0)
    return _number(report.get("num_blocks")), dropped


def _of_corpus(report: dict[str, Any]) -> tuple[float | None, Counter[str]]:
    files = _mapping(_mapping(report.get("details")).get("files"))
    dropped = {str(reason): int(_number(count) or 0) for reason, count in _mapping(files.get("dropped")).items()}
    return _number(files.get("num_files")), Counter(dropped)


def _of_disks(settings: Settings) -> Iterator[Sample]:
    for place, folder in (("state", settings.home), ("data", settings.data_root), ("runs", settings.runs_root)):
        found = next((path for path in (folder, *folder.parents) if path.is_dir()), None)
        if found is not None:
            usage = shutil.disk_usage(found)
            yield Sample("ops_disk_free_bytes", usage.free, {"place": place})
            yield Sample("ops_disk_used_bytes", usage.used, {"place": place})


def _folders(parent: Path) -> list[Path]:
    try:
        found = sorted(path for path in parent.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return []
    return found[-_MAX_RUNS:]


def _state_of(run: Path) -> str:
    return "done" if (run / "DONE").exists() else "failed" if (run / "FAILED").exists() else "open"


def _begun(run: Path) -> float:
    """When a run was asked for, by its first file; the folder's own time changes with what is put into it."""
    for name in ("run.json", "results"):
        try:
            return (run / name).stat().st_mtime
        except OSError:
            continue
    return 0.0


def _read_tail(path: Path) -> list[Any]:
    """The last whole lines of a curve: the end of the file may be in the writing, the beginning is not looked at."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _NUM_TAIL_BYTES))
        content = file.read()
    whole = content[: content.rfind(b"\n") + 1].splitlines()
    return [json.loads(line) for line in (whole[1:] if size > _NUM_TAIL_BYTES else whole)]


def _steps_per_second(lines: list[dict[str, Any]]) -> float | None:
    if len(lines) < 2:
        return None
    first, last = lines
    steps = (_number(last.get("step")) or 0) - (_number(first.get("step")) or 0)
    seconds = (_number(last.get("seconds")) or 0) - (_number(first.get("seconds")) or 0)
    return steps / seconds if steps > 0 and seconds > 0 else None  # a resumed training begins its clock anew


def _moment(text: Any) -> float:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return 0.0
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
