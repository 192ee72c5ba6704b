"""How long Airflow needs to parse our DAG files, beside a DAG file that holds nothing of ours.

Each file is parsed in a fresh process, as Airflow's own task processes do; the import of `airflow.sdk` is not counted,
since every DAG file pays it. Target: all files of `dags/` in under one second, without TensorFlow and boto3.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import write_result

ROOT = Path(__file__).parents[1]
HEAVY = ("tensorflow", "boto3", "iced_x86", "matplotlib", "scipy")

PROGRAM = """
import importlib.util, json, sys, time
from airflow.sdk import DAG, Asset, BaseOperator, Param
started, cpu = time.perf_counter(), time.process_time()
for number, path in enumerate(sys.argv[1:]):
    spec = importlib.util.spec_from_file_location(f"dag_{number}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
print(json.dumps({"wall_seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - cpu,
                  "modules": sorted({name.partition(".")[0] for name in sys.modules})}))
"""

PLAIN_DAG = """
from airflow.sdk import DAG
with DAG("plain", schedule=None):
    pass
"""


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=None, help="JSON file; default: .ops/benchmarks/")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args(argv)
    files = sorted(str(path) for path in (ROOT / "dags").glob("*.py"))
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.py"
        plain.write_text(PLAIN_DAG, encoding="utf-8")
        ours = _fastest([_parse(files, folder) for _ in range(arguments.repeats)])
        reference = _fastest([_parse([str(plain)], folder) for _ in range(arguments.repeats)])
    values = {
        "num_files": len(files),
        "wall_seconds": ours["wall_seconds"],
        "cpu_seconds": ours["cpu_seconds"],
        "reference_wall_seconds": reference["wall_seconds"],
        "target_wall_seconds": 1.0,
        "heavy_modules_loaded": [name for name in HEAVY if name in ours["modules"]],
    }
    write_result("parse_dags", values, arguments.output)
    return values


def _parse(files: list[str], home: str) -> dict[str, Any]:
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        "AIRFLOW_HOME": home,
        "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}",
    }
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM, *files], env=environment, capture_output=True, text=True, check=True
    )
    measured: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return measured


def _fastest(runs: list[dict[str, Any]]) -> dict[str, Any]:
    return min(runs, key=lambda run: float(run["wall_seconds"]))


if __name__ == "__main__":
    main()
