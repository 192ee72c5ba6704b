"""For all tests: an Airflow of their own, should one import it (set before its first import, hence here), a browser."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.browser import browser, keep  # noqa: F401 - fixtures

ROOT = Path(__file__).parents[1]
_HOME = tempfile.mkdtemp(prefix="airflow-of-tests-")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)

for _name in [name for name in os.environ if name.startswith(("AIRFLOW", "OPS_", "AWS_"))]:
    del os.environ[_name]  # a developer's own settings must not decide a test
os.environ.update(
    AIRFLOW_HOME=_HOME,
    AIRFLOW__CORE__DAGS_FOLDER=str(ROOT / "dags"),
    AIRFLOW__CORE__PLUGINS_FOLDER=str(ROOT / "plugins"),
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{_HOME}/airflow.db",
    AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS="False",
    OPS_HOME=f"{_HOME}/ops",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`make screenshots` saves what the browser saw."""
    parser.addoption("--save-screenshots", action="store_true", help="redo docs/screenshots")
