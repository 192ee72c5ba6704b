"""What surrounds a run and decides its result beside settings and data: code, versions, machine."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
"""Where the packages stand: the checkout, or the place that they are installed in."""

PACKAGES = (
    "tensorflow",
    "keras",
    "numpy",
    "scipy",
    "ml-dtypes",
    "protobuf",
    "pydantic",
    "iced-x86",
    "google-crc32c",
    "tree-sitter",
    "tree-sitter-python",
    "typeshed-client",
    "griffe",
    "datasketch",
    "orjson",
    "jedi",
    "apache-airflow",
)
"""Packages that could change a result, or how it came about. What is not installed is left out of a record."""

_GIT_SECONDS = 20
_VECTOR_FEATURES = ("avx", "fma", "amx", "sse4", "neon", "sve", "asimd")


def describe_code(library: str) -> dict[str, Any]:
    """What code runs: `git_commit` (empty outside a checkout), `is_dirty`, and `tree_sha256` of a library's sources.

    Args:
        library: The package; what it shares with the others counts too.
    """
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return {
        "git_commit": (_git("rev-parse", "HEAD") or "").strip(),
        "is_dirty": bool(changes and changes.strip()),
        "tree_sha256": digest_of_sources([ROOT / "ops_common", ROOT / library]),
    }


def digest_of_sources(folders: Sequence[Path]) -> str:
    """SHA-256 over the names and contents of the Python files of some packages; where they stand does not matter."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            content = path.read_bytes()
            name = path.relative_to(folder.parent).as_posix()
            digest.update(f"{name}\0{len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()


def describe_versions() -> dict[str, str]:
    """The versions of Python and of the packages of `PACKAGES` that are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def describe_machine() -> dict[str, Any]:
    """This machine: `host`, `system`, `architecture`, `cpu`, `cpu_features`, `num_cpus`, `memory_bytes`, `gpus`."""
    described = _read("/proc/cpuinfo")
    fields = dict(line.partition(":")[::2] for line in described.splitlines() if ":" in line)
    values = {name.strip(): value.strip() for name, value in fields.items()}
    features = values.get("flags", values.get("Features", "")).split()
    return {
        "host": platform.node(),
        "system": platform.platform(),
        "architecture": platform.machine(),
        "cpu": values.get("model name", platform.processor()),
        "cpu_features": sorted(name for name in features if name.startswith(_VECTOR_FEATURES)),
        "num_cpus": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "gpus": gpus_in_use(),
    }


def gpus_in_use() -> list[str]:
    """Names of the GPUs of a process that has loaded TensorFlow; a process that has not uses none."""
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None:
        return []
    return [str(device.name) for device in tensorflow.config.list_physical_devices("GPU")]


def _git(*arguments: str) -> str | None:
    """What a git command prints in the checkout; None where there is no git or no checkout."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True, timeout=_GIT_SECONDS
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""
