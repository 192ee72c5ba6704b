"""Writes every generated file, or says which are out of date."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from ops_common.artifacts import write_text
from ops_platform.reference.pages import generated_files

ROOT = Path(__file__).parents[3]


def main(arguments: list[str]) -> int:
    """Write what has changed, or with `--check` name it.

    Returns:
        1 when something is out of date and was only to be named.
    """
    with tempfile.TemporaryDirectory(prefix="airflow-of-reference-") as home:
        os.environ.update(AIRFLOW_HOME=home, AIRFLOW__CORE__LOAD_EXAMPLES="False")  # the user's own is left alone
        files = generated_files(ROOT)
    stale = [name for name, text in files.items() if _text_of(ROOT / name) != text]
    if arguments == ["--check"]:
        for name in stale:
            print(f"{name} is out of date: make reference")
        return 1 if stale else 0
    for name in stale:
        write_text(ROOT / name, files[name])
        print(f"wrote {name}")
    return 0


def _text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
