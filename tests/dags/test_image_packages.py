"""DAGs, plugin and pages need no more packages than the image that they run in has: requirements-cluster.txt.

Here everything is installed, so a program of its own takes away what the image lacks.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.airflow

ROOT = Path(__file__).parents[2]
PROGRAM = """
import importlib, importlib.metadata, json, re, sys

folder, lock, *modules = sys.argv[1:]
locked = set(re.findall("(?m)^([a-z0-9.-]+)==", open(lock).read()))
owners = {
    package: {re.sub("[-_.]+", "-", name).lower() for name in names}
    for package, names in importlib.metadata.packages_distributions().items()
}

class OnlyLocked:
    def find_spec(self, name, path=None, target=None):
        if path is None and name in owners and not locked & owners[name]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, OnlyLocked())
from airflow.dag_processing.dagbag import DagBag
errors = DagBag(folder).import_errors
for module in modules:
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        errors[module] = str(error)
print(json.dumps(errors))
"""


def errors_in_the_image(folder: Path, *modules: str) -> Any:
    """What cannot be imported with the locked packages alone, by file or module."""
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), str(ROOT / "requirements-cluster.txt"), *modules],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"},
        check=True,
    )
    return json.loads(finished.stdout.splitlines()[-1])


def test_the_image_has_all_that_dags_plugin_and_pages_import() -> None:
    pages = (ROOT / "plugins/ops_platform").glob("run_pages/*.py")
    modules = [f"ops_platform.run_pages.{path.stem}" for path in pages if path.stem != "__init__"]
    assert len(modules) > 3
    modules += ["ops_platform_plugin", "ops_platform.run_callbacks", "ops_platform.example_pages"]
    assert errors_in_the_image(ROOT / "dags", *modules) == {}


def test_a_package_that_the_image_lacks_is_found(tmp_path: Path) -> None:
    (tmp_path / "numeric.py").write_text("from airflow.sdk import DAG\nimport numpy\nDAG('numeric')\n")
    found = errors_in_the_image(tmp_path, "matplotlib")
    assert "No module named 'numpy'" in found[str(tmp_path / "numeric.py")] and "'matplotlib'" in found["matplotlib"]
