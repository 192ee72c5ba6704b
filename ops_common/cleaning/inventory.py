"""What stands below the roots: each run, data set, set of samples, set of checkpoints and leftover, with age and size.

Nothing is followed that is a symbolic link: a link is neither listed, nor measured, nor removed, only counted.
"""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ops_common.artifacts import MANIFEST_NAME, read_json
from ops_common.errors import ArtifactError, ConfigError
from ops_common.release_record import read_release

Kind = Literal["run", "dataset", "samples", "checkpoints", "temporary"]

RUN_DB = "run-db"
"""Folder of the validations' run records among the runs: small, and the history of all models; not cleaned up."""
SAMPLES_DIR = Path(".datagen") / "samples"
"""Sample files that this machine made, among the data sets."""
TRASH_PREFIX = ".removed-"
"""What a folder is called while it is removed."""

_CHECKPOINTS = ("checkpoints", "tmp/ckpt-*", "tmp/checkpoint")
_RUN_SAMPLES = "data"
_REFERENCES = ("work_dir", "dataset_dir", "corpus_dir", "samples_dir")
_RESOLVED = "results/resolve_request.record.json"
_UPLOADED = ("results/upload_model.record.json", "tmp/results/upload_model.record.json", "results/upload_model.json")


@dataclass(frozen=True, slots=True)
class Item:
    """Something that may be removed as a whole.

    Attributes:
        kind: What it is.
        name: What it is called in reports and keep lists: `<workflow>/<run>`, or the name of the data set.
        root: The root that it stands below.
        paths: Its files and folders; one, except for checkpoints.
        changed_at: When it was written last, in seconds since 1970.
        run: What is known of the run that it is, or belongs to.
    """

    kind: Kind
    name: str
    root: Path
    paths: tuple[Path, ...]
    changed_at: float
    run: Run | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """What a run's folder says about the run.

    Attributes:
        path: The folder.
        workflow: Name of the folder that it stands in: its DAG.
        state: "done", "failed", or "open": it has no mark.
        changed_at: When it ended, or was written to last.
        is_locked: A process works in it now.
        decision: What became of its model; empty: it has none, or it was not checked.
        has_model: It trained one. Runs of other workflows may have the name of a training: both carry the night's date.
        is_released: Its model was published.
        references: Folders that it was made from.
    """

    path: Path
    workflow: str
    state: str
    changed_at: float
    is_locked: bool
    decision: str
    has_model: bool
    is_released: bool
    references: frozenset[Path]

    @property
    def name(self) -> str:
        """What it is called in reports and keep lists."""
        return f"{self.workflow}/{self.path.name}"


@dataclass(slots=True)
class Inventory:
    """Everything that was found.

    Attributes:
        runs: The runs.
        items: What could be removed; the runs are among them.
        skipped: What is none of our business, counted by reason.
    """

    runs: list[Run] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


def check_root(root: Path) -> Path:
    """A root as an absolute path without links.

    Raises:
        ConfigError: It is no folder, or one that no clean-up may be let into.
    """
    path = Path(root).resolve()
    if not path.is_dir():
        raise ConfigError(f"{root} is not a folder", "check the path")
    if path == Path.home() or len(path.parts) < 3:
        raise ConfigError(f"{path} is no folder of runs or data sets: nothing is removed there", "check the path")
    return path


def take_inventory(runs_root: Path, data_root: Path) -> Inventory:
    """Look through both roots.

    Args:
        runs_root: Folder of the runs, `<workflow>/<run>`; checked.
        data_root: Folder of the data sets; checked.

    Raises:
        ConfigError: One root stands in the other one's folders.
    """
    if runs_root == data_root or runs_root in data_root.parents:
        raise ConfigError(f"the data sets in {data_root} stand among the runs in {runs_root}", "give each its own root")
    found = Inventory()
    for workflow in _folders(runs_root, found):
        if workflow.name != RUN_DB and workflow != data_root:
            _look_at_workflow(runs_root, workflow, found)
    for dataset in _folders(data_root, found):
        if dataset != runs_root:
            found.items.append(Item("dataset", dataset.name, data_root, (dataset,), _changed_at(dataset)))
    if not (data_root / SAMPLES_DIR.parent).is_symlink() and not (data_root / SAMPLES_DIR).is_symlink():
        for samples in _folders(data_root / SAMPLES_DIR, found):
            name = str(SAMPLES_DIR / samples.name)
            found.items.append(Item("samples", name, data_root, (samples,), _changed_at(samples)))
    for root in (runs_root, data_root):
        found.items += _leftovers(root, root)
    return found


def is_complete(dataset: Path) -> bool:
    """Whether a data set was written to its end."""
    return (dataset / MANIFEST_NAME).is_file()


def size_bytes(path: Path) -> int:
    """Bytes of the files below a path; what goes away meanwhile counts nothing."""
    with suppress(OSError):
        if path.is_symlink() or not path.is_dir():
            return path.lstat().st_size
    total = 0
    for folder, _, names in os.walk(path):  # does not follow links
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118 - many files
    return total


def is_locked(run_dir: Path) -> bool:
    """Whether a process holds one of a run's locks: a task of it runs now."""
    for folder in (run_dir / "results", run_dir / "tmp" / "results", run_dir / "tmp", run_dir):
        for path in [*folder.glob(".*.lock"), *folder.glob(".*.guard")]:
            with suppress(OSError), path.open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return True
    return False


def _look_at_workflow(runs_root: Path, workflow: Path, found: Inventory) -> None:
    for folder in _folders(workflow, found):
        run = _read_run(folder)
        found.runs.append(run)
        found.items.append(Item("run", run.name, runs_root, (folder,), run.changed_at, run))
        checkpoints = tuple(_checkpoints(folder))
        if checkpoints:
            found.items.append(Item("checkpoints", run.name, runs_root, checkpoints, run.changed_at, run))
        if (folder / _RUN_SAMPLES).is_dir() and not (folder / _RUN_SAMPLES).is_symlink():
            found.items.append(Item("samples", run.name, runs_root, (folder / _RUN_SAMPLES,), run.changed_at, run))
        if run.state != "open" and not run.is_locked:
            found.items += _leftovers(runs_root, folder, is_deep=True)
    found.items += _leftovers(runs_root, workflow)


def _read_run(folder: Path) -> Run:
    state, at = "open", 0.0
    for mark in ("DONE", "FAILED"):
        with suppress(OSError):
            at, state = (folder / mark).stat().st_mtime, mark.lower()
    is_uploaded = any((folder / name).is_file() for name in _UPLOADED)
    try:
        release = read_release(folder)
        decision: str = release.decision if release else ""
        model_uri = release.model_uri if release else ""
    except ArtifactError:
        decision, model_uri, is_uploaded = "damaged", "", True  # what cannot be read is not taken for unimportant
    return Run(
        path=folder,
        workflow=folder.parent.name,
        state=state,
        changed_at=at or _changed_at(folder),
        is_locked=is_locked(folder),
        decision=decision,
        has_model=bool(decision) or (folder / "bundle").is_dir() or any(_checkpoints(folder)),
        is_released=is_uploaded or bool(model_uri) or decision in ("released", "rolled_back"),
        references=frozenset(_references(folder)),
    )


def _checkpoints(folder: Path) -> Iterator[Path]:
    return (path for pattern in _CHECKPOINTS for path in sorted(folder.glob(pattern)) if not path.is_symlink())


def _references(folder: Path) -> Iterator[Path]:
    try:
        record: Any = read_json(folder / _RESOLVED)
        result = record["result"]
        named = [result.get(name) for name in _REFERENCES]
    except (ArtifactError, KeyError, TypeError, AttributeError):
        return
    for value in named:
        if isinstance(value, str) and value.startswith("/"):
            yield Path(value).resolve()


def _folders(parent: Path, found: Inventory) -> list[Path]:
    """The folders directly in a folder that are no links and not hidden."""
    folders = []
    with suppress(OSError):
        for entry in sorted(os.scandir(parent), key=lambda entry: entry.name):
            if entry.is_symlink():
                found.skipped["symbolic links"] += 1
            elif entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                folders.append(Path(entry.path))
    return folders


def _leftovers(root: Path, folder: Path, *, is_deep: bool = False) -> list[Item]:
    """What killed writers, and clean-ups that were cut off, left in a folder."""
    paths = []
    for parent, folders, files in os.walk(folder):
        ours = [name for name in (*folders, *files) if _is_leftover(name)]
        paths += [Path(parent) / name for name in ours if not (Path(parent) / name).is_symlink()]
        folders[:] = [name for name in folders if is_deep and name not in ours]
    return [Item("temporary", str(path.relative_to(root)), root, (path,), _changed_at(path)) for path in sorted(paths)]


def _is_leftover(name: str) -> bool:
    return name.startswith(TRASH_PREFIX) or (name.startswith(".") and name.endswith(".part"))


def _changed_at(path: Path) -> float:
    """When a folder was written last, as far as its first two levels show it."""
    times = [path.lstat().st_mtime]
    with suppress(OSError):
        for entry in os.scandir(path) if path.is_dir() and not path.is_symlink() else ():
            times.append(entry.stat(follow_symlinks=False).st_mtime)
            if entry.is_dir(follow_symlinks=False):
                times += [inner.stat(follow_symlinks=False).st_mtime for inner in os.scandir(entry.path)]
    return max(times)
