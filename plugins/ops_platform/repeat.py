"""`make repeat RUN=...`: repeats a run from its record in a folder of its own, and says whether the result is the same.

    python -m ops_platform.repeat RUN [--force] [--folder FOLDER]

RUN is the id of a run, the name of its folder, or a folder. Airflow need not be running: the commands of the run's
tasks are run, one after the other, here. Exit status: 0 identical, 1 it differs, 4 the data is not that of the run.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ops_common.artifacts import write_json
from ops_common.comparing_runs import DIFFERENT, Comparison, compare_runs
from ops_common.errors import DataError, Interrupted, OpsError, ServiceError, UsageError
from ops_common.repeating import Repeat, changes_since, check_data, plan_repeat
from ops_common.run_record import RECORD_NAME, read_record
from ops_common.surroundings import ROOT
from ops_platform import settings
from ops_platform.run_folders import safe_name

COMPARISON_NAME = "comparison.json"
_DIFFERS = 1


def find_run(runs_root: Path, run: str) -> Path:
    """The folder of a run: as given, or the one under `runs_root` that has this id or name and a record.

    Raises:
        DataError: There is none, or runs of several workflows have this name.
    """
    if not run:
        raise UsageError("which run is to be repeated?", "make repeat RUN=<id of a run, or a folder>")
    if (Path(run) / RECORD_NAME).is_file():
        return Path(run).absolute()
    found = [path.parent for name in {run, safe_name(run)} for path in runs_root.glob(f"*/{name}/{RECORD_NAME}")]
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(f"{run} is a run of several workflows", f"give one of {', '.join(map(str, sorted(found)))}")
    newest = sorted(runs_root.glob(f"*/*/{RECORD_NAME}"), key=lambda path: path.stat().st_mtime, reverse=True)
    known = ", ".join(path.parent.name for path in newest[:5]) or "none"
    raise DataError(f"there is no run {run} with a {RECORD_NAME}", f"the newest runs in {runs_root}: {known}")


def repeat_run(run: Path, folder: Path, console: Console, *, force: bool = False) -> bool:
    """Repeat a run and compare.

    Args:
        run: Its folder.
        folder: Folder of the repetition.
        console: Told what is done and what came out.
        force: Repeat on other data, too.

    Returns:
        Whether the result is identical.

    Raises:
        ConfigError: The run cannot be repeated.
        DataError: The data is not that of the run.
        ServiceError: A command failed.
    """
    repeat = plan_repeat(run, folder)
    for change in changes_since(repeat):
        console.print(f"[yellow]not as it was[/yellow]  {change}", markup=True)
    try:
        check_data(repeat)
    except DataError as error:
        if not force:
            raise
        console.print(f"[yellow]not as it was[/yellow]  {error.message}", markup=True)
    for command in repeat.commands:
        console.print(f"running        {' '.join(command[1:4])}")
        _run(command, repeat.working_dir)
    compared = _compare(repeat)
    write_json(folder / COMPARISON_NAME, {"run": str(run), "files": [asdict(entry) for entry in compared]})
    return _show(compared, repeat, console)


def _run(command: Sequence[str], working_dir: Path) -> None:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, cwd=working_dir, env=environment, stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise ServiceError(f"{' '.join(command[1:4])} ended with status {done.returncode}", "its last lines say why")


def _compare(repeat: Repeat) -> list[Comparison]:
    made = read_record(repeat.folder).get("artifacts", {})
    # what steps make that are not repeated (a gate's verdict) is no difference
    recorded = {name: digest for name, digest in repeat.record["artifacts"].items() if name in made or _is_model(name)}
    return compare_runs(recorded, repeat.source, made, repeat.folder)


def _is_model(name: str) -> bool:
    return name.startswith("bundle/") or name.endswith((".pb", ".npz"))


def _show(compared: Sequence[Comparison], repeat: Repeat, console: Console) -> bool:
    table = Table("file", "result", "first difference", title="The run and its repetition", title_justify="left")
    for entry in compared:
        table.add_row(entry.name, entry.outcome, entry.difference)
    console.print(table)
    different = [entry for entry in compared if entry.outcome == DIFFERENT]
    verdict = f"{len(different)} of {len(compared)} files differ" if different or not compared else "identical"
    console.print(f"{verdict}   {repeat.folder}")
    return bool(compared) and not different


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line, repeat, and say how it came out."""
    parser = argparse.ArgumentParser(prog="repeat", description="Repeat a run from its record.")
    parser.add_argument("run", help="id of a run, the name of its folder, or a folder")
    parser.add_argument("--force", action="store_true", help="also when the data is not that of the run")
    parser.add_argument(
        "--folder", type=Path, help="where the repetition goes; by default a new one under .ops/repeats"
    )
    options = parser.parse_args(arguments)
    console = Console(highlight=False, soft_wrap=True, markup=False)
    try:
        config = settings.load()
        run = find_run(config.runs_root, options.run)
        name = f"{run.name}-{datetime.now(UTC):%Y%m%dT%H%M%S}"
        folder = (options.folder or config.home / "repeats" / name).absolute()
        return 0 if repeat_run(run, folder, console, force=options.force) else _DIFFERS
    except OpsError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return Interrupted.exit_code


if __name__ == "__main__":
    sys.exit(main())
