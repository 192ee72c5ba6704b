"""The machine: memory, cores, disks, programs, and processes that an earlier platform left behind."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import psutil

from ops_common.errors import OpsError
from ops_platform.doctor.finding import Finding, by_threshold
from ops_platform.embedded import lifecycle, services
from ops_platform.embedded.layout import Layout

GIB = 1 << 30
MEMORY_LIMITS_BYTES = (1.5 * GIB, 4.0 * GIB)
DISK_LIMITS_BYTES = (1.0 * GIB, 5.0 * GIB)
PROBE_BYTES = 1 << 20

_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
_CGROUP_USED = Path("/sys/fs/cgroup/memory.current")


def check_memory(available_bytes: float | None = None) -> list[Finding]:
    """Whether Airflow (2 GB) and a training (1 to 3 GB) have room; a container's own limit counts, too."""
    found = _available_bytes() if available_bytes is None else available_bytes
    hint = "end other programs; `make stop` ends the platform; smaller batches need less (batch.max_blocks)"
    text = f"{found / GIB:.1f} GiB free, {os.cpu_count()} cores"
    return [by_threshold("memory", found, text, MEMORY_LIMITS_BYTES, hint)]


def check_disk(folders: Mapping[str, Path], limits: tuple[float, float] = DISK_LIMITS_BYTES) -> list[Finding]:
    """Whether each folder's disk has room, and takes a file: a quota shows only when something is written.

    Args:
        folders: By what they are for; a folder that does not exist yet stands for its nearest parent.
        limits: Free bytes for failure and warning.
    """
    places: dict[Path, list[str]] = {}
    for name, folder in folders.items():
        places.setdefault(_existing(folder), []).append(name)
    return [_look_at_disk(place, names, limits) for place, names in places.items()]


def check_programs(needed: Mapping[str, str], *, is_needed: bool) -> list[Finding]:
    """Whether programs are installed.

    Args:
        needed: Debian package by program.
        is_needed: Whether something that was asked for needs them; else a missing one is a warning.
    """
    missing = [name for name in needed if shutil.which(name) is None and not Path("/usr/sbin", name).exists()]
    names = ", ".join(needed)
    if not missing:
        return [Finding("programs", "ok", names)]
    packages = " ".join(sorted({needed[name] for name in missing}))
    status = "fail" if is_needed else "warn"
    return [Finding("programs", status, f"not installed: {', '.join(missing)}", f"apt-get install {packages}")]  # type: ignore[arg-type]


def check_stray_processes(layout: Layout) -> list[Finding]:
    """Whether processes of an earlier platform of this folder are still there, though nothing knows them any more."""
    try:
        instance = lifecycle.read_instance(layout)
    except OpsError as error:
        return [Finding("processes", "fail", error.message, error.hint)]
    known = {process.pid for process in services.find_marked(instance.id)} if instance else set()
    stray = [one for one in services.find_marked(str(layout.home), services.HOME_MARK) if one.pid not in known]
    ended = [service.name for service in instance.services if not service.is_running()] if instance else []
    if stray:
        ids = ", ".join(str(process.pid) for process in stray[:10])
        return [Finding("processes", "warn", f"{len(stray)} of an earlier platform still run: {ids}", "make stop")]
    if ended:
        text = f"the platform was started, but has lost: {', '.join(ended)}"
        return [Finding("processes", "fail", text, f"make up starts it anew; its logs are in {layout.logs_dir}")]
    return [Finding("processes", "ok", f"{len(known)} of the platform" if instance else "the platform is not running")]


def _available_bytes() -> float:
    available = float(psutil.virtual_memory().available)
    try:
        limit = int(_CGROUP_LIMIT.read_text()) - int(_CGROUP_USED.read_text())
    except (OSError, ValueError):  # no such file, or "max"
        return available
    return min(available, float(limit))


def _look_at_disk(place: Path, names: Iterable[str], limits: tuple[float, float]) -> Finding:
    check = f"disk of {', '.join(names)}"
    free = shutil.disk_usage(place).free
    hint = "free some, or put OPS_HOME on another disk; ops_clean_up deletes old runs"
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".doctor-") as file:
            file.write(b"\0" * PROBE_BYTES)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return Finding(check, "fail", f"{place} takes no file of {PROBE_BYTES >> 20} MiB: {error.strerror}", hint)
    return by_threshold(check, free, f"{free / GIB:.1f} GiB free at {place}", limits, hint)


def _existing(folder: Path) -> Path:
    return next((path for path in (folder, *folder.parents) if path.is_dir()), Path("/"))
