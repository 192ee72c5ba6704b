"""Repeats a run from its record in another folder, and says whether the result is the same.

`plan_repeat` turns the record into commands, `changes_since` says what is not as it was, `compare_runs` compares what
was made. Only commands that make something from the data are repeated: training, evaluation, validation. What talks
to the world (servers, gates that compare with the model of today, uploads) is not.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops_common.artifacts import sha256_file, write_text
from ops_common.config import toml_text
from ops_common.errors import ConfigError, DataError
from ops_common.run_record import read_record
from ops_common.rundir import first_difference
from ops_common.surroundings import describe_code, describe_machine, describe_versions

CONFIG_NAME = "repeated_config.toml"

_REPEATED = {
    "gematria_ops": ("train_model", "evaluate_model"),
    "fastnode_ops": (
        "build_metainfo",
        "train_model",
        "continue_training",
        "compress_model",
        "convert_metainfo",
        "validate_attributes",
        "validate_calls",
        "rebuild_curated_examples",
    ),
}
"""What is repeated of a run, in this order."""

_TRAINED_BEFORE = ("build_metainfo", "train_model")
"""What a continuation takes from the run that it continues."""

_NO_MATTER = ("host", "gpus")  # GPUs are known where TensorFlow runs, which is not here

_OWN_SAMPLES = {"server": "", "data_dir": "", "data_steps": 0, "syncer": ""}
"""Samples are a function of the seed: whoever made them for the run, the repetition makes its own."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """What is done to repeat a run.

    Attributes:
        record: The record of the run.
        source: Folder of what the run made.
        folder: Folder of the repetition.
        library: The package.
        commands: Program and arguments of each command, in order.
        working_dir: Where they are run: relative paths among the arguments are meant from here.
    """

    record: Mapping[str, Any]
    source: Path
    folder: Path
    library: str
    commands: Sequence[list[str]]
    working_dir: Path


def plan_repeat(run: Path, folder: Path) -> Repeat:
    """Says how a run is repeated, and writes its settings into the new folder.

    Args:
        run: Folder of the run.
        folder: Folder of the repetition; must not exist.

    Raises:
        ArtifactError: The run has no record.
        ConfigError: It did not train, its samples cannot be made again, or the new folder is there already.
    """
    record = read_record(run)
    tasks = {name: task for name, task in record.get("tasks", {}).items() if task["status"] == "done"}
    library = next((task["library"] for task in tasks.values() if task["library"] in _REPEATED), "")
    if "config" not in record or not {"train_model", "continue_training"} & {*tasks}:
        raise ConfigError(
            f"{run} has trained nothing, so there is nothing to repeat", "choose a run whose model stands"
        )
    if folder.exists():
        raise ConfigError(f"{folder} already exists", "choose another folder, or remove this one first")
    first = next(iter(tasks.values()))
    working_dir = Path(first["working_dir"])
    source = working_dir / (first["arguments"].get("work_dir") or run)
    if "train_model" not in tasks:
        before = read_record(source).get("tasks", {})
        tasks = {**{name: before[name] for name in _TRAINED_BEFORE if name in before}, **tasks}
    write_text(folder / CONFIG_NAME, toml_text(record["config"]))
    commands = [_command(tasks[name], folder) for name in _REPEATED[library] if name in tasks]
    return Repeat(record, source, folder, library, commands, working_dir)


def _command(task: Mapping[str, Any], folder: Path) -> list[str]:
    given = dict(task["arguments"])
    steps, data_steps = given.get("steps", 0), given.get("data_steps", 0)
    if given.get("data_dir") and 0 < data_steps < steps:
        raise ConfigError(
            f"the run read its samples again after {data_steps} of {steps} steps, and the files are not kept",
            "train from these files by hand; see the arguments in its record",
        )
    replaced = {
        **{name: str(folder) for name in ("run_dir", "work_dir")},
        **_OWN_SAMPLES,
        "rundb": str(folder / "run-db"),
        "config_file": str(folder / CONFIG_NAME),
        "overrides": [],
    }
    arguments = {name: replaced.get(name, value) for name, value in given.items()}
    name = str(task["command"]).replace("_", "-")
    return [sys.executable, "-m", str(task["library"]), name, *_options(arguments)]


def _options(arguments: Mapping[str, Any]) -> list[str]:
    options: list[str] = []
    for name, value in arguments.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            options.append(f"--{flag}" if value else f"--no-{flag}")
        elif value is not None:
            options += [f"--{flag}={item}" for item in (value if isinstance(value, list) else [value])]
    return options


def changes_since(repeat: Repeat) -> list[str]:
    """What is not as it was when the run was made: code, versions, machine; and a seed that says: another each time."""
    record = repeat.record
    code = describe_code(repeat.library)
    changed = []
    if record["code"]["tree_sha256"] != code["tree_sha256"]:
        then, now = (str(value["git_commit"])[:12] or "no commit" for value in (record["code"], code))
        changed.append(f"code: the sources of {repeat.library} or ops_common are others now ({then} then, {now} now)")
    for what, facts in (("versions", describe_versions()), ("machine", describe_machine())):
        if difference := first_difference(_that_matter(record[what]), _that_matter(facts)):
            changed.append(f"{what}: {difference}")
    changed += [
        f"seed: {name} is {value}: another one each time" for name, value in record["seeds"].items() if value < 0
    ]
    return changed


def _that_matter(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name not in _NO_MATTER}


def check_data(repeat: Repeat) -> None:
    """Compare the data with what the run was made from.

    Raises:
        DataError: A file is missing or has changed.
    """
    record = repeat.record
    folder, files = Path(record.get("data_dir") or ""), record.get("data", {})
    hint = "bring the data back, or repeat on what is there all the same with FORCE=1"
    if not files:
        raise DataError("the record does not say which data the run was made from", hint)
    for name, digest in files.items():
        path = folder / name
        if not path.is_file():
            raise DataError(f"the run was made from {path}, which is not there", hint)
        now = sha256_file(path)
        if now != digest:
            raise DataError(f"{path} has changed: SHA-256 was {digest[:16]}…, now {now[:16]}…", hint)
