"""Where the files of a DAG run stand: one folder a run, with a name that any file system takes."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

STANDALONE_DAG = "pythonexpr_standalone"
"""The workflow whose runs train new completion models; a continuation works in the folder of such a run."""

_MAX_LENGTH = 120


def safe_name(run_id: str) -> str:
    """A run's name as a folder name: letters, digits, `.`, `_` and `-`, at most 120 characters.

    A name that had to be changed ends with a digest of the original, so two runs never share a folder.

    Args:
        run_id: Airflow's run id, which may hold anything.

    Returns:
        The folder name; never empty, `.` or `..`.
    """
    name = re.sub(r"[^A-Za-z0-9._-]", "_", run_id).lstrip(".")[:_MAX_LENGTH]
    if name == run_id and name:
        return name
    digest = hashlib.sha256(run_id.encode()).hexdigest()[:8]
    return f"{name[: _MAX_LENGTH - 9]}-{digest}"


def run_dir(runs_root: Path, dag_id: str, run_id: str) -> Path:
    """The folder of a DAG run.

    Args:
        runs_root: Folder of all runs.
        dag_id: The DAG.
        run_id: Airflow's run id.
    """
    return runs_root / safe_name(dag_id) / safe_name(run_id)
