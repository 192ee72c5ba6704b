"""What all benchmarks share: where and on what they ran, and the file that says so."""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from ops_common.artifacts import write_json

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / ".ops" / "benchmarks"

# Those whose version decides a figure.
_LIBRARIES = ("tensorflow-cpu", "numpy", "protobuf", "iced-x86", "google-crc32c", "apache-airflow")


def write_result(name: str, values: Mapping[str, Any], output: Path | None = None) -> Path:
    """Writes a benchmark's figures with machine, commit and versions, and prints them.

    Args:
        name: The benchmark.
        values: Its figures, names with units.
        output: The JSON file; by default `.ops/benchmarks/<name>.json`.

    Returns:
        The file.
    """
    path = output or RESULTS / f"{name}.json"
    write_json(
        path,
        {
            "benchmark": name,
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": commit(),
            "machine": machine(),
            "versions": versions(),
            "values": dict(values),
        },
    )
    print(json.dumps({"benchmark": name, **values}, indent=2, default=str))
    print(f"written to {path}", file=sys.stderr)
    return path


def told_by_command_line(
    description: str | None, measure: Callable[..., dict[str, Any]], argv: Sequence[str] | None
) -> tuple[dict[str, Any] | None, Path | None]:
    """Reads a benchmark's command line; does what a child process was told to measure.

    Args:
        description: What --help says.
        measure: Called in a child process with the plan that its parent gave it.
        argv: Command line without the program; by default that of the process.

    Returns:
        What was measured, in a child process, else None; and the file for the result, None by default.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--output", type=Path, default=None, help="JSON file; default: .ops/benchmarks/")
    parser.add_argument("--measure", help=argparse.SUPPRESS)  # what a child process is told
    arguments = parser.parse_args(argv)
    if not arguments.measure:
        return None, arguments.output
    measured = measure(**json.loads(arguments.measure))
    print(json.dumps(measured))
    return measured, None


def commit() -> str:
    """Returns the commit that was measured; with a `+` when files were changed since."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no")
    return (git("rev-parse", "HEAD") or "unknown") + ("+" if changed else "")


def machine() -> dict[str, Any]:
    """Describes the machine; the load says whether it was busy with something else."""
    return {
        "processor": _processor(),
        "num_cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "load_average": psutil.getloadavg()[0],
    }


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the libraries that matter."""
    found = {"python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"
